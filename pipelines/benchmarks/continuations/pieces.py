"""Which pieces are continued: eight kinds, from the folders of a collection, and where each piece is cut.

Only pieces that no training saw are taken. The pieces of a kind come from its sources in turn, in the order of a hash
of their paths, one of each work; so the choice is the same on every machine, whatever is added elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from musicgen.errors import MusicgenError
from musicgen.io import read, write
from musicgen.piece import Piece

from .passage import BARS, Case, bar_lines, passage_of, until

__all__ = ["KINDS", "Unseen", "cases", "cut_bar"]

FEWEST_NOTES = 16  # in the eight bars before the cut, and in the eight after
TRIES = 12  # files that are read for every piece that is wanted, at most
# Roland's TD-11 has rims and edges of its own; these are the General MIDI sounds that stand beside them.
ROLAND = {22: 42, 26: 46, 58: 43}

Say = Callable[[str], None]  # of progress


@dataclass(frozen=True)
class Source:
    """Files below a folder of the collection; `never` where no training may use them.

    `instrument` is what the folder's index.tsv has to say of a file: sounded by a piano is much that isn't for one.
    """

    folder: str
    pattern: str
    never: bool = False
    instrument: str = ""

    def names(self, folder: Path) -> list[str]:
        """The files' paths below their folder."""
        names = [path.relative_to(folder).as_posix() for path in folder.glob(self.pattern)]
        if not self.instrument:
            return names
        lines = (folder / "index.tsv").read_text(encoding="utf-8").splitlines()
        fits = {line.partition(".mid")[0] for line in lines if re.search(rf"\t{self.instrument}\b[^\t]*(\t|$)", line)}
        return [name for name in names if name.removesuffix(".mid") in fits]


@dataclass(frozen=True)
class Kind:
    """A kind of music: its sources, and what a piece of it has."""

    sources: tuple[Source, ...]
    fits: Callable[[Piece], bool]


def _keyboard(piece: Piece) -> bool:
    return all(not t.is_drum and t.program < 8 for t in piece.tracks)


def _drums(piece: Piece) -> set[bool]:
    return {t.is_drum for t in piece.tracks}


KINDS = {
    "piano score": Kind(
        (
            Source("polish_scores", "keyboard/*.mid"),
            Source("polish_scores", "piano_1-2/*.mid"),
            Source("mutopia_pd", "*.mid", instrument="(Piano|Harpsichord)"),
            Source("mutopia_more", "**/*.mid", instrument="(Piano|Harpsichord)"),
        ),
        _keyboard,
    ),
    "piano performance": Kind(
        (
            Source("giantmidi_piano", "**/*.mid"),
            Source("vienna4x22", "midi/*.mid"),
            Source("piano_midi_de", "midis/**/*.mid", never=True),
            Source("noncommercial/asap", "**/[!m]*.mid", never=True),
        ),
        _keyboard,
    ),
    "song": Kind((Source("openscore_lieder", "**/*.mxl"),), lambda piece: len(piece.tracks) > 1),
    "quartet or orchestra": Kind(
        (Source("openscore_stringquartets", "**/*.mxl"), Source("hauptstimme", "**/*.mxl")),
        lambda piece: len(piece.tracks) > 2,
    ),
    "folk": Kind(
        (
            Source("nottingham", "MIDI/*.mid", never=True),
            Source("mit_irish_abc", "irish.abc"),
            Source("openewld_pd", "*.mxl"),
        ),
        lambda piece: len(piece.tracks) < 4,
    ),
    "band with drums": Kind((Source("freedoom_rock", "**/*.mid"),), lambda piece: len(_drums(piece)) == 2),
    "pop piano": Kind((Source("POP909", "**/???.mid", never=True),), _keyboard),
    "drums alone": Kind((Source("groove_midi", "**/*_beat_*.mid"),), lambda piece: _drums(piece) == {True}),
}


@dataclass(frozen=True)
class Folders:
    """Where sources lie: below one folder, but for some."""

    data: Path
    elsewhere: Mapping[str, Path]

    def of(self, source: str) -> Path:
        return self.elsewhere.get(source) or self.data / source


class Unseen:
    """Says whether a file was kept from training: by the corpus of a model, by a list of files, or by its source.

    A corpus keeps its split `test`. What it holds nothing of (a whole source) wasn't seen; a single file that it lacks
    may be a copy of one that it has, and doesn't count.
    """

    def __init__(self, *, corpus: Path | None = None, listed: Path | None = None) -> None:
        self.splits: dict[str, list[tuple[str, str]]] = {}  # by file name: (the rest of the source, its split)
        self.heads: set[str] = set()
        if corpus is not None:
            for line in (corpus / "pieces.jsonl").read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                tail = record["source"].partition("/")[2] or record["source"]
                self.splits.setdefault(_name(tail), []).append((_tune(tail), record["split"]))
        lines = [] if listed is None else listed.read_text(encoding="utf-8").splitlines()
        self.listed = {line.strip() for line in lines if line.strip()}  # files, tunes of a file, or folders with a /
        self.folders = tuple(line for line in self.listed if line.endswith("/"))
        self.knows_corpus = corpus is not None

    def usable(self, source: Source, names: list[str]) -> list[str]:
        """Those of a source's files (paths below its folder, perhaps with #tune) that no training saw."""
        if source.never:
            return names
        ours = [name for name in names if self._is_listed(f"{source.folder}/{name}")]
        if ours or not self.knows_corpus:
            return ours
        found = {name: split for name in names if (split := self._split(name)) is not None}
        return [name for name in names if found.get(name) == "test"] if found else names

    def _is_listed(self, path: str) -> bool:
        return path in self.listed or path.partition("#")[0] in self.listed or path.startswith(self.folders)

    def _split(self, name: str) -> str | None:
        """Where the corpus has a file, None where it hasn't; a number that two tunes bear is where training saw one."""
        known = self.splits.get(_name(name), [])
        splits = {split for tail, split in known if _ends(_tune(name), tail) or _ends(tail, _tune(name))}
        return None if not splits else "test" if splits == {"test"} else "train"


def _name(path: str) -> str:
    return path.partition("#")[0].rpartition("/")[2]


def _tune(path: str) -> str:
    """The path with only the number of a tune behind its #: titles are spelled in more than one way."""
    file, _, tune = path.partition("#")
    return f"{file}#{tune.split()[0]}" if tune else file


def _ends(path: str, tail: str) -> bool:
    return path == tail or path.endswith("/" + tail)


def cases(
    data: Path,
    *,
    kinds: list[str],
    limit: int,
    unseen: Unseen,
    work: Path,
    say: Say,
    elsewhere: Mapping[str, Path] | None = None,
) -> Iterator[Case]:
    """`limit` pieces of each kind, or as many as there are; `elsewhere` has the folders of sources not below `data`."""
    where = Folders(data, elsewhere or {})
    for kind in kinds:
        wanted, works, files = limit, set(), 0
        for folder, name in _in_turn(where, KINDS[kind], unseen):
            if not wanted or files >= TRIES * limit:
                break
            if _work(folder, name) in works:
                continue
            files += 1
            try:
                case = _case(where.of(folder), name, f"{folder}/{name}", kind, work, say)
            except (MusicgenError, ValueError, OSError) as error:
                say(f"{folder}/{name} is left out: {error}")
                continue
            if case is None or (opening := _opening(case)) in works:
                continue
            works |= {_work(folder, name), opening}
            wanted -= 1
            yield case
        say(f"{kind}: {limit - wanted} pieces" + ("" if not wanted else f", {limit} were wanted"))


def _in_turn(where: Folders, kind: Kind, unseen: Unseen) -> Iterator[tuple[str, str]]:
    """(source folder, name below it) of the usable files of a kind, one of each source after the other."""
    queues = []
    for source in kind.sources:
        folder = where.of(source.folder)
        names = source.names(folder) if folder.is_dir() else []
        names = list(chain.from_iterable(_tunes(folder, name) if name.endswith(".abc") else [name] for name in names))
        names = unseen.usable(source, names)
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        queues.append([(source.folder, name) for name in names])
    return (each for row in zip_longest(*queues) for each in row if each is not None)


def _tunes(folder: Path, name: str) -> list[str]:
    text = (folder / name).read_text(encoding="utf-8", errors="replace")
    return [f"{name}#{number}" for number in dict.fromkeys(re.findall(r"^X:\s*(\d+)", text, re.MULTILINE))]


def _work(folder: str, name: str) -> str:
    """What takes and versions of one composition have in common."""
    if folder.endswith("asap"):
        return name.rpartition("/")[0]
    stem = re.sub(r"^v\d+(\.\d+)*_|^[a-z]_|_p\d\d$", "", Path(name).stem) if "#" not in name else name
    return f"{folder}/{stem}"


def _opening(case: Case) -> str:
    """The beginning of a piece, in whatever key: two files that begin alike are one piece."""
    pitch = case.before.notes["pitch"][:48].astype(int)
    return np.diff(pitch).tobytes().hex()


def _case(folder: Path, name: str, label: str, kind: str, work: Path, say: Say) -> Case | None:
    """The piece, cut; None where it isn't of its kind, or has no eight bars to hear after its middle."""
    piece = _as_midi(folder, name, label, work, say)
    if piece is None or not KINDS[kind].fits(piece):
        return None
    lines = bar_lines(piece)
    bar = cut_bar(piece, lines)
    if bar is None:
        return None
    cut = int(np.rint(lines[bar] * piece.ticks_per_quarter))
    if kind == "band with drums" and not any(t.is_drum and _plays(t.notes, cut, piece) for t in piece.tracks):
        return None
    digest = hashlib.sha256(f"{label} {bar}".encode()).hexdigest()[:16]
    prompt = work / "prompts" / f"{digest}.mid"
    prompt.parent.mkdir(parents=True, exist_ok=True)
    if not prompt.is_file():
        write(until(piece, cut), prompt)
    parts = tuple((t.name, t.program, t.is_drum) for t in piece.tracks)
    before, truth = (passage_of(piece, *span, lines=lines) for span in ((0, bar), (bar, bar + BARS)))
    return Case(label, kind, piece, prompt, bar, cut, parts, before, truth)


def _plays(notes: np.ndarray, cut: int, piece: Piece) -> bool:
    recent = (notes["start"] < cut) & (notes["start"] >= cut - 4 * BARS * piece.ticks_per_quarter)
    return bool(recent.sum() >= FEWEST_NOTES)


def _as_midi(folder: Path, name: str, label: str, work: Path, say: Say) -> Piece | None:
    """The piece as a MIDI file has it, whatever it was; read once, as scores take their time."""
    kept = work / "pieces" / f"{hashlib.sha256(label.encode()).hexdigest()[:16]}.mid"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not kept.is_file():
        file, _, tune = name.partition("#")
        path = folder / file
        if tune:
            text = path.read_text(encoding="utf-8", errors="replace")
            (match,) = re.findall(rf"^X:\s*{tune}\b.*?(?=^X:|\Z)", text, re.MULTILINE | re.DOTALL)[:1]
            path = kept.with_suffix(".abc")
            path.write_text(match, encoding="utf-8")
        say(f"reading {label}")
        write(_general(read(path)), kept)
    piece = read(kept)
    return piece if piece.n_notes else None


def _general(piece: Piece) -> Piece:
    """The piece with General MIDI drums."""
    tracks = []
    for track in piece.tracks:
        notes = track.notes.copy()
        if track.is_drum:
            for roland, general in ROLAND.items():
                notes["pitch"][notes["pitch"] == roland] = general
            notes = notes[np.lexsort((notes["pitch"], notes["start"]))]
        tracks.append(replace(track, notes=notes))
    return replace(piece, tracks=tuple(tracks))


def cut_bar(piece: Piece, lines: np.ndarray) -> int | None:
    """The bar nearest to the middle at which a piece can be cut, None where there is none.

    Eight bars before and eight after it are of one meter and have notes in all but one of them, those on either side
    of the cut included; sixteen bars before it where the piece has 32.
    """
    n_bars = len(lines) - 1
    onsets = np.concatenate([t.notes["start"] for t in piece.tracks]) / piece.ticks_per_quarter
    count = np.histogram(onsets, lines - 1e-3)[0]
    lengths = np.diff(lines)
    earliest = 2 * BARS if n_bars >= 4 * BARS else BARS
    for bar in sorted(range(earliest, n_bars - BARS + 1), key=lambda bar: (abs(2 * bar - n_bars), bar)):
        around = slice(bar - BARS, bar + BARS)
        before, after = count[bar - BARS : bar], count[bar : bar + BARS]
        if (
            np.ptp(lengths[around]) < 1e-6
            and len({piece.meter_at(int(at * piece.ticks_per_quarter) + 1) for at in lines[around]}) == 1
            and min((before > 0).sum(), (after > 0).sum()) >= BARS - 1
            and before[-1]
            and after[0]
            and min(before.sum(), after.sum()) >= FEWEST_NOTES
        ):
            return bar
    return None

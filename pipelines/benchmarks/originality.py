"""Whether planted copies are found, and how often human music that no training saw gives an alarm.

    python pipelines/benchmarks/originality.py --pieces CACHE --index musicgen/pretrained/default/originality \
        [--human NAME=FOLDER ..]

CACHE is the folder that `default_corpus.py` writes. Excerpts of 4 and 8 bars of training pieces are planted into pieces
of the split `test`: as they are; transposed; at other note values (half, double, or 0.8 of them, off the grid); and
re-voiced: every note in an octave of its own by chance, all parts on one instrument, transposed. One is found if a
telling match overlaps it. Human music is one stretch of 8 bars of each piece: an alarm is a telling match of so many
bars. Beforehand it can't be said which of the alarms are right: folk songs and chorale melodies are in many sources.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import header, table

from musicgen.errors import MusicgenError
from musicgen.io.midi import UNLIMITED, read_midi
from musicgen.originality import Originality, Return, open_index
from musicgen.piece import Piece, Track, notes_array

LENGTHS = (4, 8)  # bars of the excerpts
ALARMS = (0.0, 2.0, 4.0)  # bars
Change = Callable[[np.ndarray, random.Random], tuple[np.ndarray, float]]


def transposed(notes: np.ndarray, rng: random.Random) -> tuple[np.ndarray, float]:
    notes = notes.copy()
    shift = rng.choice([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6])
    notes["pitch"] = np.clip(notes["pitch"].astype(int) + shift, 0, 127)
    return notes, 1.0


def retimed(notes: np.ndarray, rng: random.Random) -> tuple[np.ndarray, float]:
    return notes, rng.choice([0.5, 2.0, 0.8])


def revoiced(notes: np.ndarray, rng: random.Random) -> tuple[np.ndarray, float]:
    notes, _ = transposed(notes, rng)
    octaves = np.array([rng.choice([-12, 0, 12]) for _ in range(len(notes))], np.int64)
    moved = notes["pitch"].astype(np.int64) + octaves
    notes["pitch"] = np.where((moved < 24) | (moved > 103), notes["pitch"], moved)
    return notes, 1.0


CHANGES: dict[str, Change] = {
    "verbatim": lambda notes, rng: (notes, 1.0),
    "transposed": transposed,
    "re-tempoed": retimed,
    "re-voiced": revoiced,
}


def stretch(piece: Piece, bars: int, rng: random.Random) -> tuple[int, int] | None:
    """(first, end) tick of so many bars, chosen by chance, that have eight onsets or more."""
    starts, _ = piece.bar_starts()
    for _ in range(8):
        if len(starts) <= bars + 1:
            return None
        first = rng.randrange(len(starts) - bars)
        begin, end = round(starts[first]), round(starts[first + bars])
        onsets = [t.notes["start"] for t in piece.tracks if not t.is_drum]
        inside = [np.unique(o[(o >= begin) & (o < end)]) for o in onsets]
        if max((len(o) for o in inside), default=0) >= 8:
            return begin, end
    return None


def planted(
    host: Piece, at: int, source: Piece, span: tuple[int, int], name: str, rng: random.Random
) -> tuple[Piece, int]:
    """(the host with an excerpt of a source in place of its own notes, where that ends)."""
    begin, end = span
    tracks, state, factor = [], rng.getstate(), 1.0
    for track in source.tracks:
        inside = track.notes[(track.notes["start"] >= begin) & (track.notes["start"] < end)].copy()
        if track.is_drum or not len(inside):
            continue
        rng.setstate(state)  # the same change for all parts
        inside, factor = CHANGES[name](inside, rng)
        scale = factor * host.ticks_per_quarter / source.ticks_per_quarter
        inside["start"] = at + np.rint((inside["start"] - begin) * scale)
        inside["duration"] = np.maximum(1, np.rint(inside["duration"] * scale))
        tracks.append(Track("planted", 0, notes=notes_array(inside)))
    if name == "re-voiced" and tracks:
        tracks = [Track("planted", 19, notes=notes_array(np.concatenate([t.notes for t in tracks])))]
    until = at + round((end - begin) * factor * host.ticks_per_quarter / source.ticks_per_quarter)
    own = []
    for track in host.tracks:
        start = track.notes["start"]
        later = track.notes[start >= at].copy()
        later["start"] += until - at
        own.append(replace(track, notes=np.concatenate([track.notes[start < at], later])))
    return replace(host, tracks=(*own, *tracks)), until


def excerpts(records: list[dict[str, Any]], cache: Path, compare: Originality, count: int) -> list[list[str]]:
    """Rows of a table: how many planted excerpts of each length were found, by what was changed in them."""
    rng = random.Random(1)
    sources = [r for r in records if r["split"] == "train" and r["kind"] != "drums"]
    hosts = [r for r in records if r["split"] == "test" and r["kind"] not in ("drums", "chorale")]
    rows = []
    for bars in LENGTHS:
        found, named, total = dict.fromkeys(CHANGES, 0), dict.fromkeys(CHANGES, 0), 0
        while total < count:
            record, other = rng.choice(sources), rng.choice(hosts)
            source, host = (read_midi(cache / r["file"], limits=UNLIMITED) for r in (record, other))
            span, place = stretch(source, bars, rng), stretch(host, 8, rng)
            if span is None or place is None:
                continue
            total += 1
            for name in CHANGES:
                music, until = planted(host, place[0], source, span, name, rng)
                match = told(compare, music, place[0] - 1, until)
                found[name] += match is not None
                named[name] += match is not None and match.source == record["source"]
        rows.append([f"{bars} bars", *(f"{found[n] / total:.1%} ({named[n] / total:.1%})" for n in CHANGES)])
    return rows


def told(compare: Originality, music: Piece, begin: int, end: int) -> Return | None:
    return compare.copied(music, begin=max(0, begin), end=end)


def stretches(paths: list[Path], rng: random.Random) -> Iterator[tuple[Path, Piece, tuple[int, int]]]:
    for path in paths:
        try:
            piece = read_midi(path, limits=UNLIMITED)
        except MusicgenError:
            continue
        if (span := stretch(piece, 8, rng)) is not None:
            yield path, piece, span


def alarms(name: str, paths: list[Path], compare: Originality, names: dict[Path, str]) -> tuple[list[str], list[str]]:
    """(a row of a table, the longest matches in words)."""
    matches: list[Return | None] = []
    said = []
    for path, piece, (begin, end) in stretches(paths, random.Random(2)):
        match = compare.copied(piece, begin=begin, end=end)
        matches.append(match)
        if match is not None:
            said.append(
                (match.bars, f"{names.get(path, path.stem)}: {match.notes} notes, {match.bars} bars of {match.source}")
            )
    rates = [sum(m is not None and m.bars >= bars for m in matches) / max(1, len(matches)) for bars in ALARMS]
    return [name, f"{len(matches)}", *(f"{rate:.1%}" for rate in rates)], [text for _, text in sorted(said)[::-1][:5]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", required=True, type=Path, metavar="CACHE")
    parser.add_argument("--index", required=True, type=Path)
    parser.add_argument("--human", action="append", default=[], metavar="NAME=FOLDER", help="further human music, MIDI")
    parser.add_argument("--count", type=int, default=200, help="planted excerpts of each length; at most human pieces")
    options = parser.parse_args()
    cache = options.pieces
    records = [json.loads(line) for line in (cache / "pieces.jsonl").read_text(encoding="utf-8").splitlines()]
    header("Originality")
    began = time.process_time()
    compare = Originality(open_index(options.index))
    rows = excerpts(records, cache, compare, options.count)
    table(["planted", *CHANGES], rows)
    print()
    sets = {
        f"{s} split": [cache / r["file"] for r in records if r["split"] == s and r["kind"] != "drums"]
        for s in ("valid", "test")
    }
    for text in options.human:
        name, _, folder = text.partition("=")
        sets[name] = sorted(p for p in Path(folder).rglob("*.mid"))
    names = {cache / r["file"]: str(r["source"]) for r in records}
    rows, said = [], []
    for name, paths in sets.items():
        random.Random(3).shuffle(paths)
        row, longest = alarms(name, paths[: options.count], compare, names)
        rows.append(row)
        said += longest
    table(["human music", "stretches", "any telling match", "2 bars or more", "4 bars or more"], rows)
    print("\nThe longest:", *said, sep="\n- ")
    print(f"\n{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()

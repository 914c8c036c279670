"""Score files as text that is safe and cheap to parse: unzipped, checked, split into tunes, stripped.

MusicXML spends most of its elements on looks. Whatever doesn't sound (beams, stems, slurs, lyrics, layout,
staves) is taken out before music21 sees it, which makes reading three times as fast and merges the staves of
one part. Nothing here opens a second file: entities, external DTDs and archive bombs are refused.

Sources: MusicXML 4.0 (W3C), sections on `<note>` and the .mxl container.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits, read_bytes
from musicgen.io.scores.abc_text import split_tunes
from musicgen.io.scores.kern_spines import pieces_in

__all__ = ["SCORE_SUFFIXES", "ScoreText", "abc_tunes", "read_texts"]

FORMATS = {".mxl": "musicxml", ".musicxml": "musicxml", ".xml": "musicxml", ".krn": "humdrum", ".abc": "abc"}
SCORE_SUFFIXES = tuple(FORMATS)
MAX_UNPACKED = 100_000_000  # bytes in a .mxl, all members together

# What is left of each element. Cue and grace notes go in `_strip_notes`.
NOTE_KEEP = {"chord", "pitch", "rest", "unpitched", "duration", "tie", "voice", "type", "dot", "time-modification"}
ATTRIBUTES_KEEP = {"divisions", "key", "time", "transpose"}
MEASURE_KEEP = {"attributes", "note", "backup", "forward", "direction", "barline", "sound"}
DIRECTION_KEEP = {"dynamics", "metronome", "segno", "coda"}
JUMP_WORDS = re.compile(r"\b(d\.?\s*[cs]\b|da\s*capo|dal\s*segno|al\s*segno|fine\b|coda\b)", re.IGNORECASE)
STEPS = (("C", 0), ("C", 1), ("D", 0), ("D", 1), ("E", 0), ("F", 0), ("F", 1), ("G", 0), ("G", 1), ("A", 0), ("A", 1))
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, RuntimeError)


@dataclass(frozen=True)
class ScoreText:
    """One piece as text for music21. `drum_parts` are the MusicXML part ids whose pitches are drum numbers."""

    name: str
    text: str
    format: str  # music21's word for it: musicxml, humdrum, abc
    drum_parts: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = field(default=())
    before: int = 0  # lines of the file before it


def read_texts(path: str | Path, *, limits: Limits) -> list[ScoreText]:
    """The pieces in a score file as text: one, or as many as an ABC file has tunes. Raises UnreadableError."""
    path = Path(path)
    data = read_bytes(path, max_megabytes=limits.megabytes)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        hint = f"scores end in {', '.join(SCORE_SUFFIXES)}"
        raise UnreadableError("is not a score that can be read", where=path, hint=hint)
    if kind == "musicxml":
        return [_musicxml(_unzipped(data, path) if data[:2] == b"PK" else data, path, limits)]
    text = _decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise UnreadableError("is not text", where=path, hint=f"a {path.suffix} file is plain text")
    if kind == "abc":
        return abc_tunes(text, path)
    if "**kern" not in text:
        raise UnreadableError("has no **kern spine", where=path, hint="only Humdrum kern scores can be read")
    pieces = pieces_in(text, path.stem, path)
    return [ScoreText(name, piece, "humdrum", before=before) for name, piece, before in pieces]


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")  # old ABC collections


# ---- ABC -----------------------------------------------------------------------------------------------


def abc_tunes(text: str, path: Path) -> list[ScoreText]:
    """The tunes of an ABC file as texts of their own. Raises UnreadableError where there is none."""
    return [ScoreText(name, tune, "abc") for name, tune in split_tunes(text, path)]


# ---- MusicXML ------------------------------------------------------------------------------------------


def _unzipped(data: bytes, path: Path) -> bytes:
    """The score in a .mxl archive: what META-INF/container.xml names, else the first XML file."""
    hint = "export it again, or unpack it to .musicxml"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if len(archive.infolist()) > 1000 or sum(i.file_size for i in archive.infolist()) > MAX_UNPACKED:
                limit = f"{MAX_UNPACKED // 10**6} MB"
                raise UnreadableError(f"unpacks to more than {limit} or 1,000 files", where=path, hint=hint)

            def member(name: str) -> bytes:
                # The sizes in the directory may lie: never inflate more than the limit.
                with archive.open(name) as file:
                    return file.read(MAX_UNPACKED)

            names = archive.namelist()
            score = None
            if "META-INF/container.xml" in names:
                container = _parsed(member("META-INF/container.xml"), path)
                for root in container.iter("rootfile"):
                    score = score or root.get("full-path")
            others = [n for n in names if n.endswith((".xml", ".musicxml")) and not n.startswith("META-INF")]
            if score not in names:
                score = others[0] if others else None
            if score is None:
                raise UnreadableError("has no score in its archive", where=path, hint=hint)
            return member(score)
    except _BROKEN_ZIP as error:
        raise UnreadableError(f"is a damaged archive ({error})", where=path, hint=hint) from None


def _parsed(data: bytes, path: Path) -> ElementTree.Element:
    """The XML tree of `data`; UnreadableError for broken XML and for any entity of its own."""

    def refuse(*_: object) -> NoReturn:
        hint = "remove the <!ENTITY declarations"
        raise UnreadableError("declares XML entities, which no score needs", where=path, hint=hint)

    try:
        # Before a tree is built: one declared entity can stand for gigabytes.
        guard = expat.ParserCreate()
        guard.EntityDeclHandler = refuse
        guard.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise UnreadableError(f"is not well-formed XML ({error})", where=path, hint="export it again") from None


def _musicxml(data: bytes, path: Path, limits: Limits) -> ScoreText:
    root = _parsed(data, path)
    if root.tag != "score-partwise":
        what = f"is <{root.tag[:40]}>, not MusicXML's <score-partwise>"
        raise UnreadableError(what, where=path, hint="export it as partwise MusicXML")
    # Pitched notes only: rests and the like cost time too, so they count in the second sum.
    n_notes = sum(1 for _ in root.iter("pitch"))
    if n_notes > limits.notes or sum(1 for _ in root.iter("note")) + sum(1 for _ in root.iter("measure")) > (
        4 * limits.notes
    ):
        what = f"has {n_notes:,} notes, the limit is {limits.notes:,}"
        raise UnreadableError(what, where=path, hint="raise the limit with --max-notes")
    root[:] = [child for child in root if child.tag in ("part-list", "part")]
    drums = {
        instrument.get("id"): int(number)
        for instrument in root.iter("midi-instrument")
        if (number := (instrument.findtext("midi-unpitched") or "").strip()).isdecimal()
    }
    only = {part.get("id"): _only_instrument(part) for part in root.iter("score-part")}
    counts = {"graces": 0, "cues": 0, "unpitched": 0}
    drum_parts = set()
    for part in root.iter("part"):
        if _strip_part(part, drums, only.get(part.get("id")), counts):
            drum_parts.add(part.get("id") or "")
    said = {
        "graces": "grace notes were left out",
        "cues": "cue notes were left out",
        "unpitched": "notes without a General MIDI drum were left out",
    }
    warnings = tuple(f"{name}: {count} {said[name]}" for name, count in counts.items() if count)
    text = ElementTree.tostring(root, encoding="unicode")
    return ScoreText(path.stem, text, "musicxml", frozenset(drum_parts), warnings)


def _only_instrument(score_part: ElementTree.Element) -> str | None:
    found = score_part.find("midi-instrument")
    return found.get("id") if found is not None else None


def _strip_part(part: ElementTree.Element, drums: dict, instrument: str | None, counts: dict[str, int]) -> bool:
    """Leave in `part` what sounds; True when it has drums."""
    has_drums = False
    for measure in part:
        kept: list[ElementTree.Element] = []
        for element in measure:
            child: ElementTree.Element | None = element
            tag = element.tag
            if tag == "note":
                if element.find("grace") is not None:
                    counts["graces"] += element.find("cue") is None
                    continue
                if element.find("cue") is not None:
                    counts["cues"] += element.find("rest") is None
                    child = _silence(element)
                elif (unpitched := element.find("unpitched")) is not None:
                    given = element.find("instrument")
                    number = drums.get(given.get("id") if given is not None else instrument)
                    if number is None or not 1 <= number <= 128:
                        counts["unpitched"] += 1
                        child = _silence(element)
                    else:
                        has_drums = True
                        element[list(element).index(unpitched)] = _pitch(number - 1)
                if child is element:
                    element[:] = [c for c in element if c.tag in NOTE_KEEP]
            elif tag == "direction":
                if not _strip_direction(element):
                    continue
            elif tag == "attributes":
                # Keys and meters of the second staff stand on the same spot as the first one's.
                element[:] = [c for c in element if c.tag in ATTRIBUTES_KEEP and c.get("number", "1") == "1"]
            elif tag not in MEASURE_KEEP:
                continue
            if child is not None:
                kept.append(child)
        measure[:] = kept
    return has_drums


def _silence(note: ElementTree.Element) -> ElementTree.Element | None:
    """A rest as long as `note`, or None for a note that shares its time with the one before."""
    if note.find("duration") is None or note.find("chord") is not None:
        return None
    # Not a <forward>: music21 forgets one that ends a bar.
    rest = ElementTree.Element("note")
    rest.append(ElementTree.Element("rest"))
    rest.extend(c for c in note if c.tag in ("duration", "voice", "type", "dot", "time-modification"))
    return rest


def _pitch(number: int) -> ElementTree.Element:
    step, alter = (*STEPS, ("B", 0))[number % 12]
    pitch = ElementTree.Element("pitch")
    for tag, value in (("step", step), ("alter", alter), ("octave", number // 12 - 1)):
        ElementTree.SubElement(pitch, tag).text = str(value)
    return pitch


def _strip_direction(direction: ElementTree.Element) -> bool:
    """Leave dynamics, tempi and jumps; False when none is left."""
    kept = []
    for child in direction:
        if child.tag == "direction-type":
            child[:] = [
                c for c in child if c.tag in DIRECTION_KEEP or (c.tag == "words" and JUMP_WORDS.search(c.text or ""))
            ]
            if len(child):
                kept.append(child)
        elif child.tag == "offset" or (child.tag == "sound" and child.get("tempo")):
            kept.append(child)
    direction[:] = kept
    return any(child.tag != "offset" for child in kept)

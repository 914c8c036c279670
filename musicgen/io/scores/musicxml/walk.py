"""Read MusicXML, partwise or timewise, as rows: one pass over the elements as expat reports them, without a tree.

Of notes, which are most of a file, only children that affect the sound are read; small elements between notes are
collected as trees and parsed whole. Conventions: all staves and voices of a part form one part; cue and grace notes are
left out and counted, but a cue note takes its time; pitches and keys are sounding ones; a tie that is only notated
(`<tied>`) counts as a tie. Source: MusicXML 4.0
(W3C).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.layout import Score
from musicgen.io.scores.musicxml.archive import score_chunks
from musicgen.io.scores.musicxml.cursor import HINT
from musicgen.io.scores.musicxml.fold import FOLDED, folded, unfolded
from musicgen.io.scores.musicxml.marks import MARKS, number_of, text_of
from musicgen.io.scores.musicxml.part import Instrument, Part, PartInfo
from musicgen.io.scores.musicxml.score import finished
from musicgen.io.scores.musicxml.stream import parse
from musicgen.io.scores.names import drum_for

__all__ = ["score_of"]

MAX_MEASURES = 10_000
MAX_MEASURES_OF_PARTS = 200_000  # in all parts together
MAX_CHILDREN = 10_000  # elements in a note or in a collected element
MAX_DEPTH = 200
LONGEST_TEXT = 10_000  # letters
MAX_BYTES = 1_000_000  # of a note, or between two notes
# Children of a note that are read: texts, flags (of which the attributes are kept), ties.
TEXT, FLAG, TIE = -1, -2, -3
CHILDREN = {
    **dict.fromkeys(("duration", "step", "alter", "octave", "voice", "notehead"), TEXT),
    **dict.fromkeys(("chord", "rest", "grace", "cue", "unpitched", "instrument"), FLAG),
    **dict.fromkeys(("tie", "tied"), TIE),
    **MARKS,
}
TIES = {"start": 1, "stop": 2, "continue": 4}
TIMED = frozenset(("note", "backup", "forward"))
ENDS = TIMED | {name for name, kind in CHILDREN.items() if kind == TEXT}
GATHERED = {name: getattr(Part, name) for name in ("attributes", "direction", "harmony", "barline", "sound")}
# Elements skipped within collected ones, and elements whose children are collected without them.
UNSEEN = frozenset(("direction-type", "wedge", "pedal", "dashes", "bracket", "octave-shift", "voice", "staff", "clef"))
Handlers = tuple[Callable[[str, dict[str, str]], Any], Callable[[str], Any]]


def score_of(data: bytes, where: str | Path, limits: Limits) -> Score:
    """The score in the bytes of a .musicxml, .xml or .mxl file. Raises UnreadableError, which names `where`."""
    chunks, warnings = score_chunks(data, where)
    walkers: list[_Walker] = []

    def connect(parser: Any) -> Callable[[int], None]:
        walkers[:] = [_Walker(parser, where, limits)]
        return walkers[0].chunk_ends

    warnings += parse(chunks, where, connect, folded)
    walker = walkers.pop()
    parts, counts, warnings = walker.parts, walker.counts, [*warnings, *walker.warnings]
    vars(walker).clear()  # break reference cycles among the handlers, so that memory is freed at once
    return finished(parts, counts, warnings=warnings, where=where, limits=limits)


class _Walker:
    """The handlers of one parser; they are exchanged as it enters the score, a measure or a note."""

    def __init__(self, parser: Any, where: str | Path, limits: Limits) -> None:
        self.parser, self.where, self.limits = parser, where, limits
        self.infos: dict[str, PartInfo] = {}
        self.parts: list[Part] = []
        self.by_id: dict[str, Part] = {}
        self.counts: Counter[str] = Counter()
        self.warnings: list[str] = []
        self.part: Part | None = None
        self.is_timewise = False
        self.measures = 0  # so far: of the score if it is timewise, else of the part
        self.measure: dict[str, str] | None = None
        self.depth = 0
        self.since = 0  # bytes read since the last note or the begin of the measure
        self.begun = 0  # measures in all parts together
        self.gathered: list[Element] = []
        self.size = 0
        self.children, self.ends = dict(CHILDREN), set(ENDS)  # what in_note reacts to
        self.back: Handlers = (self.root, self.leave)
        self.measure_handlers = self._handlers()
        self.set(self.back)

    def set(self, handlers: Handlers) -> None:
        self.parser.StartElementHandler, self.parser.EndElementHandler = handlers

    # ---- the score ---------------------------------------------------------------------------------------

    def root(self, name: str, attributes: dict[str, str]) -> None:
        if name not in ("score-partwise", "score-timewise"):
            what = f"is <{name[:40]}>, not MusicXML's <score-partwise> or <score-timewise>"
            raise UnreadableError(what, where=self.where, hint="export it as MusicXML from a notation program")
        self.is_timewise = name == "score-timewise"
        self.set((self.enter, self.leave))

    def enter(self, name: str, attributes: dict[str, str]) -> None:
        """The start of an element outside measures."""
        if name == "score-part":
            self.gather(name, attributes)
        elif name == "part" and self.part is None and self.is_timewise == (self.measure is not None):
            self.part = self._part(attributes.get("id", ""))
            if not self.is_timewise:
                self.measures = 0
            self._measure_begins()
        elif name == "measure" and self.measure is None and self.is_timewise == (self.part is None):
            self.measure = attributes
            self.measures += 1
            if self.measures > MAX_MEASURES:
                what = f"has more than {MAX_MEASURES:,} measures"
                raise UnreadableError(what, where=self.where, hint="export a movement of it")
            self._measure_begins()
        elif name != "part-list":
            self.skip()

    def leave(self, name: str) -> None:
        if name == "part":
            self.part = None
        elif name == "measure":
            self.measure = None

    def _part(self, name: str) -> Part:
        if name in self.by_id and self.is_timewise:
            return self.by_id[name]
        if len(self.parts) >= self.limits.tracks:
            what = f"has more than {self.limits.tracks} parts"
            raise UnreadableError(what, where=self.where, hint="raise the limit with `Limits.tracks`")
        if name not in self.infos:
            self.warnings.append(f"parts: the part list doesn't name part {name[:20]!r}")
        elif name in self.by_id:
            self.warnings.append(f"parts: {name[:20]!r} stands there twice; both were read")
        most = self.limits.notes - sum(len(p.rows.notes) + len(p.drums.notes) for p in self.parts)
        part = Part(self.infos.get(name, PartInfo()), self.where, self.counts, most=most, limit=self.limits.notes)
        self.parts.append(part)
        self.by_id[name] = part
        return part

    def _measure_begins(self) -> None:
        if self.part is not None and self.measure is not None:
            self.begun += 1
            if self.begun > MAX_MEASURES_OF_PARTS:
                what = f"has more than {MAX_MEASURES_OF_PARTS:,} measures, all parts together"
                raise UnreadableError(what, where=self.where, hint="export a movement of it")
            self.part.begin(self.measures - 1, self.measure)
            self.since = 0
            self.set(self.measure_handlers)

    # ---- measures ----------------------------------------------------------------------------------------

    def measure_ends(self, name: str) -> None:
        if self.part is not None:
            self.part.end()
        self.leave(name)
        self.set((self.enter, self.leave))

    def _handlers(self) -> Handlers:
        """The handlers for a measure, with those for a note, backup or forward in it.

        Closures rather than methods for speed: most of the time is spent here.
        """
        parser, measure_ends = self.parser, self.measure_ends
        children, ends = self.children, self.ends
        fields: dict[str, Any] = {}
        note_attributes: dict[str, str] = {}  # the attributes of the note
        wanted = ""

        def in_measure(name: str, attributes: dict[str, str]) -> None:
            nonlocal note_attributes
            if name in TIMED:
                note_attributes = attributes
                self.since = 0
                if FOLDED in attributes:
                    fields.update(unfolded(attributes[FOLDED]))
                parser.StartElementHandler, parser.EndElementHandler = in_note, leave
            elif name in GATHERED:
                self.gather(name, attributes)
            else:
                self.skip()

        def in_note(name: str, attributes: dict[str, str]) -> None:
            nonlocal wanted
            kind = children.get(name)
            if kind is None:
                return
            if kind == TEXT:
                wanted = name
                fields[name] = ""
                parser.CharacterDataHandler = take
            elif kind == FLAG:
                fields[name] = attributes
            elif kind == TIE:
                fields["tie"] = fields.get("tie", 0) | TIES.get(attributes.get("type", ""), 0)
            else:
                fields["dynamics"] = kind

        def take(text: str) -> None:
            fields[wanted] += text  # a text comes in pieces if a chunk ends in it

        def leave(name: str) -> None:
            if name not in ends:
                return
            if name not in TIMED:
                parser.CharacterDataHandler = None
            else:
                part = self.part
                if part is not None:
                    if name == "note":
                        part.note(fields, note_attributes)
                    else:
                        part.move(fields.get("duration"), 1 if name == "forward" else -1)
                fields.clear()
                parser.StartElementHandler, parser.EndElementHandler = in_measure, measure_ends

        return in_measure, measure_ends

    def chunk_ends(self, size: int) -> None:
        """Called after each chunk of the file. Raises UnreadableError if a single note or gap takes megabytes."""
        self.since += size
        if self.since > MAX_BYTES and self.measure is not None:
            raise self.too_much()

    # ---- collected and skipped elements -------------------------------------------------------------------

    def gather(self, name: str, attributes: dict[str, str]) -> None:
        """Start collecting this element as a tree; at its end, the part parses it."""
        self.gathered, self.size = [Element(name, attributes)], 1
        self.back = self.parser.StartElementHandler, self.parser.EndElementHandler
        self.set((self.grow, self.grown))
        self.parser.CharacterDataHandler = self.write

    def grow(self, name: str, attributes: dict[str, str]) -> None:
        self.size += 1
        if self.size > MAX_CHILDREN or len(self.gathered) > MAX_DEPTH:
            raise self.too_much()
        if name in UNSEEN:
            return
        element = Element(name, attributes)
        self.gathered[-1].append(element)
        self.gathered.append(element)

    def write(self, text: str) -> None:
        element = self.gathered[-1]
        if not len(element) and len(element.text or "") < LONGEST_TEXT:
            element.text = (element.text or "") + text

    def grown(self, name: str) -> None:
        if name in UNSEEN:
            return
        element = self.gathered.pop()
        if self.gathered:
            return
        self.parser.CharacterDataHandler = None
        self.set(self.back)
        if name == "score-part":
            self.infos.setdefault(element.get("id", ""), _info(element))
        elif self.part is not None:
            GATHERED[name](self.part, element)
            if self.part.transpositions:  # then pitches depend on the staff, so that it must be read
                self.children["staff"] = TEXT
                self.ends.add("staff")

    def skip(self) -> None:
        """Skip this element and everything in it."""
        self.depth = 1
        self.back = self.parser.StartElementHandler, self.parser.EndElementHandler
        self.set((self.deeper, self.higher))

    def deeper(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.too_much()

    def higher(self, name: str) -> None:
        self.depth -= 1
        if not self.depth:
            self.set(self.back)

    def too_much(self) -> UnreadableError:
        line = self.parser.CurrentLineNumber
        return UnreadableError(f"is nested too deeply or too full (line {line})", where=self.where, hint=HINT)


def _info(element: Element) -> PartInfo:
    """Parse `<score-part>`."""
    info = PartInfo(
        " ".join(text_of(element, "part-name").split()), text_of(element, "score-instrument/instrument-name")
    )
    players = element.findall("score-instrument")
    drums: dict[str, int | None] = {}  # instrument id -> drum by name, for those without `<midi-unpitched>`
    for child in players:
        sound = text_of(child, "instrument-sound").replace(".", " ")
        names = [text_of(child, "instrument-name"), sound, sound.replace("-", " ")]
        drums[child.get("id", "")] = drum_for([*names, info.name] if len(players) == 1 else names)
        info.instruments.setdefault(child.get("id", ""), Instrument(drum=drums[child.get("id", "")]))
    for child in element.findall("midi-instrument"):
        numbers = []
        for name, most in (("midi-channel", 16), ("midi-program", 128), ("midi-unpitched", 128)):
            value = number_of(child.findtext(name))
            is_good = value is not None and value.denominator == 1 and 1 <= value <= most
            numbers.append(int(value) if is_good and value is not None else None)
        channel, program, drum = numbers
        ident = child.get("id", "")
        info.instruments[ident] = Instrument(
            channel, None if program is None else program - 1, drums.get(ident) if drum is None else drum - 1
        )
    if not info.instruments:
        info.instruments[""] = Instrument(drum=drum_for([info.name]))
    return info

"""MusicXML files as musicgen reads them beside two other readers: every note, every tie, the order of measures.

    python pipelines/checks/musicxml_oracles.py FILES_OR_FOLDERS...

partitura (https://github.com/CPJKU/partitura, `pip install partitura`) is asked for notes as written, for the length of
tied ones, and for the order of measures; verovio (https://www.verovio.org, `pip install verovio`) for notes as they
sound, transposed, counted from the first of their measure: measures it often makes as long as the meter wants. Neither
is part of the project; one that isn't installed is passed over. Where a reader differs, both are given the file once
more without what that reader is known to take otherwise (EDITS, with reasons from MusicXML 4.0); what differs then is
printed, and the exit code is 1. verovio times notes by how they are drawn (`<type>`, tuplets), not by their duration;
where that differs, and partitura has our notes, it is counted apart. The other readers run in processes of their own:
some files end them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from musicxml_edits import ALWAYS, EDITS, edited

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.layout import FINE, Layout, joined
from musicgen.io.scores.musicxml import walk as musicxml
from musicgen.io.scores.musicxml.archive import score_chunks
from musicgen.workers import Pool, Processes

READER = {"notes": "partitura", "ties": "partitura", "order": "partitura", "sounding": "verovio"}
Note = tuple[int, int, int]  # onset in GRID parts of a quarter, pitch, length
MEI, ID = "http://www.music-encoding.org/ns/mei", "{http://www.w3.org/XML/1998/namespace}id"
LIMITS = Limits(megabytes=100, notes=2_000_000, tracks=1000, hours=100)
GRID = 120  # parts of a quarter: finer than any note here is short, coarser than rounding to verovio's ticks
SECONDS = 600


# ---- ours ------------------------------------------------------------------------------------------------


def ours(data: bytes, what: str) -> Any:
    """What is to be compared, as musicgen reads it."""
    score = musicxml.score_of(data, "score", LIMITS)
    if what == "order":
        pieces = [index for index, bar in enumerate(score.parts[0].bars) if not bar.within]
        measure = {piece: number for number, piece in enumerate(pieces)}
        return [measure.get(bar, bar) for bar in Layout(score.parts, []).order.tolist() if bar in measure or not pieces]
    layout = Layout(score.parts, [], repeats=False)
    notes: Counter[Any] = Counter()
    for part in score.parts:
        rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
        if part.is_drum or not len(rows):
            continue
        if what == "sounding":
            notes.update(
                (bar, _grid(begin / FINE), pitch, _grid(n / FINE)) for bar, begin, n, pitch, _ in rows.tolist()
            )
            continue
        place, index = layout.expand(rows[:, 0])
        start, duration, pitch = layout.start[place] + rows[index, 1], rows[index, 2], rows[index, 3]
        if what == "ties":
            start, duration, pitch, _, _ = joined(start, duration, pitch, rows[index, 4])
        found = zip(start.tolist(), pitch.tolist(), duration.tolist(), strict=True)
        notes.update((_grid(begin / FINE), height, _grid(length / FINE)) for begin, height, length in found)
    return notes


# ---- theirs, in other processes --------------------------------------------------------------------------


def by_partitura(data: bytes, wanted: list[str]) -> dict[str, Any]:
    import tempfile

    import partitura
    from partitura.score import GraceNote, UnpitchedNote, unfold_part_maximal

    warnings.simplefilter("ignore")
    sys.setrecursionlimit(20_000)
    with tempfile.NamedTemporaryFile(suffix=".musicxml") as file:
        file.write(data)
        file.flush()
        score = partitura.load_musicxml(file.name)
    read: dict[str, Any] = {}
    for what in set(wanted) - {"order"}:
        read[what] = notes = []
        for part in score.parts:
            first = float(part.quarter_map(min((m.start.t for m in part.measures), default=0)))
            for note in part.notes_tied if what == "ties" else part.notes:
                if isinstance(note, (GraceNote, UnpitchedNote)):
                    continue
                length = note.duration_tied if what == "ties" else note.duration
                begin, end = (float(part.quarter_map(t)) - first for t in (note.start.t, note.start.t + length))
                notes.append((_grid(begin), note.midi_pitch, _grid(end - begin)))
    if "order" in wanted:
        numbers = [m.number for m in score.parts[0].measures]
        try:
            unfolded = unfold_part_maximal(score.parts[0], ignore_leaps=False)
        except Exception:  # whatever it raises, it doesn't know the order
            return read
        if len(set(numbers)) == len(numbers):  # else they don't tell its measures apart
            read["order"] = [numbers.index(m.number) for m in unfolded.measures]
    return read


def by_verovio(data: bytes, wanted: list[str]) -> dict[str, Any]:
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({"breaks": "none"})
    if not toolkit.loadData(data.decode("ascii")):
        return {}
    tree = ElementTree.fromstring(toolkit.getMEI())
    measures = tree.iter(f"{{{MEI}}}measure")
    measure_of = {note.get(ID): int(m.get("n", "-1")) for m in measures for note in m.iter(f"{{{MEI}}}note")}
    events: Any = toolkit.renderToTimemap()
    begun: dict[str, float] = {}
    notes = []
    for event in json.loads(events) if isinstance(events, str) else events:
        for note in event.get("off", ()):
            values: Any = toolkit.getMIDIValuesForElement(note)
            values = json.loads(values) if isinstance(values, str) else values
            begin = begun.pop(note, None)
            if begin is not None and values.get("pitch", 0) > 0 and note in measure_of:
                notes.append((measure_of[note], _grid(begin), values["pitch"], _grid(event["qstamp"] - begin)))
        begun |= dict.fromkeys(event.get("on", ()), event["qstamp"])
    return dict.fromkeys(wanted, notes)


@dataclass(frozen=True)
class Reading:
    """A reader of (data, wanted), as a process takes it."""

    read: Callable[[bytes, list[str]], dict[str, Any]]

    def __call__(self, asked: tuple[bytes, list[str]]) -> Iterator[dict[str, Any]]:
        yield self.read(*asked)


class Other:
    """A reader in a process of its own, which is started anew where a file ends it."""

    def __init__(self, read: Callable[[bytes, list[str]], dict[str, Any]]) -> None:
        self.process = Processes(Reading(read), Pool(wall_s=SECONDS, memory=None))

    def close(self) -> None:
        self.process.close()

    def __call__(self, data: bytes, wanted: list[str]) -> dict[str, Any]:
        """What it reads; nothing where it fails, or takes too long."""
        self.process.give(0, (data, wanted))
        read: dict[str, Any] = {}
        while True:
            for message in self.process.wait():
                if message.last:
                    return read
                read = message.value


# ---- files -----------------------------------------------------------------------------------------------


def differs(mine: Any, other: Any, what: str) -> str:
    """How two results differ, in words; empty where they don't, or where there is no other."""
    if other is None:
        return ""
    if what == "order":
        return "" if mine == other else f"measures {_shortly(mine)}, the other reader {_shortly(other)}"
    if what == "sounding":
        mine, other = _within(mine), _within(Counter(map(tuple, other)))
    elif what == "ties":  # unisons are merged by one reader alone
        mine, other = _longest(mine), _longest(Counter(map(tuple, other)))
    else:
        other = Counter(map(tuple, other))
    extra, missing = mine - other, other - mine
    for note in list(extra.elements()):  # off by rounding
        *measure, onset, pitch, length = note
        near = ((*measure, onset + a, pitch, length + b) for a in (-1, 0, 1) for b in (-2, -1, 0, 1, 2))
        found = next((n for n in near if missing[n] > 0), None)
        if found is not None:
            extra[note] -= 1
            missing[found] -= 1
    extra, missing = +extra, +missing
    if not extra and not missing:
        return ""
    first, second = ([_told(note) for note in sorted(notes)[:2]] for notes in (extra, missing))
    mine, other = f"{extra.total()} notes are musicgen's alone", f"{missing.total()} the other reader's"
    return f"{mine} ({'; '.join(first)}), {other} ({'; '.join(second)})"


def compare(path: Path, others: dict[str, Other], wanted: list[str], tally: Counter[str]) -> None:
    """Compare one file in up to four ways, and count what came of it."""
    try:
        chunks, _ = score_chunks(path.read_bytes(), path)
        root = ElementTree.fromstring(b"".join(chunks()))
        if root.tag != "score-partwise":
            return
        ours(edited(root, ()), "notes")
    except (UnreadableError, ElementTree.ParseError) as error:
        tally["refused"] += 1
        print(error)
        return
    agreed = False  # whether partitura has the same notes, where they are written
    for name, other in others.items():
        mine_of = [what for what in wanted if READER[what] == name]
        data = edited(root, ALWAYS[name])
        first = other(data, mine_of) if mine_of else {}
        for what in mine_of:
            theirs, mine, told = first.get(what), ours(data, what), ""
            wrong = differs(mine, theirs, what)
            edits = ALWAYS[name]
            for edit in EDITS[what]:
                if theirs is None or not wrong:
                    break
                edits = (*edits, edit)
                told += f", {edit.__name__.replace('_', ' ')}"
                again = edited(root, edits)
                theirs, mine = other(again, [what]).get(what), ours(again, what)
                wrong = differs(mine, theirs, what)
            if theirs is None:
                tally[f"{what}: {name} gives up"] += 1
                continue
            verdict = "different" if wrong else f"equal{told}"
            if wrong and what == "sounding" and agreed:
                verdict, wrong = "verovio differs where partitura and musicgen agree", ""
            agreed |= what == "notes" and not wrong
            tally[f"{what}: {verdict}"] += 1
            if wrong:
                print(f"{path}, {what}: {wrong}", flush=True)
            if what != "order":
                tally[f"{what}: notes"] += mine.total()


def _told(note: tuple[int, ...]) -> str:
    *measure, onset, pitch, length = note
    return "".join(f"measure {m + 1}: " for m in measure) + f"{pitch} at {onset / GRID:g} for {length / GRID:g}"


def _within(notes: Counter[tuple[int, ...]]) -> Counter[tuple[int, ...]]:
    """The notes by measure, onsets counted from the first note in it."""
    first: dict[int, int] = {}
    for measure, onset, _, _ in notes:
        first[measure] = min(onset, first.get(measure, onset))
    return Counter({(m, o - first[m], *rest): count for (m, o, *rest), count in notes.items()})


def _longest(notes: Counter[Note]) -> Counter[Note]:
    best: dict[tuple[int, int], int] = {}
    for onset, pitch, length in notes:
        best[onset, pitch] = max(length, best.get((onset, pitch), 0))
    return Counter((onset, pitch, length) for (onset, pitch), length in best.items())


def _shortly(order: list[int]) -> str:
    """Measures in runs, counted from 1: 1-8 1-7 9."""
    runs: list[list[int]] = []
    for bar in order:
        if runs and bar == runs[-1][1] + 1:
            runs[-1][1] = bar
        else:
            runs.append([bar, bar])
    return " ".join(f"{a + 1}-{b + 1}" if a < b else f"{a + 1}" for a, b in runs[:12])


def _grid(quarters: float) -> int:
    return round(quarters * GRID)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--only", nargs="+", choices=EDITS, default=list(EDITS), help="what is compared")
    parser.add_argument("--every", type=int, default=1, help="of the files every so many")
    options = parser.parse_args()
    readers = {"partitura": by_partitura, "verovio": by_verovio}
    others = {name: Other(read) for name, read in readers.items() if importlib.util.find_spec(name) is not None}
    if not others:
        print("neither partitura nor verovio is installed: nothing was compared")
        return
    files: list[Path] = []
    for path in options.paths:
        kinds = ("*.mxl", "*.musicxml", "*.xml")
        files += sorted(f for kind in kinds for f in path.rglob(kind)) if path.is_dir() else [path]
    tally: Counter[str] = Counter()
    for file in files[:: options.every]:
        compare(file, others, options.only, tally)
    for other in others.values():
        other.close()
    for name, number in sorted(tally.items()):
        print(f"{number:9,}  {name}")
    sys.exit(any(name.endswith("different") for name in tally))


if __name__ == "__main__":
    main()

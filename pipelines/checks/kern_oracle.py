"""Kern files as musicgen reads them and as verovio plays them: pitch, onset and length of every note.

    python pipelines/checks/kern_oracle.py FILES_OR_FOLDERS...

verovio (https://www.verovio.org, `pip install verovio`) is not part of the project; without it nothing is compared and
nothing fails. Each file is compared as it is written, ties left open, and, where it has an expansion list, once more as
it is played, through verovio's filter `thru`. Where the two differ the file is tried again without what verovio is
known to take otherwise (EDITS, with reasons from the Humdrum Reference); what differs then is printed, and the exit
code is 1. A file is read by verovio in a process of its own: some end it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.files import read_texts
from musicgen.io.scores.kern import piece as kern
from musicgen.io.scores.layout import FINE, Layout, Score

Notes = Counter[tuple[int, int, int]]  # onset and length in GRID parts of a quarter, pitch between them

GRID = 240  # parts of a quarter: finer than any note here is short, coarser than rounding to 10080ths
SECONDS = 300
# What is taken out before verovio sees it, and why that changes nothing of what the file says.
EDITS = (
    ("abbreviations", "what is written out is drawn and played as a sign", r"(?<=\*)X?(?:tremolo|repy?)(?=\t|$)", ""),
    ("transposed", "of parts that change their transposition the written pitch is told", r"(?<=\*)ITrd[^\t\n]*", ""),
    ("grace rests", "grace rests and hits are given time", r"(?<![^\t])[^\t\nA-Ga-g]*q[^\t\nA-Ga-g]*(?=\t|$)", "."),
    ("empty rows", "lines of nothing but null tokens are given time", r"^\.(?:\t\.)*\n", ""),
)


# ---- verovio ---------------------------------------------------------------------------------------------


def dump(text: str) -> list[tuple[float, int, float]]:
    """Onset, pitch and length of verovio's notes, pieces of tied notes apart. For the other process."""
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setInputFrom("humdrum")
    toolkit.setOptions({"breaks": "none", "transposeToSoundingPitch": True})
    if not toolkit.loadData(text):
        raise SystemExit(1)
    events: Any = toolkit.renderToTimemap()
    begun: dict[str, float] = {}
    notes = []
    for event in json.loads(events) if isinstance(events, str) else events:
        for note in event.get("off", ()):
            begin = begun.pop(note, None)
            values: Any = toolkit.getMIDIValuesForElement(note)
            values = json.loads(values) if isinstance(values, str) else values
            if begin is not None and values.get("pitch", 0) > 0:
                notes.append((begin, values["pitch"], event["qstamp"] - begin))
        begun |= dict.fromkeys(event.get("on", ()), event["qstamp"])
    return notes


def theirs(text: str, filters: str) -> Notes | None:
    """What verovio plays; None where it breaks off, or tells that it can't say when things sound."""
    text = text.rstrip("\n") + f"\n!!!filter: {filters}\n"
    command = [sys.executable, __file__, "--dump"]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode or "Inconsistent rhythm" in done.stderr:
        return None
    return Counter((_grid(onset), pitch, _grid(length)) for onset, pitch, length in json.loads(done.stdout))


def edited(text: str) -> tuple[str, list[str]]:
    """The text without what verovio takes otherwise, and the names of what was taken out."""
    names = []
    for name, _, pattern, instead in EDITS:
        lines = [
            line if line.startswith(("!", "=")) else re.sub(pattern, instead, line, flags=re.MULTILINE)
            for line in text.splitlines(keepends=True)
        ]
        new = "".join(lines)
        if new != text:
            names.append(name)
        text = new
    return text, names


# ---- ours ------------------------------------------------------------------------------------------------


def ours(score: Score, *, played: bool) -> tuple[Notes, set[int]]:
    """The notes of a score, ties left open, as written or in the order of its expansion list; where its bars begin."""
    order = score.order if played else list(range(len(score.parts[0].lengths)))
    layout = Layout(score.parts, [], order=order)
    notes: Notes = Counter()
    for part in score.parts:
        rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
        if part.is_drum or not len(rows):
            continue
        place, index = layout.expand(rows[:, 0])
        for start, row in zip((layout.start[place] + rows[index, 1]).tolist(), rows[index].tolist(), strict=True):
            notes[_grid(start / FINE), row[3], _grid(row[2] / FINE)] += 1
    return notes, {_grid(start / FINE) for start in layout.start.tolist()}


def differences(mine: Notes, other: Notes, bars: set[int]) -> tuple[Notes, Notes, int]:
    """What only one of the two has, and how many notes across bar lines verovio has in pieces, or cuts short there."""
    extra, missing, cut = mine - other, other - mine, 0
    pieces: dict[tuple[int, int], list[int]] = {}
    for onset, pitch, length in missing.elements():
        pieces.setdefault((onset, pitch), []).append(length)
    for note in sorted(extra.elements()):
        onset, pitch, length = note
        at, used = onset, []
        while at < onset + length and pieces.get((at, pitch)):
            used.append((at, pitch, max(pieces[at, pitch])))
            at += used[-1][2]
        if used and (at == onset + length or at in bars):
            cut += 1
            extra[note] -= 1
            for piece in used:
                missing[piece] -= 1
                pieces[piece[:2]].remove(piece[2])
    return +extra, +missing, cut


def _grid(quarters: float) -> int:
    return round(quarters * GRID)


# ---- files -----------------------------------------------------------------------------------------------


def compare(path: Path, tally: Counter) -> None:
    """Compare one file in one or two ways, and count what came of it."""
    try:
        source = read_texts(path, limits=Limits())[0]
        score = kern.score_of(source.text, path, Limits())
    except UnreadableError as error:
        tally["refused by musicgen"] += 1
        print(error)
        return
    ways = [(False, "tie -s")] + ([(True, "thru")] if score.order is not None else [])
    for played, filters in ways:
        way = "as played" if played else "as written"
        mine, bars = ours(score, played=played)
        other, names = theirs(source.text, filters), []
        extra, missing, cut = differences(mine, other or Counter(), bars)
        if other is None or extra or missing:
            text, names = edited(source.text)
            other = theirs(text, filters) if names else other
            extra, missing, cut = differences(mine, other or Counter(), bars)
        if other is None:
            tally[f"{way}: verovio gives up"] += 1
            continue
        told = names + (["across bar lines"] if cut else [])
        if extra or missing:
            tally[f"{way}: different"] += 1
            print(f"{path}, {way}: {extra.total()} notes are musicgen's alone, {missing.total()} verovio's")
            for whose, notes in (("musicgen", extra), ("verovio", missing)):
                for onset, pitch, length in sorted(notes)[:3]:
                    print(f"    {whose}: pitch {pitch} at {onset / GRID:g} for {length / GRID:g}")
        else:
            tally[f"{way}: equal{', but for ' + ', '.join(told) if told else ''}"] += 1
        tally[f"{way}: notes"] += mine.total()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--dump", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.dump:
        with contextlib.redirect_stdout(sys.stderr):
            notes = dump(sys.stdin.read())
        print(json.dumps(notes))
        return
    if importlib.util.find_spec("verovio") is None:
        print("verovio is not installed: nothing was compared")
        return
    files = [file for path in options.paths for file in (sorted(path.rglob("*.krn")) if path.is_dir() else [path])]
    tally: Counter = Counter()
    for file in files:
        compare(file, tally)
    for name, count in sorted(tally.items()):
        print(f"{count:8,}  {name}")
    sys.exit(any(name.endswith("different") for name in tally))


if __name__ == "__main__":
    main()

"""Does music keep to what it is told? Takes of the bundled model under each control, and the notes that break it.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/violations.py PIECE --takes 200

PIECE needs a bass, drums and another part, in one meter; new bars follow at its middle, or parts are written there
anew. Counted are decoded notes, or bars, of all candidates after the steps behind drawing, best and worst alike. The
same count without the control tells how often music breaks it by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
import torch
from measure import header, parser, table

from musicgen.composer import Composer, Keeps, Request, SamplingSettings, Source
from musicgen.gm import find_drums
from musicgen.piece import Piece
from musicgen.sampling.kept import BASSES
from musicgen.sampling.notes import Candidate, NoteWriter
from musicgen.tokenizers.constraints import DRUMS
from musicgen.tonality import progression, scale_pitch_classes

BARS, TOGETHER = 4, 8
CHORDS = "Am F C G"
Lines = np.ndarray


def outside(classes: frozenset[int]) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        notes = take.notes[take.program != DRUMS]
        return int((~np.isin(notes["pitch"] % 12, sorted(classes))).sum()), len(notes)

    return count


def off_chord(take: Candidate, lines: Lines) -> tuple[int, int]:
    """Notes on a beat (of a bass: a strong one), or held into a bar, that its chord hasn't got."""
    chords, wrong, seen = [bar[0].tones for bar in progression(CHORDS)], 0, 0
    melodic = take.program != DRUMS
    for note, program in zip(take.notes[melodic], take.program[melodic].tolist(), strict=True):
        start, end, tone = int(note["start"]), int(note["start"] + note["duration"]), int(note["pitch"]) % 12
        bar = int(np.searchsorted(lines, start, side="right")) - 1
        beat = (lines[1] - lines[0]) / (2 if program in BASSES else 4)
        on = (start - lines[bar]) % beat < 1
        wrong += (on and tone not in chords[bar % 4]) or any(
            start < at < end and tone not in chords[k % 4] for k, at in enumerate(lines[:-1].tolist())
        )
        seen += 1
    return wrong, seen


def beyond(low: int, high: int) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        pitch = take.notes["pitch"][take.program != DRUMS]
        return int(((pitch < low) | (pitch > high)).sum()), len(pitch)

    return count


def too_many(low: int, high: int) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        bar = np.searchsorted(lines, take.notes["start"], side="right") - 1
        notes = np.bincount(bar, minlength=len(lines) - 1)
        return int(((notes < low) | (notes > high)).sum()), len(notes)

    return count


def at_once(most: int) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        start, end = take.notes["start"], take.notes["start"] + take.notes["duration"]
        return int(sum(((start <= at) & (end > at)).sum() > most for at in start.tolist())), len(start)

    return count


def other_drums(allowed: frozenset[int]) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        struck = take.notes["pitch"][take.program == DRUMS]
        return int((~np.isin(struck, sorted(allowed))).sum()), len(struck)

    return count


def other_loudness(low: int, high: int) -> Callable[[Candidate, Lines], tuple[int, int]]:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        velocity = take.notes["velocity"]
        return int(((velocity < low) | (velocity > high)).sum()), len(velocity)

    return count


def other_rhythm(piece: Piece, bar: int, quarter: int) -> Callable[[Candidate, Lines], tuple[int, int]]:
    """Onsets of a part that its borrowed bar hasn't got, and those that are missing."""
    lines, _ = piece.bar_starts()
    begin, end = lines[bar], lines[bar + 1]

    def steps(notes: np.ndarray, line: float, until: float) -> set[int]:
        start = notes["start"]
        mine = start[(start >= line - quarter / 48) & (start < until - quarter / 48)]
        return set(np.rint((mine - line) * 24 / quarter).astype(int).clip(0).tolist())

    def count(take: Candidate, new: Lines) -> tuple[int, int]:
        wrong = seen = 0
        for part in np.unique(take.home[take.home >= 0]).tolist():
            own = steps(piece.tracks[part].notes, begin, end)
            for k in range(len(new) - 1) if own else ():
                found = steps(take.notes[take.home == part], new[k], new[k + 1])
                wrong, seen = wrong + len(found ^ own), seen + len(found)
        return wrong, seen

    return count


def main() -> int:
    made = parser(__doc__)
    made.add_argument("piece")
    made.add_argument("--takes", type=int, default=200)
    made.add_argument("-m", "--model", default="default")
    chosen = made.parse_args()
    header("What music is told to keep to", "numpy", "torch", "musicgen-symbolic")
    torch.set_num_threads(1)
    composer, source = Composer.load(chosen.model), Source.read(chosen.piece)
    piece = source.encoded_piece
    start = len(piece.bar_starts()[0]) // 2
    controls = {
        "--scale 'D dorian'": (Keeps(key="D dorian"), outside(scale_pitch_classes("D dorian"))),
        f"--chords '{CHORDS}'": (Keeps(chords=CHORDS), off_chord),
        "--pitch-range C3-C5": (Keeps(pitch_range=(48, 72)), beyond(48, 72)),
        "--density 6-10": (Keeps(density="6-10"), too_many(6, 10)),
        "--max-polyphony 3": (Keeps(max_polyphony=3), at_once(3)),
        "--kit kick,snare": (Keeps(kit="kick,snare"), other_drums(find_drums("kick") | find_drums("snare"))),
        "--no-drums": (Keeps(kit="none"), other_drums(frozenset())),
        "--velocity 50-70": (Keeps(velocity="50-70"), other_loudness(50, 70)),
        f"--rhythm-from {start}": (
            Keeps(rhythm=str(start)),
            other_rhythm(piece, start - 1, piece.ticks_per_quarter),
        ),
    }
    takes = 8 if chosen.quick else chosen.takes
    free = drawn(composer, source, Keeps(), start, takes)
    rows = []
    for name, (keeps, count) in controls.items():
        kept = drawn(composer, source, keeps, start, takes)
        broken, seen = np.sum([count(*each) for each in kept], axis=0)
        without, of = np.sum([count(*each) for each in free], axis=0)
        rows.append([name, f"{broken:,} of {seen:,}", f"{without:,} of {of:,}"])
        print(f"{name}: {broken}", file=sys.stderr, flush=True)
    table(["told", "broken", "without it"], rows)
    return 0


def drawn(composer: Composer, source: Source, keeps: Keeps, start: int, takes: int) -> list[tuple[Candidate, Lines]]:
    """(a candidate, the ticks of its bar lines) of each seed."""
    request = Request(bars=BARS, start=start, keeps=keeps)
    writer = NoteWriter(
        source, composer.tokenizer, request=request, sampling=SamplingSettings(), context=composer.model.context
    )
    lines = np.rint(writer.plan.cut + writer.plan.anchor.bar_length * np.arange(BARS + 1)).astype(np.int64)
    found = []
    for first in range(0, takes, TOGETHER):
        seeds = range(first, min(first + TOGETHER, takes))
        found += [(candidate, lines) for candidate in writer.candidates(composer.decoder, seeds)]
    return found


if __name__ == "__main__":
    sys.exit(main())

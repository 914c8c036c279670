"""Does music keep to what it is told? Takes of a model under each control, and the notes that break it.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/violations.py PIECE.. --takes 200 [-m uniform] [--infill]

Each PIECE needs a bass, drums and another part, in one meter; new bars follow at its middle, or with `--infill` its
bars there are written anew. Takes are shared out among the pieces. Counted are decoded notes, or bars, of all
candidates after the steps behind drawing, best and worst alike. The same count without the control tells how often
music breaks it by itself. The model `uniform` finds every value equally likely, and so tries all that a mask lets pass.

A key below strength 1 forbids nothing; a second table tells how many notes lie outside it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
import torch
from measure import header, parser, table

from musicgen.composer import Composer, Keeps, Request, SamplingSettings, Source
from musicgen.gm import find_drums
from musicgen.gm import pitch_range as pitches_of_range
from musicgen.piece import Piece
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.hole_notes import HoleWriter
from musicgen.sampling.kept import BASSES
from musicgen.sampling.notes import Candidate, NoteWriter
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS
from musicgen.tonality import progression, scale_pitch_classes

TOGETHER = 25  # takes of a batch
CHORDS = "Am F C G"
STRENGTHS = (0.0, 0.5, 0.8, 0.95, 1.0)
Lines = np.ndarray  # ticks of the bar lines of the new bars
Count = Callable[[Candidate, Lines], tuple[int, int]]  # (how much is broken, of how much)


class Uniform(Decoder):
    """A model of uniform logits; its state is the number of rows."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._fields = tokenizer.fields

    def read(self, ids: np.ndarray, *, past: np.ndarray | None = None) -> Any:
        return _Rows(1, self)

    def next_step(self, rows: Any) -> _Rows:
        return rows

    def step(self, rows: Any, ids_BF: Sequence[Sequence[int]]) -> Any:
        return rows

    def select(self, rows: Any, chosen: Sequence[int]) -> Any:
        return _Rows(len(chosen), self)

    def logits_BK(self, rows: int, field: int) -> np.ndarray:
        return np.zeros((rows, self._fields[field].size), np.float32)


@dataclass(frozen=True)
class _Rows:
    count: int
    model: Uniform

    def logits_BK(self, field: int) -> np.ndarray:
        return self.model.logits_BK(self.count, field)

    def take(self, field: int, ids: Sequence[int]) -> None:
        pass


@dataclass(frozen=True, eq=False)
class Setting:
    """A piece, and the parts that controls name in it."""

    source: Source
    steps: int  # of a quarter

    @cached_property
    def piece(self) -> Piece:
        return self.source.encoded_piece

    @cached_property
    def start(self) -> int:
        """The bar, counted from 0, from which on music is new."""
        return len(self.piece.bar_starts(max(0, self.piece.end - 1))[0]) // 2

    @cached_property
    def basses(self) -> list[int]:
        return [n for n, t in enumerate(self.piece.tracks) if not t.is_drum and t.program in BASSES]

    @cached_property
    def chordal(self) -> int:
        """The melodic part with the most notes to an onset in the sixteen bars before."""
        lines = self.piece.bar_starts(self.piece.end)[0]
        begin, end = lines[max(0, self.start - 16)], lines[self.start]

        def together(part: int) -> tuple[float, int]:
            start = self.piece.tracks[part].notes["start"]
            start = start[(start >= begin) & (start < end)]
            return len(start) / max(1, len(np.unique(start))), len(start)

        melodic = [n for n, t in enumerate(self.piece.tracks) if not t.is_drum and n not in self.basses]
        return max(melodic, key=together)

    @cached_property
    def motif(self) -> tuple[int, int]:
        """(part, bar counted from 0) of the last melody of three onsets or more before the new bars."""
        for bar in range(self.start - 1, -1, -1):
            for part in (self.chordal, *range(len(self.piece.tracks))):
                if not self.piece.tracks[part].is_drum and len(self.onsets(part, bar)) > 2:
                    return part, bar
        raise SystemExit("no bar before the middle has a melody")

    def notes(self, part: int, bar: int) -> np.ndarray:
        """The notes of a part in a bar, onsets in steps from its line; what is played slightly early belongs to it."""
        lines = self.piece.bar_starts(self.piece.end)[0]
        return within(self.piece.tracks[part].notes, lines[bar], lines[bar + 1], self)

    def onsets(self, part: int, bar: int) -> set[int]:
        return set(self.notes(part, bar)["start"].tolist())

    def melody(self, part: int, bar: int) -> set[tuple[int, int]]:
        return line_of(self.notes(part, bar))


def within(notes: np.ndarray, begin: float, end: float, setting: Setting) -> np.ndarray:
    """The notes that begin between two bar lines, with onsets in steps from the first."""
    per_step = setting.piece.ticks_per_quarter / setting.steps
    found = notes[(notes["start"] >= begin - per_step / 2) & (notes["start"] < end - per_step / 2)].copy()
    found["start"] = np.maximum(0, np.rint((found["start"] - begin) / per_step))
    return found


def line_of(notes: np.ndarray) -> set[tuple[int, int]]:
    """(step, interval from the first) of the highest note of each onset."""
    order = np.lexsort((-notes["pitch"].astype(np.int64), notes["start"]))
    steps, first = np.unique(notes["start"][order], return_index=True)
    pitches = notes["pitch"][order][first].astype(np.int64)
    return set(zip(steps.tolist(), (pitches - pitches[:1]).tolist(), strict=True))


# ---- what breaks a control ---------------------------------------------------------------------------


def outside(classes: frozenset[int]) -> Count:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        notes = take.notes[take.program != DRUMS]
        return int((~np.isin(notes["pitch"] % 12, sorted(classes))).sum()), len(notes)

    return count


def off_chord(setting: Setting) -> Count:
    """Notes on a beat (of a bass: a strong one), or held into a bar, that its chord hasn't got."""
    chords = [bar[0].tones for bar in progression(CHORDS)]
    numerator, denominator = setting.piece.meter_at(0)
    beats = numerator // 3 if denominator == 8 and numerator % 3 == 0 else numerator

    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        melodic, wrong = take.program != DRUMS, 0
        for note, program in zip(take.notes[melodic], take.program[melodic].tolist(), strict=True):
            start, end, tone = int(note["start"]), int(note["start"] + note["duration"]), int(note["pitch"]) % 12
            bar = int(np.searchsorted(lines, start, side="right")) - 1
            strong = 1 if beats % 2 else 2  # of a bar
            on = (start - lines[bar]) % ((lines[1] - lines[0]) / (strong if program in BASSES else beats)) < 1
            wrong += (on and tone not in chords[bar % 4]) or any(
                start < at < end and tone not in chords[k % 4] for k, at in enumerate(lines[:-1].tolist())
            )
        return wrong, int(melodic.sum())

    return count


def beyond(low: int, high: int, parts: Sequence[int] | None = None) -> Count:
    """Melodic notes, or those of some parts, that are lower or higher."""

    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        mine = take.program != DRUMS if parts is None else np.isin(take.home, parts)
        pitch = take.notes["pitch"][mine]
        return int(((pitch < low) | (pitch > high)).sum()), len(pitch)

    return count


def too_many(low: int, high: int) -> Count:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        bar = np.searchsorted(lines, take.notes["start"], side="right") - 1
        notes = np.bincount(bar, minlength=len(lines) - 1)
        return int(((notes < low) | (notes > high)).sum()), len(notes)

    return count


def at_once(most: int, part: int | None = None) -> Count:
    """Notes, or those of a part, at whose onset more than `most` sound."""

    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        notes = take.notes if part is None else take.notes[take.home == part]
        start, end = notes["start"], notes["start"] + notes["duration"]
        return int(sum(((start <= at) & (end > at)).sum() > most for at in start.tolist())), len(start)

    return count


def other_drums(allowed: frozenset[int]) -> Count:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        struck = take.notes["pitch"][take.program == DRUMS]
        return int((~np.isin(struck, sorted(allowed))).sum()), len(struck)

    return count


def other_loudness(low: int, high: int) -> Count:
    def count(take: Candidate, lines: Lines) -> tuple[int, int]:
        velocity = take.notes["velocity"]
        return int(((velocity < low) | (velocity > high)).sum()), len(velocity)

    return count


def other_rhythm(setting: Setting, bar: int) -> Count:
    """Onsets of a part that its borrowed bar hasn't got, and those that are missing."""

    def count(take: Candidate, new: Lines) -> tuple[int, int]:
        wrong = seen = 0
        for part in np.unique(take.home[take.home >= 0]).tolist():
            own = setting.onsets(part, bar)
            for k in range(len(new) - 1) if own else ():
                found = set(within(take.notes[take.home == part], new[k], new[k + 1], setting)["start"].tolist())
                wrong, seen = wrong + len(found ^ own), seen + len(found | own)
        return wrong, seen

    return count


def other_melody(setting: Setting, part: int, bar: int) -> Count:
    """Where the motif goes to: notes of a part that it hasn't got however moved, and those that are missing."""
    own = setting.melody(part, bar)

    def count(take: Candidate, new: Lines) -> tuple[int, int]:
        at = (len(new) - 1) // 2
        found = line_of(within(take.notes[take.home == part], new[at], new[at + 1], setting))
        return len(found ^ own), len(found | own)

    return count


def controls(setting: Setting) -> dict[str, tuple[Keeps, Count]]:
    """By its name in the table: what is told, and what breaks it."""
    bass, one, (part, bar) = setting.basses, setting.chordal, setting.motif
    drums = find_drums("kick") | find_drums("snare")
    return {
        "--scale 'D dorian'": (Keeps(key="D dorian"), outside(scale_pitch_classes("D dorian"))),
        f"--chords '{CHORDS}'": (Keeps(chords=CHORDS), off_chord(setting)),
        "--pitch-range C3-C5": (Keeps(pitch_range=(48, 72)), beyond(48, 72)),
        "--range bass=E1-E2": (Keeps(ranges=("bass=E1-E2",)), beyond(*pitches_of_range("E1-E2"), bass)),
        "--density 6-10": (Keeps(density="6-10"), too_many(6, 10)),
        "--max-polyphony 3": (Keeps(max_polyphony=3), at_once(3)),
        "--polyphony PART=1": (Keeps(polyphony=(f"{one + 1}=1",)), at_once(1, one)),
        "--kit kick,snare": (Keeps(kit="kick,snare"), other_drums(drums)),
        "--no-drums": (Keeps(kit="none"), other_drums(frozenset())),
        "--velocity 50-70": (Keeps(velocity="50-70"), other_loudness(50, 70)),
        "--rhythm-from BAR": (Keeps(rhythm=str(setting.start)), other_rhythm(setting, setting.start - 1)),
        "--motif PART=BAR": (Keeps(motif=f"{part + 1}={bar + 1}"), other_melody(setting, part, bar)),
    }


# ---- drawing -----------------------------------------------------------------------------------------


def main() -> int:
    made = parser(__doc__)
    made.add_argument("pieces", nargs="+", metavar="PIECE")
    made.add_argument("--takes", type=int, default=200, help="of each row, shared out among the pieces")
    made.add_argument("--bars", type=int, default=2, help="new bars of a take")
    made.add_argument("--infill", action="store_true", help="write bars of the piece anew")
    made.add_argument("-m", "--model", default="default", help="or: uniform")
    chosen = made.parse_args()
    header("What music is told to keep to", "numpy", "torch", "musicgen-symbolic")
    torch.set_num_threads(1)
    composer = Composer.load("default" if chosen.model == "uniform" else chosen.model)
    decoder = Uniform(composer.tokenizer) if chosen.model == "uniform" else composer.decoder
    settings = [Setting(Source.read(path), composer.tokenizer.steps) for path in chosen.pieces]
    takes = max(1, (8 if chosen.quick else chosen.takes) // len(settings))
    told = {setting: controls(setting) for setting in settings}
    begun, rows, done = time.perf_counter(), len(told[settings[0]]) + len(STRENGTHS) + 1, 0

    def drawn(name: str, keeps: dict[Setting, Keeps]) -> list[Drawn]:
        nonlocal done
        found = []
        for setting in settings:
            writer = writer_of(composer, setting, keeps[setting], bars=chosen.bars, infill=chosen.infill)
            found += [Drawn(setting, *each) for each in candidates(decoder, writer, takes)]
        done += 1
        seconds = time.perf_counter() - begun
        print(f"{done} of {rows}, {seconds:.0f} s: {name}, {len(found)} takes", file=sys.stderr, flush=True)
        return found

    def summed(takes: list[Drawn], counts: dict[Setting, Count]) -> tuple[int, int]:
        wrong, seen = np.sum([counts[each.setting](each.take, each.lines) for each in takes], axis=0).tolist()
        return wrong, seen

    free = drawn("nothing told", dict.fromkeys(settings, Keeps()))
    found = []
    for name in told[settings[0]]:
        counts = {setting: told[setting][name][1] for setting in settings}
        broken, seen = summed(drawn(name, {setting: told[setting][name][0] for setting in settings}), counts)
        without, of = summed(free, counts)
        found.append([name, f"{broken:,} of {seen:,}", f"{without:,} of {of:,}"])
    table(["told", "broken", "without it"], found)
    print()
    found = []
    for strength in STRENGTHS:
        keeps = Keeps(key="auto", key_strength=strength)
        keys = {s: own_key(composer, s, bars=chosen.bars, infill=chosen.infill) for s in settings}
        counts = {s: outside(scale_pitch_classes(key)) for s, key in keys.items()}
        broken, seen = summed(drawn(f"--key-strength {strength:g}", dict.fromkeys(settings, keeps)), counts)
        found.append([f"{strength:g}", f"{broken:,} of {seen:,}", f"{100 * broken / max(1, seen):.1f} %"])
    table(["--key auto --key-strength", "outside the key", "share"], found)
    print(f"\n{rows} rows of {takes * len(settings)} takes in {time.perf_counter() - begun:.0f} s.")
    return 0


@dataclass(frozen=True)
class Drawn:
    """A candidate in its setting."""

    setting: Setting
    take: Candidate
    lines: Lines


def writer_of(composer: Composer, setting: Setting, keeps: Keeps, *, bars: int, infill: bool) -> NoteWriter:
    request = Request(bars=bars, start=setting.start, until=setting.start + bars if infill else None, keeps=keeps)
    kind = HoleWriter if infill else NoteWriter
    return kind(
        setting.source, composer.tokenizer, request=request, sampling=SamplingSettings(), context=composer.model.context
    )


def own_key(composer: Composer, setting: Setting, *, bars: int, infill: bool) -> str:
    """The key that `--key auto` finds, as its warning says."""
    plan = writer_of(composer, setting, Keeps(key="auto"), bars=bars, infill=infill).plan
    return next(line.rpartition(" ")[2] for line in plan.warnings if line.startswith("key: "))


def candidates(decoder: Decoder, writer: NoteWriter, takes: int) -> list[tuple[Candidate, Lines]]:
    """(the candidate of each seed, the ticks of its bar lines)."""
    plan = writer.plan
    lines = np.rint(plan.cut + plan.anchor.bar_length * np.arange(plan.bars + 1)).astype(np.int64)
    batches = [range(first, min(first + TOGETHER, takes)) for first in range(0, takes, TOGETHER)]
    return [(each, lines) for seeds in batches for each in writer.candidates(decoder, seeds)]


if __name__ == "__main__":
    sys.exit(main())

"""Common code of the tokenizers with bars: the grid, the sorted items of a piece, and pieces made of items.

Grid: `positions_per_quarter` positions a quarter note within the bar (24 represents 32nds and triplets, 48 also triplet
32nds); bars begin as the meters say, exact to a 64th note. Tracks of one program are merged, and of two notes with
equal onset and pitch the longer is kept. Velocities are quantised to 32 steps, tempi to twelfths of an octave from 20
to 320 quarters a minute, durations to a table up to 16 quarters.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import METER, NOTE, TEMPO, Piece, Track
from musicgen.schemas import typed
from musicgen.tokenizers.bars.grid import DENOMINATORS, BarGrid
from musicgen.tokenizers.base import Spelled, Tokenizer
from musicgen.tokenizers.constraints import DRUMS, Anchor
from musicgen.words import counted, was

__all__ = [
    "N_TEMPOS",
    "SPAN_QUARTERS",
    "TICKS_PER_QUARTER",
    "BarMusic",
    "BarSettings",
    "Items",
    "changes",
    "tempo_values",
]

TICKS_PER_QUARTER = 480  # of decoded pieces: a multiple of both grids and of 64th notes
SPAN_QUARTERS = 8  # position tokens cover eight quarters; in longer bars a span token moves on by eight
VELOCITY_STEP = 4
TEMPO_LOWEST, TEMPOS_PER_OCTAVE, N_TEMPOS = 20.0, 12, 49
FOUR_FOUR = 3 * len(DENOMINATORS) + DENOMINATORS.index(4)


@dataclass(frozen=True)
class BarSettings:
    """The grid: `positions_per_quarter` is 24 or 48."""

    positions_per_quarter: int = 24

    def __post_init__(self) -> None:
        typed(self, where=None)
        if self.positions_per_quarter not in (24, 48):
            raise UsageError(f"positions_per_quarter is {self.positions_per_quarter}, must be 24 or 48")


class Items(NamedTuple):
    """The bars, tempo changes and notes of a piece in one sorted sequence of N items; arrays (N,) unless noted."""

    is_bar: np.ndarray
    is_tempo: np.ndarray
    is_note: np.ndarray
    meter: np.ndarray  # (bars,) meter values
    slot: np.ndarray  # bar and position packed in one number: equal for items on one onset
    position: np.ndarray  # grid steps from the bar's start; -1 for a bar
    spans: np.ndarray  # number of span tokens needed before a new onset; 0 for other items
    program: np.ndarray  # 0..127, DRUMS for drums; -1 for items that aren't notes
    tempo: np.ndarray  # (tempi,) tempo values
    pitch: np.ndarray  # (notes,)
    velocity: np.ndarray  # (notes,) velocity values
    duration: np.ndarray  # (notes,) duration values


class BarMusic(Tokenizer):
    """The part of a tokenizer with bars that doesn't depend on how items become ids."""

    Settings = BarSettings
    velocity_step = VELOCITY_STEP
    settings: BarSettings

    @property
    def steps(self) -> int:
        return self.settings.positions_per_quarter

    @cached_property
    def durations(self) -> np.ndarray:
        """Possible durations in grid steps: every step up to 2 quarters, then sixteenths up to 4, eighths up to 8 and
        quarters up to 16 quarters."""
        r = self.steps
        return np.concatenate(
            [
                np.arange(1, 2 * r + 1),
                np.arange(2 * r + r // 4, 4 * r + 1, r // 4),
                np.arange(4 * r + r // 2, 8 * r + 1, r // 2),
                np.arange(9 * r, 16 * r + 1, r),
            ]
        )

    @cached_property
    def _nearest_duration(self) -> np.ndarray:
        """The index of the nearest duration for each length 0 .. 16 quarters in grid steps."""
        midpoints = (self.durations[1:] + self.durations[:-1] + 1) // 2
        return np.searchsorted(midpoints, np.arange(16 * self.steps + 1), side="right")

    # ---- piece -> items --------------------------------------------------------------------------

    def items(self, piece: Piece, until: int | None, *, voiced: tuple[np.ndarray, np.ndarray] | None = None) -> Items:
        """The piece's bars, tempi and notes in order; `voiced` replaces the result of `voiced_notes`.

        The last bar is that of the last onset, or the one that contains tick `until` - 1 if that is later.
        Notes on one onset ascend by (program, pitch), drums last; a tempo precedes the notes.
        """
        r = self.steps
        notes, program = self.voiced_notes(piece) if voiced is None else voiced
        last = max(int(notes["start"].max()) if len(notes) else 0, (until or 1) - 1)
        bars = BarGrid(piece, last + 1, r)
        note_bar, note_position = bars.place(notes["start"])
        tempo_bar, tempo_position, tempo_value = self.tempo_items(piece, bars, last)
        count = max(bars.of_tick(until - 1) + 1 if until else 0, int(note_bar.max()) + 1 if len(notes) else 0, 1)
        keep = tempo_bar < count
        tempo_bar, tempo_position, tempo_value = tempo_bar[keep], tempo_position[keep], tempo_value[keep]

        step = bars.step
        steps = (2 * notes["duration"] * (16 * r) + step) // (2 * step)
        duration = self._nearest_duration[np.clip(steps, 1, 16 * r)]
        # One key for each note sorts and identifies it: bar, slot in the bar (0: the bar itself), program, pitch, and
        # the longest first, so that of notes with equal onset, program and pitch the first is kept.
        key = _key(note_bar, note_position + 1, program + 1, notes["pitch"]) * 1024 + (1023 - duration)
        order = np.argsort(key, kind="stable")
        key = key[order]
        keep = changes(key >> 10)
        order, key = order[keep], key[keep]

        zeros_bar, zeros_tempo = np.zeros(count, np.int64), np.zeros(len(tempo_bar), np.int64)
        keys = [_key(np.arange(count), zeros_bar, zeros_bar, zeros_bar) * 1024]
        keys += [_key(tempo_bar, tempo_position + 1, zeros_tempo, zeros_tempo) * 1024, key]
        kinds = np.repeat(np.arange(3), [count, len(tempo_bar), len(key)])
        merged = np.concatenate(keys)
        at = np.argsort(merged, kind="stable")  # item order: bars, tempi and notes
        merged, kinds = merged[at], kinds[at]
        slot = merged >> 25  # bar and slot
        position = (slot & 0x3FFF) - 1
        is_bar = kinds == 0
        new_slot = changes(slot) & ~is_bar
        spans = np.zeros(len(slot), np.int64)
        if position.max() >= SPAN_QUARTERS * r:  # rare: bars this long
            window = np.maximum(position, 0) // (SPAN_QUARTERS * r)
            spans[1:] = np.where(new_slot[1:], np.diff(window), 0)
        return Items(
            is_bar,
            kinds == 1,
            kinds == 2,
            bars.meter_value[:count],
            slot,
            position,
            spans,
            ((merged >> 17) & 0xFF) - 1,
            tempo_value,
            notes["pitch"][order].astype(np.int64),
            notes["velocity"][order].astype(np.int64) // VELOCITY_STEP,
            duration[order],
        )

    def voiced_notes(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """(notes of all tracks, concatenated; the number of each note's voice, here its program value)."""
        return _all_notes(piece)

    def tempo_items(self, piece: Piece, bars: BarGrid, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(bar, position, value) of the tempo items up to tick `last`."""
        return _tempos(piece, bars, last)

    @abstractmethod
    def notes(self, ids: np.ndarray) -> Spelled:
        """The notes in any slice of ids. Notes before the first bar token are left out."""

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` clamps or merges, besides timing."""
        notes, _ = self.voiced_notes(piece)
        lines = []
        long = int((notes["duration"] > 16 * piece.ticks_per_quarter).sum())
        if long:
            lines.append(f"durations: {counted(long, 'note')} longer than 16 quarters {was(long)} shortened")
        merged = len(notes) - self.count_notes(self.encode(piece))
        if merged:
            lines.append(
                f"unisons: {counted(merged, 'note')} on the same onset, pitch and program {was(merged)} merged"
            )
        bpm = 60e6 / piece.tempos["microseconds"]
        if ((bpm < TEMPO_LOWEST / 1.03) | (bpm > 320 * 1.03)).any():
            lines.append("tempi: values outside 20..320 were clamped")
        bars = BarGrid(piece, int(notes["start"].max(initial=0)) + 1, self.steps)
        if bars.moved:
            lines.append(
                f"bars: {counted(bars.moved, 'bar')} cut short off the 64th-note grid {was(bars.moved)} adjusted"
            )
        return lines

    # ---- items -> piece --------------------------------------------------------------------------

    def velocity_of(self, value: np.ndarray) -> np.ndarray:
        """MIDI velocities at the middle of velocity steps."""
        return value * VELOCITY_STEP + VELOCITY_STEP // 2

    def piece_of(self, n: Spelled, *, meter: np.ndarray, tempo: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Piece:
        """Make a piece of decoded notes: one track for each program, ascending, drums last; 480 ticks a quarter.

        `meter` holds each bar's meter value, -1 where it is missing and the previous bar's meter (4/4 at first)
        continues; `tempo` is (bar, grid position, value) of the tempo changes.
        """
        meters, bar_start = _meters(meter)
        per_step = TICKS_PER_QUARTER // self.steps
        table = np.zeros(len(n.at), NOTE)
        table["start"] = bar_start[n.bar] + n.position * per_step
        table["duration"], table["pitch"], table["velocity"] = n.duration * per_step, n.pitch, n.velocity
        tracks = []
        for program in np.unique(n.program).tolist():
            chosen = table[n.program == program]
            key = chosen["start"] << 7 | chosen["pitch"]
            if (key[1:] < key[:-1]).any():  # sequences that the grammar allows are sorted already
                chosen = chosen[np.argsort(key, kind="stable")]
            tracks.append(Track("", 0 if program == DRUMS else program, program == DRUMS, chosen))
        bar, position, value = tempo
        tempos = np.zeros(len(bar), TEMPO)
        tempos["tick"] = bar_start[bar] + position * per_step
        tempos["microseconds"] = np.rint(60e6 / (TEMPO_LOWEST * 2 ** (value / TEMPOS_PER_OCTAVE)))
        return Piece(TICKS_PER_QUARTER, tuple(tracks), tempos, meters)

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program value of each) of the ids sampled after `prompt`."""
        # Decode an unfinished bar from its beginning, so that positions count from the bar's start.
        opening = prompt[int(self.bar_positions(prompt)[-1]) :] if anchor.fills else prompt[:0]
        n = self.notes(np.concatenate([opening, ids]))
        new = n.at >= len(opening)
        per_step = anchor.ticks_per_quarter / self.steps
        notes = np.zeros(int(new.sum()), NOTE)
        start = anchor.bar_start + n.bar[new] * anchor.bar_length + n.position[new] * per_step
        notes["start"] = np.maximum(np.rint(start), anchor.tick)
        notes["duration"] = np.maximum(1, np.rint(n.duration[new] * per_step))
        notes["pitch"], notes["velocity"] = n.pitch[new], np.maximum(1, n.velocity[new])
        return notes, n.program[new]

    # ---- on ids ----------------------------------------------------------------------------------

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """The last bars that fit into `room` steps; if the last bar alone doesn't fit, its head and last onsets."""
        if len(ids) <= room:
            return ids
        bars = self.bar_positions(ids)
        fitting = bars[bars >= len(ids) - room]
        return ids[fitting[0] :] if len(fitting) else self._tail_of_bar(ids, int(bars[-1]), room)

    @abstractmethod
    def _tail_of_bar(self, ids: np.ndarray, bar: int, room: int) -> np.ndarray:
        """The head and the last onsets of the bar at index `bar`, which doesn't fit into `room` steps."""

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` with every tempo multiplied by 2 ** (steps / 12), clipped to the range of tempi."""
        is_tempo = self.vocabulary.is_kind(ids, "tempo")
        out = ids.copy()
        base = self.vocabulary.base["tempo"]
        out[is_tempo] = (ids[is_tempo].astype(np.int64) - base + steps).clip(0, N_TEMPOS - 1) + base
        return out

    def with_programs(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with its melodic programs replaced by random ones in the same order, so that notes stay sorted."""
        is_program = self.vocabulary.is_kind(ids, "program")
        base = self.vocabulary.base["program"]
        found = np.unique(ids[is_program].astype(np.int64) - base)
        found = found[found != DRUMS]
        others = np.arange(129)
        others[found] = np.sort(rng.choice(128, len(found), replace=False))
        out = ids.copy()
        out[is_program] = others[ids[is_program].astype(np.int64) - base] + base
        return out


def _tempos(piece: Piece, bars: BarGrid, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bar, position, value) of the tempo items up to tick `last`: at the start, then wherever the value changes."""
    ticks, us = piece.tempos["tick"], piece.tempos["microseconds"]
    if not len(ticks) or (len(ticks) == 1 and ticks[0] == 0):  # the usual piece
        zero = np.zeros(1, np.int64)
        return zero, zero, tempo_values(us if len(us) else np.array([500_000]))
    if not len(ticks) or ticks[0] > 0:
        ticks, us = np.append(0, ticks), np.append(500_000, us)
    ticks, us = ticks[ticks <= last], us[ticks <= last]
    value = tempo_values(us)
    bar, position = bars.place(ticks)
    slot = bar << 14 | position
    keep = np.append(slot[1:] != slot[:-1], True)  # the last of several at one position
    bar, position, value = bar[keep], position[keep], value[keep]
    keep = np.append(True, value[1:] != value[:-1])
    return bar[keep], position[keep], value[keep]


def tempo_values(us: np.ndarray) -> np.ndarray:
    """The tempo values nearest to `us` microseconds a quarter note."""
    value: np.ndarray = np.rint(TEMPOS_PER_OCTAVE * np.log2(60e6 / us / TEMPO_LOWEST)).astype(np.int64)
    return value.clip(0, N_TEMPOS - 1)


def changes(values: np.ndarray) -> np.ndarray:
    """Boolean mask of values that differ from the one before; True for the first. Three times faster than np.append."""
    differs = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=differs[1:])
    return differs


def _meters(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(METER array of the changes, start tick of every bar and the end of the last)."""
    if len(value) and value.min() < 0:
        source = np.maximum.accumulate(np.where(value >= 0, np.arange(len(value)), -1))
        value = np.where(source >= 0, value[np.maximum(source, 0)], FOUR_FOUR)
    numerator = value // len(DENOMINATORS) + 1
    denominator = np.array(DENOMINATORS)[value % len(DENOMINATORS)]
    length = numerator * (4 * TICKS_PER_QUARTER) // denominator
    start = np.concatenate([[0], np.cumsum(length)])
    new = np.flatnonzero(changes(value))
    meters = np.zeros(len(new), METER)
    meters["tick"], meters["numerator"], meters["denominator"] = start[new], numerator[new], denominator[new]
    return meters, start


def _all_notes(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """(notes of all tracks, concatenated; the program value of each)."""
    tracks = [t for t in piece.tracks if len(t.notes)]
    if not tracks:
        return np.empty(0, NOTE), np.empty(0, np.int64)
    program = np.repeat([DRUMS if t.is_drum else t.program for t in tracks], [len(t.notes) for t in tracks])
    return np.concatenate([t.notes for t in tracks]), program.astype(np.int64)


def _key(bar: np.ndarray, slot: np.ndarray, program: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    key: np.ndarray = ((bar.astype(np.int64) << 14 | slot) << 8 | program) << 7 | pitch
    return key

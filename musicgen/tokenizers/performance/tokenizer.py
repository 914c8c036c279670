"""The `performance` tokenizer: note-ons, note-offs and time shifts, without bars or parts.

Events are 128 note-ons, 128 note-offs, 100 time shifts (10 ms to 1 s) and 32 velocities; optionally the sustain
pedal too. Times are seconds from tick 0 by the tempo map, rounded to steps of 10 ms. On one step come note-offs, the
pedal, then note-ons, note-offs and note-ons each ascending by pitch; a velocity token is written where the value
changes. A gap is as many shifts of 1 s as fit, then the remainder. All melodic parts become one; drums are left out.

Notes of one pitch don't overlap: each ends where the next begins, and of equal onsets the longest is kept. Every note
lasts from 10 ms to 20 s.

Sources: Oore et al. 2018, "This Time with Feeling", arXiv:1808.03715 (the events; stretched and transposed copies);
Huang et al. 2018, "Music Transformer" (the same events under attention).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.io.controllers import SUSTAIN, changes
from musicgen.piece import CONTROL, NOTE, Piece, Track
from musicgen.schemas import typed
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints, check_length
from musicgen.tokenizers.performance.events import (
    note_events,
    onset_shifts,
    pedal_changes,
    pedal_events,
    read_keys,
    settle,
    spell,
    stretch,
)
from musicgen.tokenizers.performance.grammar import LONGEST, LONGEST_SHIFT, STEPS_PER_SECOND, PerformanceGrammar
from musicgen.words import counted, was

__all__ = ["Performance", "PerformanceSettings"]

TICKS_PER_QUARTER = 500  # of decoded pieces: at 120 quarters a minute, where no tempo is given, a tick is 1 ms
TICKS_PER_STEP = 10
VELOCITY_STEP = 4
DEFAULT_VELOCITY = 16  # velocity value of notes before the first velocity token: mezzo-forte


@dataclass(frozen=True)
class PerformanceSettings:
    """`pedal`: whether sustain pedal events (controller 64) are encoded."""

    pedal: bool = False

    def __post_init__(self) -> None:
        typed(self, where=None)


class Performance(Tokenizer):
    """Piece <-> ids, (T,)."""

    name = "performance"
    pitched = ("on", "off")
    velocity_step = VELOCITY_STEP
    Settings = PerformanceSettings
    settings: PerformanceSettings

    def _kinds(self) -> dict[str, int]:
        kinds = {"pad": 1, "bos": 1, "eos": 1, "on": 128, "off": 128, "shift": LONGEST_SHIFT, "velocity": 32}
        return kinds | ({"pedal": 2} if self.settings.pedal else {})

    # ---- piece -> ids ----------------------------------------------------------------------------

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids, (T,) uint16, from BOS to EOS; time continues to tick `until` if that is later."""
        notes = _melodic_notes(piece)
        start, end = _steps(piece, notes["start"], notes["start"] + notes["duration"])
        (stop,) = _steps(piece, np.array([until or 0]))
        check_length(max(int(start.max(initial=0)), int(stop[0])) / LONGEST_SHIFT, "seconds")
        length = np.clip(end - start, 1, LONGEST)
        start, length, pitch, velocity = settle(start, length, notes["pitch"], notes["velocity"] // VELOCITY_STEP)
        events = note_events(start, length, pitch, velocity)
        if self.settings.pedal:
            last = int((start + length).max(initial=0))
            events = np.concatenate([events, pedal_events(*_pedal(piece, last))])
        v = self.vocabulary
        body = spell(v, events, time=int(stop[0]))
        return np.concatenate([[v.id("bos")], body, [v.id("eos")]]).astype(np.uint16)

    # ---- ids -> piece ----------------------------------------------------------------------------

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode: one piano, 500 ticks a quarter at 120, so that a step is ten ticks.

        A note without note-off ends with the ids; a note-off without note-on is ignored.
        """
        k = read_keys(self.vocabulary, ids, velocity=DEFAULT_VELOCITY)
        notes = np.zeros(len(k.start), NOTE)
        notes["start"] = k.start * TICKS_PER_STEP
        notes["duration"] = np.maximum(np.where(k.end < 0, k.time, k.end) - k.start, 1) * TICKS_PER_STEP
        notes["pitch"], notes["velocity"] = k.pitch, k.velocity * VELOCITY_STEP + VELOCITY_STEP // 2
        notes = notes[np.argsort(k.start << 7 | k.pitch, kind="stable")]
        controls = np.zeros(len(k.pedal[0]), CONTROL)
        controls["tick"], controls["number"] = k.pedal[0] * TICKS_PER_STEP, SUSTAIN
        controls["value"] = k.pedal[1] * 127
        tracks = (Track("", 0, False, notes, controls),) if len(notes) or len(controls) else ()
        return Piece(TICKS_PER_QUARTER, tracks)

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` leaves out, clips or merges, besides timing."""
        notes = _melodic_notes(piece)
        start, end = _steps(piece, notes["start"], notes["start"] + notes["duration"])
        pitch, lines = notes["pitch"].astype(np.int64), []
        if drums := sum(len(t.notes) for t in piece.tracks if t.is_drum):
            lines.append(f"drums: {counted(drums, 'note')} {was(drums)} left out")
        programs = {t.program for t in piece.tracks if len(t.notes) and not t.is_drum}
        if programs - {0}:
            lines.append(f"programs: {counted(len(programs), 'instrument')} became one piano")
        if long := int((end - start > LONGEST).sum()):
            lines.append(
                f"durations: {counted(long, 'note')} longer than {LONGEST // STEPS_PER_SECOND} s {was(long)} shortened"
            )
        order = np.lexsort((end, start, pitch))
        same = np.diff(pitch[order]) == 0
        gap, reach = np.diff(start[order])[same], np.minimum(end - start, LONGEST)[order][:-1][same]
        if merged := int((gap == 0).sum()):
            lines.append(f"unisons: {counted(merged, 'note')} on the same onset and pitch {was(merged)} merged")
        if struck := int(((gap > 0) & (reach > gap)).sum()):
            lines.append(f"overlaps: {counted(struck, 'note')} {was(struck)} ended by the next one of the same pitch")
        return lines

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program 0 of each) of the ids sampled after `prompt`; time 0 is the cut.

        Note-offs of the prompt's notes are ignored. A note without note-off lasts for 20 s.
        """
        velocities = prompt[self.vocabulary.is_kind(prompt, "velocity")]
        velocity = int(velocities[-1]) - self.vocabulary.base["velocity"] if len(velocities) else DEFAULT_VELOCITY
        k = read_keys(self.vocabulary, ids, velocity=velocity)
        order = np.argsort(k.start << 7 | k.pitch, kind="stable")
        start, end = k.start[order], np.where(k.end < 0, k.start + LONGEST, k.end)[order]
        per_step = 1e6 * anchor.ticks_per_quarter / (anchor.microseconds * STEPS_PER_SECOND)
        notes = np.zeros(len(start), NOTE)
        notes["start"] = anchor.tick + np.rint(start * per_step)
        stop = anchor.tick + np.rint(np.maximum(end, start + 1) * per_step).astype(np.int64)
        notes["duration"] = np.maximum(1, stop - notes["start"])
        notes["pitch"] = k.pitch[order]
        notes["velocity"] = k.velocity[order] * VELOCITY_STEP + VELOCITY_STEP // 2
        return notes, np.zeros(len(notes), np.int64)

    # ---- on ids ----------------------------------------------------------------------------------

    def count_notes(self, ids: np.ndarray) -> int:
        return int(self.vocabulary.is_kind(np.asarray(ids), "on").sum())

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` with all times divided by 2 ** (steps / 12); the number of ids may change."""
        if not steps or not len(ids):
            return ids
        v = self.vocabulary
        head, tail = ids[: int(ids[0] == v.id("bos"))], ids[len(ids) - int(ids[-1] == v.id("eos")) :]
        events, time = stretch(read_keys(v, ids), 2 ** (-steps / 12), pedal=0 if len(head) else -1)
        return np.concatenate([head, spell(v, events, time=time), tail]).astype(ids.dtype)

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices of the shifts before onsets that follow silence; if there are none, of those before any onset."""
        at, silent = onset_shifts(self.vocabulary, ids)
        return at[silent] if silent.any() else at

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """At most the last `room` ids, beginning with a shift before an onset; one in silence is preferred if it is in
        the first quarter of them."""
        if len(ids) <= room:
            return ids
        at, silent = onset_shifts(self.vocabulary, ids)
        fits = at >= len(ids) - room
        quiet = at[fits & silent & (at <= len(ids) - room + room // 4)]
        found = quiet if len(quiet) else at[fits]
        return ids[found[0] if len(found) else len(ids) - room :]

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> PerformanceGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a piece (after BOS)."""
        return PerformanceGrammar(self.vocabulary, constraints, inside=inside)


def _melodic_notes(piece: Piece) -> np.ndarray:
    """The notes of all tracks but drums, concatenated."""
    tracks = [t.notes for t in piece.tracks if not t.is_drum and len(t.notes)]
    return np.concatenate(tracks) if tracks else np.empty(0, NOTE)


def _steps(piece: Piece, *ticks: np.ndarray) -> list[np.ndarray]:
    """Each array of ticks rounded to steps of 10 ms; halves round up."""
    seconds = piece.to_seconds(np.concatenate(ticks))
    steps = np.floor(seconds * STEPS_PER_SECOND + 0.5).astype(np.int64)
    return np.split(steps, np.cumsum([len(t) for t in ticks])[:-1])


def _pedal(piece: Piece, last: int) -> tuple[np.ndarray, np.ndarray]:
    """(step, 0 or 1) of the pedal's changes, down while the pedal of any part is. From step `last` on only a release
    of a pedal that is down is kept."""
    ticks, turns = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    # Parts on one channel have the same controllers, mostly as the same array.
    for controls in {id(t.controls): t.controls for t in piece.tracks if not t.is_drum and len(t.controls)}.values():
        tick, value = changes(controls, SUSTAIN)
        ticks.append(tick)
        turns.append(np.diff(np.append(0, value >= 64)))
    tick = np.concatenate(ticks)
    order = np.argsort(tick, kind="stable")
    (step,) = _steps(piece, tick[order])
    step, down = pedal_changes(step, (np.cumsum(np.concatenate(turns)[order]) > 0).astype(np.int64), before=0)
    keep = int((step < last).sum())
    return step[: keep + keep % 2], down[: keep + keep % 2]

"""Conversion between notes and ids for the `performance` tokenizer, with arrays of times in steps of 10 ms.

An event is packed into one integer of step, kind, pitch and velocity, so that sorting the integers gives the order in
which events are encoded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicgen.tokenizers.performance.grammar import LONGEST, LONGEST_SHIFT
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = [
    "UNKNOWN",
    "Keys",
    "note_events",
    "onset_shifts",
    "pedal_changes",
    "pedal_events",
    "read_keys",
    "settle",
    "spell",
    "stretch",
]

OPEN = 2047  # a length: the note has no note-off
UNKNOWN = 32  # a velocity value: set before the ids begin, so unknown
OFF, PEDAL, ON = range(3)  # the order of events on one step


class Keys(NamedTuple):
    """The notes and pedal changes in a sequence of ids. Times are steps; notes ascend by (pitch, start)."""

    start: np.ndarray
    end: np.ndarray  # -1 for a note without note-off
    pitch: np.ndarray
    velocity: np.ndarray  # velocity values; the initial one before the first velocity token
    stray: tuple[np.ndarray, np.ndarray]  # (step, pitch) of note-offs of notes that began before the ids
    pedal: tuple[np.ndarray, np.ndarray]  # (step, 1 for down or 0 for up)
    time: int  # step at which the ids end


def settle(
    start: np.ndarray, length: np.ndarray, pitch: np.ndarray, velocity: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Remove overlaps on each pitch; (start, length, pitch, velocity), ascending by (pitch, start).

    A note ends where the next one of its pitch begins; of equal onsets the longest is kept, then the loudest.
    """
    onset = pitch.astype(np.int64) << 39 | start
    key = np.sort((onset << 11 | OPEN - length) << 6 | 63 - velocity.astype(np.int64))
    onset = key >> 17
    first = np.append(True, onset[1:] != onset[:-1])[: len(key)]
    key, onset = key[first], onset[first]
    # The last note of a pitch isn't shortened, as the key of the next pitch is farther away than any length.
    gap = np.append(onset[1:] - onset[:-1], OPEN)[: len(key)]
    length = np.minimum(OPEN - (key >> 6 & OPEN), gap)
    return onset & (1 << 39) - 1, length, onset >> 39, 63 - (key & 63)


def pack(kind: int, step: np.ndarray, pitch: np.ndarray, velocity: np.ndarray | int = 0) -> np.ndarray:
    """Pack events of one kind into integers; for the pedal, `pitch` is 0 or 1."""
    packed: np.ndarray = ((step << 2 | kind) << 7 | pitch) << 6 | velocity
    return packed


def note_events(start: np.ndarray, length: np.ndarray, pitch: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Packed note-ons and note-offs; a note of length OPEN has no note-off."""
    ended = length != OPEN
    ends = start + length if ended.all() else (start + length)[ended]
    return np.concatenate([pack(ON, start, pitch, velocity), pack(OFF, ends, pitch if ended.all() else pitch[ended])])


def pedal_changes(step: np.ndarray, down: np.ndarray, *, before: int) -> tuple[np.ndarray, np.ndarray]:
    """(step, 0 or 1) of the pedal's changes: the last event on each step, if it differs from the state before.

    `before` is the state before the first event.
    """
    last = np.append(step[1:] != step[:-1], True)[: len(step)]
    step, down = step[last], down[last]
    changes = down != np.append(before, down[:-1])[: len(down)]
    return step[changes], down[changes]


def pedal_events(step: np.ndarray, down: np.ndarray) -> np.ndarray:
    return pack(PEDAL, step, down)


def spell(v: Vocabulary, events: np.ndarray, *, time: int) -> np.ndarray:
    """The ids of packed events (see `pack`), then shifts up to step `time`; without BOS and EOS."""
    step, kind, pitch, velocity = _unpack(np.sort(events))
    last = int(step[-1]) if len(step) else 0
    gap = np.diff(step, prepend=0, append=max(time, last))  # before each event, and after the last one
    shifts, rest = -(-gap // LONGEST_SHIFT), gap % LONGEST_SHIFT
    ons = np.flatnonzero(kind == ON)
    latest = np.maximum.accumulate(np.where(velocity[ons] != UNKNOWN, np.arange(len(ons)), 0))
    loud = velocity[ons][latest]
    changes = ons[np.append(UNKNOWN, loud[:-1])[: len(loud)] != loud]

    width = shifts.copy()
    width[:-1] += 1
    width[changes] += 1
    stop = np.cumsum(width)
    ids = np.full(int(stop[-1]), v.id("shift", LONGEST_SHIFT - 1), np.uint16)
    partial = np.flatnonzero(rest)
    ids[(stop - width + shifts)[partial] - 1] = v.base["shift"] + rest[partial] - 1
    at = stop[:-1] - 1
    ids[at] = np.array([v.base["off"], v.base.get("pedal", 0), v.base["on"]])[kind] + pitch
    ids[at[changes] - 1] = v.base["velocity"] + velocity[changes]
    return ids


def read_keys(v: Vocabulary, ids: np.ndarray, *, velocity: int = UNKNOWN) -> Keys:
    """The notes and pedal changes in any slice of ids; `velocity` is the velocity value in effect before it."""
    ids = np.asarray(ids).astype(np.int64)
    here = np.arange(len(ids))
    step = np.cumsum(np.where(v.is_kind(ids, "shift"), ids - v.base["shift"] + 1, 0))
    last_velocity = np.maximum.accumulate(np.where(v.is_kind(ids, "velocity"), here, -1))

    at = np.flatnonzero((ids >= v.base["on"]) & (ids < v.base["shift"]))
    key = np.sort((ids[at] - v.base["on"]) % 128 << 40 | at)  # note-ons and note-offs of each pitch, in order
    at, pitch = key & (1 << 40) - 1, key >> 40
    when, on = step[at], ids[at] < v.base["off"]
    turns = np.append(True, pitch[1:] != pitch[:-1])[: len(pitch)]
    end = np.where(np.append(turns[1:], True)[: len(turns)], -1, np.append(when[1:], -1)[: len(when)])
    stray = ~on & turns
    known = last_velocity[at[on]]
    loud = np.where(known >= 0, ids[known] - v.base["velocity"], velocity) if len(ids) else known
    pedal = np.flatnonzero(v.is_kind(ids, "pedal")) if "pedal" in v.sizes else np.zeros(0, np.int64)
    return Keys(
        when[on],
        end[on],
        pitch[on],
        loud,
        (when[stray], pitch[stray]),
        (step[pedal], ids[pedal] - v.base.get("pedal", 0)),
        int(step[-1]) if len(step) else 0,
    )


def onset_shifts(v: Vocabulary, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(indices of the last shifts before onsets, whether no note sounds at each)."""
    ids = np.asarray(ids)
    on, off = v.is_kind(ids, "on"), v.is_kind(ids, "off")
    shift = np.maximum.accumulate(np.where(v.is_kind(ids, "shift"), np.arange(len(ids)), -1))
    at = np.unique(shift[on])
    at = at[at >= 0]
    sounding = np.cumsum(on.astype(np.int64) - off) + len(read_keys(v, ids).stray[0])
    return at, sounding[at] <= 0


def stretch(keys: Keys, factor: float, *, pedal: int) -> tuple[np.ndarray, int]:
    """Multiply all times of `keys` by `factor`; `pedal` is the pedal's state before them, 0 or 1, -1 if unknown.

    Returns (packed events, step up to which silence continues after them, 0 for none). As Oore et al. 2018 stretch
    their training data (arXiv:1808.03715).
    """

    def moved(steps: np.ndarray) -> np.ndarray:
        return np.floor(steps * factor + 0.5).astype(np.int64)

    start = moved(keys.start)
    length = np.where(keys.end < 0, OPEN, np.clip(moved(keys.end) - start, 1, LONGEST))
    step, pitch = keys.stray
    events = [note_events(*settle(start, length, keys.pitch, keys.velocity)), pack(OFF, moved(step), pitch)]
    events.append(pedal_events(*pedal_changes(moved(keys.pedal[0]), keys.pedal[1], before=pedal)))
    last = max(int(a.max(initial=0)) for a in (keys.start, keys.end, step, keys.pedal[0]))
    # The end is needed only if silence follows the last event; shortening a long note adds none.
    return np.concatenate(events), int(moved(np.array([keys.time]))[0]) if keys.time > last else 0


def _unpack(events: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(step, kind, pitch, velocity) of packed events."""
    return events >> 15, events >> 13 & 3, events >> 6 & 127, events & 63

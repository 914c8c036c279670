"""Vectorised matching of events: note-ons with note-offs, and notes with the last events before them."""

from __future__ import annotations

import numpy as np

__all__ = ["count_of", "last_of", "narrow", "one_at_a_time", "pair_notes"]


def pair_notes(key: np.ndarray, is_on: np.ndarray) -> np.ndarray:
    """For each note-on, in file order, the index of its note-off in the arrays, or -1; first on, first off.

    Note-ons and note-offs can match if they have the same `key` (pitch, track and channel). For each key, open notes
    are counted along the file: a note-off while none is open is dropped, and the k-th on is paired with the k-th off
    that is left.
    """
    order = np.argsort(narrow(key), kind="stable")
    key, on = key[order], is_on[order]
    step = np.where(on, 1, -1)
    depth = np.cumsum(step)
    fresh = np.append(True, key[1:] != key[:-1])[: len(key)]
    group = np.cumsum(fresh) - 1
    depth -= (depth - step)[fresh][group]
    # Offs dropped so far in the group = how far the running minimum has gone below zero. Each group is shifted
    # down by more than any depth, so that one running minimum serves all groups.
    far = 2 * (len(key) + 1)
    lowest = np.minimum.accumulate(np.minimum(depth, 0) - group * far) + group * far
    dropped = -np.minimum(lowest, 0)
    before = np.where(fresh, 0, np.append(0, dropped)[:-1])

    on_at, off_at = np.flatnonzero(on), np.flatnonzero(~on & (dropped == before))
    ons_per, offs_per = (np.bincount(group[at], minlength=1) for at in (on_at, off_at))
    first_on, first_off = (np.cumsum(per) - per for per in (ons_per, offs_per))
    g = group[off_at]
    ends = np.full(len(on_at), -1)
    ends[first_on[g] + np.arange(len(off_at)) - first_off[g]] = order[off_at]
    off = np.full(len(key), -1)
    off[order[on_at]] = ends
    found: np.ndarray = off[is_on]
    return found


def one_at_a_time(ticks: list[int], is_on: list[bool]) -> dict[int, int]:
    """Pair the events of one key with more ons than offs, where first on, first off gives wrong lengths.

    From the last time at which nothing sounded, a note ends with the next event of the key on a later tick, on or
    off, as on any synthesizer; notes that begin together end together. Returns {index of the on: index of the event
    that ends it, or -1}, without the notes before that time.
    """
    begin = depth = 0
    for place, on in enumerate(is_on):
        begin = place if on and not depth else begin
        depth = depth + 1 if on else max(0, depth - 1)
    ends: dict[int, int] = {}
    sounding: list[int] = []
    owed = -1  # tick at which an off may still belong to the previous note
    for place in range(begin, len(ticks)):
        if is_on[place]:
            if sounding and ticks[sounding[0]] < ticks[place]:
                ends.update(dict.fromkeys(sounding, place))
                sounding, owed = [], ticks[place]
            ends[place] = -1
            sounding.append(place)
        elif ticks[place] == owed:
            owed = -1
        else:
            ends.update(dict.fromkeys(sounding, place))
            sounding = []
    return ends


def last_of(group: np.ndarray, when: np.ndarray, wanted_group: np.ndarray, wanted_when: np.ndarray) -> np.ndarray:
    """For each wanted group and time the index of that group's last event up to and including that time, or -1.

    Of several at one time it is the last in the arrays.
    """
    if not len(group):
        return np.full(len(wanted_group), -1)
    order = np.lexsort((when, group))
    group, when = group[order].astype(np.int64), when[order]
    span = max(int(when.max()), int(wanted_when.max(initial=0))) + 1
    wanted_group = wanted_group.astype(np.int64)
    at = np.searchsorted(group * span + when, wanted_group * span + wanted_when, side="right") - 1
    return np.where((at >= 0) & (group[at] == wanted_group), order[at], -1)


def count_of(group: np.ndarray, when: np.ndarray, wanted_group: np.ndarray, wanted_when: np.ndarray) -> np.ndarray:
    """The number of events of each wanted group up to and including the wanted time."""
    span = max(int(when.max(initial=0)), int(wanted_when.max(initial=0))) + 1
    keys = np.sort(group.astype(np.int64) * span + when)
    wanted = wanted_group.astype(np.int64) * span
    count: np.ndarray = np.searchsorted(keys, wanted + wanted_when, side="right") - np.searchsorted(keys, wanted)
    return count


def narrow(keys: np.ndarray) -> np.ndarray:
    """Non-negative keys in the smallest integer type that holds them; numpy radix-sorts those of up to 16 bits."""
    return keys.astype(np.min_scalar_type(int(keys.max(initial=0))))

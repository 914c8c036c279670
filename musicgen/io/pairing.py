"""Note-ons and note-offs, settings and notes brought together: array work without a Python object an event."""

from __future__ import annotations

import numpy as np

__all__ = ["latest", "narrow", "pair_notes"]


def pair_notes(key: np.ndarray, is_on: np.ndarray) -> np.ndarray:
    """For each note-on, in file order, where its off stands among the ons and offs, or -1: first on, first off.

    `key` tells what can end what: the pitch, with track and channel. Per key, count the open notes along the
    file: an off that meets none is dropped, and the k-th on belongs to the k-th off that is left.
    """
    order = np.argsort(narrow(key), kind="stable")
    key, on = key[order], is_on[order]
    step = np.where(on, 1, -1)
    depth = np.cumsum(step)
    fresh = np.append(True, key[1:] != key[:-1])[: len(key)]
    group = np.cumsum(fresh) - 1
    depth -= (depth - step)[fresh][group]
    # Offs dropped so far in the group = how far the running minimum has gone below zero. Groups are laid
    # one under the other, far apart, so that one running minimum serves them all.
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
    return off[is_on]


def latest(
    values: np.ndarray, group: np.ndarray, when: np.ndarray, wanted_group: np.ndarray, wanted_when: np.ndarray
) -> np.ndarray:
    """For each wanted group and time the latest value of that group up to that time, or 0."""
    order = np.lexsort((when, group))
    values, group, when = values[order].astype(np.int64), group[order].astype(np.int64), when[order]
    span = max(int(when.max()), int(wanted_when.max())) + 1
    at = np.searchsorted(group * span + when, wanted_group * span + wanted_when, side="right") - 1
    return np.where((at >= 0) & (group[at] == wanted_group), values[at], 0)


def narrow(keys: np.ndarray) -> np.ndarray:
    """Keys of 0 or more in the smallest type that holds them: numpy sorts those of up to 16 bits by counting."""
    return keys.astype(np.min_scalar_type(int(keys.max(initial=0))))

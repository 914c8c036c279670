"""Musical measures, each a pure function of arrays.

`notes` are NOTE arrays, `pitch` MIDI numbers; drums are left out by the caller where pitch matters. Times are in ticks.
All but the entropies (bits) and counts are shares from 0 to 1. Where there is nothing to measure they are NaN.

Source: the definitions of Dong et al. 2020, "MusPy: a toolkit for symbolic music generation", section 4, and what it
cites: Mogren 2016 (polyphony, scale consistency), Wu and Yang 2020, "The Jazz Transformer on the front line" (pitch
class entropy, groove consistency). A test compares each with muspy's value.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "entropy",
    "groove_consistency",
    "pitch_class_entropy",
    "pitch_classes_used",
    "pitch_entropy",
    "pitches_used",
    "polyphony",
    "polyphony_rate",
    "scale_consistency",
]

_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], bool)  # a natural minor scale has those of its relative major


def entropy(counts: np.ndarray) -> float:
    """The entropy of a histogram in bits; NaN if it is empty."""
    total = counts.sum()
    if not total:
        return math.nan
    share = counts[counts > 0] / total
    return float(-(share * np.log2(share)).sum())


def pitch_entropy(pitch: np.ndarray) -> float:
    """The entropy of the 128 pitches in bits, at most 7."""
    return entropy(np.bincount(pitch, minlength=128))


def pitch_class_entropy(pitch: np.ndarray) -> float:
    """The entropy of the twelve pitch classes in bits, at most 3.58."""
    return entropy(np.bincount(pitch.astype(np.int64) % 12, minlength=12))


def pitches_used(pitch: np.ndarray) -> int:
    """The number of different pitches."""
    return len(np.unique(pitch))


def pitch_classes_used(pitch: np.ndarray) -> int:
    """The number of different pitch classes, at most 12."""
    return len(np.unique(pitch.astype(np.int64) % 12))


def scale_consistency(pitch: np.ndarray) -> float:
    """The share of notes in the major or natural minor scale that has most of them."""
    counts = np.bincount(pitch.astype(np.int64) % 12, minlength=12)
    if not counts.sum():
        return math.nan
    return float(max(counts[np.roll(_MAJOR, root)].sum() for root in range(12)) / counts.sum())


def polyphony(notes: np.ndarray) -> float:
    """The mean number of different pitches that sound at once while any does."""
    spans, sounding = _sounding(notes)
    heard = spans[sounding > 0].sum()
    return float((spans * sounding).sum() / heard) if heard else math.nan


def polyphony_rate(notes: np.ndarray, *, length: int, threshold: int = 2) -> float:
    """The share of `length` ticks in which more than `threshold` different pitches sound at once."""
    spans, sounding = _sounding(notes)
    return float(spans[sounding > threshold].sum() / length) if length else math.nan


def groove_consistency(start: np.ndarray, *, bar_starts: np.ndarray, bar_length: int) -> float:
    """How alike the onsets of neighbouring bars are: 1 less the mean share of a bar's ticks in which they differ.

    `bar_starts` are the ticks at which bars of `bar_length` ticks begin; NaN if there are fewer than two.
    """
    if len(bar_starts) < 2:
        return math.nan
    bar = np.clip(np.searchsorted(bar_starts, start + 0.5, side="right") - 1, 0, None)
    place = np.rint(start - bar_starts[bar]).astype(np.int64)
    here = np.unique(bar * (bar_length + 1) + np.clip(place, 0, bar_length))
    after = here + bar_length + 1  # the same places in the bars that follow
    last = len(bar_starts) - 1
    both = len(np.intersect1d(here, after))
    own, before = (here >= bar_length + 1).sum(), (here < last * (bar_length + 1)).sum()
    return float(1 - (own + before - 2 * both) / (bar_length * last))


def _sounding(notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lengths in ticks of stretches, number of different pitches that sound in each)."""
    edges = np.unique(np.concatenate([notes["start"], notes["start"] + notes["duration"]]))
    if not len(edges):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    total = np.zeros(len(edges) - 1, np.int64)
    for value in np.unique(notes["pitch"]).tolist():
        mine = notes[notes["pitch"] == value]
        change = np.zeros(len(edges), np.int64)
        np.add.at(change, np.searchsorted(edges, mine["start"]), 1)
        np.add.at(change, np.searchsorted(edges, mine["start"] + mine["duration"]), -1)
        total += np.cumsum(change)[:-1] > 0
    return np.diff(edges), total

"""Audible faults in generated music, and its distance from the music that it continues.

Both compare the new notes with the last bars before the cut. A fault is something that makes a take unusable: silence,
one note or chord repeated throughout, a missing part, twice or half as many notes, another loudness, a wider range,
notes off the beat, a loop. The distance is a sum of differences in style; of several candidates the nearest is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["SILENCE", "Stretch", "distance", "faults", "hardly_any"]

# `_sameness` above which one chord is repeated over and over. Of 7,633 eight-bar stretches in 770 real files, one in
# 200 exceeds 0.74 and one in 1,000 exceeds 0.91.
STUCK = 0.8
FEWEST_ONSETS = 12
SILENCE = "silence for two bars"
FEWEST_NOTES = 8  # in a stretch or a part, for it to be compared
PRESENT = 0.85  # share of bars in which a part must sound before the cut to count as playing nearly always
LOUDER = 18.0  # velocity: largest difference of mean loudness
WIDER = 14  # semitones past the previous range, above and below added up
GRID = 12  # grid positions per quarter
FEWEST_BARS = 0.25  # a part that was asked for must play in more of the bars


@dataclass(frozen=True, eq=False)
class Stretch:
    """The notes (NOTE) of `bars` bars from tick `begin`, each with its part's number; `bar_length` is in ticks."""

    notes: np.ndarray
    part: np.ndarray
    drum: np.ndarray  # bool
    begin: float
    bars: int
    bar_length: float
    ticks_per_quarter: int

    @cached_property
    def bar(self) -> np.ndarray:
        """The index of each note's bar, from 0."""
        at = np.floor((self.notes["start"] - self.begin + self.ticks_per_quarter / (2 * GRID)) / self.bar_length)
        return np.clip(at.astype(np.int64), 0, max(0, self.bars - 1))

    @cached_property
    def place(self) -> np.ndarray:
        """The position of each note's onset in its bar, in twelfths of a quarter."""
        into = self.notes["start"] - self.begin - self.bar * self.bar_length
        return np.maximum(0, np.rint(into * GRID / self.ticks_per_quarter)).astype(np.int64)

    @cached_property
    def off_grid(self) -> float:
        """The share of onsets that lie off the grid of sixteenths and triplets."""
        into = (self.notes["start"] - self.begin) / self.ticks_per_quarter
        return float((np.abs(into * GRID - np.rint(into * GRID)) > 0.13).mean()) if len(into) else 0.0

    @cached_property
    def contents(self) -> list[frozenset[tuple[int, int, int]]]:
        """For each bar the set of (position, part, pitch) of its notes."""
        found: list[set[tuple[int, int, int]]] = [set() for _ in range(max(1, self.bars))]
        for bar, *what in zip(
            self.bar.tolist(), self.place.tolist(), self.part.tolist(), self.notes["pitch"].tolist(), strict=True
        ):
            found[bar].add((what[0], what[1], what[2]))
        return [frozenset(bar) for bar in found]

    def presence(self, part: int) -> float:
        """The share of bars in which a part sounds, held notes included."""
        mine = self.part == part
        sounding = np.zeros(max(1, self.bars), bool)
        ends = self.notes["start"][mine] + self.notes["duration"][mine] - self.begin
        last = np.clip(((ends - 1) // self.bar_length).astype(np.int64), 0, max(0, self.bars - 1))
        for first, until in zip(self.bar[mine].tolist(), last.tolist(), strict=True):
            sounding[first : until + 1] = True
        return float(sounding.mean())


def faults(new: Stretch, before: Stretch, *, asked: frozenset[int] | None = None) -> list[str]:
    """The faults of `new`, which continues `before`, as texts; empty for a good take.

    `asked` are the numbers of the parts that were asked to play; None: all.
    """
    if not len(new.notes):
        return ["no notes"]
    found = []
    if _longest_silence(new) >= 2 * new.bar_length and new.bars > 2:
        found.append(SILENCE)
    if len(new.notes) >= 8 and len(np.unique(new.notes["pitch"])) == 1:
        found.append("one note over and over")
    elif _sameness(new.notes[~new.drum]) > STUCK and _sameness(before.notes[~before.drum]) <= STUCK / 2:
        found.append("one chord over and over")
    if len(before.notes) < FEWEST_NOTES or before.bars < 4 or new.bars < 4:
        return found
    everyone = len(np.unique(before.part)) if asked is None else len(asked)
    for part in np.unique(before.part).tolist():
        if asked is not None and part not in asked:
            continue
        recent = _last(before, 8)
        enough = (recent.part == part).sum() >= FEWEST_NOTES
        if everyone > 1 and enough and recent.presence(part) >= PRESENT and new.presence(part) < 0.4:
            found.append(f"part {part + 1} is lost")
    kept = np.isin(before.part, sorted(asked)) if asked is not None else np.ones(len(before.part), bool)
    ratio = (len(new.notes) / new.bars) / max(kept.sum() / before.bars, 1e-9)
    if kept.sum() >= FEWEST_NOTES and not 0.5 <= ratio <= 2:
        found.append("twice as many notes" if ratio > 1 else "half as many notes")
    if abs(_loudness(new) - _loudness(_last(before, 8), asked)) > LOUDER:
        found.append("another loudness")
    if _growth(new, before) > WIDER:
        found.append("a wider range")
    if before.off_grid < 0.02 and new.off_grid > 0.1:
        found.append("off the beat")
    if _loops(new) >= 0.8 and _loops(_last(before, new.bars)) < 0.4 and new.bars >= 6:
        found.append("a loop")
    return found


def hardly_any(new: Stretch, of: np.ndarray) -> bool:
    """Whether the notes chosen by `of` (bool) begin in so few bars that their part isn't heard."""
    return len(np.unique(new.bar[of])) <= FEWEST_BARS * new.bars


def distance(new: Stretch, before: Stretch) -> float:
    """A sum of differences between two stretches, each about 0 for similar and 1 for dissimilar ones.

    99 if `new` has no notes, 0 if `before` has too few to compare.
    """
    if not len(new.notes) or len(before.notes) < FEWEST_NOTES:
        return 0.0 if len(new.notes) else 99.0
    total = 0.0
    for of, size in _HISTOGRAMS:
        total += _apart(of(new), of(before), size)
    density = np.log2(max(len(new.notes), 1) / new.bars) - np.log2(len(before.notes) / before.bars)
    total += min(1.5, abs(float(density)))
    total += min(1.0, abs(_loudness(new) - _loudness(before)) / 20)
    total += min(1.0, _growth(new, before) / 12)
    total += min(1.0, abs(new.off_grid - before.off_grid) * 4)
    total += min(1.0, abs(_polyphony(new) - _polyphony(before)) / max(1.0, _polyphony(before)))
    own, ours = _own_likeness(before), _likeness(new.contents, before.contents)
    total += 2 * abs(own - ours)
    return total


# ---- what is compared ----------------------------------------------------------------------------------


def _pitch_classes(s: Stretch) -> np.ndarray:
    classes: np.ndarray = s.notes["pitch"][~s.drum].astype(np.int64) % 12
    return classes


def _durations(s: Stretch) -> np.ndarray:
    steps = s.notes["duration"][~s.drum] * GRID / s.ticks_per_quarter
    values: np.ndarray = np.clip(np.rint(2 * np.log2(np.maximum(steps, 1))), 0, 15).astype(np.int64)
    return values


def _intervals(s: Stretch) -> np.ndarray:
    """Intervals between successive notes of each part, chords included, clipped to an octave; 12 is a unison."""
    order = np.lexsort((s.notes["pitch"], s.notes["start"], s.part))
    pitch, part = s.notes["pitch"][order].astype(np.int64), s.part[order]
    same = (part[1:] == part[:-1]) & ~s.drum[order][1:]
    steps: np.ndarray = np.clip(np.diff(pitch)[same], -12, 12) + 12
    return steps


def _parts(s: Stretch) -> np.ndarray:
    return s.part.astype(np.int64) + 1


def _places(s: Stretch) -> np.ndarray:
    places: np.ndarray = np.minimum(s.place, 255)
    return places


def _drums(s: Stretch) -> np.ndarray:
    pitches: np.ndarray = s.notes["pitch"][s.drum].astype(np.int64)
    return pitches


_HISTOGRAMS: tuple[tuple[Callable[[Stretch], np.ndarray], int], ...] = (
    (_pitch_classes, 12),
    (_durations, 16),
    (_intervals, 25),
    (_parts, 1),
    (_places, 256),
    (_drums, 128),
)


def _apart(a: np.ndarray, b: np.ndarray, size: int) -> float:
    """The total variation distance between the histograms of two samples; 0 if either has fewer than four values."""
    if len(a) < 4 or len(b) < 4:
        return 0.0
    size = int(max(size, a.max() + 1, b.max() + 1))
    one, two = (np.bincount(x, minlength=size) / len(x) for x in (a, b))
    return float(np.abs(one - two).sum() / 2)


def _polyphony(s: Stretch) -> float:
    """The mean number of notes other than drums that sound at once."""
    return float(s.notes["duration"][~s.drum].sum() / max(1.0, s.bars * s.bar_length))


def _loudness(s: Stretch, parts: frozenset[int] | None = None) -> float:
    """The mean velocity of `parts`, or of all notes if `parts` is None or they have none; 0 without notes."""
    velocity = s.notes["velocity"]
    own = velocity if parts is None else velocity[np.isin(s.part, sorted(parts))]
    own = own if len(own) else velocity
    return float(own.mean()) if len(own) else 0.0


def _growth(new: Stretch, before: Stretch) -> float:
    """Semitones by which the new notes exceed the pitch range of the old ones, above and below added up."""
    old, now = before.notes["pitch"][~before.drum], new.notes["pitch"][~new.drum]
    if not len(old) or not len(now):
        return 0.0
    return max(0, int(now.max()) - int(old.max())) + max(0, int(old.min()) - int(now.min()))


def _likeness(bars: Sequence[frozenset[object]], others: Sequence[frozenset[object]]) -> float:
    """The mean over bars of the Jaccard similarity to the most similar of the other bars; empty bars are ignored."""
    best = [max((len(bar & other) / len(bar | other) for other in others if other), default=0.0) for bar in bars if bar]
    return float(np.mean(best)) if best else 0.0


def _own_likeness(s: Stretch) -> float:
    """The similarity of the second half of a stretch to its first half."""
    half = s.bars // 2
    return _likeness(s.contents[half:], s.contents[:half]) if half else 0.0


def _loops(s: Stretch) -> float:
    """The share of bars that are equal to the previous bar or the one before it; empty bars don't count as equal."""
    bars = s.contents
    same = [bar and (bar == bars[n - 1] or (n > 1 and bar == bars[n - 2])) for n, bar in enumerate(bars) if n]
    return float(np.mean([bool(each) for each in same])) if same else 0.0


def _last(s: Stretch, bars: int) -> Stretch:
    """The last `bars` bars of a stretch."""
    if s.bars <= bars:
        return s
    first = s.bars - bars
    kept = s.bar >= first
    return Stretch(
        s.notes[kept],
        s.part[kept],
        s.drum[kept],
        s.begin + first * s.bar_length,
        bars,
        s.bar_length,
        s.ticks_per_quarter,
    )


def _longest_silence(s: Stretch) -> float:
    begin, end = s.begin, s.begin + s.bars * s.bar_length
    start = np.sort(s.notes["start"])
    ends = (s.notes["start"] + s.notes["duration"])[np.argsort(s.notes["start"], kind="stable")]
    edges = np.concatenate([[begin], start, [end]])
    reach = np.maximum.accumulate(np.concatenate([[begin], ends, [begin]]))
    return float((edges[1:] - np.minimum(reach[:-1], edges[1:])).max())


def _sameness(notes: np.ndarray) -> float:
    """The share of consecutive onsets of which one's pitches contain the other's; 0 for fewer than FEWEST_ONSETS."""
    start, pitch = notes["start"], notes["pitch"]
    onsets = [set(pitch[start == tick].tolist()) for tick in np.unique(start)]
    if len(onsets) < FEWEST_ONSETS:
        return 0.0
    return sum(a <= b or b <= a for a, b in itertools.pairwise(onsets)) / (len(onsets) - 1)

"""Statistics of new bars beside the music before them: a pure function each.

`new` is a passage of new bars, `before` all that stands before them. A figure is a number, a histogram one that sums
to 1. Where there is nothing to measure (no drums, no line, no note) a number is nan, a histogram None. Unless said
otherwise a figure is of all notes, and places in a bar are compared in twelfths of a quarter.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from .passage import GRID, Passage

Histogram = np.ndarray | None

FEWEST = 3  # notes of a bar that can be said to return
SLACK = 1 / 8  # quarters: a shorter overlap is legato
LINE = 0.02  # a part whose notes overlap less often than this is a line
BROKEN = 0.05  # and where more of its new notes overlap, it is broken
MOST_PARTS = 127
GAP_EDGES = np.array([0.09, 0.15, 0.21, 0.29, 0.42, 0.58, 0.84, 1.2, 1.75, 2.5, 3.5, 6.0])  # quarters
LENGTH_EDGES = np.array([0.06, *GAP_EDGES])
# Krumhansl and Kessler 1982: how well each pitch class fits a major and a minor key.
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
# How rough an interval class (0 to 6 semitones) is.
ROUGH = np.array([0.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.5])


# ---- harmony ---------------------------------------------------------------------------------------------------------


def pitch_classes(new: Passage, before: Passage) -> Histogram:
    """The twelve pitch classes by the time they sound, without drums."""
    notes = new.pitched
    return _share(np.bincount(notes["pitch"] % 12, weights=notes["duration"], minlength=12))


def key(new: Passage, before: Passage) -> Histogram:
    """How much each of 24 keys fits, major then minor from C up: shares of the correlation with its profile above 0."""
    share = pitch_classes(new, before)
    if share is None or share.std() < 1e-9:
        return None
    profiles = np.stack([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    return _share(np.maximum(0, np.corrcoef(share, profiles)[0, 1:]) ** 2)


def dissonance(new: Passage, before: Passage) -> float:
    """Mean roughness of the pairs of notes that sound at an onset: seconds 1 and 1/2, tritones 1/2, with inversions."""
    notes = new.pitched
    pairs, rough = 0, 0.0
    for onset in np.unique(notes["start"]):
        pitch = np.unique(notes["pitch"][_sounding(notes, onset)])
        apart = np.abs(pitch[:, None] - pitch)[np.triu_indices(len(pitch), 1)] % 12
        pairs += len(apart)
        rough += ROUGH[np.minimum(apart, 12 - apart)].sum()
    return rough / pairs if pairs else np.nan


def polyphony(new: Passage, before: Passage) -> float:
    """Notes that sound at once, in the mean over the time in which any does, without drums."""
    notes = new.pitched
    begin, end = notes["start"], notes["start"] + notes["duration"]
    edges = np.unique(np.concatenate([begin, end]))
    count = np.searchsorted(np.sort(begin), edges[:-1], "right") - np.searchsorted(np.sort(end), edges[:-1], "right")
    spans = np.diff(edges) * (count > 0)
    return float((count * spans).sum() / spans.sum()) if spans.sum() else np.nan


# ---- time ------------------------------------------------------------------------------------------------------------


def density(new: Passage, before: Passage) -> float:
    """Notes a quarter."""
    return len(new.notes) / float(new.bars[-1] - new.bars[0]) if new.n_bars else np.nan


def onset_gaps(new: Passage, before: Passage) -> Histogram:
    """Quarters between onsets, by steps from a 32nd to a whole note; what lies within half a twelfth is one onset."""
    onsets = np.unique(new.notes["start"])
    gaps = np.diff(onsets)
    return _share(np.bincount(np.digitize(gaps[gaps > 0.5 / GRID], GAP_EDGES), minlength=len(GAP_EDGES) + 1))


def durations(new: Passage, before: Passage) -> Histogram:
    """Lengths of notes in quarters, by steps from a 64th to a whole note, without drums."""
    at = np.digitize(new.pitched["duration"], LENGTH_EDGES)
    return _share(np.bincount(at, minlength=len(LENGTH_EDGES) + 1))


def places(new: Passage, before: Passage) -> Histogram:
    """Sixteenths of the bar on which notes begin; what comes after the 32nd counts as the 32nd."""
    return _share(np.bincount(np.minimum(new.slot // 3, 31), minlength=32))


def off_grid(new: Passage, before: Passage) -> float:
    """Share of onsets more than 1/48 of a quarter from all sixteenths and triplets of eighths and sixteenths."""
    onsets = np.unique(new.notes["start"])
    at = onsets - new.bars[np.searchsorted(new.bars, onsets + 1e-3, side="right") - 1]
    off = np.minimum(*(np.abs(at * steps - np.rint(at * steps)) / steps for steps in (4, 6)))
    return float((off > 1 / 48).mean()) if len(onsets) else np.nan


def groove(new: Passage, before: Passage) -> float:
    """Dice likeness of the sixteenths that are struck in adjacent bars, the last bar before among them."""
    return _adjacent(new, before, lambda place, pitch, drum: place // 3)


# ---- loudness --------------------------------------------------------------------------------------------------------


def velocity(new: Passage, before: Passage) -> float:
    """Mean velocity."""
    return float(new.notes["velocity"].mean()) if len(new.notes) else np.nan


def velocities(new: Passage, before: Passage) -> Histogram:
    """Velocities by steps of 8."""
    return _share(np.bincount(new.notes["velocity"] // 8, minlength=16))


# ---- form ------------------------------------------------------------------------------------------------------------


def exact_returns(new: Passage, before: Passage) -> float:
    """Share of new bars that hold what an earlier bar of the piece held, pitch for pitch and place for place."""
    return _returns(new, before, lambda bar: bar)


def transposed_returns(new: Passage, before: Passage) -> float:
    """Share of new bars that hold what an earlier bar held, in that key or in another (an exact return is one too)."""
    return _returns(new, before, _from_lowest)


def rhythmic_returns(new: Passage, before: Passage) -> float:
    """Share of new bars in which as many notes begin at the same places as in an earlier bar."""
    return _returns(new, before, lambda bar: tuple(sorted((place, drum) for place, _, drum in bar)))


def likeness(new: Passage, before: Passage) -> float:
    """Jaccard likeness (places with pitches) of a new bar to the best bar before the cut, in the mean over new bars."""
    old = [bar for bar in dict.fromkeys(before.contents) if bar]
    best = [max((len(bar & other) / len(bar | other) for other in old), default=0.0) for bar in new.contents if bar]
    return float(np.mean(best)) if best else np.nan


# ---- lines and parts -------------------------------------------------------------------------------------------------


def intervals(new: Passage, before: Passage) -> Histogram:
    """Sizes of melodic intervals in semitones, 13 for all beyond an octave: of each part, from top note to top note."""
    return _share(np.bincount(np.minimum(_intervals(new), 13), minlength=14))


def steps(new: Passage, before: Passage) -> float:
    """Share of melodic intervals of one or two semitones."""
    sizes = _intervals(new)
    return float(((sizes == 1) | (sizes == 2)).mean()) if len(sizes) else np.nan


def leaps(new: Passage, before: Passage) -> float:
    """Share of melodic intervals wider than a fifth."""
    sizes = _intervals(new)
    return float((sizes > 7).mean()) if len(sizes) else np.nan


def pitch_range(new: Passage, before: Passage) -> float:
    """Semitones from the lowest to the highest note, in the mean over parts that have notes, without drums."""
    spans = [np.ptp(notes["pitch"]) for notes in _parts(new).values()]
    return float(np.mean(spans)) if spans else np.nan


def range_growth(new: Passage, before: Passage) -> float:
    """Semitones by which parts go beyond their highest and lowest notes before, in the mean over parts."""
    old, grown = _parts(before), []
    for number, notes in _parts(new).items():
        if number in old:
            low, high = old[number]["pitch"].min(), old[number]["pitch"].max()
            grown.append(max(0, notes["pitch"].max() - high) + max(0, low - notes["pitch"].min()))
    return float(np.mean(grown)) if grown else np.nan


def shares(new: Passage, before: Passage) -> Histogram:
    """Each part's share of the notes; parts that weren't there before count as one."""
    known = np.isin(new.notes["part"], before.notes["part"])
    at = np.where(known, np.minimum(new.notes["part"], MOST_PARTS - 1), MOST_PARTS)
    return _share(np.bincount(at, minlength=MOST_PARTS + 1))


def parts_present(new: Passage, before: Passage) -> float:
    """Share of the parts of the last eight bars before that play in the new bars."""
    recent = np.unique(before.last().notes["part"])
    return float(np.isin(recent, new.notes["part"]).mean()) if len(recent) else np.nan


def lost_parts(new: Passage, before: Passage) -> float:
    """How many parts begin notes in at least seven of the last eight bars before and have none in the new bars."""
    recent = before.last()
    steady = [n for n in np.unique(recent.notes["part"]) if len(np.unique(recent.bar[recent.notes["part"] == n])) >= 7]
    return float(sum(not (new.notes["part"] == n).any() for n in steady))


def overlaps(new: Passage, before: Passage) -> float:
    """Share of the notes of lines that begin while the note before still sounds, in the mean over lines.

    A line is a part of one note at a time before: at least eight notes, of which at most one in fifty overlaps.
    """
    found = _overlaps(new, before)
    return float(np.mean(found)) if found else np.nan


def broken_lines(new: Passage, before: Passage) -> float:
    """Share of lines of which more than one note in twenty overlaps; see `overlaps`."""
    found = _overlaps(new, before)
    return float(np.mean([share > BROKEN for share in found])) if found else np.nan


# ---- drums -----------------------------------------------------------------------------------------------------------


def kit(new: Passage, before: Passage) -> Histogram:
    """How often each drum is struck."""
    return _share(np.bincount(new.drums["pitch"], minlength=128)) if len(before.drums) else None


def in_kit(new: Passage, before: Passage) -> float:
    """Share of new drum notes whose drum was struck before."""
    if not len(before.drums) or not len(new.drums):
        return np.nan
    return float(np.isin(new.drums["pitch"], before.drums["pitch"]).mean())


def drum_pattern(new: Passage, before: Passage) -> Histogram:
    """Where in the bar, by sixteenths, bass drum, snare, cymbals and toms are struck."""
    drum = new.notes["drum"]
    if not drum.any() or not len(before.drums):
        return None
    kind = np.full(128, 3)
    kind[[35, 36]], kind[[37, 38, 39, 40]], kind[[42, 44, 46, 49, 51, 52, 53, 55, 57, 59]] = 0, 1, 2
    return _share(np.bincount(4 * np.minimum(new.slot[drum] // 3, 31) + kind[new.notes["pitch"][drum]], minlength=128))


def drum_groove(new: Passage, before: Passage) -> float:
    """Dice likeness of the drums struck on each sixteenth of adjacent bars, the last bar before among them."""
    if not len(before.last().drums):
        return np.nan
    return _adjacent(new, before, lambda place, pitch, drum: (place // 3, pitch) if drum else None)


# ---- the seam --------------------------------------------------------------------------------------------------------


def seam(new: Passage, before: Passage) -> float:
    """How much changes from the last two bars before to the first two new ones: the mean of four changes, about 0 to 1.

    They are the distance of pitch classes, the logarithm of the ratio of densities, the mean pitch in octaves, and the
    mean velocity in 32nds of the scale's 128.
    """
    old, now = before.last(2), new.only(0, 2)
    if not len(old.notes) or not len(now.notes):
        return np.nan if not len(before.notes) else 1.0
    changes = [abs(np.log(density(now, old) / density(old, old))), abs(velocity(now, old) - velocity(old, old)) / 32]
    a, b = pitch_classes(old, old), pitch_classes(now, old)
    if a is not None and b is not None:
        changes += [total_variation(a, b), abs(now.pitched["pitch"].mean() - old.pitched["pitch"].mean()) / 12]
    return float(np.mean(np.minimum(changes, 1)))


# ---- distances -------------------------------------------------------------------------------------------------------


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the sum of differences of two histograms: 0 for the same, 1 for nothing in common."""
    return float(np.abs(a - b).sum() / 2)


def earth(a: np.ndarray, b: np.ndarray) -> float:
    """Bins that a unit has to be moved by, in the mean, to make one histogram of ordered bins the other."""
    return float(np.abs(np.cumsum(a - b)).sum())


# ---- small steps -----------------------------------------------------------------------------------------------------


def _share(counts: np.ndarray) -> Histogram:
    total = counts.sum()
    return counts / total if total else None


def _sounding(notes: np.ndarray, at: float) -> np.ndarray:
    return (notes["start"] <= at + 1e-6) & (notes["start"] + notes["duration"] > at + 1e-6)


def _parts(passage: Passage) -> dict[int, np.ndarray]:
    """The pitched notes of each part that has any."""
    notes = passage.pitched
    return {int(n): notes[notes["part"] == n] for n in np.unique(notes["part"])}


def _intervals(passage: Passage) -> np.ndarray:
    sizes = []
    for notes in _parts(passage).values():
        last_of_onset = np.append(np.diff(notes["start"]) > 1e-6, True)  # sorted by pitch: the top
        sizes.append(np.abs(np.diff(notes["pitch"][last_of_onset].astype(np.int64))))
    return np.concatenate(sizes) if sizes else np.zeros(0, np.int64)


def _overlaps(new: Passage, before: Passage) -> list[float]:
    """For each line before: the share of its new notes that overlap."""
    now, found = _parts(new), []
    for number, notes in _parts(before).items():
        if number in now and len(notes) >= 8 and _overlapping(notes) <= LINE:
            found.append(_overlapping(now[number]))
    return found


def _overlapping(notes: np.ndarray) -> float:
    reach = np.maximum.accumulate(notes["start"] + notes["duration"])[:-1]
    return float((notes["start"][1:] < reach - SLACK).sum() / max(1, len(notes)))


def _from_lowest(bar: frozenset) -> frozenset:
    low = min((pitch for _, pitch, drum in bar if not drum), default=0)
    return frozenset((place, pitch if drum else pitch - low, drum) for place, pitch, drum in bar)


def _returns(new: Passage, before: Passage, form: Callable) -> float:
    """Share of new bars of FEWEST notes or more whose `form` an earlier bar has, be it before or new."""
    seen = {form(bar) for bar in before.contents if len(bar) >= FEWEST}
    found = []
    for bar in new.contents:
        if len(bar) >= FEWEST:
            found.append(form(bar) in seen)
            seen.add(form(bar))
    return float(np.mean(found)) if found else np.nan


def _adjacent(new: Passage, before: Passage, struck: Callable) -> float:
    """Mean Dice likeness of what is `struck` in adjacent bars; two empty bars aren't counted."""
    bars = [{struck(*note) for note in bar} - {None} for bar in [*before.contents[-1:], *new.contents]]
    found = [2 * len(a & b) / (len(a) + len(b)) for a, b in pairwise(bars) if a or b]
    return float(np.mean(found)) if found else np.nan

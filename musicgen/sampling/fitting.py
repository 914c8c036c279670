"""New parts beside given ones: how well they fit (clashes, notes outside the scale), and their loudness and timing."""

from __future__ import annotations

import numpy as np

__all__ = ["clashes", "levelled", "off_scale", "pitch_classes_apart", "together_with"]

SCALE = 7  # pitch classes that make up a key
LONG = 0.5  # quarters that two notes must sound together to clash
HARSH = (1, 11)  # semitones, modulo an octave
NEAR = 8  # an onset within an eighth of a quarter of a given one is meant to be with it
FARTHEST = 8.0  # velocity: largest difference of a new part's mean from that of the given parts


def clashes(new: np.ndarray, given: np.ndarray, *, ticks_per_quarter: int) -> float:
    """The share of new notes (NOTE, no drums) that sound a semitone (or a seventh or ninth) from a given note for at
    least half a quarter note, or for half of their length; 0 without notes."""
    if not len(new) or not len(given):
        return 0.0
    given = given[np.argsort(given["start"], kind="stable")]
    longest = int(given["duration"].max())
    ends = given["start"] + given["duration"]
    count = 0
    for note in new:
        begin, end = int(note["start"]), int(note["start"] + note["duration"])
        low = int(np.searchsorted(given["start"], begin - longest, side="left"))
        high = int(np.searchsorted(given["start"], end, side="left"))
        together = np.minimum(ends[low:high], end) - np.maximum(given["start"][low:high], begin)
        apart = np.abs(given["pitch"][low:high].astype(np.int64) - int(note["pitch"])) % 12
        least = min(LONG * ticks_per_quarter, 0.5 * (end - begin))
        count += bool((np.isin(apart, HARSH) & (together >= max(least, 1))).any())
    return count / len(new)


def off_scale(new: np.ndarray, given: np.ndarray) -> float:
    """The share of the new notes' sounding time on pitch classes that aren't among the SCALE ones which the given notes
    use most; 0 if these use fewer."""
    if not len(new) or not len(given):
        return 0.0
    used = _weights(given)
    if (used > 0).sum() < SCALE:
        return 0.0
    scale = np.argsort(-used, kind="stable")[:SCALE]
    mine = _weights(new)
    return float(1 - mine[scale].sum() / max(mine.sum(), 1e-9))


def pitch_classes_apart(new: np.ndarray, given: np.ndarray) -> float:
    """The total variation distance between the pitch classes of two tables of notes (NOTE), by the time they sound: 0
    for the same, 1 for none in common; 0 without notes in either."""
    if not len(new) or not len(given):
        return 0.0
    a, b = (_weights(notes) / max(1, notes["duration"].sum()) for notes in (new, given))
    return float(np.abs(a - b).sum() / 2)


def _weights(notes: np.ndarray) -> np.ndarray:
    weights: np.ndarray = np.bincount(notes["pitch"] % 12, weights=notes["duration"], minlength=12)
    return weights


def together_with(
    notes: np.ndarray, given: np.ndarray, *, mine: np.ndarray, part: np.ndarray, quarter: int, lines: np.ndarray
) -> np.ndarray:
    """A copy of `notes` of which those that are `mine` (bool) begin with the given notes that they are meant to begin
    with, where hands play these off the beat: as early or late as the nearest given onset within an eighth of a
    quarter. Of several onsets of one `part` the nearest moves there and the others stay, so that a line stays one.

    `lines` are the ticks of the bar lines of the hole, in which all notes stay; `quarter` is in ticks.
    """
    notes = notes.copy()
    if not mine.any() or not len(given):
        return notes
    onsets = np.unique(given["start"])
    start = notes["start"][mine]
    after = np.clip(np.searchsorted(onsets, start), 1, max(1, len(onsets) - 1))
    low, high = onsets[np.minimum(after - 1, len(onsets) - 1)], onsets[np.minimum(after, len(onsets) - 1)]
    nearest = np.where(start - low <= high - start, low, high)
    near = np.abs(nearest - start) < quarter / NEAR
    keys = list(zip(part[mine].tolist(), nearest.tolist(), strict=True))
    first: dict[tuple[int, int], int] = {}
    for n in np.argsort(np.abs(start - nearest), kind="stable").tolist():
        first.setdefault(keys[n], int(start[n]))
    moved = np.where(near & (start == [first[key] for key in keys]), nearest, start)
    notes["start"][mine] = np.clip(moved, lines[0], lines[-1] - 1)
    return notes


def levelled(velocity: np.ndarray, given: np.ndarray, *, part: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """The velocities (1..127) with each part among those that are `mine` moved so that its mean is within FARTHEST of
    that of the `given` velocities. A part has one velocity where all given notes have."""
    out = velocity.astype(np.int64)
    if not len(given):
        return out
    wanted, flat = float(given.mean()), len(np.unique(given)) == 1
    for number in np.unique(part[mine]).tolist():
        chosen = mine & (part == number)
        mean = float(out[chosen].mean())
        shift = float(np.clip(mean, wanted - FARTHEST, wanted + FARTHEST)) - mean
        out[chosen] = np.clip(np.rint(wanted if flat else out[chosen] + shift), 1, 127)
    return out

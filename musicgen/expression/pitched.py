"""What a network is told of each note of a pitched instrument, and what performers did with it.

Notes are arrays sorted by (chord, pitch): a *chord* is what is struck together, a single note too. Nothing here needs
bars: most recorded performances have none. Times are in seconds. No note's own loudness, length or exact onset is among
its features, so that those of a score and those of a performance mean the same.

Shapes: N notes, F features, O outputs.
"""

from __future__ import annotations

import numpy as np

from musicgen.expression.bins import Bins

__all__ = ["FEATURES", "OUTPUTS", "PEDAL", "PitchedNotes", "pitched_features", "pitched_targets", "struck_together"]

# How loud, and how late in its chord, in standard deviations of the performance, from its mean and from the mean onset
# of the chord. Pedal: see PEDAL.
OUTPUTS = {"velocity": Bins(-3.6, 0.2, 36), "timing": Bins(-3.6, 0.24, 30), "pedal": Bins(0.0, 1.0, 3)}
PEDAL = UP, HELD, PRESSED = 0, 1, 2  # what the pedal does between a chord and the next one
NEAR = 5  # semitones: the next onset within them is taken for the voice's next note
LOOK, WINDOW_S = 32, 1.0  # notes looked at to either side, and how far away they may be
SHORTEST_S, LONGEST_S = 0.03, 4.0
FEATURES = 27
LEAST_VELOCITY, LEAST_S = 2.0, 0.002  # spreads below which nobody plays
EARLY_S = 0.05  # a pedal pressed that little before a chord belongs to it


class PitchedNotes:
    """The notes of one player: `pitch`, `chord` (0, 1, .. ascending) and the chords' times `chord_s`."""

    def __init__(self, pitch: np.ndarray, chord: np.ndarray, chord_s: np.ndarray) -> None:
        self.pitch, self.chord, self.chord_s = pitch.astype(np.int64), chord, chord_s
        self.time_s = chord_s[chord]
        self.first = np.flatnonzero(np.diff(chord, prepend=-1))  # the lowest note of each chord
        self.size = np.diff(np.append(self.first, len(chord)))
        self.bottom = np.minimum.reduceat(self.pitch, self.first)
        self.top = np.maximum.reduceat(self.pitch, self.first)


def struck_together(onset_s: np.ndarray, *, within_s: float) -> np.ndarray:
    """The chord of each note, of onsets in ascending order: one begins where the gap before it is longer.

    >>> struck_together(np.array([0.0, 0.01, 0.5]), within_s=0.03).tolist()
    [0, 0, 1]
    """
    found: np.ndarray = np.cumsum(np.diff(onset_s, prepend=onset_s[:1]) > within_s)
    return found


def pitched_features(notes: PitchedNotes) -> np.ndarray:
    """(N, FEATURES) float32: place in the chord, distances in time and pitch, what surrounds the note."""
    pitch, chord, time = notes.pitch, notes.chord, notes.time_s
    steps = np.diff(notes.chord_s)
    before, after = _log(np.append(LONGEST_S, steps)), _log(np.append(steps, LONGEST_S))
    top, bottom, size = notes.top[chord], notes.bottom[chord], notes.size[chord]
    last, following = np.maximum(chord - 1, 0), np.minimum(chord + 1, len(notes.chord_s) - 1)
    voice_before, voice_after = (_voice(notes, direction) for direction in (-1, 1))
    around = _around(notes)
    columns = [
        (pitch - 60) / 24,
        (pitch - pitch.mean()) / 12,
        pitch == top,
        pitch == bottom,
        size > 1,
        np.log2(size),
        (pitch - (top + bottom) / 2) / 12,
        before[chord],
        after[chord],
        before[last],
        after[following],
        (pitch - notes.top[last]) / 12,
        (pitch - notes.bottom[last]) / 12,
        (notes.top[following] - pitch) / 12,
        (notes.bottom[following] - pitch) / 12,
        _log(voice_before),
        _log(voice_after),
        (pitch - around["highest"]) / 12,
        (pitch - around["lowest"]) / 12,
        (pitch - around["mean"]) / 12,
        np.log2(1 + around["count"]) / 2,
        around["same"],
        around["clash"],
        np.minimum(time - time[0], 8) / 8,
        np.minimum(time[-1] - time, 8) / 8,
        np.isin(pitch % 12, (1, 3, 6, 8, 10)),
        _log(np.full(len(pitch), np.median(steps) if len(steps) else 0.5)),
    ]
    return np.stack([np.clip(column, -4, 4) for column in columns], axis=1).astype(np.float32)


def _log(seconds: np.ndarray) -> np.ndarray:
    """Octaves of time from a quarter of a second, halved."""
    found: np.ndarray = np.log2(np.clip(seconds, SHORTEST_S, LONGEST_S) / 0.25) / 2
    return found


def _voice(notes: PitchedNotes, direction: int) -> np.ndarray:
    """Seconds to the nearest onset after (1) or before (-1) each note whose pitch is within NEAR semitones."""
    found = np.full(len(notes.pitch), LONGEST_S)
    for shift in range(LOOK, 0, -1):  # nearer ones overwrite those farther away
        here, there = _pairs(len(notes.pitch), direction * shift)
        near = np.abs(notes.pitch[here] - notes.pitch[there]) <= NEAR
        near &= notes.chord[here] != notes.chord[there]
        found[here[near]] = np.abs(notes.time_s[there] - notes.time_s[here])[near]
    return found


def _pairs(count: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """(index, index + shift) of all notes that have such a neighbour."""
    here = np.arange(max(0, -shift), count - max(0, shift))
    return here, here + shift


def _around(notes: PitchedNotes) -> dict[str, np.ndarray]:
    """Over the notes within WINDOW_S of each, itself too: highest, lowest and mean pitch, their count, whether the
    pitch was among those before, and how many of those before lie a semitone or a major seventh away."""
    pitch = notes.pitch.astype(np.float64)
    highest, lowest, total = pitch.copy(), pitch.copy(), pitch.copy()
    count, same, clash = np.ones(len(pitch)), np.zeros(len(pitch)), np.zeros(len(pitch))
    for shift in [*range(-LOOK, 0), *range(1, LOOK + 1)]:
        here, there = _pairs(len(pitch), shift)
        near = np.abs(notes.time_s[there] - notes.time_s[here]) <= WINDOW_S
        here, there = here[near], there[near]
        highest[here] = np.maximum(highest[here], pitch[there])
        lowest[here] = np.minimum(lowest[here], pitch[there])
        total[here] += pitch[there]
        count[here] += 1
        earlier = notes.chord[there] < notes.chord[here]
        here, there = here[earlier], there[earlier]
        same[here] += pitch[here] == pitch[there]
        clash[here] += np.isin((pitch[here] - pitch[there]) % 12, (1, 11))
    return {
        "highest": highest,
        "lowest": lowest,
        "mean": total / count,
        "count": count,
        "same": np.minimum(same, 2),
        "clash": np.minimum(clash, 4) / 2,
    }


def pitched_targets(
    notes: PitchedNotes, *, onset_s: np.ndarray, velocity: np.ndarray, pedal_s: np.ndarray | None
) -> tuple[np.ndarray, dict[str, float]]:
    """(what a performer did, (N, O) in the order of OUTPUTS; its standard deviations: velocity, seconds of timing).

    NaN stands where there is no target: timing of single notes, and the pedal where it isn't known. `pedal_s` are rows
    (seconds, 1 for down or 0 for up) in order, or None.
    """
    velocity = velocity - velocity.mean()
    late = np.where(notes.size[notes.chord] > 1, onset_s - notes.time_s, np.nan)
    spreads = {
        "velocity": max(float(velocity.std()), LEAST_VELOCITY),
        "timing": max(float(np.nanstd(late)) if (~np.isnan(late)).any() else 0.0, LEAST_S),
    }
    pedal = np.full(len(notes.chord_s), np.nan) if pedal_s is None else _pedal(notes.chord_s, pedal_s)
    return np.stack([velocity / spreads["velocity"], late / spreads["timing"], pedal[notes.chord]], axis=1), spreads


def _pedal(chord_s: np.ndarray, pedal_s: np.ndarray) -> np.ndarray:
    """What the pedal does between each chord and the next (PEDAL)."""
    time, down = pedal_s[:, 0], pedal_s[:, 1] > 0
    pressed = time[down & ~np.append(False, down[:-1])]
    begin = chord_s - EARLY_S
    end = np.append(begin[1:], chord_s[-1] + 1.0)
    new = np.searchsorted(pressed, end) > np.searchsorted(pressed, begin)
    last = np.searchsorted(time, end) - 1
    held = (last >= 0) & down[np.maximum(last, 0)]
    return np.where(new, PRESSED, np.where(held, HELD, UP)).astype(np.float64)

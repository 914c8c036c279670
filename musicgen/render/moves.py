"""The effect of a part's controllers and pitch bends on its sound: release times, volume, pan and pitch.

Conventions
-----------
Frames count from tick 0 at the output rate. Controllers have the meanings in `io.controllers`; a part has those of its
channel. The sustain pedal (64) holds notes that end while it is down, sostenuto (66) notes that sound when it goes
down, until it is released; a new note on the same key ends a note held by a pedal. The soft pedal (67) makes notes that
begin while it is down softer. "All sound off" (120) silences at once. Volume (7), expression (11) and pan (10) are
those of General MIDI; the first two follow the default modulators of the SoundFont Technical Specification 2.04,
section 8.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.io.controllers import (
    EXPRESSION,
    PAN,
    SOFT,
    SOSTENUTO,
    SUSTAIN,
    VOLUME,
    changes,
    silences,
    transposition,
)
from musicgen.piece import Piece, Track
from musicgen.render.sounds import Warp

__all__ = ["NEVER", "Bend", "Volume", "bend_of", "cuts", "pan", "releases", "softness", "to_frames", "volume_of"]

PEDAL_S = 4.0  # a pedal that stays down is released this long after the end of the last note
RAMP_S = 0.01  # duration of volume changes, which avoids clicks
NEVER = 2**62  # later than any frame
SOFTER = 0.7  # the amplitude of notes under the soft pedal, about 3 dB less


@dataclass(frozen=True)
class Bend:
    """A part's pitch bends: from frame `frames[k]` on, playback speed is multiplied by `speeds[k]`."""

    frames: np.ndarray
    speeds: np.ndarray
    passed: np.ndarray  # frames of unbent sound played up to frames[k]

    def __call__(self, at: np.ndarray) -> np.ndarray:
        k = np.searchsorted(self.frames, at, side="right") - 1
        at_speed: np.ndarray = self.passed[k] + (at - self.frames[k]) * self.speeds[k]
        return at_speed

    def since(self, onset: int) -> Warp:
        """Frames of unbent sound as a function of the frames since `onset`."""
        before = self(np.array(onset))
        return lambda frames: self(onset + frames) - before

    def moves(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Boolean mask of the sounds from `start` to `end` that have any pitch bend."""
        bent = np.concatenate([[0], np.cumsum(self.speeds != 1)])
        first = np.searchsorted(self.frames, start, side="right") - 1
        return bent[np.searchsorted(self.frames, end)] > bent[first]


@dataclass(frozen=True)
class Volume:
    """A part's volume times expression as an amplitude, linearly interpolated between (frames, levels)."""

    frames: np.ndarray
    levels: np.ndarray

    def __call__(self, start: int, stop: int) -> np.ndarray:
        levels: np.ndarray = np.interp(np.arange(start, stop), self.frames, self.levels).astype(np.float32)
        return levels


def to_frames(piece: Piece, ticks: np.ndarray, rate: int) -> np.ndarray:
    frames: np.ndarray = np.rint(piece.to_seconds(ticks) * rate).astype(np.int64)
    return frames


def releases(piece: Piece, track: Track, rate: int) -> np.ndarray:
    """The frame at which each note is released: its end, or later if a pedal holds it."""
    notes = track.notes
    start, end = notes["start"], notes["start"] + notes["duration"]
    never = 1 + max([piece.end, *track.controls["tick"][-1:].tolist()])
    held = _sustained(track, _caught(track, start, end, never), never)
    # A new note on the same key ends one that a pedal holds.
    later = held > end
    if later.any():
        order = np.lexsort((start, notes["pitch"]))
        pitch, onset = notes["pitch"][order].astype(np.int64), start[order]
        span = int(onset.max()) + 1
        following = np.searchsorted(pitch * span + onset, pitch * span + onset, side="right")
        again = np.full(len(notes), never)
        inside = following < len(notes)
        inside[inside] = pitch[following[inside]] == pitch[inside]
        again[order[inside]] = onset[following[inside]]
        held = np.where(later, np.maximum(end, np.minimum(held, again)), end)
    latest = int((piece.seconds + PEDAL_S) * rate)
    ends: np.ndarray = np.minimum(to_frames(piece, held, rate), latest)
    return ends


def _caught(track: Track, start: np.ndarray, end: np.ndarray, never: int) -> np.ndarray:
    """The ticks at which sostenuto releases notes from `start` to `end`; `end` where it doesn't hold them."""
    ticks, values = changes(track.controls, SOSTENUTO)
    if not (values >= 64).any():
        return end
    down = values >= 64
    moves = np.append(True, down[1:] != down[:-1])  # changes only: a pedal already down catches no more notes
    ticks, down = ticks[moves], down[moves]
    last = np.searchsorted(ticks, end, side="left") - 1  # on one tick a note ends before a pedal moves
    caught = (last >= 0) & down[last] & (ticks[last] > start)
    lifted = np.append(ticks, never)[np.minimum(last + 1, len(ticks))]
    return np.where(caught, lifted, end)


def _sustained(track: Track, end: np.ndarray, never: int) -> np.ndarray:
    """The ticks at which notes that end at `end` are released by the sustain pedal; `end` where it isn't down."""
    ticks, values = changes(track.controls, SUSTAIN)
    if not (values >= 64).any():
        return end
    down = np.concatenate([[False], values >= 64])
    held = down[np.searchsorted(ticks, end, side="left")]
    ups = np.append(ticks[values < 64], never)
    return np.where(held, ups[np.searchsorted(ups, end, side="left")], end)


def cuts(piece: Piece, track: Track, rate: int) -> np.ndarray:
    """The frames, ascending, of the part's "all sound off" events."""
    return to_frames(piece, silences(track.controls), rate)


def softness(track: Track) -> np.ndarray:
    """The amplitude factor of each note by the soft pedal: SOFTER or 1."""
    ticks, values = changes(track.controls, SOFT)
    soft = np.append(False, values >= 64)[np.searchsorted(ticks, track.notes["start"], side="right")]
    return np.where(soft, SOFTER, 1.0)


def pan(track: Track) -> np.ndarray:
    """Controller 10 at each note's onset, as -500 (left) .. 500 (right)."""
    ticks, values = changes(track.controls, PAN)
    at = np.concatenate([[64], values])[np.searchsorted(ticks, track.notes["start"], side="right")]
    return (at - 64) * (500 / np.where(at < 64, 64, 63))


def volume_of(piece: Piece, track: Track, rate: int) -> Volume | None:
    """Volume (100 by default) and expression (127) from the first note on; None for a part without notes."""
    if not len(track.notes):
        return None
    both = [(changes(track.controls, number), default) for number, default in ((VOLUME, 100), (EXPRESSION, 127))]
    ticks = np.unique(np.concatenate([own for (own, _), _ in both]))
    level = np.ones(len(ticks) + 1)
    for (own, values), default in both:
        values = np.concatenate([[default], values])
        level *= (values[np.concatenate([[0], np.searchsorted(own, ticks, side="right")])] / 127.0) ** 2
    # Settings before the first onset apply from the beginning.
    ready = int(np.searchsorted(ticks, track.notes["start"][0], side="right"))
    level, at = level[ready:], to_frames(piece, ticks[ready:], rate)
    if not len(at):
        return Volume(np.zeros(1), level)
    done = np.minimum(at + int(RAMP_S * rate), np.append(at[1:], at[-1] + rate))
    frames, levels = np.empty(2 * len(at)), np.empty(2 * len(at))
    frames[0::2], frames[1::2] = at, done
    levels[0::2], levels[1::2] = level[:-1], level[1:]
    return Volume(frames, levels)


def bend_of(piece: Piece, track: Track, rate: int) -> Bend | None:
    """The part's pitch bends and tuning; None if there are none. Coarse tuning doesn't apply to drums."""
    ticks, semitones = transposition(track.controls, track.bends, drums=track.is_drum)
    if not semitones.any():
        return None
    speeds = np.exp2(semitones / 12)
    frames = np.append(0, to_frames(piece, ticks[1:], rate)).astype(np.float64)  # the first holds from the beginning
    passed = np.concatenate([[0.0], np.cumsum(np.diff(frames) * speeds[:-1])])
    return Bend(frames, speeds, passed)

"""A piece as a table of voices: which sound starts and ends in which frame, how loud, on which side.

Conventions
-----------
Frames count from tick 0 at the output rate; a *voice* is one region of the SoundFont playing for one note.
The sustain pedal (controller 64), pan (10), volume (7), expression (11) and pitch bend (range by RPN 0, two
semitones by default) are those of General MIDI; loudness follows the default modulators of the SoundFont
Technical Specification 2.04, section 8.4: amplitude grows with the square of velocity, volume and expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.piece import Piece, Track
from musicgen.render.envelopes import FLOOR_DB
from musicgen.render.soundfont import SoundFont
from musicgen.render.sounds import Bank, Sound, Warp

__all__ = ["CHOKE_S", "TAIL_S", "VOICE", "Bend", "Schedule", "Volume", "schedule"]

VOICE = np.dtype(
    [
        ("start", "<i8"),
        ("release", "<i8"),
        ("end", "<i8"),
        ("choke", "<i8"),  # where another voice of its exclusive class begins
        ("sound", "<i4"),
        ("track", "<i4"),
        ("left", "<f4"),
        ("right", "<f4"),
        ("bent", "?"),
    ]
)
TAIL_S = 10.0  # nothing sounds longer than this after the last note's end
PEDAL_S = 4.0  # a pedal that stays down lets go this long after it, at the latest
CHOKE_S = 0.01  # how fast a hi-hat that closes silences the open one
NEVER = 2**62  # later than any frame
RAMP_S = 0.01  # volume changes take this long, or they would click


@dataclass(frozen=True)
class Bend:
    """A track's pitch bends: from `frames[k]` on, sounds run `speeds[k]` times as fast."""

    frames: np.ndarray
    speeds: np.ndarray
    passed: np.ndarray  # frames of unbent sound by frames[k]

    def __call__(self, at: np.ndarray) -> np.ndarray:
        k = np.searchsorted(self.frames, at, side="right") - 1
        return self.passed[k] + (at - self.frames[k]) * self.speeds[k]

    def since(self, onset: int) -> Warp:
        """Frames of unbent sound as a function of the frames since `onset`."""
        before = self(np.array(onset))
        return lambda frames: self(onset + frames) - before

    def moves(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Whether sounds from `start` to `end` are bent at all."""
        bent = np.concatenate([[0], np.cumsum(self.speeds != 1)])
        first = np.searchsorted(self.frames, start, side="right") - 1
        return bent[np.searchsorted(self.frames, end)] > bent[first]


@dataclass(frozen=True)
class Volume:
    """A track's volume times expression as an amplitude: straight lines through (frames, levels)."""

    frames: np.ndarray
    levels: np.ndarray

    def __call__(self, start: int, stop: int) -> np.ndarray:
        return np.interp(np.arange(start, stop), self.frames, self.levels).astype(np.float32)


@dataclass(frozen=True)
class Schedule:
    """Voices sorted by start; the bank of their sounds; by track, its bends and its volume where they change."""

    voices: np.ndarray  # VOICE
    bank: Bank
    bends: list[Bend | None]
    volumes: list[Volume | None]
    frames: int  # the length of the whole

    @property
    def cut(self) -> bool:
        """Whether sounds would go on past the end."""
        return bool(len(self.voices)) and int(self.voices["end"].max()) > self.frames


def schedule(piece: Piece, font: SoundFont, *, rate: int) -> Schedule:
    """The voices of `piece` played with `font` at `rate` Hz.

    A track whose program the font lacks plays program 0 or the bank's first; a note for which the preset has
    no region is silent.
    """
    bank = Bank(font, rate=rate)
    sounds = bank.sounds
    score_end = int(np.ceil(piece.seconds * rate))
    tables, bends, volumes = [], [], []
    for n, track in enumerate(piece.tracks):
        bend, volume = _bend(piece, track, rate), _volume(piece, track, rate)
        bends.append(bend)
        steady = volume is not None and bool(np.all(volume.levels == volume.levels[0]))
        volumes.append(None if steady else volume)
        if not len(track.notes):
            continue
        preset = font.preset(track.program, bank=128 if track.is_drum else 0)
        pairs, which = np.unique(
            track.notes["pitch"].astype(np.int64) * 128 + np.maximum(track.notes["velocity"], 1), return_inverse=True
        )
        playing = []  # for each distinct (pitch, velocity): [(sound, amplitude), ...]
        for pitch, velocity in (divmod(int(p), 128) for p in pairs):
            regions = preset.matching(pitch, velocity)
            forced = [r["velocity"] if 1 <= r["velocity"] <= 127 else velocity for r in regions]
            playing.append([(bank.number(r, pitch), (v / 127) ** 2) for r, v in zip(regions, forced, strict=True)])
        counts = np.array([len(p) for p in playing])[which]
        if not counts.sum():
            continue
        first = np.concatenate([[0], np.cumsum([len(p) for p in playing])])[which]
        note = np.repeat(np.arange(len(which)), counts)
        within = np.arange(len(note)) - np.repeat(np.cumsum(counts) - counts, counts)
        flat = [pair for p in playing for pair in p]
        row = first[note] + within
        voices = np.zeros(len(note), VOICE)
        voices["track"] = n
        voices["sound"] = np.array([s for s, _ in flat])[row]
        starts = _to_frames(piece, track.notes["start"], rate)
        voices["start"] = starts[note]
        voices["release"] = np.maximum(_releases(piece, track, rate), starts + 1)[note]
        gain = np.array([a * sounds[s].gain for s, a in flat])[row]
        if steady and volume is not None:
            gain = gain * volume.levels[0]
        side = np.array([sounds[s].pan for s, _ in flat])[row] + _pan(track)[note]
        angle = (np.clip(side, -500, 500) + 500) * (np.pi / 2000)  # equal power
        voices["left"], voices["right"] = gain * np.cos(angle), gain * np.sin(angle)
        _finish(voices, sounds, bend, rate)
        tables.append(voices)
    voices = np.concatenate(tables) if tables else np.zeros(0, VOICE)
    voices = voices[np.argsort(voices["start"], kind="stable")]
    ends = int(voices["end"].max()) if len(voices) else rate
    return Schedule(voices, bank, bends, volumes, min(max(ends, score_end), score_end + int(TAIL_S * rate)))


def _to_frames(piece: Piece, ticks: np.ndarray, rate: int) -> np.ndarray:
    return np.rint(piece.to_seconds(ticks) * rate).astype(np.int64)


def _controls(track: Track, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, values) of one controller."""
    rows = track.controls[track.controls["number"] == number]
    return rows["tick"], rows["value"].astype(np.int64)


def _releases(piece: Piece, track: Track, rate: int) -> np.ndarray:
    """The frame in which each note is let go: its end, or later while the sustain pedal is down."""
    notes = track.notes
    start, end = notes["start"], notes["start"] + notes["duration"]
    ticks, values = _controls(track, 64)
    release = end
    if np.any(values >= 64):
        down = np.concatenate([[False], values >= 64])
        held = down[np.searchsorted(ticks, end, side="left")]
        never = max(piece.end, int(ticks[-1])) + 1
        ups = np.append(ticks[values < 64], never)
        lifted = ups[np.searchsorted(ups, end, side="left")]
        # The same key struck again damps what the pedal held.
        order = np.lexsort((start, notes["pitch"]))
        pitch, onset = notes["pitch"][order].astype(np.int64), start[order]
        span = int(onset.max()) + 1
        later = np.searchsorted(pitch * span + onset, pitch * span + onset, side="right")
        again = np.full(len(notes), never)
        inside = later < len(notes)
        inside[inside] = pitch[later[inside]] == pitch[inside]
        again[order[inside]] = onset[later[inside]]
        release = np.where(held, np.maximum(end, np.minimum(lifted, again)), end)
    latest = int((piece.seconds + PEDAL_S) * rate)
    return np.minimum(_to_frames(piece, release, rate), latest)


def _pan(track: Track) -> np.ndarray:
    """Controller 10 at each note's onset, as -500 (left) .. 500 (right)."""
    ticks, values = _controls(track, 10)
    at = np.concatenate([[64], values])[np.searchsorted(ticks, track.notes["start"], side="right")]
    return (at - 64) * (500 / np.where(at < 64, 64, 63))


def _volume(piece: Piece, track: Track, rate: int) -> Volume | None:
    """Volume (100 by default) and expression (127) from the first note on; None for a track without notes."""
    if not len(track.notes):
        return None
    ticks = np.unique(np.concatenate([_controls(track, n)[0] for n in (7, 11)]))
    level = np.ones(len(ticks) + 1)
    for number, default in ((7, 100), (11, 127)):
        own, values = _controls(track, number)
        values = np.concatenate([[default], values])
        level *= (values[np.concatenate([[0], np.searchsorted(own, ticks, side="right")])] / 127.0) ** 2
    # What is set up to the first onset simply holds from the beginning.
    ready = int(np.searchsorted(ticks, track.notes["start"][0], side="right"))
    level, at = level[ready:], _to_frames(piece, ticks[ready:], rate)
    if not len(at):
        return Volume(np.zeros(1), level)
    done = np.minimum(at + int(RAMP_S * rate), np.append(at[1:], at[-1] + rate))
    frames, levels = np.empty(2 * len(at)), np.empty(2 * len(at))
    frames[0::2], frames[1::2] = at, done
    levels[0::2], levels[1::2] = level[:-1], level[1:]
    return Volume(frames, levels)


def _bend(piece: Piece, track: Track, rate: int) -> Bend | None:
    """The track's pitch bends; None when the wheel rests in the centre throughout."""
    if not np.any(track.bends["value"]):
        return None
    ticks, value = track.bends["tick"], track.bends["value"] / 8192.0
    speeds = np.concatenate([[1.0], np.exp2(value * _bend_range(track, ticks) / 12)])
    frames = np.concatenate([[0], _to_frames(piece, ticks, rate)]).astype(np.float64)
    passed = np.concatenate([[0.0], np.cumsum(np.diff(frames) * speeds[:-1])])
    return Bend(frames, speeds, passed)


def _bend_range(track: Track, ticks: np.ndarray) -> np.ndarray:
    """Semitones of a full bend at `ticks`: data entry (controllers 6 and 38) under RPN 0 (101 = 100 = 0)."""
    at, ranges = [-1], [2.0]
    selected = [127, 127]
    for tick, number, value in track.controls[np.isin(track.controls["number"], (6, 38, 100, 101))].tolist():
        if number in (100, 101):
            selected[number - 100] = value
        elif selected == [0, 0]:
            at.append(tick)
            ranges.append(min(value, 24.0) if number == 6 else int(ranges[-1]) + min(value, 99) / 100)
    return np.array(ranges)[np.searchsorted(at, ticks, side="right") - 1]


def _finish(voices: np.ndarray, sounds: list[Sound], bend: Bend | None, rate: int) -> None:
    """Fill in the ends: natural ends, releases, and hi-hats (exclusive classes) that silence each other."""
    used = np.unique(voices["sound"])
    column = {name: np.zeros(len(sounds), np.int64) for name in ("release", "length", "exclusive")}
    for n in used.tolist():
        length = sounds[n].length
        column["release"][n], column["exclusive"][n] = sounds[n].envelope.release, sounds[n].exclusive
        column["length"][n] = -1 if length is None else length
    own = voices["sound"]
    voices["choke"] = NEVER
    choked = column["exclusive"][own]
    for group in np.unique(choked[choked > 0]).tolist():
        members = np.flatnonzero(choked == group)
        onsets = np.unique(voices["start"][members])
        following = np.append(onsets, NEVER)[np.searchsorted(onsets, voices["start"][members], side="right")]
        voices["choke"][members] = following
    released = voices["release"] + (column["release"][own] * (FLOOR_DB / 100)).astype(np.int64) + 1
    slowest = 1.0 if bend is None else min(1.0, float(bend.speeds.min()))
    natural = voices["start"] + (column["length"][own] / slowest).astype(np.int64)
    ends = np.where(column["length"][own] >= 0, np.minimum(released, natural), released)
    voices["end"] = np.minimum(ends, voices["choke"] + int(CHOKE_S * rate))
    if bend is not None:
        voices["bent"] = bend.moves(voices["start"], voices["end"])

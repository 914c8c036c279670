"""Convert a piece to a table of voices: the sound, start and end frames, gain and pan of each.

Conventions
-----------
Frames count from tick 0 at the output rate; a *voice* is one region of the SoundFont playing for one note. The effect
of controllers is computed in `moves`. Amplitude is proportional to the square of velocity, volume and expression, as in
the default modulators of the SoundFont Technical Specification 2.04, section 8.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.piece import Piece
from musicgen.render.envelopes import FLOOR_DB
from musicgen.render.moves import (
    NEVER,
    Bend,
    Volume,
    bend_of,
    cuts,
    pan,
    releases,
    softness,
    to_frames,
    volume_of,
)
from musicgen.render.soundfont import SoundFont
from musicgen.render.sounds import Bank, Sound

__all__ = ["CHOKE_S", "TAIL_S", "VOICE", "Schedule", "schedule"]

VOICE = np.dtype(
    [
        ("start", "<i8"),
        ("release", "<i8"),
        ("end", "<i8"),
        ("choke", "<i8"),  # frame at which a voice of its exclusive class begins, or "all sound off"
        ("sound", "<i4"),
        ("track", "<i4"),
        ("left", "<f4"),
        ("right", "<f4"),
        ("bent", "?"),
    ]
)
TAIL_S = 10.0  # longest sound after the last note's end
CHOKE_S = 0.01  # fade time of a choked voice, such as an open hi-hat when it closes


@dataclass(frozen=True)
class Schedule:
    """Voices sorted by start; the bank of their sounds; for each track its bends and volume, None if constant."""

    voices: np.ndarray  # VOICE
    bank: Bank
    bends: list[Bend | None]
    volumes: list[Volume | None]
    frames: int  # the length of the whole

    @property
    def cut(self) -> bool:
        """Whether sounds are cut off at the end."""
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
        bend, volume = bend_of(piece, track, rate), volume_of(piece, track, rate)
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
        starts = to_frames(piece, track.notes["start"], rate)
        voices["start"] = starts[note]
        voices["release"] = np.maximum(releases(piece, track, rate), starts + 1)[note]
        gain = np.array([a * sounds[s].gain for s, a in flat])[row] * softness(track)[note]
        if steady and volume is not None:
            gain = gain * volume.levels[0]
        side = np.array([sounds[s].pan for s, _ in flat])[row] + pan(track)[note]
        angle = (np.clip(side, -500, 500) + 500) * (np.pi / 2000)  # equal power
        voices["left"], voices["right"] = gain * np.cos(angle), gain * np.sin(angle)
        _finish(voices, sounds, bend=bend, silent=cuts(piece, track, rate), rate=rate)
        tables.append(voices)
    voices = np.concatenate(tables) if tables else np.zeros(0, VOICE)
    voices = voices[np.argsort(voices["start"], kind="stable")]
    ends = int(voices["end"].max()) if len(voices) else rate
    return Schedule(voices, bank, bends, volumes, min(max(ends, score_end), score_end + int(TAIL_S * rate)))


def _finish(voices: np.ndarray, sounds: list[Sound], *, bend: Bend | None, silent: np.ndarray, rate: int) -> None:
    """Fill in `end`, `choke` and `bent`: from natural ends, releases, exclusive classes (such as hi-hats), and the
    "all sound off" frames `silent`."""
    used = np.unique(voices["sound"])
    column = {name: np.zeros(len(sounds), np.int64) for name in ("release", "length", "exclusive")}
    for n in used.tolist():
        length = sounds[n].length
        column["release"][n], column["exclusive"][n] = sounds[n].envelope.release, sounds[n].exclusive
        column["length"][n] = -1 if length is None else length
    own = voices["sound"]
    voices["choke"] = np.append(silent, NEVER)[np.searchsorted(silent, voices["start"], side="right")]
    choked = column["exclusive"][own]
    for group in np.unique(choked[choked > 0]).tolist():
        members = np.flatnonzero(choked == group)
        onsets = np.unique(voices["start"][members])
        following = np.append(onsets, NEVER)[np.searchsorted(onsets, voices["start"][members], side="right")]
        voices["choke"][members] = np.minimum(following, voices["choke"][members])
    released = voices["release"] + (column["release"][own] * (FLOOR_DB / 100)).astype(np.int64) + 1
    slowest = 1.0 if bend is None else min(1.0, float(bend.speeds.min()))
    natural = voices["start"] + (column["length"][own] / slowest).astype(np.int64)
    ends = np.where(column["length"][own] >= 0, np.minimum(released, natural), released)
    voices["end"] = np.minimum(ends, voices["choke"] + int(CHOKE_S * rate))
    if bend is not None:
        voices["bent"] = bend.moves(voices["start"], voices["end"])

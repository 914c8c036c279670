"""Volume and modulation envelopes, oscillators and releases of a SoundFont's sounds.

Conventions
-----------
Everything is a function of the frame counted from a note's onset, at the output rate. Levels are amplitudes,
times in a font are timecents (2**(tc/1200) seconds) and frequencies absolute cents (8.176 Hz is 0).
Source: SoundFont Technical Specification 2.04, sections 8.1.2, 8.1.3 and 9.1.
"""

from __future__ import annotations

import numpy as np

from musicgen.render.soundfont import Region

__all__ = ["FLOOR_DB", "Envelope", "Modulation", "triangle"]

FLOOR_DB = 90.0  # a sound this far below its own peak has ended
CACHED_S = 2.0  # the beginning of each envelope is kept
MIN_RELEASE_S = 0.01  # a shorter release clicks


class Envelope:
    """The volume envelope of `region` at MIDI `key`, with the tremolo of its modulation oscillator.

    Attack is linear in amplitude, decay and release are straight in dB, given as times for a fall of 100 dB.
    """

    def __init__(self, region: Region, key: int, *, rate: int) -> None:
        g = region
        hold = g["holdVolEnv"] + (60 - key) * g["keynumToVolEnvHold"]
        decay = g["decayVolEnv"] + (60 - key) * g["keynumToVolEnvDecay"]
        self._rate = rate
        self._delay, self._attack = _frames(g["delayVolEnv"], rate), _frames(g["attackVolEnv"], rate)
        self._hold, self._decay = _frames(hold, rate), _frames(decay, rate)
        self._sustain_db = min(max(g["sustainVolEnv"], 0), 1440) / 10
        depth = min(max(g["modLfoToVolume"], -960), 960)
        self._tremolo = (depth, g["delayModLFO"], g["freqModLFO"]) if depth else None
        #: Frames of a complete release (a fall of 100 dB).
        self.release = int(max(_frames(g["releaseVolEnv"], rate), MIN_RELEASE_S * rate))
        #: Frames until a held note has died away; None when it never does.
        self.length: int | None = None
        if self._sustain_db >= FLOOR_DB:
            self.length = int(self._decays_from + self._decay * FLOOR_DB / 100) + 1
        self._kept = self._fallen = np.zeros(0, np.float32)

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for envelopes that are the same, so that regions and keys can share one."""
        return (self._delay, self._attack, self._hold, self._decay, self._sustain_db, self._tremolo, self.release)

    @property
    def _decays_from(self) -> float:
        return self._delay + self._attack + self._hold

    def level(self, start: int, stop: int) -> np.ndarray:
        """Frames start..stop-1 of a held note's level, float32 (n,); may be a view that must not be written to."""
        limit = int(CACHED_S * self._rate)
        if stop > limit:
            return self._compute(start, stop)
        if stop > len(self._kept):
            self._kept = self._compute(0, min(limit, max(2 * stop, 16384)))
        return self._kept[start:stop]

    def falling(self, start: int, stop: int) -> np.ndarray:
        """Frames start..stop-1 after the release, relative to the level it began at; otherwise as `level`."""
        limit = int(CACHED_S * self._rate)
        rate = np.float32(-5 * np.log(10) / self.release)
        if stop > limit:
            level: np.ndarray = np.exp(np.arange(start, stop, dtype=np.float32) * rate)
            return level
        if stop > len(self._fallen):
            self._fallen = np.exp(np.arange(min(limit, max(2 * stop, 16384)), dtype=np.float32) * rate)
        return self._fallen[start:stop]

    def _compute(self, start: int, stop: int) -> np.ndarray:
        at = np.arange(stop - start, dtype=np.float32)
        slope = 100 / self._decay
        fall_db = np.clip(at * np.float32(slope) + np.float32((start - self._decays_from) * slope), 0, self._sustain_db)
        if self._tremolo is not None:
            depth, delay, frequency = self._tremolo
            fall_db += depth / 10 * triangle(np.arange(start, stop) / self._rate, delay=delay, frequency=frequency)
        level = np.exp(fall_db * np.float32(-np.log(10) / 20))
        if start < self._delay + self._attack:
            level *= np.clip((at + np.float32(start - self._delay)) / np.float32(self._attack), 0, 1)
        faded: np.ndarray = level.astype(np.float32, copy=False)
        return faded


class Modulation:
    """The modulation envelope (0..1) and the two oscillators (-1..1) of `region` at MIDI `key`.

    The envelope's decay is linear. It keeps to its course after the release.
    """

    def __init__(self, region: Region, key: int, *, rate: int) -> None:
        self._region, self._rate = region, rate
        self._delay, self._attack = _frames(region["delayModEnv"], rate), _frames(region["attackModEnv"], rate)
        self._hold = _frames(region["holdModEnv"] + (60 - key) * region["keynumToModEnvHold"], rate)
        self._decay = _frames(region["decayModEnv"] + (60 - key) * region["keynumToModEnvDecay"], rate)
        self._fall = min(max(region["sustainModEnv"], 0), 1000) / 1000

    def cents(self, at: np.ndarray, *, target: str) -> np.ndarray:
        """The total modulation of `target`, "Pitch" or "FilterFc", in cents at frames `at`; float64."""
        g, seconds = self._region, at / self._rate
        cents = np.zeros(len(at))
        if g[f"modEnvTo{target}"]:
            since = at - self._delay
            fall = np.clip((since - self._attack - self._hold) / self._decay, 0, self._fall)
            cents += g[f"modEnvTo{target}"] * (np.clip(since / self._attack, 0, 1) - fall)
        if g[f"modLfoTo{target}"]:
            wave = triangle(seconds, delay=g["delayModLFO"], frequency=g["freqModLFO"])
            cents += g[f"modLfoTo{target}"] * wave
        if target == "Pitch" and g["vibLfoToPitch"]:
            cents += g["vibLfoToPitch"] * triangle(seconds, delay=g["delayVibLFO"], frequency=g["freqVibLFO"])
        return cents


def triangle(seconds: np.ndarray, *, delay: int, frequency: int) -> np.ndarray:
    """A low-frequency oscillator, -1..1, rising from 0 after its delay (timecents; absolute cents)."""
    hertz = 8.176 * 2.0 ** (min(max(frequency, -16000), 4500) / 1200)
    phase = np.maximum(seconds - 2.0 ** (min(max(delay, -12000), 5000) / 1200), 0) * hertz
    wave: np.ndarray = 1 - 4 * np.abs((phase + 0.75) % 1 - 0.5)
    return wave


def _frames(timecents: int, rate: int) -> float:
    """Timecents as output frames; the specification's limits are 1 ms and 100 s. At least one frame."""
    frames: float = max(2.0 ** (min(max(timecents, -12000), 8000) / 1200) * rate, 1.0)
    return frames

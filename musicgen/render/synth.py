"""Render pieces as float32 stereo sound with a SoundFont.

Conventions
-----------
Blocks are float32 of shape (n, 2), left and right, in (-1, 1), at `rate` frames a second (Hz); the first frame is
tick 0. Sound ends at most 10 s after the last note. The player is our own, in numpy, after the SoundFont
Technical Specification 2.04 (see `sounds` and `schedule`), or FluidSynth where that is installed. It has neither
reverberation nor chorus. The same piece, SoundFont, rate and engine give the same samples.

The sound is normalized: the blocks that should be loudest are rendered first and scaled to a peak of 3 dB below full
scale, so that a very soft piece can be heard too. Samples that still exceed that peak are compressed smoothly to stay
below full scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import Piece
from musicgen.render.limits import check_hours, check_voices, without_copies
from musicgen.render.schedule import CHOKE_S, Schedule, schedule
from musicgen.render.soundfont import SoundFont, find_soundfont

__all__ = ["ENGINES", "synthesize"]

ENGINES = ("auto", "fluidsynth", "numpy")
RATES = (8_000, 192_000)
BLOCK_S = 2.0
PEAK = 10 ** (-3 / 20)
CEILING = 0.98  # limit of the samples, which they approach but never reach
LOUDEST = 24  # blocks rendered ahead to find the level, and kept: 17 MB
SILENCE_S = 1.0  # for a piece without notes
FADE_S = 0.5  # fade-out of a tail that is cut off


def synthesize(
    piece: Piece,
    *,
    soundfont: str | Path | None = None,
    rate: int = 44100,
    engine: str = "auto",
    block_s: float = BLOCK_S,
) -> Iterator[np.ndarray]:
    """The sound of `piece` as blocks of float32 (n, 2), about `block_s` seconds each.

    `engine` is "numpy", "fluidsynth" (needs pyfluidsynth and its library) or "auto": FluidSynth where it works.
    Memory is bounded whatever the length. Raises UsageError for an unusable rate or engine, UnreadableError for a
    SoundFont that can't be found or read, and ResourceError beyond `limits`, all at the call rather than at the first
    block.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", hint=f"use one of {', '.join(ENGINES)}")
    if not isinstance(rate, int) or not RATES[0] <= rate <= RATES[1]:
        raise UsageError(f"a rate of {rate} Hz can't be rendered", hint=f"use {RATES[0]} to {RATES[1]}, such as 44100")
    check_hours(piece)
    path = find_soundfont(soundfont)
    font = SoundFont(path)
    if piece.n_notes == 0:
        return iter([np.zeros((int(SILENCE_S * rate), 2), np.float32)])
    if engine != "numpy":
        from musicgen.render import fluid

        tracks = sum(len(t.notes) > 0 for t in piece.tracks)
        if fluid.works() and tracks <= fluid.CHANNELS:
            return _finished(*fluid.play(piece, path, rate=rate, peak=PEAK), fade=int(FADE_S * rate))
        if engine == "fluidsynth":
            raise UsageError(
                f"FluidSynth can't play {tracks} tracks at once" if fluid.works() else "FluidSynth isn't installed",
                hint="leave `engine` out to use the built-in player"
                if fluid.works()
                else "install pyfluidsynth and libfluidsynth, or leave `engine` out to use the built-in player",
            )
    plan = schedule(piece, font, rate=rate)
    plan = replace(plan, voices=without_copies(plan.voices))
    check_voices(plan.voices, rate=rate)
    player = _Player(plan)
    # No fade if the sounds end by themselves: the last note may be a short one at the very end.
    fade = int(FADE_S * rate) if player.plan.cut else 0
    return _finished(player.blocks(max(int(block_s * rate), 1)), player.frames, fade=fade)


def _finished(blocks: Iterator[np.ndarray], frames: int, *, fade: int) -> Iterator[np.ndarray]:
    """Turn blocks (2, n) into blocks (n, 2), limited; the last `fade` of all `frames` fade out linearly."""
    at = 0
    for block in blocks:
        left = frames - at - np.arange(block.shape[1])  # frames to go
        if left[-1] < fade:
            block = block * np.clip(left / fade, 0, 1).astype(np.float32)
        at += block.shape[1]
        yield np.ascontiguousarray(_limited(block).T)


def _limited(block: np.ndarray) -> np.ndarray:
    """A soft limiter: identity up to PEAK, above it a tanh towards CEILING; the slope is continuous."""
    size = np.abs(block)
    over = size > PEAK
    if over.any():
        room = np.float32(CEILING - PEAK)
        block = block.copy()
        block[over] = np.sign(block[over]) * (PEAK + room * np.tanh((size[over] - PEAK) / room))
    return block


class _Player:
    """Mixes a schedule's voices into blocks."""

    def __init__(self, plan: Schedule) -> None:
        self.plan, self.frames = plan, plan.frames
        self._reach = np.maximum.accumulate(plan.voices["end"]) if len(plan.voices) else np.zeros(0, np.int64)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Blocks (2, size) of the whole piece, normalized; the last one may be shorter."""
        count = -(-self.frames // size)
        ready: dict[int, np.ndarray] = {}
        peak = 0.0
        for n in self._by_loudness(size, count):
            if len(ready) >= LOUDEST and peak > 0:
                break
            block = self._block(n * size, min((n + 1) * size, self.frames))
            # Keep rendered blocks, at most LOUDEST of them, so that they needn't be rendered again.
            if len(ready) < LOUDEST:
                ready[n] = block
            peak = max(peak, float(np.abs(block).max()))
        gain = np.float32(PEAK / peak if peak > 0 else 1.0)
        for n in range(count):
            block = ready.pop(n) if n in ready else self._block(n * size, min((n + 1) * size, self.frames))
            yield block * gain

    def _by_loudness(self, size: int, count: int) -> list[int]:
        """Block numbers, the loudest first, estimated by the power of the voices that begin or are held in each."""
        v = self.plan.voices
        power = (v["left"] ** 2 + v["right"] ** 2).astype(np.float64)
        for n, volume in enumerate(self.plan.volumes):
            if volume is not None:
                own = v["track"] == n
                power[own] *= np.interp(v["start"][own], volume.frames, volume.levels) ** 2
        first = np.minimum(v["start"] // size, count - 1)
        change = np.zeros(count + 1)
        np.add.at(change, first, power)
        np.add.at(change, np.minimum(np.minimum(v["release"], v["end"]) // size + 1, count), -power)
        onsets = np.bincount(first, power, count)
        order: list[int] = np.argsort(-(np.cumsum(change)[:count] + onsets), kind="stable").tolist()
        return order

    def _block(self, start: int, stop: int) -> np.ndarray:
        """Frames start..stop-1 of the mix before any gain, float32 (2, n)."""
        out = np.zeros((2, stop - start), np.float32)
        voices = self.plan.voices
        low = int(np.searchsorted(self._reach, start, side="right"))
        high = int(np.searchsorted(voices["start"], stop))
        here = low + np.flatnonzero(voices["end"][low:high] > start)
        if not len(here):
            return out
        scratch = np.empty(stop - start, np.float32)
        tracks = voices["track"][here]
        for track in np.unique(tracks).tolist():
            volume = self.plan.volumes[track]
            bus = out if volume is None else np.zeros_like(out)
            for voice in voices[here[tracks == track]].tolist():
                self._mix(bus, voice, scratch, start=start, stop=stop)
            if volume is not None:
                bus *= volume(start, stop)
                out += bus
        return out

    def _mix(self, bus: np.ndarray, voice: tuple[Any, ...], scratch: np.ndarray, *, start: int, stop: int) -> None:
        """Add one voice (a row of VOICE) to the frames start..stop-1 in `bus` (2, n)."""
        onset, release, end, choke, number, track, left, right, bent = voice
        a, b = max(onset, start) - onset, min(end, stop) - onset  # frames of the voice
        if a >= b:
            return
        sound = self.plan.bank.sounds[number]
        bend = self.plan.bends[track] if bent else None
        wave = sound.wave(a, b, warp=None if bend is None else bend.since(onset))
        mono = np.empty(b - a, np.float32)
        held = min(max(release - onset, a), b)
        if a < held:
            np.multiply(wave[: held - a], sound.envelope.level(a, held), out=mono[: held - a])
        if held < b:
            since = held - (release - onset)  # frames between the release and the first one here
            falling = sound.envelope.falling(since, since + b - held)
            np.multiply(wave[held - a :], falling, out=mono[held - a :])
            mono[held - a :] *= sound.envelope.level(release - onset, release - onset + 1)
        if b > choke - onset:
            ramp = 1 - (np.arange(a, b) - (choke - onset)) / (CHOKE_S * sound.rate)
            mono *= np.clip(ramp, 0, 1).astype(np.float32)
        at = onset + a - start
        part = scratch[: b - a]
        for row, gain in ((bus[0], left), (bus[1], right)):
            np.multiply(mono, np.float32(gain), out=part)
            row[at : at + b - a] += part
        self.plan.bank.used(number)

"""Waveforms of a SoundFont's regions at single keys, resampled to the output rate and filtered.

Conventions
-----------
Waveforms are mono float32, full scale ±1, at `rate` frames a second (Hz), and functions of the frame counted
from the note's onset: a note comes out the same whichever blocks it is rendered in. Positions are frames of the
recording. Pitch, loops and the filter: SoundFont Technical Specification 2.04, sections 7.10, 8.1 and 9.1.
Sample mode 3 is played as mode 1: the loop goes on until the sound is gone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from musicgen.render.envelopes import Envelope, Modulation
from musicgen.render.soundfont import Region, SoundFont

__all__ = ["Bank", "Sound", "Warp"]

CACHED_S = 4.0  # the beginning of each waveform is kept; the rest of longer notes is computed when needed
CACHE_BYTES = 192 * 2**20
CHUNK = 8192  # frames computed at a time: the intermediate arrays fit into the processor's cache
MODULATED_S = 30.0  # pitch modulation is tabled this far; the pitch then stays
STEP = 64  # frames between points of that table
HOP = 256  # the filter changes every HOP frames, over windows of twice that
OPEN_FC = 13500  # absolute cents, about 20 kHz: the filter does nothing
ATTENUATION = 0.4  # of initialAttenuation: what the EMU8000 did and fonts are made for; FluidSynth does the same
_WINDOW = np.sin((np.arange(2 * HOP) + 0.5) * (np.pi / (2 * HOP))).astype(np.float32)

Warp = Callable[[np.ndarray], np.ndarray]  # frames since the onset -> frames of unbent pitch (pitch bends)


class Bank:
    """The sounds of a font in use at `rate` Hz, by number, and what they share; keeps caches within CACHE_BYTES."""

    def __init__(self, font: SoundFont, *, rate: int) -> None:
        self.font, self.rate = font, rate
        self.sounds: list[Sound] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._envelopes: dict[tuple[object, ...], Envelope] = {}
        self._sources = _Sources(font.samples)
        self._recent: OrderedDict[int, int] = OrderedDict()  # sound -> bytes it holds, longest unused first
        self._held = 0

    def number(self, region: Region, key: int) -> int:
        """The number of the sound of `region` at MIDI `key`."""
        # id() identifies a region, as the font's presets keep their regions alive.
        place = id(region), key
        if place not in self._numbers:
            self._numbers[place] = len(self.sounds)
            envelope = Envelope(region, key, rate=self.rate)
            envelope = self._envelopes.setdefault(envelope.identity, envelope)
            self.sounds.append(Sound(region, key, envelope=envelope, sources=self._sources, rate=self.rate))
        return self._numbers[place]

    def used(self, number: int) -> None:
        """Mark a sound as used; the least recently used caches are emptied if all together exceed CACHE_BYTES."""
        size = self.sounds[number].cached_bytes
        self._held += size - self._recent.pop(number, 0)
        self._recent[number] = size
        while self._held > CACHE_BYTES and len(self._recent) > 1:
            oldest, freed = self._recent.popitem(last=False)
            self.sounds[oldest].forget()
            self._held -= freed


class _Sources:
    """Recordings padded for the resampler, shared by all keys that use them."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        self._kept: dict[tuple[int, int, int], np.ndarray] = {}

    def get(self, start: int, end: int, *, loop: int) -> np.ndarray:
        """Sample frames start..end-1 as int16, with one frame before and five after; `loop` is its length or 0.

        After the end comes silence, or the loop once more.
        """
        if (start, end, loop) not in self._kept:
            body = self.samples[start:end]
            after = body[len(body) - loop + np.arange(5) % loop] if loop else np.zeros(5, body.dtype)
            self._kept[start, end, loop] = np.concatenate([np.zeros(1, body.dtype), body, after])
        return self._kept[start, end, loop]


class Sound:
    """`region` played at MIDI `key`."""

    def __init__(self, region: Region, key: int, *, envelope: Envelope, sources: _Sources, rate: int) -> None:
        g, sample = region, region.sample
        key = g["keynum"] if 0 <= g["keynum"] <= 127 else key
        self._region, self._sources, self.envelope, self.rate = region, sources, envelope, rate

        def address(at: int, name: str) -> int:
            moved = at + g[f"{name}AddrsOffset"] + 32768 * g[f"{name}AddrsCoarseOffset"]
            return min(max(moved, 0), len(sources.samples))

        start, end = address(sample.start, "start"), address(sample.end, "end")
        loop_start, loop_end = address(sample.loop_start, "startloop"), address(sample.loop_end, "endloop")
        self._looped = g["sampleModes"] & 1 == 1 and start <= loop_start <= loop_end - 4 and loop_end <= end
        self._start, self._end = start, loop_end if self._looped else max(start, end)
        self._loop = loop_end - loop_start if self._looped else 0

        root = g["overridingRootKey"] if 0 <= g["overridingRootKey"] <= 127 else sample.pitch
        root = root if root <= 127 else 60  # section 7.10: 255 means unpitched, played as if recorded at key 60
        cents = (key - root) * g["scaleTuning"] + 100 * g["coarseTune"] + g["fineTune"] + sample.correction
        cents = min(max(cents, -12000), 12000)  # ten octaves: only a damaged font asks for more
        self._ratio = 2.0 ** (cents / 1200) * sample.rate_hz / rate  # frames of the recording an output frame
        self.gain = 10.0 ** (-ATTENUATION * min(max(g["initialAttenuation"], 0), 1440) / 200)
        self.pan = min(max(g["pan"], -500), 500)  # per mille of the way from the centre: -500 left, 500 right
        self.exclusive = g["exclusiveClass"]

        self._modulation = Modulation(region, key, rate=rate)
        self._table: np.ndarray | None = None
        if g["modEnvToPitch"] or g["modLfoToPitch"] or g["vibLfoToPitch"]:
            at = np.arange(int(MODULATED_S * rate) // STEP) * STEP
            speeds = np.exp2(np.clip(self._modulation.cents(at, target="Pitch"), -12000, 12000) / 1200)
            self._table = np.concatenate([[0.0], np.cumsum(speeds * (self._ratio * STEP))])
        lowest = g["initialFilterFc"] + min(g["modEnvToFilterFc"], 0) - abs(g["modLfoToFilterFc"])
        self._filtered = lowest < OPEN_FC
        #: Frames until a held note ends by itself; None when it sounds until it is released.
        self.length = self.envelope.length
        if not self._looped:
            # A moving pitch may make it slower for a while; past its end it is silent.
            frames = int((self._end - start) / self._ratio * (1 if self._table is None else 2)) + 1
            self.length = frames if self.length is None else min(frames, self.length)
        self._wave = np.zeros(0, np.float32)

    @property
    def cached_bytes(self) -> int:
        return self._wave.nbytes

    def forget(self) -> None:
        """Free the cached waveform."""
        self._wave = np.zeros(0, np.float32)

    def wave(self, start: int, stop: int, *, warp: Warp | None = None) -> np.ndarray:
        """Frames start..stop-1 of the waveform, float32 (n,); may be a view that must not be written to."""
        limit, have = int(CACHED_S * self.rate), len(self._wave)
        if warp is not None or stop > limit:
            return self._render(start, stop, warp)
        if stop > have:
            want = min(-(-stop // CHUNK) * CHUNK, limit)
            self._wave = np.concatenate([self._wave, self._render(have, want, None)])
        return self._wave[start:stop]

    # ---- making it -----------------------------------------------------------------------------

    def _render(self, start: int, stop: int, warp: Warp | None) -> np.ndarray:
        """Resampled and filtered frames start..stop-1."""
        make = self._filter if self._filtered else self._resample
        parts = [make(at, min(at + CHUNK, stop), warp) for at in range(start, stop, CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _filter(self, start: int, stop: int, warp: Warp | None) -> np.ndarray:
        """Resampled frames through the region's two-pole low-pass, in magnitude only (section 9.1.5).

        Overlapping windows on a grid counted from the onset are each filtered by their spectrum: the square root
        of a Hann window before and after adds up to one, and the grid doesn't move with `start`. The resonance is
        in centibels above the gain at 0 Hz, which is lowered by half of it (section 8.1.3).
        """
        g, first, last = self._region, start // HOP, -(-stop // HOP)
        dry = self._resample((first - 1) * HOP, (last + 1) * HOP, warp).reshape(-1, HOP)
        spectra = np.fft.rfft(np.concatenate([dry[:-1], dry[1:]], axis=1) * _WINDOW, axis=1)
        at = np.maximum(np.arange(first, last + 1), 0) * HOP
        cents = g["initialFilterFc"] + self._modulation.cents(at, target="FilterFc")
        cutoff = 8.176 * np.exp2(np.clip(cents, 1500, OPEN_FC) / 1200)
        hertz = np.arange(HOP + 1) * (self.rate / (2 * HOP))
        resonance_db = min(max(g["initialFilterQ"], 0), 960) / 10
        q, gain = 10 ** ((resonance_db - 3.01) / 20), np.float32(10 ** (-resonance_db / 40))
        x = ((hertz.astype(np.float32)) / cutoff[:, None].astype(np.float32)) ** 2
        spectra *= gain / np.sqrt((1 - x) ** 2 + x * np.float32(q**-2))
        wet = np.fft.irfft(spectra, axis=1) * _WINDOW
        out = (wet[:-1, HOP:] + wet[1:, :HOP]).ravel()
        cut: np.ndarray = out[start - first * HOP : stop - first * HOP].astype(np.float32, copy=False)
        return cut

    def _resample(self, start: int, stop: int, warp: Warp | None) -> np.ndarray:
        """Frames start..stop-1 by cubic (Catmull-Rom) interpolation; silence before frame 0."""
        source = self._sources.get(self._start, self._end, loop=self._loop)
        frames = np.arange(max(start, 0), max(stop, 0), dtype=np.float64)
        at = self._position(frames if warp is None else warp(frames))
        if self._looped:
            # Folded one frame late, so that the tap to the left of the loop's first frame is its last one.
            turn = float(self._end - self._start - self._loop + 1)
            past = int(np.searchsorted(at, turn + self._loop))  # positions only ever rise
            at[past:] -= np.floor((at[past:] - turn) * (1 / self._loop)) * self._loop
        else:
            np.minimum(at, len(source) - 4, out=at)
        whole = at.astype(np.int64)
        t = (at - whole).astype(np.float32)
        y0, y1, y2, y3 = (source[k:].take(whole, mode="clip").astype(np.float32) for k in range(4))
        y = y1 - y2
        y *= 3
        y += y3
        y -= y0
        y *= t
        y += 2 * y0 - 5 * y1 + 4 * y2 - y3
        y *= t
        y += y2 - y0
        y *= t
        y *= np.float32(0.5)
        y += y1
        y *= np.float32(1 / 32768)
        return y if start >= 0 else np.concatenate([np.zeros(min(stop, 0) - start, np.float32), y])

    def _position(self, frames: np.ndarray) -> np.ndarray:
        """Frames of the recording since its start, at output frames since the onset."""
        table = self._table
        if table is None:
            straight: np.ndarray = frames * self._ratio
            return straight
        last = (len(table) - 1) * STEP
        k = np.minimum(frames * (1 / STEP), len(table) - 2).astype(np.int64)
        inside = table[k] + (np.minimum(frames, last) - k * STEP) * ((table[k + 1] - table[k]) / STEP)
        position: np.ndarray = inside + np.maximum(frames - last, 0) * ((table[-1] - table[-2]) / STEP)
        return position

"""What tests of rendering measure: levels and frequencies of stretches of sound, (n, 2) at RATE."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from musicgen.piece import Piece
from musicgen.render import synth

_SPEC = find_spec("pretty_midi")
FONT = Path(((_SPEC and _SPEC.submodule_search_locations) or ["missing"])[0]) / "TimGM6mb.sf2"
RATE = 22050  # half the usual rate, for speed


def sound_of(piece: Piece, *, font: Path = FONT, rate: int = RATE, engine: str = "numpy") -> np.ndarray:
    """The whole sound of a piece as one float32 array (n, 2)."""
    return np.concatenate(list(synth.synthesize(piece, soundfont=font, rate=rate, engine=engine)))


def rms(sound: np.ndarray, start_s: float, stop_s: float) -> float:
    part = sound[int(start_s * RATE) : int(stop_s * RATE)].astype(np.float64)
    return float(np.sqrt(np.mean(part**2)))


def db_of_peak(sound: np.ndarray, start_s: float, stop_s: float) -> float:
    """The level of a stretch below the highest sample of the whole, in dB."""
    return 20 * float(np.log10(max(rms(sound, start_s, stop_s), 1e-12) / np.abs(sound).max()))


def _spectrum(sound: np.ndarray, start_s: float, stop_s: float) -> tuple[np.ndarray, np.ndarray]:
    part = sound[int(start_s * RATE) : int(stop_s * RATE)].mean(axis=1)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    return np.arange(len(spectrum)) * RATE / (8 * len(part)), spectrum


def frequency(sound: np.ndarray, start_s: float, stop_s: float, *, below: float = 1e9) -> float:
    """The strongest frequency (Hz) of a stretch."""
    hertz, spectrum = _spectrum(sound, start_s, stop_s)
    return float(hertz[np.where(hertz < below, spectrum, 0).argmax()])


def partial(sound: np.ndarray, start_s: float, stop_s: float, *, near: float) -> float:
    """The strongest frequency (Hz) within two semitones of one; it must stand out."""
    hertz, spectrum = _spectrum(sound, start_s, stop_s)
    inside = np.abs(np.log2(np.maximum(hertz, 1) / near)) < 2 / 12
    peak = np.where(inside, spectrum, 0).argmax()
    assert spectrum[peak] > 0.02 * spectrum.max(), f"nothing sounds near {near} Hz"
    return float(hertz[peak])

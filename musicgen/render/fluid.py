"""Render pieces with FluidSynth, if pyfluidsynth and its library are installed.

Each track has its own MIDI channel, so that programs and controllers don't interfere. Blocks are float32 (2, n) at
`rate` frames a second. FluidSynth returns 16-bit samples, so the piece is rendered twice: once to find its peak, once
with the gain that brings the peak to the requested level. Its reverberation and chorus stay on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.controllers import (
    DATA,
    DATA_FINE,
    INCREMENT,
    MODES,
    RESET,
    RESET_TO,
    RPN,
    RPN_FINE,
    transposition,
)
from musicgen.piece import CONTROL, Piece
from musicgen.render.moves import softness
from musicgen.render.schedule import TAIL_S

__all__ = ["CHANNELS", "play", "works"]

CHANNELS = 256  # the most that FluidSynth has
BLOCK_S = 2.0
RINGING_S = 3.0  # rendered after the last note
GAIN = 0.2  # FluidSynth's own default
LOUDEST_GAIN = 10.0  # the most it accepts

# kind of event, in the order in which those of one frame are sent
_OFF, _CONTROL, _BEND, _ON = range(4)
_EVENT = np.dtype([("frame", "<i8"), ("kind", "u1"), ("channel", "<i2"), ("a", "<i4"), ("b", "<i4")])


@cache
def works() -> bool:
    """Whether FluidSynth can be used: the module and its library are there, and a synthesiser can be made."""
    try:
        import fluidsynth

        fluidsynth.Synth(samplerate=44100.0).delete()
    except Exception:  # a missing module, a missing library or another module of that name: all mean no
        return False
    return True


def play(piece: Piece, soundfont: Path, *, rate: int, peak: float) -> tuple[Iterator[np.ndarray], int]:
    """(blocks, total frames) of `piece`, with its highest sample at `peak`. Raises UnreadableError for a bad font."""
    frames = int(np.ceil(piece.seconds * rate)) + int(min(RINGING_S, TAIL_S) * rate)
    events = _events(piece, rate)
    gain, high = GAIN, _peak(piece, soundfont, events, frames, rate=rate, gain=GAIN)
    if not 0.01 < high < 0.99:  # too quiet to measure well, or clipped
        gain = LOUDEST_GAIN if high <= 0.01 else GAIN / 20
        high = _peak(piece, soundfont, events, frames, rate=rate, gain=gain)
    wanted = gain * peak / high if high > 0 else gain
    rest = np.float32(max(wanted / LOUDEST_GAIN, 1.0))  # what FluidSynth's own gain can't give
    blocks = _blocks(piece, soundfont, events, frames, rate=rate, gain=min(wanted, LOUDEST_GAIN))
    return (block * rest for block in blocks), frames


def _peak(piece: Piece, soundfont: Path, events: np.ndarray, frames: int, *, rate: int, gain: float) -> float:
    blocks = _blocks(piece, soundfont, events, frames, rate=rate, gain=gain)
    return max((float(np.abs(block).max()) for block in blocks), default=0.0)


def _blocks(
    piece: Piece, soundfont: Path, events: np.ndarray, frames: int, *, rate: int, gain: float
) -> Iterator[np.ndarray]:
    import fluidsynth

    synth: Any = fluidsynth.Synth(gain=gain, samplerate=float(rate), channels=CHANNELS)
    try:
        font = synth.sfload(str(soundfont))
        if font < 0:
            raise UnreadableError("FluidSynth can't read the SoundFont", where=soundfont, hint="try another .sf2 file")
        for channel, track in enumerate(t for t in piece.tracks if len(t.notes)):
            for program in (track.program, 0):
                if synth.program_select(channel, font, 128 if track.is_drum else 0, program) == 0:
                    break
        size, sent = int(BLOCK_S * rate), 0
        for start in range(0, frames, size):
            stop, parts, at = min(start + size, frames), [], start
            while sent < len(events) and events["frame"][sent] < stop:
                if events["frame"][sent] > at:
                    parts.append(synth.get_samples(int(events["frame"][sent]) - at))
                    at = int(events["frame"][sent])
                _send(synth, events[sent].tolist()[1:])
                sent += 1
            parts.append(synth.get_samples(stop - at))
            yield (np.concatenate(parts).reshape(-1, 2).T / np.float32(32768)).astype(np.float32, copy=False)
    finally:
        synth.delete()


def _send(synth: Any, event: list[int]) -> None:
    kind, channel, a, b = event
    if kind == _OFF:
        synth.noteoff(channel, a)
    elif kind == _CONTROL:
        synth.cc(channel, a, b)
    elif kind == _BEND:
        synth.pitch_bend(channel, a)
    else:
        synth.noteon(channel, a, b)


def _events(piece: Piece, rate: int) -> np.ndarray:
    """All events in playing order; channel n is the n-th track with notes.

    FluidSynth supports no cents in the bend range, no increments and no soft pedal, and its channel modes would remove
    notes. So pitch bend and tuning are sent as one pitch bend with a range set once, the soft pedal as lower
    velocities, and "reset all controllers" as the single controllers that it sets.
    """
    tables = []
    for channel, track in enumerate(t for t in piece.tracks if len(t.notes)):
        notes, controls = track.notes, _plain(track.controls)
        ticks, semitones = transposition(track.controls, track.bends, drums=track.is_drum)
        reach = int(np.clip(np.ceil(np.abs(semitones).max()), 2, 127))
        bent = np.clip(np.rint(semitones * (8192 / reach)), -8192, 8191)
        moved = np.append(bent[:1] != 0, bent[1:] != bent[:-1])
        velocity = np.maximum(np.rint(notes["velocity"] * np.sqrt(softness(track))), 1)
        ranged = np.array([(0, RPN, 0), (0, RPN_FINE, 0), (0, DATA, reach), (0, RPN, 127), (0, RPN_FINE, 127)], CONTROL)
        for kind, ticks_, a, b in (
            (_OFF, notes["start"] + notes["duration"], notes["pitch"], 0),
            (_CONTROL, ranged["tick"], ranged["number"], ranged["value"]),
            (_CONTROL, controls["tick"], controls["number"], controls["value"]),
            (_BEND, np.maximum(ticks[moved], 0), bent[moved], 0),
            (_ON, notes["start"], notes["pitch"], velocity),
        ):
            table = np.zeros(len(ticks_), _EVENT)
            table["frame"] = np.rint(piece.to_seconds(ticks_) * rate)
            table["kind"], table["channel"], table["a"], table["b"] = kind, channel, a, b
            tables.append(table)
    events = np.concatenate(tables)
    return events[np.lexsort((events["kind"], events["frame"]))]


def _plain(controls: np.ndarray) -> np.ndarray:
    """The controllers to send to FluidSynth: without parameters and modes, and with resets as single controllers."""
    number = controls["number"]
    parameter = (number == DATA) | (number == DATA_FINE) | ((number >= INCREMENT) & (number <= RPN))
    repeat = np.where(number == RESET, len(RESET_TO), np.where(parameter | np.isin(number, MODES), 0, 1))
    found = np.repeat(controls, repeat)
    reset = found["number"] == RESET
    pairs = np.array(list(RESET_TO.items()))
    found["number"][reset], found["value"][reset] = np.tile(pairs, (int(reset.sum()) // len(pairs), 1)).T
    return found

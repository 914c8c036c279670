"""pretty_midi objects in and out.

pretty_midi counts in seconds and one resolution; a piece counts in ticks. Ticks are taken from the object's
own tempo map (`time_to_tick`), so a file that pretty_midi read comes over tick for tick.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from musicgen.piece import (
    BEND,
    CONTROL,
    KEY,
    MAX_MICROSECONDS,
    METER,
    MIN_MICROSECONDS,
    TEMPO,
    Piece,
    Track,
    notes_array,
)

__all__ = ["from_pretty_midi", "to_pretty_midi"]


def from_pretty_midi(midi: Any) -> Piece:
    """A `pretty_midi.PrettyMIDI` as a Piece."""
    tick = midi.time_to_tick
    tracks = []
    for instrument in midi.instruments:
        rows = [
            (tick(n.start), max(1, tick(n.end) - tick(n.start)), n.pitch, min(127, max(1, n.velocity)))
            for n in instrument.notes
        ]
        controls = [(tick(c.time), c.number, c.value) for c in instrument.control_changes]
        bends = [(tick(b.time), b.pitch) for b in instrument.pitch_bends]
        tracks.append(
            Track(
                instrument.name,
                instrument.program,
                instrument.is_drum,
                notes_array(rows),
                np.sort(np.array(controls, CONTROL), order="tick", kind="stable"),
                np.sort(np.array(bends, BEND), order="tick", kind="stable"),
            )
        )
    times, bpm = midi.get_tempo_changes()
    us = np.clip(np.round(60e6 / bpm), MIN_MICROSECONDS, MAX_MICROSECONDS).astype(int)
    tempos = np.array([(tick(t), u) for t, u in zip(times, us, strict=True)], TEMPO)
    meters = np.array([(tick(m.time), m.numerator, m.denominator) for m in midi.time_signature_changes], METER)
    # pretty_midi numbers keys 0..11 major, 12..23 minor by tonic; a circle-of-fifths walk gives the signature.
    keys = []
    for change in midi.key_signature_changes:
        minor, tonic = change.key_number >= 12, change.key_number % 12
        fifths = ((tonic + (3 if minor else 0)) * 7 + 5) % 12 - 5
        keys.append((tick(change.time), fifths, minor))
    return Piece(int(midi.resolution), tuple(tracks), tempos, meters, np.array(keys, KEY))


def to_pretty_midi(piece: Piece) -> Any:
    """A Piece as a `pretty_midi.PrettyMIDI`, by way of the bytes of a MIDI file, which pretty_midi reads itself."""
    import io
    import warnings

    import pretty_midi

    from musicgen.io.midi import midi_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pretty_midi.PrettyMIDI(io.BytesIO(midi_bytes(piece)))

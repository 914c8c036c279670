"""Conversion from and to pretty_midi objects.

Times in pretty_midi are seconds; in a piece they are ticks. Ticks are computed with the object's own tempo map
(`time_to_tick`), so a file that pretty_midi has read is converted exactly, tick for tick.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from musicgen.errors import UsageError
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
    """A `pretty_midi.PrettyMIDI` as a Piece. Raises UsageError when a note's pitch is no MIDI pitch.

    A start before 0 becomes 0, velocities are clipped to 1..127, meters outside 1..64 are left out.
    """

    def tick(seconds: float) -> int:
        return int(midi.time_to_tick(seconds))

    tracks = []
    for instrument in midi.instruments:
        rows = []
        for n in instrument.notes:
            if not 0 <= n.pitch <= 127:
                raise UsageError(f"a note of the pretty_midi object has pitch {n.pitch}", hint="pitches are 0..127")
            start = tick(n.start)
            rows.append((start, max(1, tick(n.end) - start), n.pitch, min(127, max(1, n.velocity))))
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
    meters = [
        (tick(m.time), m.numerator, m.denominator)
        for m in midi.time_signature_changes
        if 1 <= m.numerator <= 64 and 1 <= m.denominator <= 64
    ]
    # pretty_midi numbers keys 0..11 major, 12..23 minor by tonic; a circle-of-fifths walk gives the signature.
    keys = []
    for change in midi.key_signature_changes:
        minor, tonic = change.key_number >= 12, change.key_number % 12
        fifths = ((tonic + (3 if minor else 0)) * 7 + 5) % 12 - 5
        keys.append((tick(change.time), fifths, minor))
    return Piece(int(midi.resolution), tuple(tracks), tempos, np.array(meters, METER), np.array(keys, KEY))


def to_pretty_midi(piece: Piece) -> Any:
    """A Piece as a `pretty_midi.PrettyMIDI`. Raises UsageError for a tempo map that pretty_midi refuses.

    pretty_midi reads the maps from the bytes of a MIDI file without notes, and the notes are then added directly: if it
    read them, it would end all notes that sound on one pitch with the first note-off.
    """
    import io
    import warnings

    import pretty_midi

    from musicgen.io.midi import midi_bytes

    maps = midi_bytes(replace(piece, tracks=()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            midi = pretty_midi.PrettyMIDI(io.BytesIO(maps))
    except ValueError as error:
        raise UsageError(f"pretty_midi can't hold this piece: {error}", hint="use fewer ticks a quarter") from None
    for track in piece.tracks:
        instrument = pretty_midi.Instrument(track.program, track.is_drum, track.name)
        starts = piece.to_seconds(track.notes["start"]).tolist()
        ends = piece.to_seconds(track.notes["start"] + track.notes["duration"]).tolist()
        pitches, velocities = track.notes["pitch"].tolist(), track.notes["velocity"].tolist()
        instrument.notes = [pretty_midi.Note(*n) for n in zip(velocities, pitches, starts, ends, strict=True)]
        for time, row in zip(piece.to_seconds(track.controls["tick"]).tolist(), track.controls.tolist(), strict=True):
            instrument.control_changes.append(pretty_midi.ControlChange(row[1], row[2], time))
        for time, row in zip(piece.to_seconds(track.bends["tick"]).tolist(), track.bends.tolist(), strict=True):
            instrument.pitch_bends.append(pretty_midi.PitchBend(row[1], time))
        midi.instruments.append(instrument)
    return midi

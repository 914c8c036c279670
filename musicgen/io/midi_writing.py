"""Write pieces as MIDI files that read back unchanged.

Conventions
-----------
Format 1: a conductor track with the maps, then a track for each part. On one tick come note-offs, then controllers and
bends, then note-ons. Parts with the same program, controllers and bends share a channel, and the controllers are
written once; every other part has its own channel, so that no part receives another's controllers. After fifteen
melodic channels (one for drums) further ports are used. Pairing first on, first off can't represent a note inside
another one of its pitch: such notes go to a separate track after their part, marked as its continuation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen.errors import MusicgenError
from musicgen.io.channels import DRUM_CHANNEL
from musicgen.io.controllers import ALL_NOTES_OFF, ALL_SOUND_OFF, BANK
from musicgen.io.homes import OWN_DATA, PORT, SAME_PART, TRACK_NAME
from musicgen.io.smf import EVENT, META, Events, MidiFile, smf_bytes
from musicgen.piece import Piece, Track

__all__ = [
    "KEY_SIGNATURE",
    "SET_TEMPO",
    "TIME_SIGNATURE",
    "control_events",
    "event_order",
    "midi_bytes",
    "midi_from_piece",
    "note_events",
]

SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x51, 0x58, 0x59
MOST_LAYERS = 64  # deepest nesting of notes of one pitch in one part; more is taken for a mistake
_MELODIC = tuple(c for c in range(16) if c != DRUM_CHANNEL)


def midi_bytes(piece: Piece) -> bytes:
    """The piece as the bytes of a format 1 MIDI file."""
    return smf_bytes(midi_from_piece(piece))


def midi_from_piece(piece: Piece) -> MidiFile:
    """The piece as a format 1 file. Raises MusicgenError for a piece that a MIDI file can't represent."""
    if piece.ticks_per_quarter > 0x7FFF:
        raise MusicgenError(f"{piece.ticks_per_quarter} ticks a quarter; a MIDI file can't say more than {0x7FFF}")
    conductor: list[tuple[int, int, bytes]] = []
    for row in piece.tempos:
        conductor.append((int(row["tick"]), SET_TEMPO, int(row["microseconds"]).to_bytes(3, "big")))
    for row in piece.meters:
        power = int(row["denominator"]).bit_length() - 1
        conductor.append((int(row["tick"]), TIME_SIGNATURE, bytes([row["numerator"], power, 24, 8])))
    for row in piece.keys:
        conductor.append((int(row["tick"]), KEY_SIGNATURE, bytes([int(row["fifths"]) & 0xFF, int(row["minor"])])))
    conductor.sort(key=lambda event: event[0])
    rows = np.array([(tick, META, kind, 0, i) for i, (tick, kind, _) in enumerate(conductor)], EVENT)
    tracks = [Events(rows, tuple(payload for _, _, payload in conductor))]
    homes = _homes(piece.tracks)
    several = any(port for port, _ in homes)
    written: set[tuple[int, int]] = set()  # the channels whose controllers have been written
    for track, (port, channel) in zip(piece.tracks, homes, strict=True):
        tracks += _track_events(track, channel, port if several else None, settings=(port, channel) not in written)
        written.add((port, channel))
    return MidiFile(1, piece.ticks_per_quarter, tuple(tracks))


def _homes(tracks: Sequence[Track]) -> list[tuple[int, int]]:
    """(port, channel 0..15) of each part. Raises MusicgenError if there are too many different parts."""
    crowded = sum(not track.is_drum for track in tracks) > len(_MELODIC)
    found: dict[object, tuple[int, int]] = {}
    taken = [0, 0]  # channels for melody, for drums
    homes = []
    for number, track in enumerate(tracks):
        key: object = (track.is_drum, track.program, track.controls.tobytes(), track.bends.tobytes())
        needed = track.is_drum or crowded or len(track.controls) or len(track.bends)
        if not needed or _is_for_one(track.controls):
            key = number
        if key not in found:
            count = taken[track.is_drum]
            taken[track.is_drum] += 1
            port, place = (count, 0) if track.is_drum else divmod(count, len(_MELODIC))
            found[key] = port, DRUM_CHANNEL if track.is_drum else _MELODIC[place]
        homes.append(found[key])
    if max(taken[0] // len(_MELODIC), taken[1]) > 128:
        raise MusicgenError("more parts that differ than a MIDI file has channels for: 1920 and 128 of drums")
    return homes


def _is_for_one(controls: np.ndarray) -> bool:
    """Whether controllers must be on the same track as the notes: drum banks, which take effect with the next program
    change there, and silencing controllers, which would be applied before note-offs of other tracks on their tick."""
    number = controls["number"]
    banks = controls["value"][number == BANK]
    return bool((banks >= 120).any() or ((number == ALL_SOUND_OFF) | (number >= ALL_NOTES_OFF)).any())


def _track_events(track: Track, channel: int, port: int | None, *, settings: bool) -> list[Events]:
    """A part's track, and one more for each further layer of nested notes."""
    found = []
    for number, notes in enumerate(_layers(track.notes)):
        blobs: list[bytes] = []
        head: list[tuple[int, int, int, int, int]] = []
        for kind, payload in (
            (PORT, b"" if port is None else bytes([port])),
            (TRACK_NAME, track.name.encode("utf-8")),
            (OWN_DATA, SAME_PART if number else b""),
        ):
            if payload:
                head.append((0, META, kind, 0, len(blobs)))
                blobs.append(payload)
        if not number or not _is_for_one(track.controls):
            head.append((0, 0xC0 | channel, track.program, 0, -1))
        parts = [np.array(head, EVENT), note_events(notes, channel)]
        if settings and not number:
            parts += [control_events(track.controls, channel), _bend_events(track.bends, channel)]
        events = np.concatenate(parts)
        found.append(Events(events[event_order(events)], tuple(blobs)))
    return found


def _layers(notes: np.ndarray) -> list[np.ndarray]:
    """Split notes into layers in which none lies within another of its pitch, so that pairing first on, first off gives
    their lengths. Usually there is one layer. Raises MusicgenError for more than MOST_LAYERS."""
    layers = []
    end = notes["start"] + notes["duration"]
    order = np.lexsort((end, notes["start"], notes["pitch"]))
    notes, end = notes[order], end[order]
    while True:
        fresh = np.append(True, notes["pitch"][1:] != notes["pitch"][:-1])[: len(notes)]
        # The latest end so far of each pitch: pitches are shifted apart, so that one running maximum serves all.
        far = np.cumsum(fresh) * (int(end.max(initial=0)) + 1)
        within = np.maximum.accumulate(end + far) > end + far
        layers.append(notes[~within])
        if not within.any():
            return layers
        if len(layers) == MOST_LAYERS:
            raise MusicgenError(f"a part has more than {MOST_LAYERS} notes of one pitch within each other")
        notes, end = notes[within], end[within]


def _bend_events(bends: np.ndarray, channel: int) -> np.ndarray:
    events = np.zeros(len(bends), EVENT)
    value = bends["value"].astype(np.int64) + 8192
    events["tick"], events["data1"], events["data2"] = bends["tick"], value & 127, value >> 7
    events["status"], events["blob"] = 0xE0 | channel, -1
    return events


def control_events(controls: np.ndarray, channel: int) -> np.ndarray:
    """EVENT rows of control changes (CONTROL)."""
    events = np.zeros(len(controls), EVENT)
    for ours, theirs in (("tick", "tick"), ("data1", "number"), ("data2", "value")):
        events[ours] = controls[theirs]
    events["status"], events["blob"] = 0xB0 | channel, -1
    return events


def note_events(notes: np.ndarray, channel: int) -> np.ndarray:
    """EVENT rows of the notes' note-ons and note-offs, unsorted."""
    ons, offs = np.zeros(len(notes), EVENT), np.zeros(len(notes), EVENT)
    ons["tick"], ons["status"] = notes["start"], 0x90 | channel
    ons["data1"], ons["data2"] = notes["pitch"], np.maximum(notes["velocity"], 1)  # 0 would mean off
    offs["tick"], offs["status"] = notes["start"] + notes["duration"], 0x80 | channel
    offs["data1"], offs["data2"] = notes["pitch"], 64
    ons["blob"] = offs["blob"] = -1
    return np.concatenate([ons, offs])


def event_order(events: np.ndarray) -> np.ndarray:
    """Sort order by tick; on one tick note-offs, other events, note-ons, so that a repeated note isn't cut off."""
    kind = events["status"] & 0xF0
    rank = np.where(kind == 0x80, 0, np.where(kind == 0x90, 2, 1))
    return np.lexsort((rank, events["tick"]))

"""New music joined to a MIDI file that stays as it was.

Every event of the source before the cut is kept, tick for tick and in order, whatever it is. At the cut, notes
that still sound are ended and a held pedal is lifted; then come the new notes and what controllers they bring, on
the tracks and channels that they continue. What the source has after the cut is dropped, except that a cut at the end
keeps its texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from musicgen.gm import program_name
from musicgen.io.midi import (
    DRUM_CHANNEL,
    KEY_SIGNATURE,
    SET_TEMPO,
    TIME_SIGNATURE,
    TRACK_NAME,
    control_events,
    event_order,
    midi_from_piece,
    note_events,
)
from musicgen.io.smf import END_OF_TRACK, EVENT, META, Events, MidiFile
from musicgen.piece import CONTROL, METER, TEMPO, Piece, Track

__all__ = ["NewPart", "alone", "splice"]

SUSTAIN, SOSTENUTO, SOFT, VOLUME, EXPRESSION = 64, 66, 67, 7, 11
_TEXTS = (*range(0x01, 0x08), 0x7F)  # texts, lyrics, markers, cues, and a program's own data
_TIMING = (SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE)
_NEARLY_SILENT = 16  # a volume or expression below this would swallow the new notes


@dataclass(frozen=True)
class NewPart:
    """New notes (NOTE, ticks of the file) for a track and channel of the file, and controllers that go with them.

    `track` None asks for a new track with `name`; in a format 0 file the notes go into its one track.
    """

    notes: np.ndarray
    program: int
    is_drum: bool
    track: int | None = None
    channel: int | None = None
    name: str = ""
    controls: np.ndarray = field(default_factory=lambda: np.empty(0, CONTROL))  # from the cut on, to stand with them


def splice(midi: MidiFile, parts: Sequence[NewPart], *, cut: int, end: int, at_end: bool) -> MidiFile:
    """The file up to tick `cut`, then `parts`; tracks end at tick `end` or with their last event.

    `at_end` says that no note of the source begins at the cut or later.
    """
    used = _used_channels(midi)
    homes = [_home(part, midi, used) for part in parts]
    tracks = []
    for number, track in enumerate(midi.tracks):
        kept = track.rows[_keep(track.rows, cut, at_end)]
        mine = [(p, channel) for p, (where, channel) in zip(parts, homes, strict=True) if where == number]
        tracks.append(_extended(Events(kept, track.blobs), mine, cut, end))
    for part, (where, channel) in zip(parts, homes, strict=True):
        if where is None:
            blobs = (part.name.encode("utf-8"),) if part.name else ()
            rows = np.array([(0, META, TRACK_NAME, 0, 0)] if part.name else [], EVENT)
            tracks.append(_extended(Events(rows, blobs), [(part, channel)], cut, end))
    return replace(midi, tracks=tuple(tracks))


def _keep(rows: np.ndarray, cut: int, at_end: bool) -> np.ndarray:
    """Which of a track's events stay."""
    kind, tick = rows["status"] & 0xF0, rows["tick"]
    meta = rows["status"] == META
    note_off = (kind == 0x80) | ((kind == 0x90) & (rows["data2"] == 0))
    note_on = (kind == 0x90) & (rows["data2"] > 0)
    here = tick == cut
    keep = (tick < cut) | (here & (note_off | (meta & np.isin(rows["data1"], _TIMING))))
    if at_end:
        keep |= here & ~note_on
        keep |= meta & np.isin(rows["data1"], _TEXTS)
    return keep & ~(meta & (rows["data1"] == END_OF_TRACK))


def _extended(track: Events, parts: list[tuple[NewPart, int]], cut: int, end: int) -> Events:
    rows = track.rows
    pieces = [rows, _endings(rows, cut)]
    new = []
    for part, channel in parts:
        pieces.append(_settings(rows, part, channel, cut))
        new += [control_events(part.controls, channel), note_events(_without_overlaps(part.notes), channel)]
    if new:
        notes = np.concatenate(new)
        pieces.append(notes[event_order(notes)])
    joined = np.concatenate(pieces)
    # Stable, so that events on one tick stay in the source's order and come before what is added.
    joined = joined[np.argsort(joined["tick"], kind="stable")]
    last = max(int(joined["tick"][-1]) if len(joined) else 0, end)
    final = np.array([(last, META, END_OF_TRACK, 0, len(track.blobs))], EVENT)
    return Events(np.concatenate([joined, final]), (*track.blobs, b""))


def _endings(rows: np.ndarray, cut: int) -> np.ndarray:
    """Note-offs at the cut for notes that sound on, and pedal-ups for pedals that are down."""
    events: list[tuple[int, int, int, int, int]] = []
    kind = rows["status"] & 0xF0
    notes = rows[(kind == 0x90) | (kind == 0x80)]
    is_on = (notes["status"] & 0xF0 == 0x90) & (notes["data2"] > 0)
    sounding: Counter[int] = Counter()
    keys = (notes["status"] & 15).astype(int) << 7 | notes["data1"]
    for key, on in zip(keys.tolist(), is_on.tolist(), strict=True):
        if on:
            sounding[key] += 1
        elif sounding[key]:
            sounding[key] -= 1
    for key, count in sounding.items():
        events += [(cut, 0x80 | key >> 7, key & 127, 64, -1)] * count
    controls = rows[kind == 0xB0]
    for pedal in (SUSTAIN, SOSTENUTO, SOFT):
        latest = {int(r["status"]): int(r["data2"]) for r in controls[controls["data1"] == pedal]}
        events += [(cut, status, pedal, 0, -1) for status, value in latest.items() if value >= 64]
    return np.array(events, EVENT)


def _settings(rows: np.ndarray, part: NewPart, channel: int, cut: int) -> np.ndarray:
    """What the channel needs at the cut for the part to sound: its program, an audible level, no bend."""
    events: list[tuple[int, int, int, int, int]] = []
    mine = rows[(rows["status"] & 15 == channel) & (rows["status"] < 0xF0)]
    kind = mine["status"] & 0xF0
    programs = mine[kind == 0xC0]
    in_force = int(programs["data1"][-1]) if len(programs) else -1
    # A track that never chose its program follows its channel; say it only where it would differ.
    if not part.is_drum and in_force != part.program and (len(programs) or part.track is None):
        events.append((cut, 0xC0 | channel, part.program, 0, -1))
    for number in (VOLUME, EXPRESSION):
        values = mine[(kind == 0xB0) & (mine["data1"] == number)]["data2"]
        if len(values) and values[-1] < _NEARLY_SILENT:
            restored = int(np.median(values[values >= _NEARLY_SILENT])) if (values >= _NEARLY_SILENT).any() else 100
            events.append((cut, 0xB0 | channel, number, restored, -1))
    bends = mine[kind == 0xE0]
    if len(bends) and (bends["data1"][-1], bends["data2"][-1]) != (0, 64):
        events.append((cut, 0xE0 | channel, 0, 64, -1))
    return np.array(events, EVENT)


def _without_overlaps(notes: np.ndarray) -> np.ndarray:
    """Notes of one pitch shortened to end where the next one begins: a channel can't hold one key twice."""
    order = np.lexsort((notes["start"], notes["pitch"]))
    notes = notes[order].copy()
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    gap = notes["start"][1:] - notes["start"][:-1]
    notes["duration"][:-1] = np.where(same, np.minimum(notes["duration"][:-1], gap), notes["duration"][:-1])
    notes = notes[notes["duration"] > 0]
    return notes[np.lexsort((notes["pitch"], notes["start"]))]


def _used_channels(midi: MidiFile) -> set[int]:
    channels: set[int] = set()
    for track in midi.tracks:
        rows = track.rows[track.rows["status"] < 0xF0]
        channels |= set(np.unique(rows["status"] & 15).tolist())
    return channels


def _home(part: NewPart, midi: MidiFile, used: set[int]) -> tuple[int | None, int]:
    """(track number or None for a new track, channel) of a part; takes a free channel where it has none."""
    channel = part.channel
    if channel is None:
        free = [c for c in range(16) if c not in used and c != DRUM_CHANNEL]
        # All sixteen taken: share the last one; its program change at the cut keeps the new notes right.
        channel = DRUM_CHANNEL if part.is_drum else free[0] if free else 15
        used.add(channel)
    where = part.track
    if where is None and midi.format == 0 and len(midi.tracks) == 1:
        where = 0
    return where, channel


def alone(piece: Piece, parts: Sequence[NewPart], *, cut: int) -> MidiFile:
    """The new notes alone from tick 0, in the tempo and meter of the cut."""
    tracks = []
    for part in parts:
        notes = part.notes.copy()
        controls = part.controls.copy()
        notes["start"] -= cut
        controls["tick"] -= cut
        tracks.append(
            Track(
                part.name or program_name(part.program, is_drum=part.is_drum).title(),
                part.program,
                part.is_drum,
                notes,
                controls,
            )
        )
    tempos = np.array([(0, piece.tempo_at(cut))], TEMPO)
    meters = np.array([(0, *piece.meter_at(cut))], METER)
    return midi_from_piece(Piece(piece.ticks_per_quarter, tuple(tracks), tempos, meters))

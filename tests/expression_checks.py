"""What must hold of a humanised file: only velocities, onsets and ends of notes differ, within bounds."""

from __future__ import annotations

import numpy as np

from musicgen.io.channels import Channels
from musicgen.io.controllers import SUSTAIN
from musicgen.io.midi import UNLIMITED, piece_from_midi
from musicgen.io.smf import MidiFile, parse_smf, smf_bytes

__all__ = ["other_events", "problems"]


def other_events(midi: MidiFile, *, pedal: bool = True) -> list[list[tuple[object, ...]]]:
    """Of each track all events but note-ons and note-offs, with their payloads; without `pedal` no sustain pedal."""
    found = []
    for track in midi.tracks:
        rows = []
        for row in track.rows:
            kind = int(row["status"]) & 0xF0
            if kind in (0x80, 0x90) or (not pedal and kind == 0xB0 and row["data1"] == SUSTAIN):
                continue
            rows.append((*row.tolist()[:4], track.payload(row)))
        found.append(rows)
    return found


def problems(before: MidiFile, after: MidiFile) -> list[str]:
    """What is wrong, in words; empty where all holds."""
    found = []
    before, after = (parse_smf(smf_bytes(midi)) for midi in (before, after))  # so that both end their tracks
    own_pedal = (Channels(before).rows["data1"][Channels(before).kind == 0xB0] == SUSTAIN).any()
    if other_events(before, pedal=bool(own_pedal)) != other_events(after, pedal=bool(own_pedal)):
        found.append("another event than a note changed")
    if (before.format, before.division) != (after.format, after.division):
        found.append("the header changed")
    old, new = (piece_from_midi(midi, limits=UNLIMITED) for midi in (before, after))
    if len(old.tracks) != len(new.tracks):
        return [*found, "the parts changed"]
    for number, (one, two) in enumerate(zip(old.tracks, new.tracks, strict=True)):
        if (one.name, one.program, one.is_drum, len(one.notes)) != (two.name, two.program, two.is_drum, len(two.notes)):
            found.append(f"part {number} has other notes")
            continue
        a, b = (notes[np.lexsort((notes["start"], notes["pitch"]))] for notes in (one.notes, two.notes))
        if not np.array_equal(a["pitch"], b["pitch"]):
            found.append(f"part {number} has other pitches")
            continue
        if b["start"].min() < 0 or b["duration"].min() < 1 or b["velocity"].min() < 1:
            found.append(f"part {number} has a note that is none")
        # Note for note, onsets that differed are still in their order.
        order = np.argsort(a["start"], kind="stable")
        start, moved = a["start"][order], b["start"][order]
        groups = np.flatnonzero(np.diff(start, prepend=-1))
        latest, earliest = np.maximum.reduceat(moved, groups), np.minimum.reduceat(moved, groups)
        if (latest[:-1] >= earliest[1:]).any():
            found.append(f"the order of onsets changed in part {number}")
        same = a["pitch"][1:] == a["pitch"][:-1]
        apart = (a["start"] + a["duration"])[:-1] <= a["start"][1:]
        if (same & apart & ((b["start"] + b["duration"])[:-1] > b["start"][1:])).any():
            found.append(f"a note of part {number} runs into the next of its pitch")
    return found

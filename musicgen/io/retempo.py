"""Another tempo map for a MIDI file: every other event keeps its tick, its track and its place among the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from musicgen.io.midi_writing import SET_TEMPO
from musicgen.io.smf import END_OF_TRACK, EVENT, META, Events, MidiFile

__all__ = ["with_tempos"]


def with_tempos(midi: MidiFile, tempos: np.ndarray) -> MidiFile:
    """The file with `tempos` (TEMPO rows, ascending) for all its tempo events, in its first track.

    On one tick they come before all else there. A first track that is shorter is made as long.
    """
    tracks = [_without_tempos(track) for track in midi.tracks]
    first = tracks[0]
    new = np.zeros(len(tempos), EVENT)
    new["tick"], new["status"], new["data1"] = tempos["tick"], META, SET_TEMPO
    new["blob"] = len(first.blobs) + np.arange(len(new))
    payloads = tuple(int(value).to_bytes(3, "big") for value in tempos["microseconds"])
    rows = np.concatenate([new, first.rows])
    rows = rows[np.argsort(rows["tick"], kind="stable")]
    is_end = (rows["status"] == META) & (rows["data1"] == END_OF_TRACK)
    if is_end.any():
        ends = rows[is_end]
        ends["tick"] = max(int(rows["tick"].max()), int(ends["tick"].max()))
        rows = np.concatenate([rows[~is_end], ends])
    tracks[0] = Events(rows, first.blobs + payloads)
    return replace(midi, tracks=tuple(tracks))


def _without_tempos(track: Events) -> Events:
    keep = (track.rows["status"] != META) | (track.rows["data1"] != SET_TEMPO)
    return Events(track.rows[keep], track.blobs) if not keep.all() else track

"""Another tempo map, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from expression_checks import other_events

from musicgen.io.midi import midi_from_piece, piece_from_midi
from musicgen.io.midi_writing import SET_TEMPO
from musicgen.io.retempo import with_tempos
from musicgen.io.smf import META, MidiFile, parse_smf, smf_bytes
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array

NOTES = notes_array([(240 * k, 240, 60 + k % 12, 80) for k in range(32)])
NEW = np.array([(0, 400_000), (480, 450_000), (20_000, 700_000)], TEMPO)


def song() -> MidiFile:
    tempos = np.array([(0, 500_000), (960, 600_000)], TEMPO)
    meters = np.array([(0, 3, 4)], METER)
    return midi_from_piece(Piece(480, (Track("lead", 0, False, NOTES),), tempos, meters))


def without_tempos(midi: MidiFile) -> list[list[tuple[object, ...]]]:
    read = other_events(parse_smf(smf_bytes(midi)))
    # An end of track may come later: it is left out, and payloads stand for themselves.
    return [
        [(row[0], row[1], row[2], row[-1]) for row in track if row[1] != META or row[2] not in (SET_TEMPO, 0x2F)]
        for track in read
    ]


@pytest.mark.parametrize("format_", [0, 1])
def test_the_map_is_the_new_one_and_other_events_stay(format_):
    before = song()
    if format_ == 0:
        before = MidiFile(0, before.division, (parse_smf(smf_bytes(before)).tracks[1],))
    after = parse_smf(smf_bytes(with_tempos(before, NEW)))
    assert piece_from_midi(after).tempos.tolist() == NEW.tolist()
    assert without_tempos(after) == without_tempos(before)
    assert piece_from_midi(after).tracks == piece_from_midi(before).tracks
    assert not after.warnings


def test_no_tempos_leave_none():
    after = with_tempos(song(), NEW[:0])
    assert len(piece_from_midi(after).tempos) == 0

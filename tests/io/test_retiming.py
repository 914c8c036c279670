"""Notes moved within bounds; everything else stays where it is."""

from __future__ import annotations

import numpy as np
import pytest
from expression_checks import other_events, problems

from musicgen.io.midi import midi_from_piece, note_numbers, piece_from_midi
from musicgen.io.retiming import Changes, finer, retimed
from musicgen.io.smf import MidiFile, parse_smf, smf_bytes
from musicgen.piece import CONTROL, Piece, Track, notes_array


def file_of(notes: np.ndarray, *, controls: list[tuple[int, int, int]] = []) -> MidiFile:  # noqa: B006
    return midi_from_piece(Piece(480, (Track("p", 0, False, notes, np.array(controls, CONTROL)),)))


def moved(midi: MidiFile, shift: object, *, velocity: object = 90, reach: int = 60) -> np.ndarray:
    count = piece_from_midi(midi).n_notes
    changes = Changes(np.broadcast_to(velocity, count), np.broadcast_to(shift, count))
    after = parse_smf(smf_bytes(retimed(midi, [changes], reach=reach)))
    assert problems(midi, after) == []
    return piece_from_midi(after).tracks[0].notes


def test_notes_move_with_their_ends_and_take_the_velocity():
    midi = file_of(notes_array([(480, 240, 60, 70), (960, 240, 62, 70)]))
    notes = moved(midi, [-10, 7], velocity=[80, 40])
    assert notes.tolist() == [(470, 240, 60, 80), (967, 233, 62, 40)]  # the track ends on 1200


def test_order_keys_and_the_beginning_hold_whatever_is_asked():
    random = np.random.default_rng(3)
    rows = [
        (int(t), int(d), int(p), 64)
        for t, d, p in zip(
            np.sort(random.integers(0, 4000, 200)),
            random.integers(1, 300, 200),
            random.integers(60, 66, 200),
            strict=True,
        )
    ]
    midi = file_of(notes_array(rows))
    before = piece_from_midi(midi).tracks[0].notes
    notes = moved(midi, random.integers(-500, 500, len(before)))
    assert np.array_equal(np.sort(notes["pitch"]), np.sort(before["pitch"]))
    assert (notes["start"] != before["start"]).any()
    assert moved(file_of(notes_array([(0, 100, 60, 64)])), -50)["start"].tolist() == [0]


def test_a_repeated_note_never_runs_into_the_next():
    midi = file_of(notes_array([(480, 480, 60, 64), (960, 480, 60, 64), (1440, 480, 60, 64)]))
    notes = moved(midi, [40, -40, 40])
    assert notes["start"].tolist() == [520, 920, 1480]
    assert (notes["start"][:2] + notes["duration"][:2] <= notes["start"][1:]).all()


def test_a_note_beside_a_program_change_keeps_its_ticks():
    rows = [(0, 200, 60, 64), (480, 200, 62, 64)]
    midi = midi_from_piece(
        Piece(480, (Track("a", 0, False, notes_array(rows[:1])), Track("a", 9, False, notes_array(rows[1:]))))
    )
    first = piece_from_midi(midi)
    after = retimed(midi, [Changes(np.array([50]), np.array([20]))] * 2, reach=60)
    # Both tracks say their program on tick 0: the note there stays, the other moves.
    assert [t.notes["start"].tolist() for t in piece_from_midi(after).tracks] == [[0], [500]]
    assert [t.program for t in piece_from_midi(after).tracks] == [t.program for t in first.tracks]


def test_controllers_that_are_added_stand_behind_the_events_of_their_tick():
    midi = file_of(notes_array([(100, 380, 60, 64), (480, 480, 62, 64)]))
    pedal = np.array([(480, 64, 127)], CONTROL)
    after = retimed(midi, [None], reach=60, controls=[(1, 0, pedal)])
    kinds = [int(row["status"]) >> 4 for row in after.tracks[1].rows if row["tick"] == 480]
    assert kinds == [8, 9, 11]
    assert other_events(midi) == other_events(after, pedal=False)


def test_note_numbers_say_where_each_note_of_a_part_is():
    midi = midi_from_piece(
        Piece(
            480,
            (
                Track("a", 0, False, notes_array([(0, 9, 64, 1), (0, 9, 60, 2)])),
                Track("b", 5, False, notes_array([(5, 9, 61, 3)])),
            ),
        )
    )
    assert [sorted(each.tolist()) for each in note_numbers(midi)] == [[0, 1], [2]]


@pytest.mark.parametrize("factor", [2, 480])
def test_finer_ticks_change_no_time(factor):
    piece = Piece(1, (Track("p", 0, False, notes_array([(0, 1, 60, 64), (1, 3, 62, 64)])),))
    after = piece_from_midi(finer(midi_from_piece(piece), factor))
    assert after.ticks_per_quarter == factor
    assert after.tracks[0].notes["start"].tolist() == [0, factor]
    assert after.seconds == piece.seconds

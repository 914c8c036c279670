"""Who plays which notes, and what a network is told of them."""

from __future__ import annotations

import numpy as np

from musicgen.expression import drums, pitched
from musicgen.expression.examples import examples_of
from musicgen.expression.players import players_of
from musicgen.piece import CONTROL, Piece, Track, notes_array

RIGHT = notes_array([(480 * k, 400, 72 + k % 5, 80) for k in range(16)])
LEFT = notes_array([(960 * k, 900, 48, 80) for k in range(8)])
BEAT = notes_array([(240 * k, 60, pitch, 100) for k in range(32) for pitch in ((36, 42) if k % 4 == 0 else (42,))])


def band() -> Piece:
    return Piece(
        480,
        (
            Track("right", 0, False, RIGHT),
            Track("left", 0, False, LEFT),
            Track("bass", 33, False, LEFT),
            Track("d", 0, True, BEAT),
        ),
    )


def test_two_hands_are_one_player_and_other_parts_play_for_themselves():
    players = players_of(band())
    assert [player.parts for player in players] == [(0, 1), (2,), (3,)]
    assert [player.is_drummer for player in players] == [False, False, True]
    assert [player.parts for player in players_of(band(), parts={2})] == [(2,)]
    assert players[0].features.shape == (24, pitched.FEATURES)
    assert players[2].features.shape == (len(BEAT), drums.FEATURES)


def test_every_note_is_found_again_by_part_and_index():
    piece = band()
    for player in players_of(piece):
        for part, index, note in zip(player.part, player.index, player.notes, strict=True):
            assert piece.tracks[part].notes[index] == note


def test_features_know_no_velocity_and_hardly_a_spread_of_chords():
    piece = band()
    louder = Piece(480, tuple(Track(t.name, t.program, t.is_drum, _with(t.notes, velocity=30)) for t in piece.tracks))
    for one, other in zip(players_of(piece), players_of(louder), strict=True):
        assert np.array_equal(one.features, other.features)


def test_targets_are_what_was_played():
    notes = _with(RIGHT, velocity=np.where(np.arange(16) % 2, 60, 100))
    pedal = np.array([(10, 64, 127), (1900, 64, 0), (1930, 64, 127)], CONTROL)
    (example,) = examples_of(Piece(480, (Track("p", 0, False, notes, pedal),)))
    assert example.spreads["velocity"] == 20
    assert np.allclose(example.targets[:, 0], np.where(np.arange(16) % 2, -1, 1))
    assert np.isnan(example.targets[:, 1]).all()  # single notes are late in no chord
    assert example.targets[:5, 2].tolist() == [2, 1, 1, 1, 2]


def test_a_beat_is_straight_or_in_triplets_whichever_is_nearer():
    straight = np.arange(32) / 4 + 0.02
    triplets = np.arange(24) / 3 - 0.01
    assert (drums.on_grid(straight) == 3 * np.arange(32)).all()
    assert (drums.on_grid(triplets) == 4 * np.arange(24)).all()


def _with(notes: np.ndarray, *, velocity: object) -> np.ndarray:
    notes = notes.copy()
    notes["velocity"] = velocity
    return notes

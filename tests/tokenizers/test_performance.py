"""The performance tokenizer: a slow reference, round trips, and what augmentation keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from midi_bricks import event, file, off, on, track
from performance_pieces import PEDAL, PLAIN, both, piece_of, pieces, random_piece, slowly, spelled

from musicgen.errors import UsageError
from musicgen.io import read
from musicgen.io.midi import piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import CONTROL, Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer

# ---- events --------------------------------------------------------------------------------------------


def test_there_are_388_events_and_two_for_the_pedal():
    assert len(PLAIN.vocabulary) == 388 + 3
    assert len(PEDAL.vocabulary) == 390 + 3
    assert [f.size for f in PEDAL.fields] == [393]


@pieces
def test_encoding_is_what_a_loop_over_notes_spells(piece):
    assert spelled(PLAIN, PLAIN.encode(piece)) == slowly(piece)


@both
@pieces
def test_a_second_pass_changes_nothing(tokenizer, piece):
    ids = tokenizer.encode(piece)
    once = tokenizer.decode(ids)
    once.validate()
    assert ids.dtype == np.uint16
    assert once == tokenizer.on_grid(piece)
    assert np.array_equal(tokenizer.encode(once), ids)
    assert once.n_notes == tokenizer.count_notes(ids)


def test_what_lies_on_the_grid_survives_exactly():
    notes = notes_array([(0, 10, 60, 66), (10, 20, 60, 66), (10, 990, 61, 2), (5000, 20000, 60, 126)])
    piece = Piece(500, (Track("", 0, False, notes, np.array([(0, 64, 127), (25000, 64, 0)], CONTROL)),))
    assert PEDAL.decode(PEDAL.encode(piece)) == piece


def test_the_pedal_stands_between_offs_and_ons():
    ids = PEDAL.encode(
        piece_of((0, 480, 60, 80), (480, 480, 62, 80), controls=[(480, 64, 70), (481, 64, 127), (1000, 64, 0)])
    )
    assert spelled(PEDAL, ids)[1:-1] == (
        ["velocity_20", "on_60", "shift_49", "off_60", "pedal_1", "on_62", "shift_49", "off_62", "shift_3", "pedal_0"]
    )


def test_the_pedal_of_another_track_and_a_reset_are_the_channels():
    pedal = track(event(0, 0xB0, 64, 127), event(480, 0xB0, 64, 0), event(0, 0xB0, 64, 90), event(240, 0xB0, 121, 0))
    hands = [track(on(480, pitch) + off(480, pitch)) for pitch in (60, 72)]
    apart, one = (piece_from_midi(parse_smf(file(*tracks))) for tracks in ((*hands, pedal), (hands[0], pedal)))
    for piece in (apart, one):
        moves = [name for name in spelled(PEDAL, PEDAL.encode(piece)) if name.startswith("pedal")]
        assert moves == ["pedal_1", "pedal_0"]
    ups = apart.tracks[0].controls
    assert all(np.array_equal(t.controls, ups) for t in apart.tracks)


def test_the_pedal_is_down_while_any_part_holds_it():
    notes = notes_array([(0, 960 * 4, 60, 80)])
    hold = [np.array([(a, 64, 127), (b, 64, 0)], CONTROL) for a, b in ((0, 960), (480, 1920))]
    (track,) = PEDAL.on_grid(Piece(480, tuple(Track("", 0, False, notes, c) for c in hold))).tracks
    assert track.controls.tolist() == [(0, 64, 127), (2000, 64, 0)]


def test_encode_until_goes_on_to_that_time():
    piece = piece_of((0, 480, 60, 80))
    assert spelled(PLAIN, PLAIN.encode(piece, until=2405))[-4:] == ["shift_99", "shift_99", "shift_0", "eos_0"]
    for until in (None, 0, 100, 480):
        assert np.array_equal(PLAIN.encode(piece, until=until), PLAIN.encode(piece))
    assert spelled(PLAIN, PLAIN.encode(Piece(), until=1440)) == ["bos_0", "shift_99", "shift_49", "eos_0"]


def test_the_report_says_what_was_lost():
    assert PLAIN.report(piece_of((0, 480, 60, 80))) == []
    piece = piece_of((0, 960, 60, 80), (0, 100, 60, 80), (480, 480, 60, 80), (0, 960 * 21, 72, 80))
    drums = Track("", 0, True, notes_array([(0, 10, 38, 90)]))
    assert PLAIN.report(replace(piece, tracks=(*piece.tracks, drums, replace(piece.tracks[0], program=40)))) == [
        "drums: 1 note was left out",
        "programs: 2 instruments became one piano",
        "durations: 2 notes longer than 20 s were shortened",
        "unisons: 5 notes on the same onset and pitch were merged",
        "overlaps: 1 note was ended by the next one of the same pitch",
    ]


@both
def test_any_ids_decode(tokenizer):
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 500):
        ids = rng.integers(0, len(tokenizer.vocabulary), size)
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids)
        assert tokenizer.on_grid(tokenizer.on_grid(piece)) == tokenizer.on_grid(piece)
        tokenizer.decode(tokenizer.with_tempo(ids, 3)).validate()
        walker = tokenizer.grammar(inside=True)
        for token in ids.tolist():
            walker.advance(token)
            assert walker.allowed().any()


@pytest.mark.parametrize("spec", [PLAIN.spec, PEDAL.spec])
def test_the_spec_rebuilds_it(spec):
    assert load_tokenizer(spec).spec == spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "performance", "pedal": 3}, "pedal is 3; give true or false"),
        ({"name": "performance", "positions": 24}, "the tokenizer performance has no setting 'positions'"),
    ],
)
def test_a_wrong_spec_says_so(spec, text):
    with pytest.raises(UsageError) as caught:
        load_tokenizer(spec)
    assert str(caught.value) == text


# ---- on ids --------------------------------------------------------------------------------------------


@both
def test_transposition_moves_pitches_and_nothing_else(tokenizer):
    piece = random_piece(3)
    ids = tokenizer.encode(piece)
    assert np.array_equal(tokenizer.transposed(ids, 5), tokenizer.encode(piece.transposed(5)))
    assert np.array_equal(tokenizer.transposed(ids, 100), tokenizer.encode(piece.transposed(52)))
    assert tokenizer.with_programs(ids, np.random.default_rng(0)) is ids


@both
@pytest.mark.parametrize("steps", [-12, -1, 1, 2, 12])
def test_stretching_moves_every_time_alike(tokenizer, steps):
    ids = tokenizer.encode(random_piece(4))
    before, after = tokenizer.decode(ids), tokenizer.decode(tokenizer.with_tempo(ids, steps))
    assert np.array_equal(tokenizer.encode(after), tokenizer.with_tempo(ids, steps))
    start = np.floor(before.tracks[0].notes["start"] / 10 * 2 ** (-steps / 12) + 0.5) * 10
    pitch = before.tracks[0].notes["pitch"].tolist()
    expected = sorted(set(zip(start.astype(int).tolist(), pitch, strict=True)))
    assert after.tracks[0].notes[["start", "pitch"]].tolist() == expected


def test_a_stretched_window_keeps_its_open_ends():
    v = PLAIN.vocabulary
    ids = [v.id("off", 60), v.id("on", 61), v.id("shift", 49), v.id("velocity", 3), v.id("on", 62), v.id("shift", 99)]
    assert spelled(PLAIN, PLAIN.with_tempo(np.array(ids, np.uint16), -12)) == (
        ["off_60", "on_61", "shift_99", "velocity_3", "on_62", "shift_99", "shift_99"]
    )
    assert spelled(PLAIN, PLAIN.with_tempo(np.array(ids), 12))[:3] == ["off_60", "on_61", "shift_24"]


def test_windows_begin_at_onsets_out_of_silence_if_there_are_any():
    ids = PLAIN.encode(piece_of((480, 480, 60, 80), (960, 240, 62, 80), (1440, 10, 64, 80)))
    assert spelled(PLAIN, ids)[1:-1] == (
        ["shift_49", "velocity_20", "on_60", "shift_49", "off_60", "on_62", "shift_24", "off_62", "shift_24"]
        + ["on_64", "shift_0", "off_64"]
    )
    assert PLAIN.bar_positions(ids).tolist() == [1, 9]
    assert PLAIN.bar_positions(ids[4:8]).tolist() == [0]
    assert PLAIN.bar_positions(PLAIN.encode(Piece())).tolist() == []
    assert PLAIN.tail(ids, 50) is ids
    assert PLAIN.tail(ids, 5).tolist() == ids[9:].tolist()
    assert PLAIN.tail(ids, 12).tolist() == ids[4:].tolist(), "silence is too far from the beginning"


@both
def test_tails_fit_and_walk(tokenizer):
    ids = tokenizer.encode(random_piece(5))
    for room in (20, 100, 300):
        tail = tokenizer.tail(ids, room)
        assert room // 2 < len(tail) <= room
        tokenizer.decode(tail).validate()
        walker = tokenizer.grammar(inside=True)
        for token in tail.tolist():
            assert walker.allowed()[token] or tokenizer.vocabulary.is_kind(np.array(token), "off")
            walker.advance(token)


@both
def test_real_files_survive(tokenizer, shared_data):
    files = sorted((shared_data / "mutopia_pd").glob("*.mid"))[:40] + sorted(shared_data.glob("giantmidi_piano/*.mid"))
    for path in files:
        piece = read(path)
        ids = tokenizer.encode(piece)
        once = tokenizer.decode(ids)
        assert np.array_equal(tokenizer.encode(once), ids), path.name
        walker = tokenizer.grammar()
        for token in ids[:3000].tolist():
            assert walker.allowed()[token], path.name
            walker.advance(token)

"""pretty_midi objects in and out."""

from __future__ import annotations

import io

import numpy as np
import pretty_midi
import pytest
from midi_fixtures import TUNE, file, on, tempo, track

from musicgen.errors import UsageError
from musicgen.io.midi import midi_bytes, piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import BEND, CONTROL, KEY, METER, TEMPO, Piece, Track, notes_array


@pytest.fixture
def piece() -> Piece:
    controls = np.array([(0, 64, 127), (700, 64, 0)], CONTROL)
    bends = np.array([(10, -8192), (20, 8191), (30, 0)], BEND)
    melody = notes_array([(0, 480, 60, 80), (480, 1, 62, 1), (481, 3000, 64, 127)])
    return Piece(
        480,
        (
            Track("Flöte 声", 73, False, melody, controls, bends),
            Track("", 0, True, notes_array([(0, 10, 36, 99)])),
            Track("silent", 40),
        ),
        np.array([(0, 400_000), (960, 731_234)], TEMPO),
        np.array([(0, 5, 8), (1200, 4, 4)], METER),
        np.array([(0, -5, False), (1200, 6, True)], KEY),
    )


def test_a_piece_goes_out_and_comes_back_as_it_was(piece: Piece) -> None:
    assert Piece.from_pretty_midi(piece.to_pretty_midi()) == piece


def test_a_piece_without_maps_comes_back_with_the_default_tempo() -> None:
    back = Piece.from_pretty_midi(Piece(96).to_pretty_midi())
    assert back.tempos.tolist() == [(0, 500_000)]
    assert len(back.meters) == len(back.keys) == len(back.tracks) == 0


def test_seconds_are_those_of_pretty_midi(piece: Piece) -> None:
    midi = piece.to_pretty_midi()
    assert midi.get_end_time() == pytest.approx(piece.seconds, abs=1e-9)
    assert midi.time_to_tick(piece.to_seconds(2000)) == 2000


def test_what_pretty_midi_writes_is_what_we_read(piece: Piece, tmp_path) -> None:
    midi = piece.to_pretty_midi()
    midi.instruments[0].name = "Flute"  # pretty_midi writes Latin-1 only
    midi.write(str(tmp_path / "a.mid"))
    read = piece_from_midi(parse_smf((tmp_path / "a.mid").read_bytes()))
    assert [t.notes.tolist() for t in read.tracks] == [t.notes.tolist() for t in piece.tracks if len(t.notes)]
    assert read.tempos.tolist() == piece.tempos.tolist()
    assert read.meters.tolist() == piece.meters.tolist()


def test_what_we_write_is_what_pretty_midi_reads(piece: Piece) -> None:
    back = Piece.from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(midi_bytes(piece))))
    assert [t.notes.tolist() for t in back.tracks] == [t.notes.tolist() for t in piece.tracks if len(t.notes)]
    assert np.array_equal(back.tempos, piece.tempos)


def test_overlapping_notes_of_one_pitch_keep_their_lengths() -> None:
    notes = notes_array([(0, 300, 60, 70), (100, 300, 60, 80)])
    piece = Piece(480, (Track(notes=notes),), np.array([(0, 500_000)], TEMPO))
    assert Piece.from_pretty_midi(piece.to_pretty_midi()) == piece


def test_an_object_made_by_hand_gives_a_valid_piece() -> None:
    midi = pretty_midi.PrettyMIDI(resolution=220, initial_tempo=90.0)
    violin = pretty_midi.Instrument(40, name="v")
    violin.notes = [
        pretty_midi.Note(200, 60, 0.5, 0.5),  # too loud and without length
        pretty_midi.Note(0, 62, -1.0, 1.0),  # silent, begins before the beginning
        pretty_midi.Note(64, np.int64(64), np.float32(1.0), 2.0),
    ]
    midi.instruments.append(violin)
    midi.time_signature_changes.append(pretty_midi.TimeSignature(300, 4, 0.0))
    piece = Piece.from_pretty_midi(midi)
    piece.validate()
    assert piece.tracks[0].notes.tolist() == [(0, 330, 62, 1), (165, 1, 60, 127), (330, 330, 64, 64)]
    assert piece.meters.tolist() == []
    assert piece.tempos.tolist() == [(0, 666_667)]


def test_a_pitch_that_is_none_is_named() -> None:
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0))
    midi.instruments[0].notes.append(pretty_midi.Note(64, 128, 0.0, 1.0))
    with pytest.raises(UsageError, match=r"pitch 128; pitches are 0\.\.127"):
        Piece.from_pretty_midi(midi)


def test_a_tempo_map_past_the_limit_of_pretty_midi_is_named() -> None:
    piece = piece_from_midi(parse_smf(file(track(tempo(20_000_000, 60_000)), track(TUNE), division=0x7FFF)))
    with pytest.raises(UsageError, match="pretty_midi can't hold this piece"):
        piece.to_pretty_midi()


def test_late_notes_are_no_trouble() -> None:
    piece = piece_from_midi(parse_smf(file(track(tempo(0, 60_000), on(20_000_000, 60)), division=0x7FFF)))
    assert Piece.from_pretty_midi(piece.to_pretty_midi()) == piece

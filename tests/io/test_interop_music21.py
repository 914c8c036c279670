"""music21 streams in and out, and music21's reading of scores beside ours."""

from __future__ import annotations

import numpy as np
import pytest
from music21 import chord, converter, corpus, dynamics, instrument, key, meter, note, stream, tempo
from musicxml_bricks import attributes, backup, ending, notes, opened, repeat, rows, score
from musicxml_bricks import note as written

from musicgen.errors import UsageError
from musicgen.io.scores import read_score
from musicgen.piece import KEY, METER, TEMPO, Piece, Track, notes_array


@pytest.fixture
def piece() -> Piece:
    melody = notes_array(
        [(0, 480, 60, 80), (0, 480, 64, 81), (480, 160, 62, 70), (640, 1760, 64, 127), (960, 480, 64, 1)]
    )
    return Piece(
        480,
        (
            Track("Flöte", 73, False, melody),
            Track("Kit", 0, True, notes_array([(0, 240, 36, 99), (240, 240, 38, 99)])),
        ),
        np.array([(0, 500_000), (960, 400_000)], TEMPO),
        np.array([(0, 3, 8), (720, 4, 4)], METER),
        np.array([(0, -5, False), (720, 2, True)], KEY),
    )


def test_a_piece_goes_out_and_comes_back_as_it_was(piece):
    back = Piece.from_music21(piece.to_music21())
    assert back == piece
    assert back.warnings == ()


def test_what_goes_out_is_a_score_of_music21(piece):
    sent = piece.to_music21()
    first = sent.parts[0]
    assert first.partName == "Flöte"
    assert [n.offset for n in first.notes] == [0, 1, pytest.approx(4 / 3), 2]
    assert [p.midi for p in first.notes[0].pitches] == [60, 64]
    assert isinstance(first.notes[0], chord.Chord)
    assert sent.parts[1].getInstrument().midiChannel == 9
    sent.makeNotation()  # bars, ties and voices can be put in


def test_a_stream_of_hand_made_notes_comes_in():
    part = stream.Part()
    part.insert(0, instrument.Violin())
    part.append([meter.TimeSignature("3/4"), key.Key("a"), tempo.MetronomeMark(number=60), dynamics.Dynamic("ff")])
    part.append(
        [note.Note("C#5", quarterLength=1.5), note.Rest(quarterLength=0.5), chord.Chord("C4 E4", quarterLength=1)]
    )
    got = Piece.from_music21(part)
    assert rows(got) == [(0, 1.5, 73), (2, 1, 60), (2, 1, 64)]
    assert (got.tracks[0].name, got.tracks[0].program) == ("Violin", 40)
    assert got.tracks[0].notes["velocity"].tolist() == [112] * 3
    assert (got.meters.tolist(), got.keys.tolist(), got.tempos.tolist()) == (
        [(0, 3, 4)],
        [(0, 0, True)],
        [(0, 1_000_000)],
    )


@pytest.mark.parametrize("given", [None, 3, "x.mid", note.Note("C4")])
def test_what_is_no_stream_is_told(given):
    with pytest.raises(UsageError) as caught:
        Piece.from_music21(given)
    assert str(caught.value).endswith("not a stream of music21; give it a Score, a Part or a Measure of music21")


def test_a_stream_without_notes_is_told():
    with pytest.raises(UsageError, match="has no notes"):
        Piece.from_music21(stream.Score())


@pytest.mark.parametrize(
    "measures",
    [
        [attributes("2/4") + written("C4", 1, '<tie type="start"/>') + written("D4"), notes("E4 F4") + repeat()],
        [attributes("4/4", divisions=2) + written("C5", 8) + backup(8) + notes("C4 D4 E4 F4", 2), written("G4", 8)],
        [
            attributes("1/4", more="<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>")
            + written("C4"),
            ending("1") + written("D4") + ending("1", "stop", also='<repeat direction="backward"/>'),
            ending("2") + written("E4") + ending("2", "stop"),
        ],
    ],
)
def test_scores_come_in_as_we_read_them(tmp_path, measures):
    text = score(measures)
    assert rows(Piece.from_music21(converter.parseData(text, format="musicxml"))) == rows(opened(tmp_path, text))


def test_chorales_are_read_as_music21_reads_them():
    """Four voices, ties, repeats and fermatas, in files that programs of twenty years have written."""
    paths = [str(path) for path in corpus.getComposer("bach") if str(path).endswith((".mxl", ".xml"))][::40]
    assert len(paths) > 5
    for path in paths:
        mine, other = read_score(path), Piece.from_music21(converter.parse(path))
        assert [rows(mine, i) for i in range(len(mine.tracks))] == [rows(other, i) for i in range(len(other.tracks))], (
            path
        )

"""Which model continues a piece: by looking at it, at what is asked, and at the models that are here."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from musicgen import read
from musicgen.picking import HONOURED, Picked, kind_of_music, known_cards, picked, writes_text
from musicgen.piece import CHORD, CONTROL, Piece, Track, notes_array

LINE = Track("Tune", 40, notes=notes_array([(480 * n, 480, 60 + n % 7, 80) for n in range(32)]))
CHORDS = np.array([(0, 0, 0, 145, "C")], CHORD)
WHY = "one line of melody with chord symbols, to be written as ABC"
CARDS = {"default": {}, "reels": {"for": "folk"}, "grand": {"for": "piano"}}


def hands(*, off: int, pedal: bool = True) -> Piece:
    """A piano whose onsets lie up to `off` ticks of 480 behind the beat."""
    rows = [(480 * n + (n * 37) % (off + 1), 400, pitch, 80) for n in range(32) for pitch in (48, 64)]
    controls = np.array([(0, 64, 127)], CONTROL) if pedal else np.empty(0, CONTROL)
    return Piece(480, (Track("Piano", 0, notes=notes_array(rows), controls=controls),))


def test_a_tune_is_one_line_that_is_to_be_written_as_text():
    tune = Piece(480, (LINE,), chords=CHORDS)
    assert kind_of_music(tune, as_text=True) == ("folk", "one line of melody with chord symbols, to be written as ABC")
    assert kind_of_music(Piece(480, (LINE,)), as_text=True) == ("folk", "one line of melody, to be written as ABC")
    assert kind_of_music(Piece(480, (LINE, LINE)), as_text=True) == (None, "any music")
    assert kind_of_music(tune) == (None, "any music"), "default goes on better where no ABC is asked for"


def test_played_piano_is_off_the_grid():
    assert kind_of_music(hands(off=120)) == ("piano", "piano alone, onsets off the grid, with pedal")
    assert kind_of_music(hands(off=120, pedal=False)) == ("piano", "piano alone, onsets off the grid")
    assert kind_of_music(hands(off=0)) == (None, "any music"), "a score"
    violin = replace(hands(off=120).tracks[0], program=40)
    assert kind_of_music(Piece(480, (violin,))) == (None, "any music")
    drums = Track("Drums", 0, is_drum=True, notes=LINE.notes)
    assert kind_of_music(Piece(480, (*hands(off=120).tracks, drums))) == (None, "any music")


def test_only_a_model_that_says_what_it_is_for_is_picked():
    tune = Piece(480, (LINE,), chords=CHORDS)
    assert picked(tune, cards=CARDS, as_text=True) == Picked("reels", WHY)
    assert picked(hands(off=120), cards=CARDS).model == "grand"
    assert picked(hands(off=0), cards=CARDS) == Picked("default", "any music")
    nothing = picked(tune, cards={"default": {}, "folk": {}}, as_text=True)
    assert nothing == Picked("default", f"{WHY}, but no model for folk is here")
    assert nothing.is_default


@pytest.mark.parametrize("option", ["`tracks`", "`start`", "`chords`", "`end`", "`studying`"])
def test_what_a_model_cannot_honour_falls_back_on_the_default(option):
    tune = Piece(480, (LINE,), chords=CHORDS)
    found = picked(tune, cards=CARDS, asked=[option], as_text=True)
    assert found.model == "default"
    assert found.reason == (f"{WHY}, but {option} is asked for, which models for folk can't honour")
    expected = "grand" if option in HONOURED["piano"] else "default"
    assert picked(hands(off=120), cards=CARDS, asked=[option]).model == expected


def test_cards_are_read_from_models_that_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGEN_MODELS", str(tmp_path))
    for name, card in (("reels", '{"for": "folk"}'), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
        (tmp_path / name / "card.json").write_text(card)
    (tmp_path / "reels" / "tokenizer.json").write_text(json.dumps({"name": "abc"}))
    cards = known_cards()
    assert cards["reels"] == {"for": "folk"}
    assert "broken" not in cards
    assert list(cards).index("default") < list(cards).index("reels"), "those that come along are first"
    assert writes_text("reels")
    assert not writes_text("default")
    assert not writes_text(tmp_path / "nothing")


def test_the_bundled_pieces_are_for_the_default():
    assert picked(read("schubert-unfinished"), cards=CARDS) == Picked("default", "any music")

"""The `abc` tokenizer: text survives, every tune that the grammar lets through can be read and has its bars."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from limits import limited

from musicgen.chords import chord_of
from musicgen.errors import UsageError
from musicgen.piece import CHORD, KEY, METER, Piece, Track, notes_array
from musicgen.tokenizers import Abc
from musicgen.tokenizers.abc.grammar import LEAST_BARS, AbcGrammar
from musicgen.tokenizers.abc.tokenizer import tidy
from musicgen.tokenizers.constraints import Anchor, Constraints

ABC = Abc()
TUNE = """X:1
T:The Test
Z: id:test-1
M:C|
L:1/8
K:D Major
(3ABc|dAFA DFAd|fdcd FAdf|gfge fefd|(3efe dc d2:|!
AG|FAdA FAdA|GBdB GBdB|A3/2B/ ec {c}A2ec|[df]4 "A7"g>ecA|!
z8|f-faf d2^cd|[1 e2 e2 e4:|[2 d6||
"""


def uniform_tune(seed: int, constraints: Constraints | None = None) -> tuple[str, AbcGrammar]:
    """A tune drawn with equal chances for every character that is allowed."""
    rng, walker = random.Random(seed), ABC.grammar(constraints)
    text: list[int] = []
    while True:
        token = rng.choice(np.flatnonzero(walker.allowed()).tolist())
        if walker.ends(token):
            return ABC.text(np.array(text)), walker
        walker.advance(token)
        text.append(token)
        assert len(text) < 8000, "a tune must end"


def bars_with_notes(text: str) -> int:
    from music21 import converter

    score = converter.parseData(text, format="abc")
    assert "Opus" not in score.classes
    return sum(1 for m in score.parts[0].getElementsByClass("Measure") if m.recurse().notes)


def walk(text: str) -> tuple[int, AbcGrammar]:
    """How many characters the grammar allows in a row, and the walker behind them."""
    ids, walker = ABC.encode_text(text), ABC.grammar()
    for place, token in enumerate(ids.tolist()):
        if not walker.allowed()[token]:
            return place, walker
        walker.advance(token)
    return len(ids), walker


def test_text_survives_and_a_second_pass_changes_nothing():
    ids = ABC.encode_text(TUNE)
    assert ids.dtype == np.uint16
    assert ABC.text(ids) == TUNE
    messy = "X:1 \r\nT:Caf\u00e9 \u266d\r\n\r\nK:C  \r\nCDEF|"
    assert tidy(messy) == "X:1\nT:Cafe\nK:C\nCDEF|\n"
    assert tidy(tidy(messy)) == tidy(messy)
    assert ABC.report_text(messy) == ["characters: 1 character outside ASCII was left out"]


def test_a_real_tune_is_inside_the_grammar():
    place, walker = walk(TUNE)
    assert place == len(TUNE) + 2, ABC.text(ABC.encode_text(TUNE)[: place + 1])[-30:]
    assert walker.bars == 13
    assert ABC.count_notes(ABC.encode_text(TUNE)) == ABC.count_notes(ABC.encode_text("X:2\n" + TUNE[4:]))


@pytest.mark.parametrize(
    ("before", "never"),
    [
        ("dAFA", "X"),  # no such note
        ("d2^", "|"),  # an accidental needs its note
        ("[df", "|"),  # a chord is closed first
        ("(3AB", "|"),  # a tuplet is whole within its bar
        ("A2B2c2d2", "e"),  # the bar is full
        ("A4B3/2(6AAG[C3", "]"),  # no length may follow this bracket, and three more notes don't fit
        ("dB>", "|"),
        ("d2:", "d"),  # a colon is part of a bar sign
        ("A:", ":"),  # `A::` would begin a field for music21
        ("d2|!\nd2|", "!"),  # would hide the bars in between
    ],
)
def test_what_music21_would_misread_is_not_written(before, never):
    walker = ABC.grammar()
    for token in ABC.encode_text("X:1\nT:a\nM:C\nL:1/8\nK:C\n" + before)[:-2].tolist():
        walker.advance(token)
    assert never not in walker.choices()[0]


@pytest.mark.parametrize("seed", [0, 1, 3])  # in tune 2 music21 counts no bars behind lines that begin with ::
def test_uniform_tunes_can_be_read_and_have_their_bars(seed):
    text, walker = uniform_tune(seed, limited(bars=LEAST_BARS))
    assert walker.bars == LEAST_BARS
    assert bars_with_notes(text) >= LEAST_BARS
    piece = ABC.decode(ABC.encode_text(text))
    piece.validate()
    assert piece.n_notes >= LEAST_BARS


def test_uniform_tunes_end_after_eight_bars_at_least():
    for seed in range(10):
        text, walker = uniform_tune(seed)
        assert walker.bars >= LEAST_BARS
        assert text.endswith("\n")
        assert text == tidy(text)
        assert walk(text)[0] == len(text) + 2


def test_requests_that_text_cannot_keep_are_refused():
    with pytest.raises(UsageError, match="can't be held to a key or a range of pitches"):
        ABC.grammar(limited(low=60))
    text, _ = uniform_tune(1, limited(bars=2, meter=(9, 8), max_polyphony=1))
    assert "\nM:9/8\n" in text or "\nM: 9/8\n" in text
    body = text[re.search(r"^K:.*\n", text, re.M).end() :]
    assert not re.search(r"\[[\^=_]*[A-Ga-g]", body), "no chords"


def test_chord_symbols_are_written_where_they_begin_and_read_again():
    rows = [(0, 960, 60, 80), (960, 960, 64, 80), (1920, 1920, 67, 80)]
    written = [(0, "Am9/C"), (480, "Bbmaj7"), (960, "N.C."), (1920, "F#m7b5"), (2880, "D7"), (9600, "G")]
    chords = np.array([(tick, *chord_of(symbol)) for tick, symbol in written], CHORD)
    piece = Piece(480, (Track(notes=notes_array(rows)),), chords=chords)
    text = ABC.text(ABC.encode(piece))
    assert text.endswith('"Am7"C2-"Bb"C2E4|"F#dim"G4-"D7"G4|\n')
    again = ABC.decode(ABC.encode(piece))
    beats = again.chords["tick"] / again.ticks_per_quarter
    assert list(zip(beats.tolist(), again.chords["symbol"].tolist(), strict=True)) == [
        (0, "Am7"), (1, "Bb"), (4, "F#dim"), (6, "D7")
    ]  # fmt: skip
    assert again.tracks[0].notes["pitch"].tolist() == [60, 64, 67]
    assert walk(text)[0] == len(text) + 1, "all of it is inside the grammar; it ends before eight bars"


def test_a_line_of_notes_becomes_a_plain_tune_and_comes_back():
    rows = [(i * 240, 240, 60 + p, 72) for i, p in enumerate([0, 2, 4, 5, 7, 6, 8, 10, 12, 11, 9, 0, 0, 13, 1, 24])]
    piece = Piece(480, (Track("", 0, notes=notes_array(rows)),), meters=np.array([(0, 6, 8)], METER))
    ids = ABC.encode(piece)
    back = ABC.on_grid(piece)
    assert back.tracks[0].notes["pitch"].tolist() == [r[2] for r in rows]
    assert back.tracks[0].notes["start"].tolist() == [r[0] for r in rows]
    assert ABC.encode(back).tolist() == ids.tolist()
    assert walk(ABC.text(ids))[0] >= len(ids) - 2, "a plain tune is inside the grammar, but for its shortness"


@pytest.mark.parametrize("fifths", [0, 3, -4])
def test_chromatic_lines_come_back_whatever_the_bar_has_altered(fifths):
    rng = np.random.default_rng(fifths + 10)
    starts = np.cumsum(rng.choice([60, 120, 240, 360, 720], 200))
    rows = [(int(a), int(b - a), int(rng.integers(55, 85)), 72) for a, b in zip(starts, starts[1:], strict=False)]
    key = np.array([(0, fifths, 0)], KEY)
    piece = Piece(480, (Track("", 0, notes=notes_array(rows)),), meters=np.array([(0, 3, 4)], METER), keys=key)
    back = ABC.on_grid(piece)
    assert back.tracks[0].notes["pitch"].tolist() == [row[2] for row in rows]
    assert back.tracks[0].notes["start"].tolist() == [row[0] for row in rows]
    assert back.tracks[0].notes["duration"].tolist() == [row[1] for row in rows]
    assert ABC.on_grid(back).tracks[0].notes.tolist() == back.tracks[0].notes.tolist()


def test_without_a_unit_the_meter_gives_it():
    walker = ABC.grammar()
    for token in ABC.encode_text("X:1\nT:a\nM:2/4\nK:C\nA8")[:-2].tolist():
        walker.advance(token)
    assert walker.clock.time == walker.clock.bar, "eight sixteenths fill the bar"


def test_accompaniment_is_left_out_and_said():
    high = notes_array([(i * 480, 480, 72 + i, 80) for i in range(4)])
    low = notes_array([(0, 1920, 48, 80), (960, 480, 52, 80)])
    piece = Piece(480, (Track("", 0, notes=high), Track("", 0, notes=low)))
    assert ABC.on_grid(piece).n_notes == 4
    assert ABC.report(piece) == ["voices: only the highest is written; 2 of 6 notes were left out"]


def test_new_notes_begin_at_the_cut():
    anchor = Anchor(960, 960.0, 1920.0, 480, 500_000, False)
    notes, program = ABC.new_notes(ABC.encode_text(TUNE)[:-1], ABC.encode_text_as_it_is("A2B2|c4|"), anchor)
    assert notes["start"].tolist() == [960, 1440, 1920]
    assert notes["pitch"].tolist() == [69, 71, 73], "in the key of the header, where c is sharp"
    assert not program.any()


def test_a_tail_keeps_the_header():
    ids = ABC.encode_text(TUNE)[:-1]
    tail = ABC.tail(ids, 110)
    assert len(tail) <= 110
    assert ABC.text(tail).startswith(TUNE[: TUNE.index("(3ABc")])
    assert TUNE.endswith(ABC.text(tail)[-10:])


def test_real_tunes_are_inside_the_grammar(shared_data):
    path = shared_data / "mit_irish_abc" / "irish.abc"
    if not path.is_file():
        pytest.skip("the Irish tunes are not in ../shared/data")
    tunes = re.split(r"^(?=X:)", path.read_text(), flags=re.MULTILINE)[1:][::8]
    whole = [walk(tune)[0] == len(ABC.encode_text(tune)) for tune in tunes]
    assert sum(whole) / len(whole) > 0.95

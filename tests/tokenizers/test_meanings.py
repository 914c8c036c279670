"""Tokens in words agree with what they decode to, and bars among tokens with the piece's bars."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.gm import pitch_name
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import TOKENIZERS, Abc, Frames, FramesSettings, Performance, PerformanceSettings, Remi
from musicgen.tokenizers.meanings import bar_offsets, meaning

EVERY = [
    *(make() for make in TOKENIZERS.values()), Frames(FramesSettings(voices=2)), Performance(PerformanceSettings(True)),
]  # fmt: skip
# Five bars of 3/4, a note on each quarter, at 90.
PIECE = Piece(
    480,
    (
        Track("", 42, notes=notes_array([(480 * i, 240, 50 + i, 80) for i in range(15)])),
        Track("", 0, True, notes_array([(1440 * i, 60, 38, 90) for i in range(5)])),
    ),
    np.array([(0, 666_667)], TEMPO),
    np.array([(0, 3, 4)], METER),
)


@pytest.mark.parametrize("form", EVERY, ids=lambda form: form.name)
def test_every_token_has_a_meaning_of_its_own(form):
    said = [meaning(form, token) for token in range(len(form.vocabulary))]
    assert all(text != form.vocabulary.token(token) for token, text in enumerate(said))
    assert len(set(said)) == len(said)
    assert all(text.isprintable() for text in said)
    with pytest.raises(UsageError, match="outside this vocabulary"):
        meaning(form, len(said))


def test_words_of_a_tune():
    form = Remi()
    said = [meaning(form, token) for token in form.encode(PIECE).tolist()]
    assert said[:9] == [
        "beginning", "bar", "meter 3/4", "position 0", "tempo 90", "program cello", "pitch D3", "velocity 82",
        "duration 1/2",
    ]  # fmt: skip
    assert "drum acoustic snare" in said
    assert said[-1] == "end"
    assert [text for text in said if text.startswith("pitch")] == [f"pitch {pitch_name(50 + i)}" for i in range(15)]


def test_a_wait_says_the_time_that_passes():
    form = Performance()
    waits = [meaning(form, token) for token in form.encode(PIECE) if form.vocabulary.is_kind(token, "shift")]
    passed = sum(int(text.removeprefix("wait ").removesuffix(" ms")) for text in waits)
    assert passed == pytest.approx(1000 * PIECE.to_seconds(PIECE.tracks[0].notes["start"][-1] + 240), abs=10)


@pytest.mark.parametrize("form", [form for form in EVERY if form.name != "abc"], ids=lambda form: form.name)
def test_the_tokens_of_a_bar_have_its_notes(form):
    ids = form.encode(PIECE)
    offsets = bar_offsets(form, PIECE, ids)
    assert (len(offsets), offsets[0]) == (5, 0)
    kind = "on" if "on" in form.vocabulary.sizes else "pitch"
    fields = len(form.fields) > 1
    for bar, (begin, end) in enumerate(zip(offsets, [*offsets[1:], len(ids)], strict=True)):
        shown = ids[begin + fields : end + fields]  # with fields, a note's pitch is in the row after its onset
        pitches = shown[form.vocabulary.is_kind(shown, kind)].astype(int) - form.vocabulary.base[kind]
        assert sorted(set(pitches.tolist())) == [50 + 3 * bar + i for i in range(3)]


def test_characters_tell_no_bars():
    with pytest.raises(UsageError, match="the tokens of abc don't tell where bars begin; leave the bars out"):
        bar_offsets(Abc(), PIECE, Abc().encode(PIECE))

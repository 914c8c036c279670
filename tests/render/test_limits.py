"""What is rendered of pieces that no one plays: the same sound sooner, or one line before anything is made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sounds import FONT, sound_of

from musicgen.errors import ResourceError, UsageError
from musicgen.piece import NOTE, TEMPO, Piece, Track, notes_array
from musicgen.render.limits import check_voices, without_copies
from musicgen.render.schedule import VOICE
from musicgen.render.synth import synthesize

ORGAN = 19
FASTEST = np.array([(0, 60_000)], TEMPO)


def notes(count: int, *, start: int = 0, length: int = 480, pitch: int = 60) -> np.ndarray:
    table = np.zeros(count, NOTE)
    table["start"], table["duration"], table["pitch"], table["velocity"] = start, length, pitch, 80
    return table


def play(*tracks: np.ndarray) -> np.ndarray:
    made = tuple(Track(notes=notes_array(table)) for table in tracks)
    return sound_of(Piece(480, made), rate=8000)


@pytest.mark.parametrize(
    ("length", "hours"),
    [(2**40, "318,145.7 hours"), (480 * 120 * 60 * 25, "25.0 hours"), (2**62, "hours, and 24 can be rendered")],
)
def test_a_piece_of_more_than_a_day_is_refused_at_once(length, hours):
    piece = Piece(480, (Track(notes=notes(1, length=length)),))
    with pytest.raises(ResourceError) as caught:
        synthesize(piece, soundfont=FONT, engine="numpy")
    assert hours in str(caught.value)
    assert str(caught.value).endswith("24 can be rendered; cut it")


def test_a_day_itself_is_begun():
    piece = Piece(480, (Track(notes=notes(1, length=480 * 120 * 60 * 24)),))
    assert synthesize(piece, soundfont=FONT, engine="numpy")


def test_more_voices_than_music_has_are_refused_at_once():
    rng = np.random.default_rng(0)
    many = notes(20_000, length=480 * 100_000)
    many["start"], many["pitch"] = rng.permutation(20_000), rng.integers(30, 90, 20_000)
    with pytest.raises(ResourceError, match=r"its notes sound for [\d,]+ hours, .* can be rendered; leave out notes"):
        synthesize(Piece(480, (Track("", ORGAN, notes=notes_array(many)),), FASTEST), soundfont=FONT, engine="numpy")


def test_a_key_struck_a_thousand_times_at_once_sounds_as_once_but_louder():
    """A piece's level is its own loudest, so that alone both are the same; beside a softer note the pile stands out."""
    once, pile = play(notes(1)), play(notes(1000))
    assert np.allclose(once, pile, atol=1e-5)
    beside = notes(1, start=2000, pitch=72)
    balance = [np.abs(audio[16_700:17_500]).max() for audio in (play(notes(1), beside), play(notes(1000), beside))]
    assert balance[1] == pytest.approx(balance[0] / 1000, rel=0.3)


def test_copies_are_summed_and_others_stay():
    voices = np.zeros(5, VOICE)
    voices["start"] = [0, 0, 0, 5, 5]
    voices["end"] = [9, 9, 8, 9, 9]
    voices["left"], voices["right"] = [1, 2, 4, 8, 16], 1
    merged = without_copies(voices)
    assert merged["start"].tolist() == [0, 0, 5]
    assert sorted(zip(merged["end"].tolist(), merged["left"].tolist(), merged["right"].tolist(), strict=True)) == [
        (8, 4.0, 1.0),
        (9, 3.0, 2.0),
        (9, 24.0, 2.0),
    ]
    assert np.array_equal(without_copies(voices[1:4]), voices[1:4]), "nothing to merge"
    check_voices(merged, rate=1)


@pytest.mark.parametrize("rate", [math.nan, 44100.5, 0, 10**9])
def test_a_rate_is_a_whole_number_of_frames(rate):
    with pytest.raises(UsageError, match="Hz can't be rendered"):
        synthesize(Piece(), soundfont=FONT, rate=rate)

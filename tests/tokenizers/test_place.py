"""Where a walk stands: in bars that ids tell, and in time of which bars are lengths."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import Notes, Parts, Remi
from musicgen.tokenizers.constraints import Anchor
from musicgen.tokenizers.place import BarPlace, ClockPlace

BAR = 96  # steps of 4/4


def in_bars() -> BarPlace:
    place = BarPlace(24, window_steps=192)
    place.enter_bar(first=True)
    return place


def anchor(tick: int, bar_start: int, *, fills: bool) -> Anchor:
    return Anchor(tick, float(bar_start), 1920.0, 480, 500_000, fills)


@pytest.mark.parametrize("tokenizer", [Notes(), Remi(), Parts()], ids=lambda t: t.name)
def test_a_walk_stands_where_the_tokenizer_says_that_notes_are(tokenizer):
    rng = np.random.default_rng(0)
    rows = [
        (int(t) * 60, 240, int(p), 80) for t, p in zip(rng.integers(0, 90, 60), rng.integers(40, 90, 60), strict=True)
    ]
    ids = tokenizer.encode(Piece(480, (Track("", 5, notes=notes_array(rows)),)))
    spelled, walker = tokenizer.notes(ids), tokenizer.grammar()
    found = []
    for token in ids.ravel().tolist():
        walker.advance(token)
        if tokenizer.vocabulary.is_kind(np.array(token), "duration"):
            found.append((walker.place.bars - 1, walker.place.position, walker.place.pitch))
    assert found == list(zip(spelled.bar.tolist(), spelled.position.tolist(), spelled.pitch.tolist(), strict=True))


def test_bars_follow_one_another_and_empty_ones_are_counted():
    place = in_bars()
    place.enter_bar(first=False)
    assert (place.bar_start, place.silence()) == (BAR, 1)
    place.bar_steps = 72
    place.enter_onset(10)
    place.take_player(3)
    place.take_pitch(60)
    assert place.silence() < 0
    place.enter_bar(first=False)
    assert (place.bar_start, place.bars, place.position, place.player, place.silence()) == (BAR + 72, 3, -1, None, 0)


def test_behind_a_span_positions_count_on_and_a_bar_given_again_begins_anew():
    place = in_bars()
    place.take_span()
    place.enter_onset(5)
    assert place.position == 197
    place.return_to_bar()
    place.enter_onset(5)
    assert place.position == 5


@pytest.mark.parametrize(
    ("cut", "first"), [(anchor(2400, 1920, fills=True), 24), (anchor(3840, 3840, fills=False), 97)]
)
def test_new_music_begins_no_earlier_than_its_anchor(cut, first):
    place = in_bars()
    place.begin(cut)
    assert place.closed
    assert place.position + 1 == first


def test_what_sounds_is_counted_from_the_prompt_on_and_apart_in_copies():
    place = in_bars()
    place.enter_onset(0)
    place.take_duration(50)
    place.begin(None)
    assert place.sounding() == 1
    other = place.copy()
    other.enter_onset(20)
    other.take_duration(100)
    assert (place.sounding(), other.sounding()) == (1, 2)
    other.enter_onset(50)
    assert other.sounding() == 1
    other.enter_bar(first=False)
    assert other.counts().tolist() == [1] * 24 + [0] * 72


def test_a_note_that_the_cut_ends_is_not_counted_for_having_been_spelled_longer():
    for length, counted in ((97, 0), (108, 0), (150, 1)):
        place = in_bars()
        place.enter_onset(0)
        place.take_duration(length, least=length - 12)
        place.begin(anchor(1920, 1920, fills=False))
        place.enter_bar(first=False)
        place.enter_onset(0)
        assert place.sounding() == counted


def test_what_comes_later_in_the_piece_does_not_sound_before_it():
    place = in_bars()
    place.enter_onset(90)
    place.take_duration(20)
    place.leave()
    place.enter_bar(first=False)
    place.enter_onset(80)
    place.take_duration(100)
    place.resume()
    place.enter_bar(first=False)
    assert place.bar_start == BAR
    assert place.counts().tolist() == [1] * 14 + [0] * 82


@pytest.mark.parametrize(("lead", "fills", "units"), [(0.0, False, 400), (50.0, True, 550), (150.0, True, 450)])
def test_bars_by_the_clock_end_where_the_anchors_bar_lines_lie(lead, fills, units):
    place = ClockPlace()
    place.move(77)
    place.begin(200.0, lead=lead, fills=fills)
    assert place.length(2) - place.progress() == units
    place.move(units)
    assert place.bar == 2 + fills


def test_a_bar_by_the_clock_begins_without_notes_and_silence_with_the_last_onset():
    place = ClockPlace()
    place.begin(100.0)
    assert not place.move(60)
    place.strike()
    assert (place.notes_in_bar, place.silence()) == (1, 0)
    assert place.move(40)
    assert (place.notes_in_bar, place.silence()) == (0, 40)
    assert place.longest_silence(1) < 200  # two bars would be empty

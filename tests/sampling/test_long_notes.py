"""Long continuations in sections: bars, parts, loudness and density stay, and takes are repeatable. The model is a fake
with uniform logits."""

from __future__ import annotations

import numpy as np
import pytest
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Request, Source
from musicgen.events import Expected, Progress
from musicgen.sampling.long_notes import SECTION_BARS, sections
from musicgen.sampling.request import Finish


@pytest.mark.parametrize("bars", [25, 32, 39, 40, 41, 200, 1000])
def test_sections_are_of_about_one_length(bars):
    found = sections(bars)
    assert sum(found) == bars
    assert all(SECTION_BARS // 2 < each <= SECTION_BARS * 3 // 2 for each in found)
    assert set(found[:-1]) <= {SECTION_BARS}


def long(piece, *, bars=40, seed=0, listener=lambda event: None, **finish):
    request, wish = Request(bars=bars), Finish(**finish)
    (take,) = composer().takes(Source.of_piece(piece), request=request, finish=wish, seed=seed, listener=listener)
    return take


def test_a_long_take_has_all_its_bars_and_only_the_parts_of_the_piece():
    piece = song()
    take = long(piece)
    assert take.facts["bars_added"] == 40
    assert take.midi.end == 52 * BAR
    assert [t.name for t in take.piece.tracks] == [t.name for t in piece.tracks]
    assert take.notes["start"].min() >= 12 * BAR
    assert (take.notes["start"] + take.notes["duration"]).max() <= 52 * BAR
    bars = np.unique((take.notes["start"] - 12 * BAR) // BAR)
    assert np.diff(bars, prepend=-1, append=40).max() <= 2  # one empty bar in a row, over the edges of sections, too
    for number, track in enumerate(piece.tracks):
        new = take.piece.tracks[number].notes
        assert (new[: len(track.notes)] == track.notes).all()
        assert len(new) > len(track.notes)


def test_the_last_section_is_no_louder_thinner_or_wider_than_the_first():
    piece = song()
    take = long(piece, bars=48)
    highest = piece.tracks[0].notes["pitch"].max() + 5
    lowest = piece.tracks[1].notes["pitch"].min() - 5
    loud = []
    for number in range(3):
        begin = (12 + 16 * number) * BAR
        mine = take.notes[(take.notes["start"] >= begin) & (take.notes["start"] < begin + 16 * BAR)]
        loud.append(float(mine["velocity"].mean()))
    melodic = np.concatenate([t.notes for t in take.piece.tracks if not t.is_drum])["pitch"]
    assert lowest <= melodic.min() <= melodic.max() <= highest
    assert max(loud) - min(loud) < 12


def test_a_long_take_is_a_function_of_its_seed():
    one, again, other = long(song(), seed=4), long(song(), seed=4), long(song(), seed=5)
    assert one.midi.tracks[0].rows.tolist() == again.midi.tracks[0].rows.tolist()
    assert one.facts == again.facts
    assert one.notes.tolist() != other.notes.tolist()


def test_candidates_are_listed_with_their_section():
    facts = long(song()).facts["candidates"]
    assert {each["section"] for each in facts} == {1, 2}
    for section in (1, 2):
        assert sum(each["kept"] for each in facts if each["section"] == section) == 1


def test_progress_counts_the_bars_of_the_whole_take():
    heard: list[Progress] = []
    long(song(), listener=lambda event: heard.append(event) if isinstance(event, Progress) else None)
    bars = [event for event in heard if event.unit == "bar"]
    assert {event.of for event in bars} == {40}
    assert 16 < max(event.done for event in bars) <= 40


def test_only_the_last_section_comes_to_a_close():
    take = long(song(), end=True)
    ending = take.facts["ending"]
    begin = 51 * BAR + round(480 * ending["from_bar_line_quarters"])
    last = take.notes[take.notes["start"] >= begin]
    assert set(last["start"].tolist()) == {begin}
    assert len(last) >= 4
    held = [
        bar
        for bar in range(12, 51)
        if set(take.notes["start"][(take.notes["start"] // BAR) == bar].tolist()) == {bar * BAR}
    ]
    assert len(held) < 5, "other bars have more than one onset"


def test_long_music_from_nothing_has_sections_too():
    (take,) = composer().generate(bars=26, tracks="violin,cello", end=True, seed=1)
    assert take.facts["bars_added"] == 26
    assert take.midi.end == 26 * BAR
    assert {each["section"] for each in take.facts["candidates"]} == {1, 2}


def test_a_cut_within_a_bar_is_filled_first():
    piece = song().until(11 * BAR + 960)
    take = long(piece)
    assert take.facts["cut_tick"] == 11 * BAR + 960
    assert take.midi.end == 52 * BAR


def test_the_time_that_is_left_is_told_after_the_first_section():
    heard: list[Expected] = []
    long(song(), listener=lambda event: heard.append(event) if isinstance(event, Expected) else None)
    assert len(heard) == 1
    assert heard[0].seconds > 0

"""Each mask forbids what its part of a request says, at the places where it says so, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from musicgen import tokenizers
from musicgen.tokenizers.constraints import DRUMS, Constraints
from musicgen.tokenizers.constraints.length import Length, Presence, allowed_meters
from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.constraints.players import Players
from musicgen.tokenizers.constraints.room import Density, Line, Polyphony
from musicgen.tokenizers.place import BarPlace, ClockPlace

OPEN = Constraints()
LOW = np.arange(128) < 50


def in_a_bar(**asked) -> tuple[BarPlace, Constraints]:
    constraints, place = Constraints(**asked), BarPlace(24, window_steps=192)
    place.begin(None, counted=Polyphony(constraints).most is not None)
    place.enter_bar(first=True)
    return place, constraints


def test_a_request_that_says_nothing_forbids_nothing():
    place, _ = in_a_bar(max_polyphony=99)
    place.take_player(0)
    for _ in range(50):
        place.enter_onset(3)
        place.take_pitch(60)
        place.take_duration(90)
    assert Pitches(OPEN).of(0, kit=False).all()
    assert Players(OPEN, Pitches(OPEN)).programs.all()
    assert allowed_meters(OPEN, 448).all()
    assert not Density(OPEN).is_full(10_000)
    assert not Polyphony(OPEN).is_full(place)
    assert Polyphony(OPEN).earliest(place) == 0
    assert not Line(OPEN).is_full(place)
    assert not Length(OPEN, place).is_full(place)
    assert not Presence(OPEN, place).is_due(place)


def test_range_and_key_hold_melodic_players_and_a_kit_holds_drums():
    asked = Constraints(
        pitch_low=48, pitch_high=72, pitch_classes=frozenset({0, 7}), part_pitches=((1, LOW), (2, LOW), (3, ~LOW))
    )
    plain, by_part = Pitches(asked), Pitches(asked, by_part=True)
    assert np.flatnonzero(plain.of(1, kit=False)).tolist() == [48, 55, 60, 67, 72]
    assert plain.of(1, kit=True).all()
    assert plain.highest(1, kit=False) == 72
    assert np.flatnonzero(by_part.of(1, kit=False)).tolist() == [48]
    assert by_part.of(2, kit=True).tolist() == LOW.tolist()
    assert by_part.highest(3, kit=True) == 127


def test_a_part_that_range_and_key_leave_nothing_keeps_what_it_has_played():
    asked = Constraints(pitch_low=60, part_pitches=((0, LOW),))
    assert Pitches(asked, by_part=True).of(0, kit=False).tolist() == LOW.tolist()


def test_where_no_pitch_is_allowed_drums_alone_play():
    asked = Constraints(pitch_low=60, pitch_high=60, pitch_classes=frozenset({1}))
    assert np.flatnonzero(Players(asked, Pitches(asked)).programs).tolist() == [DRUMS]


def test_a_part_plays_if_it_has_entered_and_both_it_and_its_program_may():
    asked = Constraints(programs=frozenset({40, 128}), parts=frozenset({0, 1, 3, 4}), part_count=4)
    players = Players(asked, Pitches(asked), parts=64)
    assert np.flatnonzero(players.parts([40, 0, 40, 128])).tolist() == [0, 3]
    assert not players.are_complete([40, 0, 40])
    assert players.may_enter([40, 0, 40])
    assert players.are_complete([40, 0, 40, 128])
    assert not players.may_enter([40, 0, 40, 128])


@pytest.mark.parametrize("most", [1, 2, 4])
def test_the_earliest_place_for_a_note_is_the_first_at_which_it_is_not_one_too_many(most):
    rng = np.random.default_rng(most)
    place, asked = in_a_bar(max_polyphony=most)
    mask = Polyphony(asked)
    for _ in range(100):
        place.enter_onset(int(rng.integers(0, 8)))
        for _ in range(int(rng.integers(most + 1))):
            place.take_duration(int(rng.integers(1, 60)))
        earliest = mask.earliest(place.copy())
        for position in range(place.position, 96):
            there = place.copy()
            there.enter_onset(position)
            assert mask.is_full(there) == (position < earliest)
        place.enter_bar(first=False)


def test_of_a_tokenizer_with_one_part_the_only_program_says_how_many_sound():
    asked = {"programs": frozenset({73, 128}), "chord_sizes": ((73, 1), (128, 3))}
    assert Polyphony(Constraints(**asked), one_part=True).most == 1
    assert Polyphony(Constraints(**asked)).most is None
    assert Polyphony(Constraints(**asked, max_polyphony=2), one_part=True).most == 1
    assert Polyphony(Constraints(programs=frozenset({0, 73}), chord_sizes=((73, 1),)), one_part=True).most is None


def test_a_line_has_one_note_an_onset_and_other_players_are_free():
    place, asked = in_a_bar(chord_sizes=((5, 1),))
    mask = Line(asked)
    place.enter_onset(0)
    assert mask.is_full(place)  # nobody plays yet
    place.take_player(5)
    assert not mask.is_full(place)
    place.take_pitch(60)
    assert mask.is_full(place)
    place.take_player(6)
    place.take_pitch(60)
    assert not mask.is_full(place)


def test_a_bar_holds_so_many_notes():
    mask = Density(Constraints(max_notes_a_bar=3))
    assert [mask.is_full(notes) for notes in range(5)] == [False, False, False, True, True]


def test_music_is_full_with_the_last_bar_and_must_sound_before_too_many_are_empty():
    place, asked = in_a_bar(bars=3, max_empty_bars=1)
    length, presence = Length(asked, place), Presence(asked, place)
    said = []
    for _ in range(3):
        said.append((length.is_full(place), presence.is_due(place)))
        place.enter_bar(first=False)
    assert said == [(False, False), (False, True), (True, True)]
    place.enter_onset(0)
    place.take_pitch(60)
    assert not presence.is_due(place)


def test_by_the_clock_the_same_holds_of_lengths_of_time():
    place = ClockPlace()
    place.move(1000)
    place.begin(100.0)
    asked = Constraints(bars=2, max_empty_bars=0)
    length, presence = Length(asked, place), Presence(asked, place)
    place.move(98)
    assert not presence.is_due(place)
    assert presence.left(place) == 1
    assert not length.is_full(place, ahead=101)
    assert length.is_full(place, ahead=102)
    place.move(1)
    assert presence.is_due(place)
    assert presence.left(place) is None
    assert not Presence(asked, place, possible=False).is_due(place)


def test_one_meter_is_allowed_by_its_value():
    assert np.flatnonzero(allowed_meters(Constraints(meter=(6, 8)), 448)).tolist() == [5 * 7 + 3]


def test_masks_and_places_know_nothing_of_ids():
    """So that one mask serves every spelling: they import neither vocabularies nor grammars nor tokenizers."""
    home = Path(tokenizers.__file__).parent
    known = ("musicgen.tokenizers.constraints", "musicgen.tokenizers.place")
    for path in (home / "place.py", *sorted((home / "constraints").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("musicgen.tokenizers"):
                assert node.module.startswith(known), f"{path.name} imports {node.module}"

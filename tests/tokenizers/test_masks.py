"""Each mask forbids what its part of a request says, at the places where it says so, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from limits import limited

from musicgen import tokenizers
from musicgen.tokenizers import Frames, Notes, Parts, Performance, Remi
from musicgen.tokenizers.constraints import (
    DRUMS,
    Constraints,
    LengthLimits,
    Mask,
    PitchLimits,
    PlayerLimits,
    RoomLimits,
)
from musicgen.tokenizers.constraints.length import Length, Presence, allowed_meters
from musicgen.tokenizers.constraints.mask import AllOf
from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.constraints.players import Players
from musicgen.tokenizers.constraints.room import Density, Line, Polyphony
from musicgen.tokenizers.place import BarPlace, ClockPlace, Place

OPEN = Constraints()
LOW = np.arange(128) < 50


def in_a_bar() -> BarPlace:
    place = BarPlace(24, window_steps=192)
    place.begin(None)
    place.enter_bar(first=True)
    return place


def allowed(limits: PitchLimits, player: int, *, kit: bool, by_part: bool = False) -> list[int]:
    return np.flatnonzero(Pitches(limits, by_part=by_part).pitches(in_a_bar(), player, kit=kit)).tolist()


def test_a_request_that_says_nothing_forbids_nothing():
    place = in_a_bar()
    place.take_player(0)
    for _ in range(50):
        place.enter_onset(3)
        place.take_pitch(60)
        place.take_duration(90)
    every = AllOf((Pitches(OPEN.pitches), Density(OPEN.room), Polyphony(OPEN.room), Mask()))
    assert every.pitches(place, 0, kit=False).all()
    assert not every.is_full(place)
    assert every.onsets(place) is None
    assert Polyphony(OPEN.room).longest(place) is None
    assert Players(OPEN.players, Pitches(OPEN.pitches)).programs.all()
    assert allowed_meters(OPEN.length, 448).all()
    assert not Line(OPEN.room).is_full(place)
    assert not Length(OPEN.length, place).is_full(place)
    assert not Presence(OPEN.length, place).is_due(place)


def test_range_and_key_hold_melodic_players_and_a_kit_holds_drums():
    asked = PitchLimits(48, 72, classes=frozenset({0, 7}), by_part=((1, LOW), (2, LOW), (3, ~LOW)))
    assert allowed(asked, 1, kit=False) == [48, 55, 60, 67, 72]
    assert allowed(asked, 1, kit=True) == list(range(128))
    assert allowed(asked, 1, kit=False, by_part=True) == [48]
    assert allowed(asked, 2, kit=True, by_part=True) == list(range(50))
    assert allowed(asked, 3, kit=True, by_part=True) == list(range(50, 128))


def test_a_part_that_range_and_key_leave_nothing_keeps_what_it_has_played():
    assert allowed(PitchLimits(60, by_part=((0, LOW),)), 0, kit=False, by_part=True) == list(range(50))


def test_where_no_pitch_is_allowed_drums_alone_play():
    pitches = Pitches(PitchLimits(60, 60, classes=frozenset({1})))
    assert np.flatnonzero(Players(PlayerLimits(), pitches).programs).tolist() == [DRUMS]


def test_a_part_plays_if_it_has_entered_and_both_it_and_its_program_may():
    asked = PlayerLimits(frozenset({40, 128}), parts=frozenset({0, 1, 3, 4}), part_count=4)
    players = Players(asked, Pitches(PitchLimits()), parts=64)
    assert np.flatnonzero(players.parts([40, 0, 40, 128])).tolist() == [0, 3]
    assert not players.are_complete([40, 0, 40])
    assert players.may_enter([40, 0, 40])
    assert players.are_complete([40, 0, 40, 128])
    assert not players.may_enter([40, 0, 40, 128])


@pytest.mark.parametrize("most", [1, 2, 4])
@pytest.mark.parametrize("again", [False, True])
def test_a_note_may_begin_and_last_where_it_is_not_one_too_many(most, again):
    """Also where the notes that are there come later in the bar, as they were given first."""
    rng = np.random.default_rng(most)
    place, mask = in_a_bar(), Polyphony(RoomLimits(max_polyphony=most))
    for _ in range(40):
        for _ in range(int(rng.integers(4))):
            place.enter_onset(int(rng.integers(0, 90)))
            place.take_duration(int(rng.integers(1, 60)))
        if again:
            place.return_to_bar()
        sounding = np.zeros(400, int)
        for note in place.notes:
            sounding[max(0, note.start - place.bar_start) : note.end - place.bar_start] += 1
        onsets = mask.onsets(place)
        assert onsets.tolist() == (sounding[:96] < most).tolist()
        for position in np.flatnonzero(onsets).tolist():
            there = place.copy()
            there.enter_onset(position)
            assert not mask.is_full(there)
            longest = mask.longest(there)
            behind = np.flatnonzero(sounding[position:] >= most)
            assert longest == (int(behind[0]) if len(behind) else None)
        place.enter_bar(first=False)


def test_of_a_tokenizer_with_one_part_the_only_program_says_how_many_sound():
    sizes = ((73, 1), (128, 3))
    alone, both = PlayerLimits(frozenset({73, 128})), PlayerLimits(frozenset({0, 73}))
    assert Polyphony(RoomLimits(chord_sizes=sizes), sole=alone).most == 1
    assert Polyphony(RoomLimits(chord_sizes=sizes)).most is None
    assert Polyphony(RoomLimits(2, chord_sizes=sizes), sole=alone).most == 1
    assert Polyphony(RoomLimits(chord_sizes=sizes), sole=both).most is None


def test_a_line_has_one_note_an_onset_and_other_players_are_free():
    place, mask = in_a_bar(), Line(RoomLimits(chord_sizes=((5, 1),)))
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
    mask = Density(RoomLimits(max_notes_a_bar=3))
    assert [mask.holds(notes) for notes in range(5)] == [False, False, False, True, True]


class Only(Mask):
    """Some pitch classes in every bar, and notes on the beats alone."""

    def __init__(self, *chords: set[int]) -> None:
        self.chords = chords

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        return None if kit else np.isin(np.arange(128) % 12, list(self.chords[place.new_bar % len(self.chords)]))

    def onsets(self, place: BarPlace) -> np.ndarray:
        return np.arange(place.bar_steps) % 24 == 0


def test_masks_together_forbid_what_one_of_them_forbids_and_leave_something():
    place = in_a_bar()
    both = AllOf((Pitches(PitchLimits(60, 64)), Only({0, 2}), Only({2, 4})))
    assert np.flatnonzero(both.pitches(place, 0, kit=False)).tolist() == [62]
    against = AllOf((Pitches(PitchLimits(60, 64)), Only({7}), Only({4})))
    assert np.flatnonzero(against.pitches(place, 0, kit=False)).tolist() == [64], "the second would leave nothing"
    assert np.flatnonzero(both.onsets(place)).tolist() == [0, 24, 48, 72]


@pytest.mark.parametrize("tokenizer", [Remi(), Notes(), Parts()], ids=lambda each: each.name)
def test_a_mask_of_ones_own_holds_every_grammar_of_bars(tokenizer):
    chords = {0, 4, 7}, {2, 7, 11}
    asked = limited(bars=4, meter=(4, 4), may_end=False, max_notes_a_bar=9, max_empty_bars=0, further=(Only(*chords),))
    for seed in range(4):
        n = tokenizer.notes(drawn(tokenizer, asked, seed=seed))
        melodic = n.pitch < 128
        if tokenizer.name != "parts":
            melodic &= n.program != DRUMS
            assert melodic.any()
            wrong = [
                p for p, bar in zip(n.pitch[melodic], n.bar[melodic], strict=True) if p % 12 not in chords[bar % 2]
            ]
            assert wrong == []
        assert len(n.pitch) > 0
        assert set((n.position % 24).tolist()) == {0}


@pytest.mark.parametrize("tokenizer", [Performance(), Frames()], ids=lambda each: each.name)
def test_a_mask_of_ones_own_holds_every_grammar_by_the_clock(tokenizer):
    asked = limited(bars=4, may_end=False, max_empty_bars=0, max_notes_a_bar=9, further=(Only({0, 4, 7}),))
    notes = tokenizer.decode(drawn(tokenizer, asked, seed=1)).tracks[0].notes
    assert len(notes) > 3
    assert set((notes["pitch"] % 12).tolist()) <= {0, 4, 7}


def drawn(tokenizer, asked: Constraints, *, seed: int) -> np.ndarray:
    """Ids of a walk through the grammar, kinds first."""
    rng, walker, fields = np.random.default_rng(seed), tokenizer.grammar(asked), len(tokenizer.fields)
    v, ids = tokenizer.vocabulary, []
    for _ in range(20_000):
        choices = np.flatnonzero(walker.allowed())
        kinds = v.kind_of_id[choices]
        token = int(rng.choice(choices[kinds == rng.choice(np.unique(kinds))]))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    ids += [0] * (-len(ids) % fields)
    return np.array(ids) if fields == 1 else np.array(ids).reshape(-1, fields)


def test_music_is_full_with_the_last_bar_and_must_sound_before_too_many_are_empty():
    place, asked = in_a_bar(), LengthLimits(3, max_empty_bars=1)
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
    asked = LengthLimits(2, max_empty_bars=0)
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
    assert np.flatnonzero(allowed_meters(LengthLimits(meter=(6, 8)), 448)).tolist() == [5 * 7 + 3]


def test_masks_and_places_know_nothing_of_ids():
    """So that one mask serves every spelling: they import neither vocabularies nor grammars nor tokenizers."""
    home = Path(tokenizers.__file__).parent
    known = ("musicgen.tokenizers.constraints", "musicgen.tokenizers.place")
    for path in (home / "place.py", *sorted((home / "constraints").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("musicgen.tokenizers"):
                assert node.module.startswith(known), f"{path.name} imports {node.module}"

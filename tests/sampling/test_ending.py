"""Music that comes to a close: a cadence, and a last chord on the tonic in the last bar. The model is a fake with
uniform logits, so that only masks bring it about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from part_pieces import PARTS
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Request, Source
from musicgen.errors import UsageError
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.sampling.ending import key_of
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Finish, Keeps
from musicgen.tokenizers import Remi


def ended(piece: Piece, *, bars: int | None = 4, takes: int = 4, **wish):
    source = Source.of_piece(piece)
    request = Request(bars=bars, **wish)
    return list(composer().takes(source, request=request, finish=Finish(end=True), count=takes))


def closing(take, *, end: int = 16 * BAR) -> int:
    """The tick of the last chord."""
    return end - BAR + round(480 * take.facts["ending"]["from_bar_line_quarters"])


@pytest.mark.parametrize(("tonic", "minor"), [(0, False), (5, False), (9, True), (2, True)])
def test_all_parts_begin_one_chord_on_the_tonic_and_nobody_plays_after_it(tonic, minor):
    triad = {tonic, (tonic + (3 if minor else 4)) % 12, (tonic + 7) % 12}
    for take in ended(song(tonic=tonic, minor=minor)):
        begin = closing(take)
        assert 15 * BAR <= begin < 16 * BAR
        played = [t for t in take.piece.tracks if not t.is_drum]
        last = [t.notes[t.notes["start"] >= begin] for t in played]
        assert all(len(notes) for notes in last), "a part is missing"
        for notes in last:
            assert set(notes["start"].tolist()) == {begin}
            assert set((notes["pitch"] % 12).tolist()) <= triad
            assert (notes["start"] + notes["duration"]).max() <= 16 * BAR
            assert notes["duration"].min() > 300, "shorter than a beat"
        assert min(int(notes["pitch"].min()) for notes in last) % 12 == tonic
        assert last[1]["pitch"].min() % 12 == tonic
        drums = take.piece.tracks[3].notes["start"]
        assert drums.max() == begin, "drums strike with the last chord"
        for track, notes in zip(played, last, strict=True):  # what sounded before ends with the chord
            before = track.notes[track.notes["start"] < begin]
            assert (before["start"] + before["duration"]).max() <= begin
            assert len(before) + len(notes) == len(track.notes)


def test_on_beats_before_the_last_chord_stand_the_chords_of_the_cadence():
    tones = {"G7": {7, 11, 2, 5}, "F": {5, 9, 0}, "Dm": {2, 5, 9}}
    heard = set()
    for take in ended(song(), takes=12):
        begin, chords = closing(take), take.facts["ending"]["chords"]
        assert chords[-1] == "C"
        heard.add(chords[-2])
        on_beat = [
            note for t in take.piece.tracks if not t.is_drum for note in t.notes[(begin - 480 <= t.notes["start"])]
        ]
        on_beat = [note for note in on_beat if note["start"] == begin - 480]
        assert {int(note["pitch"]) % 12 for note in on_beat} <= tones[chords[-2]]
    assert "G7" in heard


def test_endings_of_several_takes_differ():
    told = [take.facts["ending"] for take in ended(song(), takes=12)]
    assert len({tuple(each["chords"]) for each in told}) > 2
    assert len({(each["from_bar_line_quarters"], each["length_quarters"]) for each in told}) > 2


def test_a_tune_ends_as_its_phrases_do():
    notes = [(bar * BAR + i * 480, 470, 72 + (0, 4, 7, 5)[(bar + i) % 4], 90) for bar in range(12) for i in range(4)]
    # The fourth bar of each phrase has a long note on its third beat.
    notes = [n for n in notes if n[0] // BAR % 4 != 3 or n[0] % BAR < 960]
    notes += [(bar * BAR + 960, 900, 72, 90) for bar in (3, 7, 11)]
    tune = replace(song(), tracks=(Track("Tune", 73, notes=notes_array(notes)),))
    takes = ended(tune, takes=12)
    where = [(closing(take) - 15 * BAR) / 480 for take in takes]
    assert where.count(2) > 6
    for take in takes:
        assert take.piece.tracks[0].notes["pitch"][-1] % 12 == 0


def test_music_without_a_key_gets_no_cadence():
    rng = np.random.default_rng(1)
    notes = [
        (bar * BAR + i * 240, 230, int(p), 80) for bar in range(12) for i, p in enumerate(rng.permutation(12)[:8] + 60)
    ]
    takes = ended(replace(song(), tracks=(Track("Row", 0, notes=notes_array(notes)),)))
    assert all(len(take.facts["ending"]["chords"]) == 1 for take in takes)


@pytest.mark.parametrize(("scale", "chords"), [("C mixolydian", {"F", "Bb", "Gm"}), ("A minor pentatonic", set())])
def test_cadences_keep_to_the_scale_that_is_asked_for(scale, chords):
    for take in ended(song(), keeps=Keeps(key=scale), takes=4):
        assert set(take.facts["ending"]["chords"][:-1]) <= chords
        assert take.facts["ending"]["chords"][-1] == ("Am" if scale[0] == "A" else "C")


def test_chords_that_are_asked_for_are_the_last_ones_too():
    for take in ended(song(), keeps=Keeps(chords="C F D G"), takes=2):
        assert take.facts["ending"]["chords"] == ["G"]
        last = [t.notes[t.notes["start"] >= closing(take)] for t in take.piece.tracks if not t.is_drum]
        assert {int(p) % 12 for notes in last for p in notes["pitch"]} <= {7, 11, 2}


def test_a_borrowed_rhythm_leaves_no_place_for_a_last_chord():
    with pytest.raises(UsageError, match="can't have both a last chord and a borrowed rhythm or motif; leave one"):
        ended(song(), keeps=Keeps(rhythm="2"))


@pytest.mark.parametrize("bars", [1, 2, 6])
def test_new_music_from_nothing_closes_in_the_key_that_it_has(bars):
    (take,) = composer().generate(bars=bars, tracks="violin,cello", end=True, seed=3)
    begin = closing(take, end=bars * BAR)
    played = [t for t in take.piece.tracks if len(t.notes)]
    assert take.midi.end == bars * BAR
    assert len(played) == 2
    assert all(t.notes["start"].max() == begin for t in played)


def test_the_key_may_be_asked_for():
    for take in ended(song(), keeps=Keeps(key="Am"), takes=3):
        assert take.piece.tracks[1].notes["pitch"][-1] % 12 == 9


def test_music_of_so_many_seconds_closes_before_its_end():
    for take in ended(song(), bars=None, seconds=7.2, takes=4):
        last = take.notes[take.notes["start"] == take.notes["start"].max()]
        assert len(last) >= 4
        assert (take.notes["start"] + take.notes["duration"]).max() <= take.midi.end


def test_one_bar_is_the_last_one():
    for take in ended(song(), bars=1, takes=5):
        assert take.notes["start"].max() == closing(take, end=13 * BAR)
        assert take.facts["bars_added"] == 1


def test_the_facts_say_that_it_ends():
    (take,) = ended(song(), takes=1)
    assert take.facts["settings"]["end"] is True
    (plain,) = composer().takes(Source.of_piece(song()), request=Request(bars=2))
    assert "end" not in plain.facts["settings"]
    assert "ending" not in plain.facts


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("minor", [False, True])
def test_the_key_is_that_of_the_music(tonic, minor):
    piece = song(tonic=tonic, minor=minor)
    plan = make_plan(piece, PARTS, request=Request(bars=2), context=None)
    assert key_of(piece, plan) == (tonic, minor)


def test_music_of_drums_alone_has_no_last_chord():
    kit = Piece(480, song().tracks[3:], np.array([(0, 500_000)], TEMPO), np.array([(0, 4, 4)], METER))
    with pytest.raises(UsageError, match="an ending needs a melodic part"):
        ended(kit)


def test_models_without_parts_say_that_they_plan_no_ending():
    with pytest.raises(UsageError, match="without numbered parts can't plan an ending; use one with the tokenizer"):
        composer(Remi()).takes(Source.of_piece(song()), request=Request(bars=2), finish=Finish(end=True))

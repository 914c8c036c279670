"""Music that comes to a close: its last bar has one chord on the tonic. The model is a fake with uniform logits, so
that only masks bring it about."""

from __future__ import annotations

import numpy as np
import pytest
from part_pieces import PARTS
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Request, Source
from musicgen.errors import UsageError
from musicgen.piece import METER, TEMPO, Piece
from musicgen.sampling.ending import key_of
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Finish, Keeps
from musicgen.tokenizers import Remi


def ended(piece: Piece, *, bars: int = 4, takes: int = 4, **wish):
    source = Source.of_piece(piece)
    request = Request(bars=bars, **wish)
    return list(composer().takes(source, request=request, finish=Finish(end=True), count=takes))


@pytest.mark.parametrize(("tonic", "minor"), [(0, False), (5, False), (9, True), (2, True)])
def test_the_last_bar_is_one_chord_on_the_tonic(tonic, minor):
    triad = {tonic, (tonic + (3 if minor else 4)) % 12, (tonic + 7) % 12}
    for take in ended(song(tonic=tonic, minor=minor)):
        last_bar = 15 * BAR
        played = [t for t in take.piece.tracks if not t.is_drum]
        last = [t.notes[t.notes["start"] >= last_bar] for t in played]
        assert all(len(notes) for notes in last), "a part is missing"
        for notes in last:
            assert set(notes["start"].tolist()) == {last_bar}
            assert set((notes["pitch"] % 12).tolist()) <= triad
            assert set((notes["start"] + notes["duration"]).tolist()) == {16 * BAR}
        assert min(int(notes["pitch"].min()) for notes in last) % 12 == tonic
        assert last[1]["pitch"].min() % 12 == tonic
        for track, notes in zip(played, last, strict=True):  # what sounded before ends with the chord
            before = track.notes[track.notes["start"] < last_bar]
            assert (before["start"] + before["duration"]).max() <= last_bar
            assert len(before) + len(notes) == len(track.notes)


def test_the_key_may_be_asked_for():
    for take in ended(song(), keeps=Keeps(key="Am"), takes=3):
        assert take.piece.tracks[1].notes["pitch"][-1] % 12 == 9


def test_one_bar_is_the_last_one():
    for take in ended(song(), bars=1, takes=5):
        assert (take.notes["start"] == 12 * BAR).all()
        assert take.facts["bars_added"] == 1


def test_the_facts_say_that_it_ends():
    (take,) = ended(song(), takes=1)
    assert take.facts["settings"]["end"] is True
    (plain,) = composer().takes(Source.of_piece(song()), request=Request(bars=2))
    assert "end" not in plain.facts["settings"]


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

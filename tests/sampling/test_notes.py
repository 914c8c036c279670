"""Continuing: the cut, the prompt, where new notes go, and that takes are repeatable. The model is a fake with
uniform logits, so that only the grammar and the constraints shape the music."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from musicgen.composer import Composer, Source
from musicgen.errors import MusicgenError, UsageError
from musicgen.models import ModelSettings, SequenceModel
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.placing import assign_parts
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Keeps, Request
from musicgen.tokenizers import TOKENIZERS, Frames, FramesSettings, Remi

TOKENIZER = Remi()


@pytest.fixture(autouse=True, params=["remi", "notes", "parts"])
def tokenizer(request, monkeypatch):
    """Every test here runs with flat tokens, with fields, and with parts."""
    monkeypatch.setitem(globals(), "TOKENIZER", TOKENIZERS[request.param]())


class Uniform(SequenceModel):
    """Every value of a field is as likely as any other, whatever came before; `favourite` ids score 50."""

    embedding = None

    def __init__(self, fill: float = 0.0, favourite: int = -1) -> None:
        super().__init__(ModelSettings("uniform", vocabulary_size=len(TOKENIZER.vocabulary), context=256))
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.fill, self.favourite = fill, favourite

    def read(self, ids, state=None):
        return torch.zeros(*ids.shape[:2], 1), None

    def scores(self, hidden_BC, state=None):
        return SimpleNamespace(
            logits_BK=lambda field: self._logits(len(hidden_BC), TOKENIZER.fields[field]),
            take=lambda field, ids_B: None,
        )

    def _logits(self, rows, field):
        logits_BK = torch.full((rows, field.size), self.fill)
        if field.first <= self.favourite < field.first + field.size:
            logits_BK[:, self.favourite - field.first] = 50.0
        return logits_BK


def composer(model: SequenceModel | None = None) -> Composer:
    run = SimpleNamespace(
        model=model or Uniform(), tokenizer=TOKENIZER, name="fake", sha256="0", folder=None, card={"licence": "none"}
    )
    return Composer(run, device="cpu")


def line(pitches, *, step=480, length=480, begin=0, velocity=80) -> np.ndarray:
    return notes_array([(begin + i * step, length, p, velocity) for i, p in enumerate(pitches)])


def piece(*tracks: Track, meter=(4, 4), ticks=480, tempo=500_000) -> Piece:
    return Piece(ticks, tracks, np.array([(0, tempo)], TEMPO), np.array([(0, *meter)], METER))


def source(p: Piece) -> Source:
    return Source.of_piece(p)


MELODY = piece(Track("Violin", 40, notes=line([60, 62, 64, 65] * 4)))


@pytest.mark.parametrize("bars", [1, 3, 8])
def test_bars_are_whole_new_bars(bars):
    (take,) = composer().takes(source(MELODY), request=Request(bars=bars))
    assert take.facts["cut_tick"] == 7680
    assert take.notes["start"].min() >= 7680
    assert (take.notes["start"] + take.notes["duration"]).max() <= 7680 + bars * 1920
    assert take.facts["bars_added"] == bars
    assert take.facts["seconds_added"] == pytest.approx(bars * 2.0)


def test_a_phrase_that_stops_in_mid_bar_is_continued_from_there():
    broken_off = piece(Track("Violin", 40, notes=line([60, 62, 64, 65, 67, 69])))  # six quarters in 4/4
    for seed in range(5):
        (take,) = composer().takes(source(broken_off), request=Request(bars=2), seed=seed)
        assert take.facts["cut_tick"] == 2880
        assert take.notes["start"].min() >= 2880
        end = 2 * 1920 + 2 * 1920  # the bar is filled, then two whole ones
        assert 2 * 1920 < (take.notes["start"] + take.notes["duration"]).max() <= end
        assert take.midi.end == end


@pytest.mark.parametrize("meter", [(5, 8), (3, 4), (7, 16), (12, 8), (9, 4)])
def test_new_bars_have_the_meter_of_the_cut(meter):
    length = 1920 * meter[0] // meter[1]
    p = piece(Track("", 40, notes=notes_array([(i * length, length, 60 + i, 80) for i in range(4)])), meter=meter)
    (take,) = composer().takes(source(p), request=Request(bars=3))
    assert take.midi.end == 7 * length
    assert take.piece.meters["tick"].tolist() == [0]


@pytest.mark.parametrize("ticks", [96, 220, 384, 1024, 15360])
def test_the_files_own_resolution_is_kept(ticks):
    p = piece(Track("", 40, notes=line([60] * 8, step=ticks, length=ticks)), ticks=ticks)
    (take,) = composer().takes(source(p), request=Request(bars=2))
    assert take.piece.ticks_per_quarter == ticks
    assert take.midi.end == 16 * ticks


def test_seconds_end_where_asked():
    (take,) = composer().takes(source(MELODY), request=Request(seconds=5.0))
    assert take.facts["seconds_added"] == pytest.approx(5.0, abs=0.01)
    assert (take.notes["start"] + take.notes["duration"]).max() <= 7680 + 5 * 960


def test_from_a_bar_replaces_what_follows():
    (take,) = composer().takes(source(MELODY), request=Request(bars=2, start=2))
    assert take.facts["cut_tick"] == 3840
    assert take.facts["notes_kept"] == 8
    old = take.piece.tracks[0].notes
    assert old[old["start"] < 3840].tolist() == MELODY.tracks[0].notes[:8].tolist()


def test_seconds_follow_the_tempo_that_plays_and_not_one_that_was_cut_off():
    late = Piece(480, MELODY.tracks, np.array([(0, 500_000), (5760, 2_000_000)], TEMPO), MELODY.meters)
    (take,) = composer().takes(source(late), request=Request(bars=2, start=2))
    assert take.facts["seconds_added"] == pytest.approx(4.0)


def test_new_music_does_not_fall_under_the_readers_limits(monkeypatch):
    from musicgen import composer as module
    from musicgen.io import midi as reader

    monkeypatch.setattr(reader.Limits.__init__, "__defaults__", (10.0, 16, 256, 3.0))
    (take,) = module.Composer.takes(composer(), source(MELODY), request=Request(bars=1))
    assert take.piece.n_notes > 16


def test_a_bar_that_is_not_there_says_how_many_there_are():
    with pytest.raises(UsageError, match="there is no bar 41; the piece has 4 bars"):
        list(composer().takes(source(MELODY), request=Request(start=40)))


def test_a_take_is_the_same_alone_or_among_others():
    many = list(composer().takes(source(MELODY), request=Request(), seed=7, count=3))
    for k, take in enumerate(many):
        (alone,) = composer().takes(source(MELODY), request=Request(), seed=7 + k)
        assert np.array_equal(alone.notes, take.notes)
        assert alone.facts["seed"] == take.facts["seed"] == 7 + k
    assert not np.array_equal(many[0].notes, many[1].notes)


def test_only_the_instruments_of_the_piece_play_on():
    p = piece(Track("Violin", 40, notes=line([70] * 16)), Track("Cello", 42, notes=line([45] * 16)))
    (take,) = composer().takes(source(p), request=Request())
    assert {t.program for t in take.piece.tracks} == {40, 42}
    assert [t.name for t in take.piece.tracks] == ["Violin", "Cello"]


def test_a_line_stays_a_line():
    (take,) = composer().takes(source(MELODY), request=Request())
    start, end = take.notes["start"], take.notes["start"] + take.notes["duration"]
    assert (start[1:] >= end[:-1]).all()


def test_two_hands_share_the_notes_by_pitch():
    tracks = (Track("right", 0, notes=line([76] * 16)), Track("left", 0, notes=line([40] * 16)))
    notes = notes_array([(8000, 100, 80, 90), (8000, 100, 35, 90), (9000, 100, 62, 90)])
    home = assign_parts(tracks, [0, 1], notes=notes, program=np.zeros(3, int), cut=7680)
    assert home[notes["pitch"] == 80] == 0
    assert home[notes["pitch"] == 35] == 1


def test_drums_only():
    p = piece(Track("Kit", 0, True, line([36, 42, 38, 42] * 4)))
    (take,) = composer().takes(source(p), request=Request(bars=2))
    assert [t.is_drum for t in take.piece.tracks] == [True]
    assert take.facts["notes_added"] > 0


def test_an_empty_piece_begins_from_nothing():
    (take,) = composer().takes(source(piece()), request=Request(bars=2))
    assert take.facts["cut_tick"] == 0
    assert take.facts["notes_added"] > 0
    assert any(w.startswith("empty") for w in take.facts["warnings"])


def test_a_prompt_longer_than_the_context_is_its_tail():
    p = piece(Track("", 40, notes=line([60, 64] * 2000)))
    plan = make_plan(source(p).piece, TOKENIZER, request=Request(), context=256)
    assert len(plan.reading.prompt) <= 192
    assert TOKENIZER.bar_positions(plan.reading.prompt)[0] == 0
    (take,) = composer().takes(source(p), request=Request(bars=1))
    assert take.facts["notes_kept"] == 4000


def test_requests_hold():
    asked = Request(bars=4, keeps=Keeps(key="Am", pitch_range=(57, 76), max_polyphony=2))
    p = piece(Track("", 0, notes=line([60, 64] * 8)), Track("", 0, notes=line([48, 52, 55] * 5)))
    for seed in range(4):
        (take,) = composer().takes(source(p), request=asked, seed=seed)
        assert take.notes["pitch"].min() >= 57
        assert take.notes["pitch"].max() <= 76
        assert set((take.notes["pitch"] % 12).tolist()) <= {0, 2, 4, 5, 7, 8, 9, 11}


def test_tracks_can_be_named_numbered_and_new():
    p = piece(Track("Violin", 40, notes=line([70] * 16)), Track("Cello", 42, notes=line([45] * 16)))
    for tracks, programs in ((("2",), {42}), (("violin",), {40}), (("flute",), {73})):
        (take,) = composer().takes(source(p), request=Request(bars=2, tracks=tracks))
        new = [t for t in take.piece.tracks if t.notes["start"].max() >= 7680]
        assert {t.program for t in new} == programs
    assert [t.program for t in take.piece.tracks] == [40, 42, 73], "a track that the music needs is appended"


@pytest.mark.parametrize(
    ("tracks", "text"),
    [(("9",), "there is no part 9; the only part is 1 "), (("kazo",), "no instrument 'kazo'")],
)
def test_a_track_that_is_not_there(tracks, text):
    with pytest.raises(UsageError, match=text):
        list(composer().takes(source(MELODY), request=Request(tracks=tracks)))


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), float("-inf")])
def test_broken_logits_work_or_say_so(fill):
    try:
        (take,) = composer(Uniform(fill)).takes(source(MELODY), request=Request(bars=1))
        assert take.facts["notes_added"] >= 0
    except MusicgenError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"top_k": 10**9},
        {"top_p": 0.0},
        {"top_p": 1.0},
        {"min_p": 1.0},
        {"repetition_penalty": 1.5},
    ],
)
def test_extreme_settings_work(settings):
    (take,) = composer().takes(source(MELODY), request=Request(bars=1), sampling=SamplingSettings(**settings))
    assert take.facts["settings"] | settings == take.facts["settings"]


def test_the_best_candidate_is_kept_and_what_is_broken_is_said():
    """A model that plays one note for ever has no good candidate, in two rounds; the least bad one is kept."""
    (take,) = composer(Uniform(favourite=TOKENIZER.vocabulary.id("pitch", 60))).takes(
        source(MELODY), request=Request(bars=8), seed=3
    )
    assert "one note over and over" in take.faults
    seeds = [each["seed"] for each in take.facts["candidates"]]
    assert seeds == [3 + n * 1_000_003 for n in range(len(seeds))]
    assert 3 <= len(seeds) / 2 <= 8
    assert len(seeds) % 2 == 0
    assert take.facts["seed"] == 3
    (chosen,) = [each for each in take.facts["candidates"] if each["kept"]]
    assert all(
        (len(chosen["faults"]), chosen["distance"]) <= (len(each["faults"]), each["distance"])
        for each in take.facts["candidates"]
    )
    refused = [line for line in take.facts["warnings"] if line.startswith("refused: seed ")]
    assert len(refused) == len(seeds) - 1
    assert any(line.startswith("broken: one note over and over") for line in take.facts["warnings"])


def test_no_new_bar_is_much_fuller_than_the_fullest_of_late():
    def most(bars: int) -> int:
        notes = notes_array(
            [(1920 * bar + 240 * n, 240, 60 + n, 80) for bar in range(bars) for n in range(4 + bar % 5)]
        )
        piece = Piece(480, (Track(notes=notes),))
        return make_plan(piece, TOKENIZER, request=Request(bars=4), context=512).constraints.room.max_notes_a_bar

    assert most(20) == 1.25 * 8 + 2
    assert most(3) > 24, "three bars don't say how full one may be"


def test_frames_get_the_steps_that_held_notes_take():
    """Each frame says its notes again: forty bars of 24 frames a quarter are 3,840 frames of, say, five ids."""
    held = notes_array([(0, 480 * 4, pitch, 80) for pitch in (60, 64, 67, 72)])
    piece = Piece(480, (Track(notes=held),))
    plan = make_plan(piece, Frames(FramesSettings(24)), request=Request(bars=40), context=None)
    assert plan.max_steps > 40 * 96 * 5

"""New notes in the manner of what was before: loudness, microtiming, lengths. Only the last test needs a model."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from memory_models import build
from midi_bricks import event, header, meta, off, on, track

from musicgen.composer import Composer, Source, Studying
from musicgen.io.midi import piece_and_homes
from musicgen.io.smf import parse_smf
from musicgen.piece import Piece, Track, notes_array
from musicgen.sampling.loudness import like_before
from musicgen.sampling.manner import in_the_manner_of, struck_already
from musicgen.sampling.plan import Plan, make_plan
from musicgen.sampling.request import Request
from musicgen.tokenizers import Parts

PARTS = Parts()
BAR = 1920


def row(bars, places, *, velocity=80, length=240, pitch=60, shift=0):
    """A note on each place (ticks) of each bar; velocity, length and shift may be functions of (bar, place)."""

    def say(value, bar, place):
        return value(bar, place) if callable(value) else value

    rows = [
        (
            max(0, bar * BAR + place + say(shift, bar, place)),
            say(length, bar, place),
            say(pitch, bar, place),
            say(velocity, bar, place),
        )
        for bar in bars
        for place in places
    ]
    return notes_array(rows)


def manner(before: np.ndarray, new: np.ndarray, *, seed: int = 0, drums: bool = False) -> np.ndarray:
    """`new`, one part, from bar 16 on, in the manner of `before`."""
    piece, plan = of(before, drums=drums)
    return in_the_manner_of(piece, plan, notes=new, home=np.zeros(len(new), int), tokenizer=PARTS, seed=seed)


def of(before: np.ndarray, *, drums: bool = False) -> tuple[Piece, Plan]:
    piece = Piece(480, (Track(notes=before, is_drum=drums), Track(notes=notes_array([(17 * BAR, 480, 60, 80)]))))
    return piece, make_plan(piece, PARTS, request=Request(start=16, bars=8), context=512)


OLD, NEW, EIGHTHS = range(16), range(16, 24), range(0, BAR, 240)
plain = partial(row, NEW, EIGHTHS, velocity=74)

# ---- loudness ------------------------------------------------------------------------------------------


def test_one_velocity_stays_one():
    new = manner(row(OLD, EIGHTHS, velocity=72), plain(velocity=lambda bar, place: 74 if place else 98))
    assert set(new["velocity"].tolist()) == {72}


def test_a_soft_piece_stays_soft_and_a_loud_one_loud():
    rng = np.random.default_rng(1)
    for level in (32, 100):
        old = row(OLD, EIGHTHS, velocity=lambda bar, place, level=level: int(level + rng.integers(-6, 7)))
        new = manner(old, plain(velocity=lambda bar, place: int(66 + rng.integers(-6, 7))))
        assert abs(new["velocity"].mean() - level) < 8


def test_the_spread_stays_within_half_and_twice():
    rng = np.random.default_rng(2)
    old = rng.integers(60, 81, 100)
    for wide in (3, 60):
        new = like_before(rng.integers(70 - wide // 2, 71 + wide // 2, 100), old, step=4)
        assert 0.4 * old.std() < new.std() < 2.1 * old.std()


def test_a_mean_and_spread_like_before_are_left_alone():
    drawn = np.array([62, 66, 70, 74, 78, 82] * 4)
    old = np.array([60, 65, 70, 75, 80] * 6)
    assert np.abs(like_before(drawn, old, step=4) - drawn).max() < 4
    assert np.array_equal(like_before(drawn, old[:0], step=4), drawn)


def test_a_part_of_few_velocities_keeps_to_them():
    old = np.array([64, 80, 96] * 10)
    assert set(like_before(np.array([66, 70, 82, 90, 98, 110, 74, 62]), old, step=4).tolist()) <= {64, 80, 96}


def test_a_part_from_a_loud_passage_comes_back_into_a_soft_one():
    tutti, soft = row(range(4), EIGHTHS, velocity=110), row(range(4, 16), EIGHTHS, velocity=40)
    for other, expected in ((np.concatenate([tutti, soft]), 40), (row(OLD, EIGHTHS, velocity=106), 110)):
        piece = Piece(480, (Track(notes=tutti), Track(notes=notes_array(other))))
        plan = make_plan(piece, PARTS, request=Request(start=16, bars=8, tracks=("1",)), context=512)
        new = in_the_manner_of(piece, plan, notes=plain(), home=np.zeros(len(plain()), int), tokenizer=PARTS, seed=0)
        assert abs(new["velocity"].mean() - expected) < 6
        assert len(set(new["velocity"].tolist())) == 1


def test_what_plays_on_alone_is_not_suddenly_soft():
    band = Track(notes=row(OLD, EIGHTHS, velocity=100)), Track(notes=row(OLD, range(0, BAR, 960), velocity=50))
    piece = Piece(480, band)
    plan = make_plan(piece, PARTS, request=Request(start=16, bars=8), context=512)
    new = in_the_manner_of(piece, plan, notes=plain(), home=np.ones(len(plain()), int), tokenizer=PARTS, seed=0)
    late = (100 * len(EIGHTHS) + 50 * 2) / (len(EIGHTHS) + 2)
    assert abs(new["velocity"].mean() - late) <= 12.5
    alone = make_plan(piece, PARTS, request=Request(start=16, bars=8, tracks=("2",)), context=512)
    new = in_the_manner_of(piece, alone, notes=plain(), home=np.ones(len(plain()), int), tokenizer=PARTS, seed=0)
    assert set(new["velocity"].tolist()) == {50}, "what was asked to play alone keeps its own"


# ---- microtiming ---------------------------------------------------------------------------------------


def test_what_is_quantised_stays_so():
    new = plain()
    out = manner(row(OLD, EIGHTHS), new)
    assert np.array_equal(out["start"], new["start"])
    assert np.array_equal(out["duration"], new["duration"])


@pytest.mark.parametrize("shift", [-9, 3, 7])
def test_a_file_shifted_as_a_whole_goes_on_shifted(shift):
    new = plain()
    out = manner(row(OLD, EIGHTHS, shift=shift), new)
    inside = new["start"] + shift >= 16 * BAR  # no note before the cut
    assert (out["start"] - new["start"])[inside].tolist() == [shift] * int(inside.sum())
    assert out["start"].min() >= 16 * BAR


def test_a_swing_drummers_deviations_come_back():
    rng = np.random.default_rng(3)
    habit = {0: 2, 240: -4, 480: 6, 720: 0, 960: 1, 1200: -6, 1440: 7, 1680: 3}
    old = row(OLD, EIGHTHS, shift=lambda bar, place: habit[place] + int(rng.integers(-2, 3)))
    out = manner(old, plain(), drums=True)
    off = out["start"] - plain()["start"]
    for place, mean in habit.items():
        here = off[(plain()["start"] % BAR) == place]
        assert abs(np.median(here) - mean) <= 2.5
        assert np.abs(here - mean).max() <= 3 or (place, here[0]) == (0, 0)  # at the cut
    assert 0.5 < off.std() / 4.3 < 1.5
    assert np.array_equal(out, manner(old, plain(), drums=True))
    assert not np.array_equal(out, manner(old, plain(), drums=True, seed=1))


def test_chords_stay_together_and_parts_in_order():
    rng = np.random.default_rng(4)
    old = row(OLD, EIGHTHS, shift=lambda bar, place: int(rng.integers(-8, 9)))
    new = np.concatenate([plain(), plain(pitch=64)])
    out = manner(old, new)
    half = len(new) // 2
    assert np.array_equal(out["start"][:half], out["start"][half:])
    assert not np.array_equal(out["start"], new["start"])


def test_music_that_keeps_to_no_beat_is_left_on_the_grid():
    rng = np.random.default_rng(5)
    old = row(OLD, EIGHTHS, shift=lambda bar, place: int(rng.integers(0, 240)))
    assert np.array_equal(manner(old, plain())["start"], plain()["start"])


def test_a_drummer_early_for_the_cut_is_not_heard_twice_and_opens_no_bar():
    old = row(range(17), EIGHTHS, shift=lambda bar, place: -8 if not place else 0)
    piece, plan = of(old, drums=True)
    assert (old["start"] == plan.cut - 8).any()  # on the file's side of the cut
    assert len(PARTS.bar_positions(plan.reading.prompt)) == 16  # and yet not told as the first of bar 17
    again = struck_already(piece, plan, notes=plain(), home=np.zeros(len(plain()), int))
    assert again.tolist() == [True] + [False] * (len(plain()) - 1)
    piece, plan = of(old)
    assert not struck_already(piece, plan, notes=plain(), home=np.zeros(len(plain()), int)).any()


# ---- lengths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [455, 479, 480])
def test_notes_are_held_as_they_were(held):
    old = row(OLD, range(0, BAR, 480), length=held)
    # What a model says of such a length.
    said = round(held / 20) * 20
    out = manner(old, row(NEW, range(0, BAR, 480), length=said))
    assert set(out["duration"].tolist()) == {held}


def test_lines_stay_lines_within_cut_and_end():
    rng = np.random.default_rng(6)
    old = row(OLD, EIGHTHS, length=251, shift=lambda bar, place: int(rng.integers(-9, 10)))
    out = manner(old, plain(length=240))
    assert (out["start"][1:] >= out["start"][:-1] + out["duration"][:-1]).all()
    assert out["start"].min() >= 16 * BAR
    assert (out["start"] + out["duration"]).max() <= 24 * BAR
    assert out["duration"].min() >= 1


def test_a_new_part_stays_as_it_is():
    piece, plan = of(row(OLD, EIGHTHS, velocity=30, shift=5))
    out = in_the_manner_of(piece, plan, notes=plain(), home=np.full(len(plain()), -1), tokenizer=PARTS, seed=0)
    assert np.array_equal(out, plain())


# ---- with a model --------------------------------------------------------------------------------------


def test_a_take_is_in_the_manner_of_its_file_and_the_file_stays_event_for_event():
    chunks = []
    for name, pitches in (("Drums", (36, 42, 38, 42)), ("Bass", (40, 43, 45, 43))):
        events = [meta(0, 3, name.encode()), event(0, 0xB0, 7, 100)]
        for k in range(64):
            events += [on(5 if not k else 0, pitches[k % 4], 72), off(455, pitches[k % 4]), event(25, 0xB0, 64, 0)]
        chunks.append(track(*events))
    midi = parse_smf(header(1, 2) + b"".join(chunks))
    source = Source(midi, *piece_and_homes(midi), "band.mid", "0")
    run = SimpleNamespace(
        model=build("gru", context=64), tokenizer=PARTS, name="tiny", sha256="0", folder=None, card={}
    )
    (take,) = Composer(run, device="cpu").takes(source, request=Request(bars=2, start=15), studying=Studying(updates=0))
    assert 'named: track 1 "Drums" is understood as drums' in take.facts["warnings"]
    cut = take.facts["cut_tick"]
    for old, new in zip(midi.tracks, take.midi.tracks, strict=True):
        kept = old.rows[old.rows["tick"] < cut]
        assert np.array_equal(new.rows[: len(kept)], kept)
        assert not (new.rows["status"][len(kept) :] & 0xF0 == 0xC0).any()  # what is heard otherwise is not written
    drums, bass = (each.notes[each.notes["start"] >= cut] for each in take.piece.tracks)
    assert set(drums["pitch"].tolist()) <= {36, 38, 42}
    assert len(drums) + len(bass) == take.facts["notes_added"] > 0
    for notes in (drums, bass):
        assert set(notes["velocity"].tolist()) <= {72}
        assert {(start - 5) % 20 for start in notes["start"].tolist()} <= {0}

"""The statistics of the continuation benchmark on small pieces with known values, its rivals, cuts and figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from musicgen.io import read, write
from musicgen.piece import METER, Piece, Track, notes_array

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines" / "benchmarks"))  # where scripts find their neighbours

from continuations import statistics as s
from continuations.classifier import area_under_curve, cross_validated
from continuations.passage import ROW, Case, Passage, bar_lines, passage_of, until
from continuations.pieces import KINDS, Unseen, cut_bar
from continuations.rivals import earlier, markov, repeat, strangers, truth
from continuations.scores import CONTROL, STRANGER, Scores, bootstrap, over_stranger
from continuations.takes import Player, passage_from

NOTHING = Passage(np.empty(0, ROW), np.array([0.0, 4.0]))


def passage(*notes: tuple, bars: int = 1, first: int = 0) -> Passage:
    """Notes (start in quarters, duration, pitch, [velocity, part, drum]) in bars of 4/4."""
    rows = [(*note, *(64, 0, False)[len(note) - 3 :]) for note in notes]
    return Passage(np.array(rows, ROW), 4.0 * np.arange(first, first + bars + 1))


def scale(bars: int, *, shift: int = 0) -> list[tuple]:
    """Quarter notes up a major scale, four a bar."""
    return [(n, 1, 60 + shift + (0, 2, 4, 5, 7, 9, 11)[n % 7]) for n in range(4 * bars)]


# ---- statistics ----------------------------------------------------------------------------------------------------


def test_pitch_classes_are_weighed_by_duration_and_leave_drums_out():
    share = s.pitch_classes(passage((0, 3, 60), (0, 1, 67), (0, 4, 38, 64, 1, True)), NOTHING)
    assert share[[0, 7]].tolist() == [0.75, 0.25]
    assert share.sum() == 1
    assert s.pitch_classes(NOTHING, NOTHING) is None


def test_the_key_that_fits_best_is_that_of_the_scale():
    assert int(s.key(passage(*scale(7), bars=7), NOTHING).argmax()) == 0
    assert int(s.key(passage(*scale(7, shift=5), bars=7), NOTHING).argmax()) == 5


def test_dissonance_of_thirds_and_of_semitones():
    assert s.dissonance(passage((0, 1, 60), (0, 1, 64)), NOTHING) == 0
    assert s.dissonance(passage((0, 1, 60), (0, 1, 71)), NOTHING) == 1
    assert s.dissonance(passage((0, 2, 60), (1, 1, 66)), NOTHING) == 0.5
    assert np.isnan(s.dissonance(passage((0, 1, 60), (1, 1, 61)), NOTHING))


def test_polyphony_and_density():
    new = passage((0, 2, 60), (0, 1, 64))
    assert s.polyphony(new, NOTHING) == pytest.approx(1.5)
    assert s.density(new, NOTHING) == pytest.approx(0.5)


def test_time_by_gaps_durations_and_places():
    new = passage((0, 0.5, 60), (0, 0.5, 64), (0.5, 0.5, 62), (1, 1, 64))
    gaps, lengths, places = (of(new, NOTHING) for of in (s.onset_gaps, s.durations, s.places))
    assert gaps.max() == 1
    assert sorted(lengths[lengths > 0].tolist()) == [0.25, 0.75]
    assert places[[0, 2, 4]].tolist() == [0.5, 0.25, 0.25]


def test_sixteenths_and_triplets_are_on_the_grid():
    on = passage(*((at, 0.1, 60) for at in (0, 0.25, 1 / 3, 0.75, 1 + 1 / 6)))
    assert s.off_grid(on, NOTHING) == 0
    assert s.off_grid(passage((0, 1, 60), (0.125, 1, 60), (0.9, 1, 60), (2, 1, 60)), NOTHING) == 0.5


def test_a_stroke_before_the_beat_belongs_to_it():
    early = passage((0, 1, 60), (3.97, 1, 60), bars=2)
    assert early.bar.tolist() == [0, 1]
    assert early.slot.tolist() == [0, 0]


def test_groove_counts_the_last_bar_before():
    before = passage((0, 1, 60), (1, 1, 60))
    assert s.groove(passage((4, 1, 62), (5, 1, 64), first=1), before) == 1
    assert s.groove(passage((4, 1, 62), (6, 1, 64), first=1), before) == 0.5


def test_returns_exact_transposed_and_in_rhythm():
    bar = [(0, 1, 60), (1, 1, 64), (2, 2, 67)]
    before = passage(*bar)
    same, higher, other = ([(t + 4, d, p + by) for t, d, p in bar] for by in (0, 5, 0))
    other[1] = (5, 1, 65)
    found = {
        of.__name__: [of(passage(*new, first=1), before) for new in (same, higher, other)]
        for of in (s.exact_returns, s.transposed_returns, s.rhythmic_returns)
    }
    assert found == {"exact_returns": [1, 0, 0], "transposed_returns": [1, 1, 0], "rhythmic_returns": [1, 1, 1]}
    assert np.isnan(s.exact_returns(passage((4, 4, 60), first=1), before)), "a note alone is no bar to know again"
    twice = passage(*higher, *((t + 4, d, p) for t, d, p in higher), bars=2, first=1)
    assert s.exact_returns(twice, before) == 0.5, "new bars return too"
    assert s.likeness(passage(*other, first=1), before) == pytest.approx(2 / 4)


def test_intervals_go_from_top_note_to_top_note_of_each_part():
    new = passage((0, 1, 60), (0, 1, 72), (1, 1, 74), (2, 1, 62), (0, 1, 40, 64, 1), (1, 1, 41, 64, 1))
    assert s.intervals(new, NOTHING)[[1, 2, 12]] == pytest.approx(np.ones(3) / 3)
    assert s.steps(new, NOTHING) == pytest.approx(2 / 3)
    assert s.leaps(new, NOTHING) == pytest.approx(1 / 3)
    assert s.pitch_range(new, NOTHING) == (14 + 1) / 2


def test_growth_of_range_is_of_parts_that_were_there():
    before = passage((0, 1, 60), (1, 1, 67), (0, 1, 40, 64, 1))
    assert s.range_growth(passage((4, 1, 70), (5, 1, 58), (6, 1, 20, 64, 2), first=1), before) == 5
    assert s.range_growth(passage((4, 1, 61), (5, 1, 40, 64, 1), first=1), before) == 0


def test_parts_present_and_lost():
    before = passage(*((n, 1, 60 + p, 64, p) for n in range(0, 32, 4) for p in (0, 1)), (0, 1, 70, 64, 2), bars=8)
    alone = passage((32, 1, 60), first=8)
    assert s.parts_present(alone, before) == pytest.approx(1 / 3)
    assert s.lost_parts(alone, before) == 1, "the part of one bar isn't missed"
    assert s.shares(passage((32, 1, 60), (33, 1, 60, 64, 9), first=8), before)[[0, -1]].tolist() == [0.5, 0.5]


def test_lines_and_how_they_break():
    before = passage(*scale(2), *((n, 1, 40 + k, 64, 1) for n in range(8) for k in (0, 7)), bars=2)
    whole = passage((8, 1.1, 60), (9, 1, 62), (8, 4, 40, 64, 1), (8, 4, 41, 64, 1), first=2)
    assert s.overlaps(whole, before) == 0, "legato is no overlap, and chords are no line"
    broken = passage((8, 2, 60), (9, 1, 62), first=2)
    assert (s.overlaps(broken, before), s.broken_lines(broken, before)) == (0.5, 1)


def test_drums_have_a_kit_and_a_groove():
    beat = [(0, 0.1, 36, 64, 0, True), (1, 0.1, 38, 64, 0, True)]
    before = passage(*beat)
    new = passage(*((t + 4, *rest) for t, *rest in beat), (6, 0.1, 49, 64, 0, True), first=1)
    assert s.in_kit(new, before) == pytest.approx(2 / 3)
    assert s.drum_groove(new, before) == pytest.approx(4 / 5)
    assert s.kit(new, before)[[36, 38, 49]] == pytest.approx(np.ones(3) / 3)
    assert np.count_nonzero(s.drum_pattern(new, before)) == 3
    assert np.isnan(s.in_kit(passage((4, 1, 60), first=1), passage((0, 1, 60))))


def test_the_seam_of_the_same_is_none():
    bar = passage((0, 1, 60, 64), (1, 1, 64, 64))
    assert s.seam(passage((4, 1, 60, 64), (5, 1, 64, 64), first=1), bar) == 0
    assert s.seam(passage((4, 1, 72, 96), (5, 1, 76, 96), first=1), bar) == pytest.approx((0 + 1 + 0 + 1) / 4)


def test_distances_of_histograms():
    a, b = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    assert (s.total_variation(a, b), s.earth(a, b), s.earth(a, a)) == (1, 2, 0)


# ---- pieces and rivals ---------------------------------------------------------------------------------------------


def piece(bars: int, *, seed: int = 0, empty: tuple[int, ...] = (), meters: tuple = ((0, 4, 4),)) -> Piece:
    """Two piano parts, four notes a bar each; the bars in `empty` are silent."""
    rng = np.random.default_rng(seed)
    starts = [480 * n for n in range(4 * bars) if n // 4 not in empty]
    tracks = [
        Track(f"hand {k}", 0, notes=notes_array([(t, 480, int(rng.integers(60, 72)) - 24 * k, 80) for t in starts]))
        for k in (0, 1)
    ]
    return Piece(480, tuple(tracks), meters=np.array(list(meters), METER))


def case_of(made: Piece, folder: Path, name: str = "a") -> Case:
    lines = bar_lines(made)
    bar = cut_bar(made, lines)
    write(until(made, 1920 * bar), folder / f"{name}.mid")
    parts = tuple((t.name, t.program, t.is_drum) for t in made.tracks)
    before, after = (passage_of(made, *span, lines=lines) for span in ((0, bar), (bar, bar + 8)))
    return Case(name, "pop piano", made, folder / f"{name}.mid", bar, 1920 * bar, parts, before, after)


def test_the_cut_is_in_the_middle_where_there_is_music_of_one_meter_on_both_sides():
    def cut(made: Piece) -> int | None:
        return cut_bar(made, bar_lines(made))

    assert cut(piece(40)) == 20
    assert cut(piece(16)) == 8
    assert cut(piece(15)) is None
    assert cut(piece(40, empty=(19, 20, 21))) == 29, "one silent bar may be among the eight"
    three = cut(piece(40, meters=((0, 4, 4), (20 * 1920, 3, 4))))
    assert three in (20 - 8, 20 + 8)


def test_the_prompt_ends_at_the_cut_and_holds_all_that_was_before(tmp_path):
    case = case_of(piece(40), tmp_path)
    prompt = read(case.prompt)
    assert prompt.end == case.cut
    assert prompt.n_notes == len(case.before.notes) == 160
    assert len(case.truth.notes) == 64
    assert case.truth.bars.tolist() == [80.0 + 4 * n for n in range(9)]


def test_rivals_give_bars_in_place(tmp_path):
    music = [case_of(piece(40, seed=k), tmp_path, f"piece {k}") for k in range(3)]
    case = music[0]
    assert repeat(case, 0).contents == case.before.last().contents
    assert truth(case, 0) is case.truth
    found = earlier(case, 0).contents
    places = [b for b in range(20) if case.before.contents[b : b + 8] == found]
    assert places
    assert places[0] <= case.bar - 16
    stranger = strangers(music)(case, 0)
    assert len(stranger.notes) == 64
    assert {tuple(sorted(p for _, p, _ in bar)) for bar in stranger.contents}.isdisjoint(
        tuple(sorted(p for _, p, _ in bar)) for bar in case.truth.contents
    )
    chained = markov(case, 0)
    assert np.array_equal(chained.notes, markov(case, 0).notes)
    assert not np.array_equal(chained.notes, markov(case, 1).notes)
    assert set(chained.notes["pitch"]) <= set(case.before.notes["pitch"])
    for new in (repeat(case, 0), earlier(case, 1), stranger, chained):
        assert np.array_equal(new.bars, case.truth.bars)
        assert new.notes["start"].min() >= 80
        assert (new.notes["start"] + new.notes["duration"]).max() <= 112 + 1e-9
        assert set(new.notes["part"]) == {0, 1}


def test_a_continued_file_is_heard_in_the_parts_of_the_piece(tmp_path):
    case = case_of(piece(40), tmp_path)
    before = until(case.piece, case.cut).tracks
    new = notes_array([(case.cut + 480, 240, 50, 70)])
    extra = Track("new", 40, notes=new)
    lower = Track(before[1].name, 0, notes=np.concatenate([before[1].notes, new]))
    write(Piece(480, (before[0], lower, extra), meters=case.piece.meters), tmp_path / "take.mid")
    take = passage_from(tmp_path / "take.mid", case)
    assert take.notes["part"].tolist() == [1, 2]
    assert take.notes["start"].tolist() == [81, 81]
    assert passage_from(tmp_path / "none.mid", case) is None


def test_takes_are_drawn_once_and_what_fails_is_known(tmp_path, monkeypatch):
    case = case_of(piece(40), tmp_path)
    write(case.piece, tmp_path / "whole.mid")
    command = tmp_path / "musicgen"
    command.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
for last in "$@"; do :; done
[ "$last" = fail ] && exit 3
cp {tmp_path}/whole.mid ./a.1.mid; cp {tmp_path}/whole.mid ./a.2.mid
"""
    )
    command.chmod(0o755)
    monkeypatch.setattr(Player, "digest", lambda self: "digest" + "".join(self.options))
    told: list[str] = []
    player = Player.of(f"old={command}", seed=5, work=tmp_path)
    for _ in range(2):
        takes = player.draw([case], takes=2, jobs=1, say=told.append)["a"]
        assert [take.contents for take in takes] == [case.truth.contents] * 2
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith(f"continue {case.prompt} --from 21 --bars 8 --seed 5 -n 2 -o ")
    broken = Player.of(f"old={command} fail", seed=5, work=tmp_path)
    assert broken.draw([case], takes=2, jobs=1, say=told.append)["a"] == [None, None]


def test_what_training_saw_is_left_out(tmp_path):
    lines = [("scores/a/one.mid", "train"), ("scores/a/two.mid", "test"), ("tunes/irish.abc#12 A Reel", "test")]
    lines += [("tunes/irish.abc#7 A Jig", "test"), ("tunes/irish.abc#7 Another", "train")]
    text = "\n".join(json.dumps({"source": source, "split": split}) for source, split in lines)
    (tmp_path / "pieces.jsonl").write_text(text)
    seen = Unseen(corpus=tmp_path)
    score, folk = KINDS["piano score"].sources[0], KINDS["folk"].sources
    assert seen.usable(score, ["a/one.mid", "a/two.mid", "a/three.mid"]) == ["a/two.mid"]
    assert seen.usable(folk[0], ["jigs1.mid"]) == ["jigs1.mid"], "never trained on"
    assert seen.usable(folk[1], ["irish.abc#1", "irish.abc#7", "irish.abc#12"]) == ["irish.abc#12"]
    assert seen.usable(folk[2], ["song.mxl"]) == ["song.mxl"], "the corpus has nothing of it"
    assert Unseen().usable(score, ["a/two.mid"]) == []
    (tmp_path / "list").write_text("polish_scores/a/two.mid\nopenewld_pd/\n")
    listed = Unseen(listed=tmp_path / "list")
    assert listed.usable(score, ["a/one.mid", "a/two.mid"]) == ["a/two.mid"]
    assert listed.usable(folk[2], ["song.mxl"]) == ["song.mxl"]


# ---- figures -------------------------------------------------------------------------------------------------------


def test_a_distance_over_a_strangers_is_a_geometric_mean():
    ours, theirs = np.array([[1.0, 4.0, np.nan]] * 4), np.array([[2.0, 2.0, 5.0]] * 4)
    assert over_stranger(ours, theirs, np.zeros(3)) == pytest.approx(1)
    assert over_stranger(ours / 4, theirs, np.zeros(3)) == pytest.approx(0.25)
    assert over_stranger(0 * ours, theirs, np.full(3, 2.0)) == pytest.approx(0.5), "nothing is not below the floor"


def test_intervals_hold_the_figure():
    values = np.arange(20.0)
    found = bootstrap(lambda at: float(values[at].mean()), [0] * 10 + [1] * 10)
    assert found.value == 9.5
    assert found.low < 9.5 < found.high
    assert found.show(".1f").startswith("9.5 (")


def test_the_classifier_tells_what_differs_and_nothing_else():
    rng = np.random.default_rng(0)
    names = [f"piece {n}" for n in range(48)]
    kinds = {name: "ab"[n % 2] for n, name in enumerate(names)}
    truths, alike = rng.normal(size=(48, 5)), rng.normal(size=(48, 5))
    truths[:, 4] = np.nan
    labels = np.arange(96) < 48
    far = cross_validated(alike + [3, 0, 0, 0, 0], truths, pieces=(names, names), kinds=kinds)
    near = cross_validated(alike, truths, pieces=(names, names), kinds=kinds)
    assert area_under_curve(far, labels) > 0.95
    assert 0.2 < area_under_curve(near, labels) < 0.8


def test_from_takes_to_figures(tmp_path):
    music = [case_of(piece(40, seed=k), tmp_path, f"piece {k}") for k in range(6)]
    scores = Scores(music)
    scores.add(STRANGER, strangers(music), takes=2)
    scores.add("the truth itself", lambda case, take: case.truth, takes=1)
    scores.add("nothing", {case.name: [None] for case in music}, takes=1)
    assert scores.distance(STRANGER, kinds=["pop piano"]).value == pytest.approx(1)
    assert scores.distance("the truth itself", kinds=["pop piano"]).value < 0.6
    assert scores.missing == {STRANGER: 0, "the truth itself": 0, "nothing": 6}
    assert scores.number("truth", lambda one: one["density"], kinds=["pop piano"]).value == 2
    assert scores.area("the truth itself", kinds=["pop piano"]).value == pytest.approx(0.5)
    assert 0 <= scores.area(CONTROL, kinds=["pop piano"]).value <= 1
    assert np.isnan(scores.distance("nothing", kinds=["pop piano"]).value)
    assert json.loads(json.dumps(scores.as_json()))["numbers"]["truth"]["piece 0"][0]["density"] == 2

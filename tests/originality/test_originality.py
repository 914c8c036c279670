"""What is planted is found, whatever its key, tempo and voicing; what everybody writes is no copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from musicgen.errors import UnreadableError
from musicgen.originality import Origin, Originality, build_index, open_index
from musicgen.originality.lines import SETS, lines_of
from musicgen.originality.matching import matches
from musicgen.piece import Piece, Track, notes_array


def tune(seed: int, *, bars: int = 12, at: int = 0, tpq: int = 480) -> np.ndarray:
    """Chords of up to three notes under a melody, in eighths and quarters."""
    rng = np.random.default_rng(seed)
    rows, tick = [], 0
    while tick < bars * 4 * tpq:
        length = int(rng.choice([tpq // 2, tpq, tpq // 2]))
        top = int(rng.integers(60, 80))
        rows += [(at + tick, length, top, 80)]
        rows += [(at + tick, length, top - int(d), 70) for d in rng.choice([4, 7, 9], int(rng.integers(0, 3)), False)]
        tick += length
    return notes_array(rows)


def piece(*parts: np.ndarray, tpq: int = 480) -> Piece:
    return Piece(tpq, tuple(Track(f"part {n}", notes=notes) for n, notes in enumerate(parts, 1)))


SOURCES = [(Origin(f"piece {n}", "CC0"), piece(tune(n))) for n in range(20)]
INDEX = build_index(SOURCES)
BAR = 4 * 480


def planted(excerpt: np.ndarray, *, seed: int = 100, bars: int = 4, scale: float = 1) -> Piece:
    """Other music, with bars 5 to 8 of an excerpt from bar 4 (from 0) on."""
    old = tune(seed)
    mine = excerpt[(excerpt["start"] >= 4 * BAR) & (excerpt["start"] < (4 + bars) * BAR)].copy()
    mine["start"] = 4 * BAR + (mine["start"] - 4 * BAR) * scale
    mine["duration"] = mine["duration"] * scale
    later = old[old["start"] >= 4 * BAR].copy()
    later["start"] += int(bars * BAR * scale)
    return piece(notes_array(np.concatenate([old[old["start"] < 4 * BAR], mine, later])))


def moved(notes: np.ndarray, by: object) -> np.ndarray:
    return notes_array(
        np.array(
            list(zip(*(notes[k] for k in ("start", "duration")), notes["pitch"] + by, notes["velocity"], strict=True)),
            notes.dtype,
        )
    )


def octaves(notes: np.ndarray) -> np.ndarray:
    return np.random.default_rng(5).choice([-12, 0, 12], len(notes))


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda notes: notes, 1),
        (lambda notes: moved(notes, 5), 1),
        (lambda notes: notes, 2),
        (lambda notes: notes, 0.5),
        (lambda notes: moved(notes, octaves(notes) - 3), 1),
    ],
    ids=["verbatim", "transposed", "slower", "faster", "re-voiced"],
)
@pytest.mark.parametrize("bars", [4, 8])
def test_a_planted_excerpt_is_found_where_it_is(change, scale, bars):
    found = Originality(INDEX).copied(planted(change(tune(7)), bars=bars, scale=scale))
    assert found is not None
    assert (found.source, found.licence) == ("piece 7", "CC0")
    assert found.source_bar == 5
    assert found.bar == 5
    assert found.bars == pytest.approx(bars * scale, abs=0.8 * scale)


def test_a_match_goes_on_over_a_note_that_differs():
    notes = tune(7)
    at = np.flatnonzero(notes["start"] >= 6 * BAR)[0]
    same = np.flatnonzero(notes["start"] == notes["start"][at])
    notes["pitch"][same] += 2
    assert Originality(INDEX).copied(planted(notes)).bars == pytest.approx(4, abs=0.8)


def test_other_music_has_no_telling_match():
    compare = Originality(INDEX)
    assert [n for n in range(100, 130) if compare.copied(piece(tune(n))) is not None] == []


@pytest.mark.parametrize("pitches", [[60], [60, 62], [60, 64, 67, 64], list(range(60, 72)), [60, 67, 64, 67]])
def test_scales_and_broken_chords_are_no_matches(pitches):
    notes = notes_array([(n * 240, 240, pitches[n % len(pitches)], 80) for n in range(64)])
    compare = Originality(build_index([(Origin("exercise", "CC0"), piece(notes))]))
    assert compare.account(piece(notes))["longest"] is None


def test_only_new_notes_are_compared_and_the_share_counts_them():
    music = planted(tune(7))
    compare = Originality(INDEX)
    assert compare.copied(music, end=4 * BAR) is None
    assert compare.copied(music, begin=8 * BAR) is None
    assert compare.account(music, begin=4 * BAR, end=8 * BAR)["share"] > 0.9
    assert compare.account(music)["share"] == pytest.approx(0.25, abs=0.1)


def test_what_the_piece_itself_says_again_is_no_copy():
    music = planted(tune(7), bars=8)
    compare = Originality(INDEX, read=[(Origin("mine", ""), piece(tune(7)))])
    facts = compare.account(music)
    assert facts["longest"] is None
    assert (facts["returns"]["source"], facts["share"]) == ("mine", 0.0)


def test_without_an_index_only_returns_are_told():
    facts = Originality(None, read=[(Origin("mine", ""), piece(tune(7)))]).account(planted(tune(7)))
    assert (facts["pieces"], facts["longest"], facts["share"]) == (None, None, None)
    assert facts["returns"]["source"] == "mine"


def test_parts_of_a_piece_are_compared_one_by_one():
    """A melody is found under another top line."""
    melody = tune(7)
    above = notes_array([(n * 240, 240, 100 + (n * n) % 7, 80) for n in range(96)])
    assert Originality(INDEX).copied(piece(above, melody)).line == "part 2"


def test_drums_have_no_lines():
    drums = Piece(480, (Track("", is_drum=True, notes=tune(7)),))
    assert lines_of(drums) == []
    assert Originality(INDEX).account(drums)["share"] == 0.0


def test_a_match_is_as_long_as_what_is_equal():
    """Every note but those at the edges is compared: the longest match is exact."""
    (line,) = [line for line in lines_of(piece(tune(7)[: 0 or None])) if line.part == 0]
    best = matches(INDEX, line)[0]
    assert (best.first, best.last) == (0, len(line.ticks) - 2)


def test_an_index_is_what_was_saved(tmp_path):
    INDEX.save(tmp_path / "index")
    again = open_index(tmp_path / "index")
    assert np.array_equal(again.steps, INDEX.steps)
    assert np.array_equal(again.lines, INDEX.lines)
    assert (again.origins, again.sets) == (INDEX.origins, INDEX.sets)
    for place in (0, 40, INDEX.sets + 3):
        assert again.place(place) == INDEX.place(place)


def test_a_line_that_two_parts_play_is_kept_once():
    once, twice = (
        build_index([(Origin("a", ""), piece(tune(3)))]),
        build_index([(Origin("a", ""), piece(tune(3), tune(3)))]),
    )
    assert np.array_equal(once.steps, twice.steps)


@pytest.mark.parametrize("harm", ["missing", "short", "json"])
def test_a_damaged_index_is_one_line(tmp_path, harm):
    INDEX.save(tmp_path / "index")
    steps = tmp_path / "index" / "steps.npy"
    if harm == "missing":
        steps.unlink()
    elif harm == "short":
        np.save(steps, INDEX.steps[:10])
    else:
        (tmp_path / "index" / "index.json").write_text("[")
    with pytest.raises(UnreadableError, match=r"index: no index of music, or a damaged one; copy the folder again"):
        open_index(tmp_path / "index")


def test_bars_are_told_across_rests_and_meters():
    notes = tune(7)
    rested = notes.copy()
    rested["start"][notes["start"] >= 4 * BAR] += 20 * BAR
    source = replace(
        piece(rested), meters=np.array([(0, 4, 4)], [("tick", "<i8"), ("numerator", "u1"), ("denominator", "u1")])
    )
    found = Originality(build_index([(Origin("rested", ""), source)])).copied(planted(notes))
    assert found.source_bar == 25


def test_sets_of_pitch_classes_come_last():
    (line,) = [line for line in lines_of(piece(tune(1))) if line.part == SETS]
    begin, region = INDEX.region(line)
    assert (begin, len(region)) == (INDEX.sets, len(INDEX.steps) - INDEX.sets)

"""Pieces in parts to rows and back: what survives, in which order parts come, and what augmentation keeps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from part_pieces import PARTS, programs_of, random_piece, tune

from musicgen.io import read
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars.music import BarSettings
from musicgen.tokenizers.bars.voices import MOST_PARTS, Voice, is_played, voices_of

GRIDS = [PARTS, Parts(BarSettings(48))]
grids = pytest.mark.parametrize("tokenizer", GRIDS, ids=["24", "48"])
V = PARTS.vocabulary
STYLE = (0, 5)  # row and column of what says whether hands play


def score(*tracks: Track, **maps) -> Piece:
    return Piece(480, tracks, **maps)


def line(*pitches: int, program: int = 40, length: int = 480, drums: bool = False, velocity: int = 66) -> Track:
    notes = [(i * 480, length, pitch, velocity) for i, pitch in enumerate(pitches)]
    return Track("", 0 if drums else program, drums, notes_array(notes))


PIECES = {
    "several parts": random_piece(0),
    "one program": random_piece(1, programs=(40,) * 4, drums=2),
    "more parts than there are numbers": random_piece(2, programs=(40, 41) * 33, drums=3, notes=4),
    "more drums than there are numbers": random_piece(3, programs=(40,), drums=66, notes=4),
    "long bars": random_piece(4, meters=((0, 64, 1),)),
    "meters": random_piece(5, meters=((0, 5, 8), (1200, 7, 16)), tempos=((0, 400_000), (960, 900_000))),
    "a bar cut short": random_piece(6, meters=((0, 4, 4), (1440, 3, 4))),
    "cut short off the grid": random_piece(7, meters=((0, 4, 4), (1001, 4, 4))),
    "another resolution": random_piece(8, ticks=220),
    "unisons that pull a part down": score(
        Track("", 40, notes=notes_array([(0, n + 1, 60, 80) for n in range(9)] + [(480, 480, 80, 80)])), line(66)
    ),
    "drums alone": score(line(36, 38, drums=True)),
    "nothing": Piece(),
}


@grids
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
def test_a_second_pass_changes_nothing(tokenizer, piece):
    ids = tokenizer.encode(piece)
    once = tokenizer.decode(ids)
    once.validate()
    assert once == tokenizer.on_grid(piece)
    again = tokenizer.encode(once)
    again[STYLE] = ids[STYLE]  # which is measured before onsets are moved to the grid
    assert np.array_equal(again, ids)
    assert tokenizer.decode(again) == once
    for until in (1, 7 * 480, 40 * 480):
        longer = tokenizer.encode(piece, until=until)
        assert tokenizer.decode(longer).tracks == once.tracks
        assert len(tokenizer.bar_positions(longer)) >= len(tokenizer.bar_positions(ids))


def test_what_lies_on_the_grid_survives_exactly_each_part_by_itself():
    parts = (line(48, 50, program=42), line(60, 64, 67), line(64, 60, 72), line(36, 42, drums=True))
    tempo = round(60e6 / 20 / 2 ** (31 / 12))
    piece = score(*parts, tempos=np.array([(0, tempo)], TEMPO), meters=np.array([(0, 3, 4)], METER))
    assert PARTS.on_grid(piece) == piece


def test_two_parts_may_strike_one_key_and_no_part_twice():
    twice = Track("", 40, notes=notes_array([(0, 240, 60, 80), (0, 480, 60, 80)]))
    piece = PARTS.on_grid(score(twice, line(60)))
    assert [t.notes["duration"].tolist() for t in piece.tracks] == [[480], [480]]
    assert PARTS.report(score(twice, line(60))) == ["unisons: 1 note on the same onset, pitch and program was merged"]


def test_parts_are_numbered_from_below_and_drums_come_last():
    tracks = (line(90, drums=True), line(80), line(40, program=0), Track(), line(60), line(20, drums=True))
    piece = score(*tracks)
    assert voices_of(piece) == (Voice(0, (2,)), Voice(40, (4,)), Voice(40, (1,)), Voice(128, (5,)), Voice(128, (0,)))
    ids = PARTS.encode(piece)
    assert programs_of(ids) == [0, 40, 40, 128, 128]
    assert [int(t.notes["pitch"][0]) for t in PARTS.decode(ids).tracks] == [40, 60, 80, 20, 90]


def test_where_parts_are_too_many_the_last_of_a_kind_share():
    piece = PIECES["more parts than there are numbers"]
    voices = voices_of(piece)
    assert len(voices) == MOST_PARTS
    assert sorted(n for voice in voices for n in voice.tracks) == list(range(len(piece.tracks)))
    for voice in voices:
        assert {piece.tracks[n].is_drum for n in voice.tracks} == {voice.program == 128}
    pitches = Counter(int(p) for t in piece.tracks for p in t.notes["pitch"])
    kept = Counter(int(p) for t in PARTS.on_grid(piece).tracks for p in t.notes["pitch"])
    assert kept == pitches


def test_rows_of_a_small_piece():
    piece = score(line(60, 64, length=240), line(36, drums=True, velocity=98))
    rows = [[V.token(i) for i in row if i] for row in PARTS.encode(piece).tolist()]
    assert rows == [
        ["bos_0", "tempo_31", "style_0"],
        ["enter_0", "part_0", "program_40"],
        ["enter_0", "part_1", "program_128"],
        ["bar_0", "meter_23"],
        ["position_0", "part_0"],
        ["pitch_60", "duration_11", "velocity_16", "position_0", "part_1"],
        ["drum_36", "duration_23", "velocity_24", "position_24", "part_0"],
        ["pitch_64", "duration_11", "velocity_16", "eos_0"],
    ]


def test_every_id_lies_in_its_field():
    for piece in PIECES.values():
        for column, field in zip(PARTS.encode(piece).T.astype(int), PARTS.fields, strict=True):
            assert ((column == 0) | ((column >= field.first) & (column < field.first + field.size))).all(), field
    assert sum(field.size for field in PARTS.fields) == len(V) - 1


@pytest.mark.parametrize(
    ("tempos", "bpm"),
    [
        ((), 120),
        (((0, 600_000),), 100),
        (((0, 1_000_000), (480, 500_000)), 120),
        (((0, 1_000_000), (1440, 500_000)), 60),
        (((1440, 1_000_000),), 120),
        (((480, 1_000_000),), 60),
    ],
)
def test_the_tempo_is_the_one_that_holds_for_longest(tempos, bpm):
    piece = PARTS.on_grid(score(line(60, 62, 64, 65), tempos=np.array(list(tempos), TEMPO)))
    assert piece.tempos["tick"].tolist() == [0]
    assert 60e6 / piece.tempos["microseconds"][0] == pytest.approx(bpm, rel=0.03)


def test_hands_play_off_the_grid_and_scores_do_not():
    rng = np.random.default_rng(0)
    starts = np.arange(40) * 120
    triplets = np.arange(40) * 80
    by_hand = starts + rng.integers(-25, 26, 40) + 30
    for ticks, played in ((starts, False), (triplets, False), (by_hand, True)):
        piece = score(Track(notes=notes_array([(int(t), 100, 60, 80) for t in ticks])))
        assert is_played(piece) == played
        assert int(PARTS.encode(piece)[STYLE]) == V.id("style", int(played))
        assert int(PARTS.encode(piece, played=not played)[STYLE]) == V.id("style", int(not played))
    assert not is_played(Piece())


def test_parts_may_be_given_with_one_that_is_still_to_play():
    piece = score(line(60, 62), line(72, 74, program=73))
    voices = (*voices_of(piece), Voice(56))
    ids = PARTS.encode(piece, voices=voices)
    assert programs_of(ids) == [40, 73, 56]
    assert PARTS.decode(ids) == PARTS.on_grid(piece)


def test_other_keys_tempi_instruments_and_levels():
    piece = tune(0)
    ids = PARTS.encode(piece)
    assert np.array_equal(PARTS.transposed(ids, 5), PARTS.encode(piece.transposed(5)))
    faster = PARTS.with_tempo(ids, 3)
    assert (faster != ids).sum() == 1
    assert faster[0, 4] == ids[0, 4] + 3
    changed = PARTS.with_programs(ids, np.random.default_rng(0))
    assert np.argwhere(changed != ids)[:, 1].tolist() == [5] * 3, "three melodic parts"
    assert programs_of(changed)[0] != 40
    assert programs_of(changed)[3] == 128
    seen = set()
    for seed in range(20):
        louder = PARTS.with_loudness(ids, np.random.default_rng(seed))
        assert V.is_kind(louder[ids[:, 2] != 0, 2], "velocity").all()
        assert np.array_equal(louder[:, [0, 1, 3, 4, 5]], ids[:, [0, 1, 3, 4, 5]])
        order = np.argsort(ids[:, 2], kind="stable")
        assert (np.diff(louder[order, 2].astype(int)) >= 0).all(), "what is louder stays so"
        seen.add(louder.tobytes())
    assert len(seen) > 15
    silent = PARTS.encode(Piece())
    assert np.array_equal(PARTS.with_loudness(silent, np.random.default_rng(0)), silent)


def test_past_and_prompt_are_the_whole_cut_at_a_bar():
    ids = PARTS.encode(random_piece(9, meters=((0, 3, 4),)))[:-1]
    for room in (len(ids), len(ids) - 1, len(ids) // 2, 40, 3):
        past, prompt = PARTS.past_and_prompt(ids, room)
        assert np.array_equal(np.concatenate([past, prompt]), ids)
        assert len(prompt) <= room
        if room > 39:
            assert prompt[0, 3] == V.id("bos" if room == len(ids) else "bar")


def test_real_files_survive(shared_data):
    for path in sorted((shared_data / "mutopia_pd").glob("*.mid"))[:15]:
        piece = read(path)
        ids = PARTS.encode(piece)
        once = PARTS.decode(ids)
        once.validate()
        again = PARTS.encode(once)
        again[STYLE] = ids[STYLE]
        assert np.array_equal(again, ids), path.name

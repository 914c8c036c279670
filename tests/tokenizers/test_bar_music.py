"""The tokenizers that count in bars, remi and notes: a slow reference for the grid, round trips, the grammar, and what augmentation keeps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from limits import limited

from musicgen.errors import UsageError
from musicgen.io import read
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import Notes, Remi, load_tokenizer
from musicgen.tokenizers.bars.music import BarSettings
from musicgen.tokenizers.constraints import Constraints

GRIDS = [kind(BarSettings(steps)) for kind in (Remi, Notes) for steps in (24, 48)]
grids = pytest.mark.parametrize("tokenizer", GRIDS, ids=["remi-24", "remi-48", "notes-24", "notes-48"])


def random_piece(seed: int, *, ticks: int = 480, notes: int = 60, meters=(), tempos=()) -> Piece:
    rng = np.random.default_rng(seed)
    tracks = []
    for program in rng.choice(128, 3, replace=False).tolist():
        rows = [
            (
                int(rng.integers(0, 16 * ticks)),
                int(rng.integers(1, 20 * ticks)),
                int(rng.integers(0, 128)),
                int(rng.integers(1, 128)),
            )
            for _ in range(notes)
        ]
        tracks.append(Track("", program, notes=notes_array(rows)))
    drums = [(int(rng.integers(0, 16 * ticks)), 1, int(rng.integers(27, 88)), 100) for _ in range(20)]
    tracks.append(Track("", 0, True, notes_array(drums)))
    return Piece(ticks, tuple(tracks), np.array(list(tempos), TEMPO), np.array(list(meters), METER))


METER_MAPS = {
    "none": (),
    "3/4": ((0, 3, 4),),
    "5/8 then 7/16": ((0, 5, 8), (1200, 7, 16)),
    "64/1": ((0, 64, 1),),
    "1/64": ((0, 1, 64),),
    "odd 64ths": ((0, 7, 64), (2100, 3, 64)),
    "a bar cut short": ((0, 4, 4), (1440, 3, 4)),
    "pickup": ((0, 1, 4), (480, 4, 4)),
    "cut short off the grid": ((0, 4, 4), (1001, 4, 4)),
}


@grids
@pytest.mark.parametrize("meters", METER_MAPS.values(), ids=METER_MAPS.keys())
@pytest.mark.parametrize("ticks", [480, 96, 220, 1])
def test_a_second_pass_changes_nothing(tokenizer, meters, ticks):
    piece = random_piece(1, ticks=ticks, meters=meters, tempos=((0, 400_000), (ticks * 2, 900_000)))
    ids = tokenizer.encode(piece)
    once = tokenizer.decode(ids)
    once.validate()
    assert np.array_equal(tokenizer.encode(once), ids)
    assert tokenizer.decode(tokenizer.encode(once)) == once


@grids
@pytest.mark.parametrize("name", ["none", "3/4", "5/8 then 7/16", "64/1", "pickup"])
def test_onsets_land_on_the_nearest_step(tokenizer, name):
    """Against a loop over notes in exact fractions, for meters whose bar lines lie on the grid."""
    piece = random_piece(2, meters=METER_MAPS[name])
    half_step = Fraction(480, 2 * tokenizer.steps)
    expected = set()
    for track in piece.tracks:
        for n in track.notes:
            onset = Fraction(int(n["start"]))
            steps = (onset + half_step) // (2 * half_step)  # nearest, half goes up
            expected.add((track.is_drum or track.program, steps * 2 * half_step, int(n["pitch"])))
    got = set()
    for track in tokenizer.on_grid(piece).tracks:
        got |= {(track.is_drum or track.program, int(n["start"]), int(n["pitch"])) for n in track.notes}
    assert got == expected


@grids
def test_what_lies_on_the_grid_survives_exactly(tokenizer):
    step = 480 // tokenizer.steps
    notes = [
        (0, step, 60, 66),
        (step, 480, 60, 66),
        (480, 160, 64, 66),
        (640, 160, 65, 66),
        (1920, 60, 67, 66),
        (1980, 16 * 480, 40, 2),
    ]
    tempo = round(60e6 / 20 / 2 ** (31 / 12))
    piece = Piece(
        480, (Track("", 7, notes=notes_array(notes)),), np.array([(0, tempo)], TEMPO), np.array([(0, 4, 4)], METER)
    )
    assert tokenizer.decode(tokenizer.encode(piece)) == piece


@grids
def test_equal_onsets_of_one_program_merge_to_the_longest(tokenizer):
    two = tuple(Track("", 40, notes=notes_array([(0, length, 60, 80)])) for length in (240, 480))
    (track,) = tokenizer.on_grid(Piece(480, two)).tracks
    assert track.notes["duration"].tolist() == [480]
    assert any("merged" in line for line in tokenizer.report(Piece(480, two)))


@grids
def test_the_grammar_accepts_every_encoding(tokenizer):
    for seed, meters in enumerate(METER_MAPS.values()):
        walker = tokenizer.grammar()
        for i, token in enumerate(tokenizer.encode(random_piece(seed, meters=meters)).ravel().tolist()):
            assert walker.allowed()[token], (i, tokenizer.vocabulary.token(token))
            walker.advance(token)


def walk(tokenizer, *, seed: int, constraints: Constraints | None = None, most: int = 600) -> np.ndarray:
    """A sequence of uniform draws from what the grammar allows: the fake model."""
    rng = np.random.default_rng(seed)
    walker, ids, fields = tokenizer.grammar(constraints), [], len(tokenizer.fields)
    while len(ids) < most * fields:
        token = int(rng.choice(np.flatnonzero(walker.allowed())))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    ids += [0] * (-len(ids) % fields)  # a walk may end inside a step
    return np.array(ids) if fields == 1 else np.array(ids).reshape(-1, fields)


@grids
def test_whatever_the_grammar_allows_decodes(tokenizer):
    for seed in range(20):
        ids = walk(tokenizer, seed=seed)
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids)
        assert tokenizer.decode(tokenizer.encode(piece)) == tokenizer.on_grid(piece)


@grids
def test_constraints_hold(tokenizer):
    asked = limited(
        meter=(5, 8),
        programs=frozenset({40, 128}),
        low=50,
        high=70,
        classes=frozenset({0, 2, 4, 5, 7, 9, 11}),
        tempo_changes=False,
        bars=6,
        may_end=False,
        max_notes_a_bar=10,
        max_empty_bars=0,
        chord_sizes=((40, 1),),
    )
    for seed in range(10):
        ids = walk(tokenizer, seed=seed, constraints=asked, most=5000)
        piece = tokenizer.decode(ids)
        assert int((ids == tokenizer.vocabulary.id("bar")).sum()) == 6
        assert {(int(m["numerator"]), int(m["denominator"])) for m in piece.meters} == {(5, 8)}
        assert len(piece.tempos) == 0
        n = tokenizer.notes(ids)
        assert set(n.program.tolist()) <= {40, 128}
        assert np.bincount(n.bar, minlength=6).min() >= 1
        assert np.bincount(n.bar, minlength=6).max() <= 10
        melodic = n.pitch[n.program == 40]
        assert ((melodic >= 50) & (melodic <= 70)).all()
        assert set((melodic % 12).tolist()) <= {0, 2, 4, 5, 7, 9, 11}
        onsets = list(zip(n.bar[n.program == 40].tolist(), n.position[n.program == 40].tolist(), strict=True))
        assert len(onsets) == len(set(onsets)), "a chord on a melody instrument"


@grids
def test_polyphony_is_limited(tokenizer):
    for seed in range(5):
        ids = walk(
            tokenizer,
            seed=seed,
            constraints=limited(meter=(4, 4), bars=4, may_end=False, max_polyphony=3),
            most=5000,
        )
        n = tokenizer.notes(ids)
        start = n.bar * 4 * tokenizer.steps + n.position
        for t in np.unique(start):
            assert int(((start <= t) & (start + n.duration > t)).sum()) <= 3


@grids
def test_transposition_moves_pitches_and_nothing_else(tokenizer):
    piece = Piece(
        480,
        (
            Track("", 0, notes=notes_array([(0, 480, 60, 80), (480, 480, 64, 80)])),
            Track("", 0, True, notes_array([(0, 10, 38, 90)])),
        ),
    )
    ids = tokenizer.encode(piece)
    assert np.array_equal(tokenizer.transposed(ids, 5), tokenizer.encode(piece.transposed(5)))
    assert np.array_equal(tokenizer.transposed(ids, 80)[:3], ids[:3])
    assert tokenizer.notes(tokenizer.transposed(ids, 80)).pitch.max() <= 127


@grids
def test_other_programs_keep_the_order(tokenizer):
    ids = tokenizer.encode(random_piece(4))
    changed = tokenizer.with_programs(ids, np.random.default_rng(0))
    assert np.array_equal(tokenizer.encode(tokenizer.decode(changed)), changed)
    assert not np.array_equal(changed, ids)


@grids
def test_a_window_from_the_middle_decodes(tokenizer):
    ids = tokenizer.encode(random_piece(5))
    for begin in tokenizer.bar_positions(ids)[1:4].tolist():
        window = tokenizer.decode(ids[begin : begin + 200])
        window.validate()
        assert window.n_notes > 0


@grids
def test_no_notes_is_a_piece_too(tokenizer):
    ids = tokenizer.encode(Piece())
    assert tokenizer.decode(ids).n_notes == 0
    assert [tokenizer.vocabulary.token(i) for i in ids.ravel().tolist() if i][0] == "bos_0"


@grids
def test_encode_until_counts_silent_bars(tokenizer):
    piece = Piece(480, (Track(notes=notes_array([(0, 480, 60, 80)])),))
    assert int((tokenizer.encode(piece) == tokenizer.vocabulary.id("bar")).sum()) == 1
    assert int((tokenizer.encode(piece, until=4 * 1920) == tokenizer.vocabulary.id("bar")).sum()) == 4
    assert int((tokenizer.encode(piece, until=4 * 1920 + 1) == tokenizer.vocabulary.id("bar")).sum()) == 5


@grids
def test_the_spec_rebuilds_it(tokenizer):
    assert load_tokenizer(tokenizer.spec).spec == tokenizer.spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "rmi"}, "no tokenizer 'rmi'; did you mean 'remi'?"),
        ({"name": "remi", "positions_per_quarter": 17}, "positions_per_quarter is 17, must be 24 or 48"),
        ({"name": "remi", "grid": 24}, "the tokenizer remi has no setting 'grid'"),
        ({"name": "notes", "grid": 24}, "the tokenizer notes has no setting 'grid'"),
    ],
)
def test_a_wrong_spec_says_so(spec, text):
    with pytest.raises(UsageError) as caught:
        load_tokenizer(spec)
    assert str(caught.value) == text


@grids
def test_real_files_survive(tokenizer, shared_data):
    files = sorted((shared_data / "mutopia_pd").glob("*.mid"))[:40]
    for path in files:
        piece = read(path)
        ids = tokenizer.encode(piece)
        once = tokenizer.decode(ids)
        assert np.array_equal(tokenizer.encode(once), ids), path.name
        assert tokenizer.decode(tokenizer.encode(once)) == once, path.name


@pytest.mark.parametrize("steps", [24, 48])
@pytest.mark.parametrize("meters", METER_MAPS.values(), ids=METER_MAPS.keys())
def test_notes_says_what_remi_says(steps, meters):
    """The two spell the same items, so a model of one can be measured against a model of the other, nats a note."""
    remi, notes = Remi(BarSettings(steps)), Notes(BarSettings(steps))
    piece = random_piece(6, meters=meters, tempos=((0, 400_000), (960, 900_000)))
    assert notes.decode(notes.encode(piece)) == remi.decode(remi.encode(piece))
    assert notes.count_notes(notes.encode(piece)) == remi.count_notes(remi.encode(piece))
    until = 9 * 1920
    assert notes.decode(notes.encode(piece, until=until)) == remi.decode(remi.encode(piece, until=until))


def test_a_step_of_notes_is_one_note():
    notes = Notes()
    chord = Piece(480, (Track("", 40, notes=notes_array([(0, 480, 60, 80), (0, 480, 64, 80), (480, 240, 67, 33)])),))
    rows = [[notes.vocabulary.token(i) for i in row if i] for row in notes.encode(chord).tolist()]
    assert rows == [
        ["bos_0"],
        ["bar_0", "meter_23"],
        ["position_0", "tempo_31"],
        ["position_0", "program_40"],
        ["pitch_60", "duration_23", "velocity_20", "position_0", "program_40"],
        ["pitch_64", "duration_23", "velocity_20", "position_24", "program_40"],
        ["pitch_67", "duration_11", "velocity_8", "eos_0"],
    ]


def test_every_id_of_notes_lies_in_its_field():
    notes = Notes()
    rows = notes.encode(random_piece(7))
    for column, field in zip(rows.T.astype(int), notes.fields, strict=True):
        assert ((column == 0) | ((column >= field.first) & (column < field.first + field.size))).all(), field
    assert sum(field.size for field in notes.fields) == len(notes.vocabulary) - 1


@grids
def test_a_tail_begins_at_a_bar_and_fits(tokenizer):
    ids = tokenizer.encode(random_piece(8, meters=((0, 3, 4),)))[:-1]
    assert np.array_equal(tokenizer.tail(ids, len(ids)), ids)
    for room in (len(ids) - 1, len(ids) // 2, 40):
        tail = tokenizer.tail(ids, room)
        assert len(tail) <= room
        assert tokenizer.bar_positions(tail)[0] == 0
        walker = tokenizer.grammar(inside=True)
        for number, token in enumerate(tail.ravel().tolist()):
            # The first row of notes may hold the note before the bar.
            assert walker.allowed()[token] or (tokenizer.name == "notes" and number < 3)
            walker.advance(token)

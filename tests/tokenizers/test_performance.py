"""The performance tokenizer: a slow reference, round trips, the grammar, and what augmentation keeps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.io import read
from musicgen.piece import CONTROL, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import Performance, PerformanceSettings, load_tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints

PLAIN, PEDAL = Performance(), Performance(PerformanceSettings(pedal=True))
both = pytest.mark.parametrize("tokenizer", [PLAIN, PEDAL], ids=["plain", "pedal"])
MAJOR = frozenset({0, 2, 4, 5, 7, 9, 11})


def piece_of(*rows: tuple[int, int, int, int], tempos=(), controls=()) -> Piece:
    track = Track("", 0, False, notes_array(list(rows)), np.array(list(controls), CONTROL))
    return Piece(480, (track,), np.array(list(tempos), TEMPO))


def random_piece(seed: int, *, notes: int = 80, ticks: int = 480) -> Piece:
    """Three parts, drums and pedals; few pitches, so that they overlap; lengths from nothing to half a minute."""
    rng = np.random.default_rng(seed)
    tracks = []
    for program in (0, 40, 73):
        start = rng.integers(0, 30 * ticks, notes)
        length = np.maximum(1, (rng.exponential(1, notes) ** 3 * ticks / 2).astype(int)) % (60 * ticks) + 1
        velocity = rng.choice([1, 20, 21, 90], notes)
        rows = np.stack([start, length, rng.integers(50, 70, notes), velocity], axis=1).tolist()
        tick = np.sort(rng.integers(0, 40 * ticks, 20))
        controls = np.array([(t, 64, rng.integers(0, 128)) for t in tick], CONTROL)
        tracks.append(Track("", program, False, notes_array([tuple(row) for row in rows]), controls))
    tracks.append(Track("", 0, True, notes_array([(0, 1, 38, 100)])))
    tempos = np.array([(0, 400_000), (5 * ticks + 1, 911_111), (9 * ticks, 300_001)], TEMPO)
    return Piece(ticks, tuple(tracks), tempos)


PIECES = {
    "empty": Piece(),
    "drums only": Piece(480, (Track("", 0, True, notes_array([(0, 10, 38, 90)])),)),
    "one note": piece_of((480, 480, 60, 80)),
    "a chord": piece_of(*((0, 480, pitch, 60 + pitch % 3) for pitch in (60, 64, 67))),
    "overlapping": piece_of((0, 960, 60, 80), (480, 960, 60, 20), (480, 200, 60, 90), (1440, 10, 60, 90)),
    "very short": piece_of((0, 1, 60, 80), (3, 1, 60, 80), (6, 1, 60, 81), (6, 1, 61, 80)),
    "long rests": piece_of((960, 10, 60, 80), (960 * 7 + 1, 10, 62, 80), (960 * 9 + 960, 10, 62, 80)),
    "longer than 20 s": piece_of((0, 960 * 30, 60, 80), (960 * 25, 480, 60, 80)),
    "tempo changes": piece_of((0, 480, 60, 80), (480, 480, 62, 80), tempos=[(0, 1_000_001), (240, 777_777)]),
    "pedal": piece_of((0, 480, 60, 80), (480, 480, 60, 80), controls=[(100, 64, 127), (960, 64, 0), (999, 64, 127)]),
    "random": random_piece(0),
    "random, coarse": random_piece(1, ticks=24),
    "random, one tick": random_piece(2, ticks=1),
}
pieces = pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())


def slowly(piece: Piece) -> list[str]:
    """The tokens of a piece without the pedal, one note at a time."""

    def step(tick: int) -> int:
        return math.floor(float(piece.to_seconds(tick)) * 100 + 0.5)

    longest: dict[tuple[int, int], tuple[int, int]] = {}
    for track in piece.tracks:
        for note in track.notes if not track.is_drum else ():
            start = step(int(note["start"]))
            length = min(2000, max(1, step(int(note["start"] + note["duration"])) - start))
            key = (start, int(note["pitch"]))
            longest[key] = max(longest.get(key, (0, 0)), (length, int(note["velocity"]) // 4))
    events = []
    for (start, pitch), (length, velocity) in longest.items():
        later = [s for s, p in longest if p == pitch and s > start]
        events.append((start, "on", pitch, velocity))
        events.append((min([start + length, *later]), "off", pitch, 0))
    now, loud, tokens = 0, None, ["bos_0"]
    for at, kind, pitch, velocity in sorted(events, key=lambda e: (e[0], e[1] == "on", e[2])):
        while at > now:
            shift = min(100, at - now)
            tokens.append(f"shift_{shift - 1}")
            now += shift
        if kind == "on" and velocity != loud:
            tokens.append(f"velocity_{velocity}")
            loud = velocity
        tokens.append(f"{kind}_{pitch}")
    return [*tokens, "eos_0"]


def spelled(tokenizer: Performance, ids: np.ndarray) -> list[str]:
    return [tokenizer.vocabulary.token(i) for i in ids.tolist()]


def walk(tokenizer: Performance, *, seed: int, constraints=None, anchor=None, prompt=(), most=400) -> np.ndarray:
    """A sequence of draws from what the grammar allows, kinds first, so that shifts don't drown the rest."""
    rng = np.random.default_rng(seed)
    walker, ids = tokenizer.grammar(), []
    for token in prompt:
        walker.advance(int(token))
    walker.constrain(constraints or Constraints(), anchor=anchor)
    while len(ids) < most:
        allowed = np.flatnonzero(walker.allowed())
        kinds = tokenizer.vocabulary.kind_of_id[allowed]
        token = int(rng.choice(allowed[kinds == rng.choice(np.unique(kinds))]))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    return np.array(ids, np.int64)


# ---- events --------------------------------------------------------------------------------------------


def test_there_are_388_events_and_two_for_the_pedal():
    assert len(PLAIN.vocabulary) == 388 + 3
    assert len(PEDAL.vocabulary) == 390 + 3
    assert [f.size for f in PEDAL.fields] == [393]


@pieces
def test_encoding_is_what_a_loop_over_notes_spells(piece):
    assert spelled(PLAIN, PLAIN.encode(piece)) == slowly(piece)


@both
@pieces
def test_a_second_pass_changes_nothing(tokenizer, piece):
    ids = tokenizer.encode(piece)
    once = tokenizer.decode(ids)
    once.validate()
    assert ids.dtype == np.uint16
    assert once == tokenizer.on_grid(piece)
    assert np.array_equal(tokenizer.encode(once), ids)
    assert once.n_notes == tokenizer.count_notes(ids)


def test_what_lies_on_the_grid_survives_exactly():
    notes = notes_array([(0, 10, 60, 66), (10, 20, 60, 66), (10, 990, 61, 2), (5000, 20000, 60, 126)])
    piece = Piece(500, (Track("", 0, False, notes, np.array([(0, 64, 127), (25000, 64, 0)], CONTROL)),))
    assert PEDAL.decode(PEDAL.encode(piece)) == piece


def test_the_pedal_stands_between_offs_and_ons():
    ids = PEDAL.encode(
        piece_of((0, 480, 60, 80), (480, 480, 62, 80), controls=[(480, 64, 70), (481, 64, 127), (1000, 64, 0)])
    )
    assert spelled(PEDAL, ids)[1:-1] == (
        ["velocity_20", "on_60", "shift_49", "off_60", "pedal_1", "on_62", "shift_49", "off_62", "shift_3", "pedal_0"]
    )


def test_the_pedal_is_down_while_any_part_holds_it():
    notes = notes_array([(0, 960 * 4, 60, 80)])
    hold = [np.array([(a, 64, 127), (b, 64, 0)], CONTROL) for a, b in ((0, 960), (480, 1920))]
    (track,) = PEDAL.on_grid(Piece(480, tuple(Track("", 0, False, notes, c) for c in hold))).tracks
    assert track.controls.tolist() == [(0, 64, 127), (2000, 64, 0)]


def test_encode_until_goes_on_to_that_time():
    piece = piece_of((0, 480, 60, 80))
    assert spelled(PLAIN, PLAIN.encode(piece, until=2405))[-4:] == ["shift_99", "shift_99", "shift_0", "eos_0"]
    for until in (None, 0, 100, 480):
        assert np.array_equal(PLAIN.encode(piece, until=until), PLAIN.encode(piece))
    assert spelled(PLAIN, PLAIN.encode(Piece(), until=1440)) == ["bos_0", "shift_99", "shift_49", "eos_0"]


def test_the_report_says_what_was_lost():
    assert PLAIN.report(piece_of((0, 480, 60, 80))) == []
    piece = piece_of((0, 960, 60, 80), (0, 100, 60, 80), (480, 480, 60, 80), (0, 960 * 21, 72, 80))
    drums = Track("", 0, True, notes_array([(0, 10, 38, 90)]))
    assert PLAIN.report(replace(piece, tracks=(*piece.tracks, drums, replace(piece.tracks[0], program=40)))) == [
        "drums: 1 notes were left out",
        "programs: 2 became one piano",
        "durations: 2 notes longer than 20 s were shortened",
        "unisons: 5 notes on the same onset and pitch were merged",
        "overlaps: 1 notes were ended by the next one of their pitch",
    ]


@both
def test_any_ids_decode(tokenizer):
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 500):
        ids = rng.integers(0, len(tokenizer.vocabulary), size)
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids)
        assert tokenizer.on_grid(tokenizer.on_grid(piece)) == tokenizer.on_grid(piece)
        tokenizer.decode(tokenizer.with_tempo(ids, 3)).validate()
        walker = tokenizer.grammar(inside=True)
        for token in ids.tolist():
            walker.advance(token)
            assert walker.allowed().any()


@pytest.mark.parametrize("spec", [PLAIN.spec, PEDAL.spec])
def test_the_spec_rebuilds_it(spec):
    assert load_tokenizer(spec).spec == spec


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"name": "performance", "pedal": 3}, "pedal is 3, must be true or false"),
        ({"name": "performance", "positions": 24}, "the tokenizer performance has no setting 'positions'"),
    ],
)
def test_a_wrong_spec_says_so(spec, text):
    with pytest.raises(UsageError) as caught:
        load_tokenizer(spec)
    assert str(caught.value) == text


# ---- on ids --------------------------------------------------------------------------------------------


@both
def test_transposition_moves_pitches_and_nothing_else(tokenizer):
    piece = random_piece(3)
    ids = tokenizer.encode(piece)
    assert np.array_equal(tokenizer.transposed(ids, 5), tokenizer.encode(piece.transposed(5)))
    assert np.array_equal(tokenizer.transposed(ids, 100), tokenizer.encode(piece.transposed(52)))
    assert tokenizer.with_programs(ids, np.random.default_rng(0)) is ids


@both
@pytest.mark.parametrize("steps", [-12, -1, 1, 2, 12])
def test_stretching_moves_every_time_alike(tokenizer, steps):
    ids = tokenizer.encode(random_piece(4))
    before, after = tokenizer.decode(ids), tokenizer.decode(tokenizer.with_tempo(ids, steps))
    assert np.array_equal(tokenizer.encode(after), tokenizer.with_tempo(ids, steps))
    start = np.floor(before.tracks[0].notes["start"] / 10 * 2 ** (-steps / 12) + 0.5) * 10
    pitch = before.tracks[0].notes["pitch"].tolist()
    expected = sorted(set(zip(start.astype(int).tolist(), pitch, strict=True)))
    assert after.tracks[0].notes[["start", "pitch"]].tolist() == expected


def test_a_stretched_window_keeps_its_open_ends():
    v = PLAIN.vocabulary
    ids = [v.id("off", 60), v.id("on", 61), v.id("shift", 49), v.id("velocity", 3), v.id("on", 62), v.id("shift", 99)]
    assert spelled(PLAIN, PLAIN.with_tempo(np.array(ids, np.uint16), -12)) == (
        ["off_60", "on_61", "shift_99", "velocity_3", "on_62", "shift_99", "shift_99"]
    )
    assert spelled(PLAIN, PLAIN.with_tempo(np.array(ids), 12))[:3] == ["off_60", "on_61", "shift_24"]


def test_windows_begin_at_onsets_out_of_silence_if_there_are_any():
    ids = PLAIN.encode(piece_of((480, 480, 60, 80), (960, 240, 62, 80), (1440, 10, 64, 80)))
    assert spelled(PLAIN, ids)[1:-1] == (
        ["shift_49", "velocity_20", "on_60", "shift_49", "off_60", "on_62", "shift_24", "off_62", "shift_24"]
        + ["on_64", "shift_0", "off_64"]
    )
    assert PLAIN.bar_positions(ids).tolist() == [1, 9]
    assert PLAIN.bar_positions(ids[4:8]).tolist() == [0]
    assert PLAIN.bar_positions(PLAIN.encode(Piece())).tolist() == []
    assert PLAIN.tail(ids, 50) is ids
    assert PLAIN.tail(ids, 5).tolist() == ids[9:].tolist()
    assert PLAIN.tail(ids, 12).tolist() == ids[4:].tolist(), "silence is too far from the beginning"


@both
def test_tails_fit_and_walk(tokenizer):
    ids = tokenizer.encode(random_piece(5))
    for room in (20, 100, 300):
        tail = tokenizer.tail(ids, room)
        assert room // 2 < len(tail) <= room
        tokenizer.decode(tail).validate()
        walker = tokenizer.grammar(inside=True)
        for token in tail.tolist():
            assert walker.allowed()[token] or tokenizer.vocabulary.is_kind(np.array(token), "off")
            walker.advance(token)


# ---- the grammar ---------------------------------------------------------------------------------------


@both
@pieces
def test_the_grammar_accepts_every_encoding(tokenizer, piece):
    walker = tokenizer.grammar()
    for i, token in enumerate(tokenizer.encode(piece, until=5000).tolist()):
        assert walker.allowed()[token], (i, tokenizer.vocabulary.token(token))
        walker.advance(token)


@both
def test_whatever_the_grammar_allows_decodes_and_is_spelled_alike(tokenizer):
    for seed in range(20):
        ids = walk(tokenizer, seed=seed, constraints=Constraints(may_end=False))
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids) > 0
        once = tokenizer.on_grid(piece)
        assert [t.notes.tolist() for t in once.tracks] == [t.notes.tolist() for t in piece.tracks]
        assert tokenizer.on_grid(once) == once


def test_a_copy_walks_alone():
    walker = PLAIN.grammar()
    for token in PLAIN.encode(random_piece(6))[:50].tolist():
        walker.advance(token)
    before = walker.allowed()
    other = walker.copy()
    for token in PLAIN.encode(random_piece(7))[1:50].tolist():
        other.advance(token)
    assert np.array_equal(walker.allowed(), before)


def test_notes_end_after_twenty_seconds():
    walker, v = PLAIN.grammar(), PLAIN.vocabulary
    for token in [v.id("bos"), v.id("on", 60), v.id("shift", 49), v.id("on", 50), *[v.id("shift", 99)] * 19]:
        assert walker.allowed()[token]
        walker.advance(token)
    assert np.flatnonzero(walker.allowed()[v.slice("shift")]).max() == 49
    walker.advance(v.id("shift", 49))
    assert spelled(PLAIN, np.flatnonzero(walker.allowed())) == ["off_50", "off_60"]


ANCHOR = Anchor(tick=1200, bar_start=960.0, bar_length=960.0, ticks_per_quarter=480, microseconds=600_000, fills=True)
PROMPT = PLAIN.encode(piece_of((0, 1200, 50, 80), (960, 240, 61, 80)), until=1200)[:-1]


@both
@pytest.mark.parametrize("fills", [False, True])
def test_constraints_hold(tokenizer, fills):
    asked = Constraints(
        programs=frozenset({40, 128}),
        pitch_low=50,
        pitch_high=70,
        pitch_classes=MAJOR,
        bars=4,
        may_end=False,
        max_notes_a_bar=10,
        max_empty_bars=0,
        chord_sizes=((40, 2),),
    )
    anchor = ANCHOR if fills else replace(ANCHOR, bar_start=1200.0, fills=False)
    bar = 120  # steps
    end = 5 * bar - 30 if fills else 4 * bar
    prompt = tokenizer.encode(piece_of((0, 1200, 50, 80)), until=1200)[:-1]
    for seed in range(10):
        ids = walk(tokenizer, seed=seed, constraints=asked, anchor=anchor, prompt=prompt, most=3000)
        assert len(ids) < 3000
        assert not (ids == tokenizer.vocabulary.id("eos")).any()
        notes = tokenizer.decode(ids).tracks[0].notes
        start = notes["start"] // 10
        assert start.max() < end
        assert set((notes["pitch"] % 12).tolist()) <= MAJOR
        assert notes["pitch"].min() >= 50
        assert notes["pitch"].max() <= 70
        assert np.bincount((start + (30 if fills else 0)) // bar).max() <= 10
        assert np.diff(start, prepend=0, append=end).max() <= bar
        for t in np.unique(notes["start"]):
            assert int(((notes["start"] <= t) & (notes["start"] + notes["duration"] > t)).sum()) <= 2


def test_polyphony_is_limited():
    for seed in range(5):
        notes = (
            PLAIN.decode(walk(PLAIN, seed=seed, constraints=Constraints(max_polyphony=3, may_end=False)))
            .tracks[0]
            .notes
        )
        for t in np.unique(notes["start"]):
            assert int(((notes["start"] <= t) & (notes["start"] + notes["duration"] > t)).sum()) <= 3


@both
@pytest.mark.parametrize(
    "asked",
    [
        Constraints(programs=frozenset({128}), bars=3, may_end=False, max_empty_bars=0),
        Constraints(pitch_low=60, pitch_high=60, pitch_classes=frozenset({1}), bars=3, may_end=False, max_empty_bars=0),
    ],
)
def test_where_nothing_may_sound_time_goes_on(tokenizer, asked):
    ids = walk(tokenizer, seed=0, constraints=asked, most=3000)
    assert len(ids) < 3000
    assert tokenizer.count_notes(ids) == 0


def test_one_pitch_alone_is_struck_again_and_again():
    asked = Constraints(pitch_low=60, pitch_high=60, bars=20, may_end=False, max_empty_bars=0, max_notes_a_bar=2)
    ids = walk(PLAIN, seed=1, constraints=asked, anchor=ANCHOR, prompt=PROMPT, most=3000)
    assert len(ids) < 3000
    assert PLAIN.count_notes(ids) >= 20


# ---- new music -----------------------------------------------------------------------------------------


def test_new_notes_count_from_the_cut():
    v = PLAIN.vocabulary
    names = [("off", 61), ("on", 62), ("shift", 59), ("velocity", 10), ("on", 64), ("shift", 0), ("off", 62)]
    notes, program = PLAIN.new_notes(PROMPT, np.array([v.id(*name) for name in names]), ANCHOR)
    assert notes[0].tolist() == (1200, 488, 62, 82)  # 61 steps at 0.8 ticks a millisecond
    assert notes[1].tolist() == (1680, 16000, 64, 42), "not ended: as long as a note may last"
    assert program.tolist() == [0, 0]
    assert [len(a) for a in PLAIN.new_notes(PROMPT[:1], np.zeros(0, np.int64), ANCHOR)] == [0, 0]


@both
def test_new_notes_begin_at_the_cut_or_later(tokenizer):
    for seed in range(5):
        asked = Constraints(bars=3, may_end=False, max_empty_bars=0)
        ids = walk(tokenizer, seed=seed, constraints=asked, anchor=ANCHOR, prompt=PROMPT, most=3000)
        notes, _ = tokenizer.new_notes(PROMPT, ids, ANCHOR)
        assert len(notes) == tokenizer.count_notes(ids) > 0
        assert notes["start"].min() >= ANCHOR.tick
        assert notes["start"].max() <= ANCHOR.bar_start + 4 * ANCHOR.bar_length
        assert notes["duration"].min() >= 1


@both
def test_real_files_survive(tokenizer, shared_data):
    files = sorted((shared_data / "mutopia_pd").glob("*.mid"))[:40] + sorted(shared_data.glob("giantmidi_piano/*.mid"))
    for path in files:
        piece = read(path)
        ids = tokenizer.encode(piece)
        once = tokenizer.decode(ids)
        assert np.array_equal(tokenizer.encode(once), ids), path.name
        walker = tokenizer.grammar()
        for token in ids[:3000].tolist():
            assert walker.allowed()[token], path.name
            walker.advance(token)

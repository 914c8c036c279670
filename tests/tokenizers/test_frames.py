"""The frames tokenizer: what a frame is, round trips, the order that masks follow, walks of the grammar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from limits import limited
from performance_pieces import MAJOR, pieces, random_piece, walk

from musicgen.errors import UsageError
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import Frames, FramesSettings, load_tokenizer
from musicgen.tokenizers.constraints import Anchor

SETTINGS = [
    FramesSettings(),
    FramesSettings(order="ascending", frames_per_quarter=12),
    FramesSettings(voices=4),
    FramesSettings(voices=2, frames_per_quarter=1),
]
SETS, VOICES = Frames(SETTINGS[0]), Frames(SETTINGS[2])
every = pytest.mark.parametrize("tokenizer", [Frames(s) for s in SETTINGS], ids=["sets", "up", "four", "two"])


def part(*rows: tuple[int, int, int]) -> Track:
    return Track(notes=notes_array([(start, length, pitch, 80) for start, length, pitch in rows]))


def names(tokenizer: Frames, ids: np.ndarray) -> str:
    short = {"pitch": "", "end": "|", "rest": "-", "bos": "<", "eos": ">", "pad": "."}
    tokens = (tokenizer.vocabulary.token(i).split("_") for i in ids.tolist())
    return " ".join(short[kind] + (value if kind == "pitch" else "") for kind, value in tokens)


# ---- what a frame is -----------------------------------------------------------------------------------


def test_a_set_is_spelled_in_order():
    piece = Piece(480, (part((0, 240, 60), (0, 120, 64), (360, 60, 60)), part((120, 120, 55))))
    assert names(SETS, SETS.encode(piece)) == "< 64 60 | 60 55 | | 60 | >"
    up = Frames(FramesSettings(order="ascending"))
    assert names(up, up.encode(piece)) == "< 60 64 | 55 60 | | 60 | >"


def test_a_note_goes_to_the_nearest_frames_and_to_one_at_least():
    piece = Piece(480, (part((59, 1, 60), (60, 1, 61), (130, 170, 62)),))
    assert names(SETS, SETS.encode(piece)) == "< 60 | 62 61 | 62 | >"


def test_a_part_a_voice_in_which_notes_end_each_other():
    parts = [part((0, 240, 72), (120, 120, 74), (120, 120, 71)), part((0, 480, 60)), part(), part((240, 120, 40))]
    ids = VOICES.encode(Piece(480, tuple(parts)))
    assert names(VOICES, ids) == "< 72 60 - - 74 60 - - - 60 - 40 - 60 - - >"
    assert [len(t.notes) for t in VOICES.decode(ids).tracks] == [2, 1, 0, 1]


def test_other_pieces_are_dealt_to_the_voices_from_the_top():
    chord = part(*((0, 120, pitch) for pitch in (50, 60, 64, 67, 72)), (120, 120, 59))
    ids = VOICES.encode(Piece(480, (chord,)))
    assert names(VOICES, ids) == "< 72 67 64 60 59 - - - >"
    assert VOICES.report(Piece(480, (chord,))) == ["notes: 1 note was merged, or found no voice"]


def test_silence_goes_on_to_until():
    piece = Piece(480, (part((0, 120, 60)),))
    assert names(SETS, SETS.encode(piece, until=470)) == "< 60 | | | | >"
    assert names(VOICES, VOICES.encode(Piece(), until=120)) == "< - - - - >"
    for until in (None, 0, 120):
        assert np.array_equal(SETS.encode(piece, until=until), SETS.encode(piece))


@pytest.mark.parametrize("tokenizer", [SETS, Frames(SETTINGS[1])], ids=["sets", "up"])
def test_frames_are_the_sets_that_sound(tokenizer):
    """Against a loop over notes and frames."""
    piece = random_piece(3)
    ids, v = tokenizer.encode(piece), tokenizer.vocabulary
    frame = tokenizer.frame_of(ids)
    wanted = [set() for _ in range(frame.max() + 1)]
    per_quarter = tokenizer.settings.frames_per_quarter
    for track in piece.tracks[:3]:
        for start, length, pitch, _ in track.notes.tolist():
            first = int(np.floor(start * per_quarter / 480 + 0.5))
            last = max(first + 1, int(np.floor((start + length) * per_quarter / 480 + 0.5)))
            for k in range(first, last):
                wanted[k].add(pitch)
    got = [set((ids[(frame == k) & v.is_kind(ids, "pitch")] - v.base["pitch"]).tolist()) for k in range(len(wanted))]
    assert got == wanted


@every
@pieces
def test_a_second_pass_changes_nothing(tokenizer, piece):
    ids = tokenizer.encode(piece)
    once = tokenizer.decode(ids)
    once.validate()
    assert ids.dtype == np.uint16
    assert once == tokenizer.on_grid(piece)
    assert np.array_equal(tokenizer.encode(once), ids)
    assert tokenizer.on_grid(once) == once
    assert once.n_notes == tokenizer.count_notes(ids)


def test_the_report_says_what_was_lost():
    assert SETS.report(Piece(480, (part((0, 480, 60)),))) == []
    lines = SETS.report(random_piece(0))
    assert [line.split(":")[0] for line in lines] == ["drums", "programs", "tempi", "notes"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"frames_per_quarter": 7}, "frames_per_quarter is 7; choose from 1, 2,"),
        ({"order": "sideways"}, "order is 'sideways'; choose from descending, ascending"),
        ({"voices": 1}, "voices is 1; give 2 to 8, or 0 for sets"),
        ({"voice": 1}, "the tokenizer frames has no setting 'voice'"),
    ],
)
def test_settings_out_of_range(values, text):
    with pytest.raises(UsageError, match=text):
        load_tokenizer({"name": "frames", **values})


# ---- the order that masks follow -----------------------------------------------------------------------


@every
@pieces
def test_encodings_follow_the_order(tokenizer, piece):
    ids = tokenizer.encode(piece, until=5000).astype(int)[:-1]
    assert tokenizer.following[ids[:-1], ids[1:]].all()


def test_the_order_is_the_whole_of_it():
    v = SETS.vocabulary
    table = SETS.following
    assert table[v.id("pitch", 60)].sum() == 60 + 1
    assert table[v.id("end")].sum() == table[v.id("bos")].sum() == 128 + 1
    assert VOICES.following[VOICES.vocabulary.id("pitch", 60)].sum() == 128 + 1
    for t in (SETS, VOICES):
        assert not t.following[:, [t.vocabulary.id(k) for k in ("pad", "bos", "eos")]].any()
        assert t.following.any(axis=1).all(), "a row without any would make the loss no number"


def test_which_frame_an_id_belongs_to():
    piece = Piece(480, (part((0, 240, 60), (0, 120, 64), (360, 60, 60)),))
    assert SETS.frame_of(SETS.encode(piece)).tolist() == [-1, 0, 0, 0, 1, 1, 2, 3, 3, -1]
    assert VOICES.frame_of(VOICES.encode(piece)).tolist() == [-1, *np.repeat(range(4), 4), -1]


# ---- on ids --------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("semitones", [-90, -5, 0, 6, 70])
def test_transposing_ids_is_transposing_the_piece(tokenizer, semitones):
    ids = tokenizer.encode(random_piece(1))
    moved = tokenizer.transposed(ids, semitones)
    is_pitch = tokenizer.vocabulary.is_kind(ids, "pitch")
    shift = int(moved[is_pitch].astype(int).min() - ids[is_pitch].astype(int).min())
    assert tokenizer.decode(moved) == tokenizer.decode(ids).transposed(shift)
    assert (shift - semitones) % 12 == 0
    assert shift == semitones or abs(semitones) > 50, "folded only where it must be"
    assert moved.dtype == ids.dtype
    assert np.array_equal(tokenizer.transposed(ids[:1], semitones), ids[:1])


@every
def test_windows_and_tails_begin_with_a_frame(tokenizer):
    ids = tokenizer.encode(random_piece(4))
    begins = set((np.flatnonzero(np.diff(tokenizer.frame_of(ids)[:-1])) + 1).tolist())
    assert set(tokenizer.bar_positions(ids[:-1]).tolist()) - {len(ids) - 1} == begins
    for room in (9, 40, 41, 42, 43):
        tail = tokenizer.tail(ids[:-1], room)
        assert len(tail) <= room
        assert len(ids) - 1 - len(tail) in begins
    assert tokenizer.tail(ids, len(ids)) is ids


@every
def test_any_ids_decode(tokenizer):
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 500):
        ids = rng.integers(0, len(tokenizer.vocabulary), size)
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids)
        assert tokenizer.on_grid(piece) == piece
        walker = tokenizer.grammar(inside=True)
        for token in ids.tolist():
            walker.advance(token)
            assert walker.allowed().any()


# ---- the grammar ---------------------------------------------------------------------------------------


@every
@pieces
def test_the_grammar_accepts_every_encoding(tokenizer, piece):
    walker = tokenizer.grammar()
    for i, token in enumerate(tokenizer.encode(piece, until=5000)[:1500].tolist()):
        assert walker.allowed()[token], (i, tokenizer.vocabulary.token(token))
        walker.advance(token)


@every
def test_whatever_the_grammar_allows_decodes_and_is_spelled_alike(tokenizer):
    for seed in range(10):
        ids = walk(tokenizer, seed=seed, constraints=limited(may_end=False))
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids) > 0
        assert tokenizer.on_grid(piece) == piece
        assert tokenizer.following[ids[1:-1], ids[2:]].all()


@every
def test_a_copy_walks_alone(tokenizer):
    walker = tokenizer.grammar()
    for token in tokenizer.encode(random_piece(6))[:50].tolist():
        walker.advance(token)
    before = walker.allowed()
    other = walker.copy()
    for token in tokenizer.encode(random_piece(7))[1:50].tolist():
        other.advance(token)
    assert np.array_equal(walker.allowed(), before)


ANCHOR = Anchor(tick=1440, bar_start=960.0, bar_length=960.0, ticks_per_quarter=480, microseconds=600_000, fills=True)


def held(tokenizer: Frames, ids: np.ndarray) -> np.ndarray:
    """The new notes in frames from the cut."""
    notes, program = tokenizer.new_notes(np.zeros(1, int), ids, ANCHOR)
    assert program.tolist() == [0] * len(notes)
    per = 480 // tokenizer.settings.frames_per_quarter
    assert (notes["start"] >= ANCHOR.tick).all()
    notes["start"] = (notes["start"] - ANCHOR.tick) // per
    notes["duration"] //= per
    return notes


@every
@pytest.mark.parametrize("fills", [False, True])
def test_constraints_hold(tokenizer, fills):
    asked = limited(
        programs=frozenset({40, 128}),
        low=50,
        high=70,
        classes=MAJOR,
        bars=4,
        may_end=False,
        max_notes_a_bar=10,
        max_empty_bars=0,
        chord_sizes=((40, 2),),
    )
    anchor = ANCHOR if fills else replace(ANCHOR, bar_start=1440.0, fills=False)
    bar = 2 * tokenizer.settings.frames_per_quarter
    end, lead = (5 * bar - bar // 2, bar // 2) if fills else (4 * bar, 0)
    prompt = tokenizer.encode(Piece(480, (part((0, 1440, 50)),)), until=1440)[:-1]
    for seed in range(10):
        ids = walk(tokenizer, seed=seed, constraints=asked, anchor=anchor, prompt=prompt, most=3000)
        assert len(ids) < 3000
        notes = held(tokenizer, ids)
        start = notes["start"]
        assert (start + notes["duration"]).max() <= end
        assert set((notes["pitch"] % 12).tolist()) <= MAJOR
        assert notes["pitch"].min() >= 50
        assert notes["pitch"].max() <= 70
        assert np.bincount((start + lead) // bar).max() <= 10
        assert np.diff(np.unique(start), prepend=0, append=end).max() <= max(bar, 3)
        for t in np.unique(start):
            assert int(((start <= t) & (start + notes["duration"] > t)).sum()) <= 2


@every
def test_as_many_frames_as_the_bars_have(tokenizer):
    asked = limited(bars=3, may_end=False, max_empty_bars=0)
    ids = walk(tokenizer, seed=0, constraints=asked, anchor=ANCHOR, prompt=[tokenizer.vocabulary.id("bos")], most=9000)
    frames = int(tokenizer.frame_of(ids).max()) + 1
    wanted = 7 * tokenizer.settings.frames_per_quarter  # half a bar is filled, then three of two quarters
    assert frames in ((wanted,) if tokenizer.voices else (wanted, wanted - 1)), "the last end adds nothing"


@every
@pytest.mark.parametrize(
    "asked",
    [
        limited(programs=frozenset({128}), bars=3, may_end=False, max_empty_bars=0),
        limited(low=60, high=60, classes=frozenset({1}), bars=3, may_end=False, max_empty_bars=0),
    ],
)
def test_where_nothing_may_sound_time_goes_on(tokenizer, asked):
    ids = walk(tokenizer, seed=0, constraints=asked, most=3000)
    assert len(ids) < 3000
    assert tokenizer.count_notes(ids) == 0


@every
def test_one_pitch_alone_is_struck_again_and_again(tokenizer):
    asked = limited(low=60, high=60, bars=20, may_end=False, max_empty_bars=1, max_polyphony=1)
    prompt = [tokenizer.vocabulary.id("bos")]
    ids = walk(tokenizer, seed=1, constraints=asked, anchor=ANCHOR, prompt=prompt, most=20000)
    assert len(ids) < 20000
    assert len(held(tokenizer, ids)) >= 10


def test_a_pitch_that_two_voices_share_is_no_note_on_top_of_another():
    v = VOICES.vocabulary
    rows = [(60, None), (60, 60), (None, 60), (62, 62)]
    ids = [v.id("rest") if p is None else v.id("pitch", p) for row in rows for p in (*row, None, None)]
    notes, _ = VOICES.new_notes(np.zeros(1, int), np.array(ids), ANCHOR)
    assert notes[["start", "duration", "pitch"]].tolist() == [(1440, 120, 60), (1560, 240, 60), (1800, 120, 62)]

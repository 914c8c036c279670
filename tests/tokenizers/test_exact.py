"""The exact tokenizer: nothing is rounded but to the millisecond, and what is cut is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.piece import TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer, meaning
from musicgen.tokenizers.exact.tokenizer import LONGEST_MS

EXACT = load_tokenizer({"name": "exact"})
PIECE = Piece(
    480,
    (
        Track("", 0, notes=notes_array([(480 + 7 * n, 100 + n, 40 + n % 37, 1 + n) for n in range(120)])),
        Track("", 5, notes=notes_array([(480, 480, 30, 64), (2000, 1, 31, 64)])),
        Track("", 0, True, notes_array([(480, 60, 36, 127), (960, 60, 38, 12)])),
    ),
)


def test_what_is_read_back_has_every_note_to_the_millisecond():
    ids = EXACT.encode(PIECE)
    back = EXACT.decode(ids)
    back.validate()
    assert ids.dtype == np.uint16
    assert np.array_equal(EXACT.encode(back), ids)
    assert EXACT.count_notes(ids) == back.n_notes == PIECE.n_notes
    for mine, theirs in zip(back.tracks, (PIECE.tracks[:2], PIECE.tracks[2:]), strict=True):
        notes = np.concatenate([track.notes for track in theirs])
        first_s = PIECE.to_seconds(480)
        rows = [
            sorted(zip(p.to_seconds(n["start"]) - s, n["pitch"].tolist(), n["velocity"].tolist(), strict=True))
            for p, n, s in ((back, mine.notes, 0.0), (PIECE, notes, first_s))
        ]
        assert np.allclose(np.array(rows[0]), np.array(rows[1]), atol=0.0011)


def test_times_follow_the_tempo_and_silence_before_the_music_counts_nothing():
    slow = replace(PIECE, tempos=np.array([(0, 1_000_000)], TEMPO))
    ioi = [EXACT.encode(piece)[1:-1, 1].astype(int) - EXACT.vocabulary.base["ioi"] for piece in (PIECE, slow)]
    assert ioi[0][0] == ioi[1][0] == 0
    assert abs(ioi[1].sum() - 2 * ioi[0].sum()) <= 1


def test_long_times_are_cut_and_the_cut_is_told():
    far = Piece(500, (Track("", 0, notes=notes_array([(0, 20_000, 60, 64), (40_000, 10, 60, 64)])),))
    once = EXACT.on_grid(far)
    assert once.tracks[0].notes["start"].tolist() == [0, LONGEST_MS]
    assert once.tracks[0].notes["duration"].tolist() == [LONGEST_MS, 10]
    assert EXACT.report(far) == [
        "durations: 1 note longer than 16 s shortened",
        "silences: 1 silence longer than 16 s shortened",
    ]
    assert EXACT.report(once) == []
    assert EXACT.report(PIECE) == ["programs: 2 instruments became one piano"]


def test_other_speeds_and_keys_keep_what_they_do_not_change():
    ids = EXACT.encode(PIECE)
    assert EXACT.with_tempo(ids, 0) is ids
    fast = EXACT.with_tempo(ids, 12)
    assert np.array_equal(fast[:, [0, 2]], ids[:, [0, 2]])
    ioi = [each[1:-1, 1].astype(int) - EXACT.vocabulary.base["ioi"] for each in (ids, fast)]
    assert (np.abs(2 * ioi[1] - ioi[0]) <= 1).all()
    low = EXACT.vocabulary.base["drum"]
    up = EXACT.transposed(ids, 3)
    moved = up[:, 0].astype(int) - ids[:, 0]
    assert set(moved[ids[:, 0] >= low]) == {0}
    assert set(moved[1:-1][ids[1:-1, 0] < low]) == {3}


def test_the_empty_piece_is_two_steps():
    ids = EXACT.encode(Piece(480, ()))
    assert len(ids) == 2
    assert EXACT.decode(ids).n_notes == 0


def test_no_step_is_drawn():
    with pytest.raises(UsageError, match="is for models of how notes are played, and none that writes notes"):
        EXACT.grammar()


def test_a_step_reads_in_words():
    ids = EXACT.encode(PIECE)
    assert [meaning(EXACT, int(each)) for each in ids[2]] == ["pitch E2", "after 0 ms", "velocity 1", "length 104 ms"]

"""What a tokenizer says that it is able to is what it does, and what it can't leaves ids as they are."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import TOKENIZERS, Frames, FramesSettings

PIECE = Piece(
    480,
    (
        Track("", 40, notes=notes_array([(240 * i, 240, 60 + i % 9, 70) for i in range(40)])),
        Track("", 0, notes=notes_array([(480 * i, 480, 40 + i % 5, 60) for i in range(20)])),
        Track("", 0, True, notes_array([(480 * i, 60, 36, 90) for i in range(20)])),
    ),
)
EVERY = [make() for make in TOKENIZERS.values()] + [Frames(FramesSettings(voices=4))]


@pytest.fixture(params=EVERY, ids=lambda t: f"{t.name} {getattr(t.settings, 'voices', '')}".strip())
def tokenizer(request):
    return request.param


def test_fields_are_the_ids_in_order_but_for_padding(tokenizer):
    edges = [(f.first, f.first + f.size) for f in tokenizer.fields]
    assert edges[0][0] == (0 if len(edges) == 1 else 1)
    assert [low for low, _ in edges[1:]] == [high for _, high in edges[:-1]]
    assert edges[-1][1] == len(tokenizer.vocabulary)
    ids = tokenizer.encode(PIECE)
    columns = ids.T if ids.ndim == 2 else ids[None]
    for column, field in zip(columns, tokenizer.fields, strict=True):
        used = column[column != 0]
        assert ((used >= field.first) & (used < field.first + field.size)).all()


def test_grids_frames_text_and_parts_are_there_where_they_are_said_to_be(tokenizer):
    ids = tokenizer.encode(PIECE)
    assert (tokenizer.notes(ids) is not None) == (tokenizer.steps > 0) == (len(tokenizer.durations) > 0)
    assert (tokenizer.frame_of(ids) is not None) == (tokenizer.layout is not None)
    assert tokenizer.as_text is None or tokenizer.as_text.text(ids).startswith("X:")
    numbered = tokenizer.as_parts
    assert numbered is None or np.array_equal(numbered.encode(PIECE), ids)
    drums = any(track.is_drum for track in tokenizer.on_grid(PIECE).tracks)
    assert drums == tokenizer.has_programs


def test_ids_follow_one_another_as_the_table_says_and_units_come_at_every_period(tokenizer):
    ids = tokenizer.encode(PIECE).astype(int)
    if tokenizer.following is not None:
        assert tokenizer.following[ids[:-2], ids[1:-1]].all()
    if tokenizer.period > 1:
        frame = tokenizer.frame_of(ids)
        assert np.flatnonzero(np.diff(frame)[:-1]).tolist() == list(range(0, len(ids) - 2, tokenizer.period))


def test_what_is_varied_has_as_many_notes_and_a_transposition_can_be_undone(tokenizer):
    ids, rng = tokenizer.encode(PIECE), np.random.default_rng(0)
    higher = tokenizer.transposed(ids, 5)
    assert (higher is ids) == (not tokenizer.pitched)
    assert np.array_equal(tokenizer.transposed(higher, -5), ids)
    varied = tokenizer.with_loudness(tokenizer.with_programs(tokenizer.with_tempo(higher, 2), rng), rng)
    assert tokenizer.count_notes(varied) == tokenizer.count_notes(ids)
    task = tokenizer.as_task(ids, rng, length=len(ids), infill=0.0, accompany=1.0)
    assert (task is ids) == (not tokenizer.has_tasks)


def test_a_shift_that_leaves_the_range_is_folded_by_octaves(tokenizer):
    if not tokenizer.pitched:
        return
    high = Piece(480, (Track("", 0, notes=notes_array([(0, 480, 125, 80), (480, 480, 110, 80)])),))
    moved = tokenizer.on_grid(high), tokenizer.decode(tokenizer.transposed(tokenizer.encode(high), 5))
    first, second = (np.concatenate([t.notes["pitch"] for t in piece.tracks]).astype(int) for piece in moved)
    assert (second - first).tolist() == [-7, -7]

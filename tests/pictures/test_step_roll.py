"""Notes in steps: begun where the pitch is read, ended where the ids, or later onsets, say so."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.pictures.step_roll import bar_lines, pitch_kind, step_notes
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer

# A long note under three short ones, a drum, and a bar of rest.
MELODY = [(0, 960, 48, 80), (0, 480, 64, 80), (480, 480, 67, 80), (960, 960, 72, 80), (3840, 480, 60, 80)]
PIECE = Piece(480, (Track(notes=notes_array(MELODY)), Track(is_drum=True, notes=notes_array([(480, 120, 36, 80)]))))


def rows(name: str, piece: Piece = PIECE) -> tuple[list[tuple[int, int, int]], np.ndarray]:
    tokenizer = load_tokenizer({"name": name})
    ids = tokenizer.encode(piece)
    notes = step_notes(tokenizer, ids)
    assert notes is not None
    return list(zip(notes.begin.tolist(), notes.end.tolist(), notes.pitch.tolist(), strict=True)), ids


@pytest.mark.parametrize("name", ["notes", "parts", "remi", "performance", "frames"])
def test_a_note_begins_where_its_pitch_is_read(name):
    tokenizer = load_tokenizer({"name": name})
    found, ids = rows(name)
    base = {
        kind: tokenizer.vocabulary.base[kind] for kind in ("pitch", "drum", "on") if kind in tokenizer.vocabulary.base
    }
    steps = ids[:, :1] if ids.ndim == 2 else ids[:, None]
    for begin, end, pitch in found:
        assert int(steps[begin, 0]) in [first + pitch for first in base.values()]
        assert begin < end <= len(ids)


@pytest.mark.parametrize("name", ["notes", "parts", "remi"])
def test_a_note_ends_by_the_first_onset_past_its_end(name):
    found, ids = rows(name)
    begin = {pitch: b for b, _, pitch in found}
    end = {pitch: e for _, e, pitch in found}
    assert end[48] == end[67] == begin[72]
    assert end[64] == min(begin[67], begin[36])
    assert end[72] == begin[60]
    assert end[60] == len(ids)


@pytest.mark.parametrize("name", ["notes", "parts", "remi"])
def test_drums_are_told_from_pitches(name):
    tokenizer = load_tokenizer({"name": name})
    notes = step_notes(tokenizer, tokenizer.encode(PIECE))
    assert notes.pitch[notes.is_drum].tolist() == [36]


def test_a_key_is_down_until_it_is_lifted():
    found, ids = rows("performance")
    vocabulary = load_tokenizer({"name": "performance"}).vocabulary
    for _, end, pitch in found:
        assert int(ids[end]) == vocabulary.id("off", pitch)


def test_a_pitch_held_over_frames_has_no_gap():
    found, _ = rows("frames", Piece(480, (Track(notes=notes_array([(0, 240, 60, 80), (0, 120, 64, 80)])),)))
    # Two frames: 64 60 end, 60 end, behind BOS.
    assert found == [(1, 4, 64), (2, 4, 60), (4, 6, 60)]


@pytest.mark.parametrize(("name", "bars"), [("notes", 3), ("parts", 3), ("remi", 3), ("performance", 0), ("frames", 0)])
def test_bar_lines_are_drawn_where_ids_have_bars(name, bars):
    tokenizer = load_tokenizer({"name": name})
    assert len(bar_lines(tokenizer, tokenizer.encode(PIECE))) == bars


def test_ids_without_notes():
    for name in ("notes", "parts", "remi", "performance", "frames"):
        assert rows(name, Piece())[0] == []


def test_kinds():
    names = ("notes", "parts", "remi", "performance", "frames")
    kinds = [pitch_kind(load_tokenizer({"name": name})) for name in names]
    assert kinds == ["pitch", "pitch", "pitch", "on", "pitch"]

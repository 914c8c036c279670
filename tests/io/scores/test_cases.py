"""The small files of ../shared/cases: notes at their right places, as told beside each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from musicgen.io.scores import SCORE_SUFFIXES, read_score

CASES = Path(__file__).parents[4] / "shared" / "cases"
FILES = [path for path in sorted(CASES.glob("*/t.*")) if path.suffix in SCORE_SUFFIXES]
# What `is_drum` is, and whatever else is told in words.
IN_WORDS = {"is_drum true": lambda piece: all(track.is_drum for track in piece.tracks if len(track.notes))}


def quarters(piece) -> list[tuple[int, float, float]]:
    """[pitch, onset, length] of every note, in quarters."""
    per = piece.ticks_per_quarter
    return sorted((int(n["pitch"]), n["start"] / per, n["duration"] / per) for t in piece.tracks for n in t.notes)


@pytest.mark.skipif(not FILES, reason="needs ../shared/cases")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_case_is_read_as_it_should_be(path):
    expected = json.loads((path.parent / "expected.json").read_text(encoding="utf-8"))
    notes = expected.get("expected_notes_pitch_onset_length_in_quarters")
    piece = read_score(path)
    piece.validate()
    if notes is None:
        assert IN_WORDS[expected["expected_result"]](piece)
    else:
        assert quarters(piece) == sorted(tuple(note) for note in notes)

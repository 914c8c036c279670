"""Kinds are told by instruments; the table has plausible values of each, for what `statistics` tells."""

from __future__ import annotations

import pytest

from musicgen.evaluation.reference import KINDS, kind_of, reference
from musicgen.evaluation.statistics import statistics
from musicgen.piece import Piece, Track, notes_array

LINE = notes_array([(n * 240, 240, 60 + n % 7, 80) for n in range(32)])
CHORDS = notes_array([(n * 480, 480, pitch, 80) for n in range(16) for pitch in (60, 64, 67)])


@pytest.mark.parametrize(
    ("tracks", "kind"),
    [
        ([Track(notes=LINE, is_drum=True)], "drums"),
        ([Track(notes=LINE, program=33), Track(notes=LINE, is_drum=True)], "band"),
        ([Track(notes=LINE, program=73), Track()], "tune"),
        ([Track(notes=CHORDS)], "piano"),
        ([Track(notes=LINE), Track(notes=LINE)], "piano"),
        ([Track(notes=LINE, program=40), Track(notes=LINE, program=42)], "ensemble"),
    ],
)
def test_kinds_are_told_by_instruments(tracks, kind):
    assert kind_of(Piece(480, tuple(tracks))) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_every_kind(kind):
    table = reference(kind)
    assert table["kind"] == kind
    assert table["pieces"] >= 30
    told = statistics(Piece(480, (Track(notes=CHORDS),)))
    assert set(table) - {"kind", "pieces"} <= set(told)
    for key, values in table.items():
        if isinstance(values, list):
            low, median, high = values
            assert low <= median <= high, key
            if key in ("silent_bars", "repeated_bars", "on_eighths", "scale_consistency", "polyphony_rate"):
                assert 0 <= low <= high <= 1, key


def test_what_is_no_kind_has_no_reference():
    assert reference("opera") == {}

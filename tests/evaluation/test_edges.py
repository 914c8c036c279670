"""Faults at the edges of a hole: none in music that goes on, and each kind where it was planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from musicgen.evaluation.edges import Fault, at_edge, within
from musicgen.piece import CONTROL, METER, Piece, Span, Track, notes_array

BAR, BEAT = 1920, 480
HOLE = Span(8 * BAR, 10 * BAR, is_open=False)
LEAD, BASS, KIT = range(3)
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


def song() -> Piece:
    """Eighteen bars of a tune in quarters, a bass in half notes, and drums in eighths."""
    lead = [(BEAT * n, BEAT - 20, 60 + SCALE[(3 * n) % 8], 80) for n in range(72)]
    bass = [(2 * BEAT * n, 2 * BEAT, 36 + SCALE[n % 3], 80) for n in range(36)]
    kit = [(BEAT // 2 * n, 60, 42, 80) for n in range(144)]
    names = (("Lead", lead), ("", bass), ("Kit", kit))
    tracks = [Track(name, 33, name == "Kit", notes_array(rows)) for name, rows in names]
    return Piece(480, tuple(tracks), meters=np.array([(0, 4, 4)], METER))


def planted(part: int, change: Callable[[np.ndarray], np.ndarray]) -> Piece:
    """The song with the notes of a part that begin in the hole changed."""
    piece = song()
    notes = piece.tracks[part].notes
    mine = (notes["start"] >= HOLE.begin) & (notes["start"] < HOLE.end)
    new = notes_array(np.concatenate([notes[~mine], change(notes[mine].copy())]))
    tracks = [replace(t, notes=new) if n == part else t for n, t in enumerate(piece.tracks)]
    return replace(piece, tracks=tuple(tracks))


def told(piece: Piece, *, behind: bool = True, written: tuple[int, ...] = (LEAD, BASS, KIT)) -> list[Fault]:
    return at_edge(piece, HOLE, written=written, behind=behind)


def raised(notes: np.ndarray, column: str, by: int, of: slice) -> np.ndarray:
    notes[column][of] += by
    return notes


@pytest.mark.parametrize("behind", [False, True])
def test_music_that_goes_on_has_no_fault(behind):
    assert told(song(), behind=behind) == []
    assert within(song(), HOLE, written=[LEAD, BASS, KIT], asked=True) == []


def test_a_note_that_sounds_on_behind_the_hole_is_told():
    (fault,) = told(planted(BASS, lambda new: raised(new, "duration", BEAT, slice(-1, None))))
    assert fault == Fault("spilling", 2, "part 2: 1 note sounding on past the last new bar")
    assert told(planted(BASS, lambda new: raised(new, "duration", 50, slice(-1, None)))) == []  # legato


def test_a_key_that_is_struck_on_both_sides_of_the_edge_is_told():
    first = song().tracks[LEAD].notes[40:41]

    def early(new: np.ndarray) -> np.ndarray:
        twice = first.copy()
        twice["start"], twice["duration"] = HOLE.end - 10, 10
        return np.concatenate([new, twice])

    assert [fault.kind for fault in told(planted(LEAD, early))] == ["doubled"]


@pytest.mark.parametrize(("behind", "of"), [(True, slice(-1, None)), (False, slice(0, 1))])
def test_a_leap_at_either_edge_is_told(behind, of):
    piece = planted(LEAD, lambda new: raised(new, "pitch", 36, of))
    assert [fault.kind for fault in told(piece, behind=behind)] == ["leap"]
    assert told(piece, behind=not behind) == []
    far = 45 if behind else 27
    assert told(piece, behind=behind)[0].said == f"part 1 (Lead): a leap of {far} semitones"


@pytest.mark.parametrize("behind", [False, True])
def test_a_bar_without_a_part_at_the_edge_is_told_and_silence_of_all(behind):
    def cut(new: np.ndarray) -> np.ndarray:
        return new[new["start"] < HOLE.end - BAR] if behind else new[new["start"] >= HOLE.begin + BAR]

    (fault,) = told(planted(BASS, cut), behind=behind)
    assert (fault.kind, fault.part) == ("rest", 2)
    assert fault.said == "part 2: a rest of 1.0 bars, as nowhere around"
    alone = replace(planted(BASS, cut), tracks=(planted(BASS, cut).tracks[BASS],))
    assert [fault.kind for fault in told(alone, behind=behind, written=(0,))] == ["rest", "silence"]


def test_rests_that_the_part_makes_elsewhere_are_none():
    def often(piece: Piece) -> Piece:
        notes = piece.tracks[BASS].notes
        return replace(
            piece, tracks=(piece.tracks[LEAD], replace(piece.tracks[BASS], notes=notes[notes["start"] // BAR % 2 == 0]))
        )

    assert told(often(song()), written=(BASS,)) == []


def test_a_bar_off_the_beat_is_told():
    piece = planted(LEAD, lambda new: raised(new, "start", 97, slice(0, 7)))
    assert told(piece, behind=False, written=(LEAD,)) == [
        Fault("pulse", None, "100 % of the onsets are off the beat of what is around")
    ]
    assert told(piece, behind=True, written=(BASS,)) == []


def test_a_new_pedal_that_stays_down_is_told():
    new = Track("New", 0, notes=notes_array([(HOLE.begin, BEAT, 60, 80)]))
    for value, kinds in ((127, ["pedal"]), (0, [])):
        pedal = np.array([(HOLE.begin, 64, 127), (HOLE.end - 1, 64, value)], CONTROL)
        piece = replace(song(), tracks=(*song().tracks, replace(new, controls=pedal)))
        assert [fault.kind for fault in told(piece, written=(3,))] == kinds


def test_parts_that_were_asked_for_must_play_and_one_of_all_at_least():
    empty = planted(LEAD, lambda new: new[:0])
    assert within(empty, HOLE, written=[LEAD, BASS], asked=True) == [Fault("missing", 1, "part 1 (Lead): no new notes")]
    assert within(empty, HOLE, written=[LEAD, BASS], asked=False) == []
    assert within(empty, HOLE, written=[LEAD], asked=False) == [Fault("missing", None, "no new notes")]

"""The sustain pedal goes on in new music where and how it went before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from midi_bricks import part_homes

from musicgen.io.channels import Channels
from musicgen.io.midi import midi_from_piece, piece_from_midi
from musicgen.io.splice import NewPart, splice
from musicgen.piece import CONTROL, Piece, Track, notes_array
from musicgen.sampling.pedal import pedalled
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Request
from musicgen.tokenizers import Parts

BAR, BARS, NEW = 1920, 12, 4


def pedal(bars, moves):
    """Controller 64 of some bars: (ticks into the bar, value)."""
    return np.array([(bar * BAR + at, 64, value) for bar in bars for at, value in moves], CONTROL)


def continued(*controls, at_end=True, tail=0):
    """(before, after the cut) the (tick, value) pedal of a file of one part a table, with new notes behind it."""
    notes = notes_array([(480 * k, 480, 60, 80) for k in range(4 * BARS + tail)])
    piece = Piece(480, tuple(Track(notes=notes, controls=table) for table in controls))
    midi = midi_from_piece(piece)
    piece = piece_from_midi(midi)
    plan = make_plan(piece, Parts(), request=Request(bars=NEW, start=None if at_end else BARS), context=512)
    new = notes_array([(plan.cut + 480 * k, 480, 62, 80) for k in range(4 * NEW)])
    parts = [NewPart(new, 0, False, track, channel) for track, channel in part_homes(midi)]
    out = splice(midi, pedalled(parts, Channels(midi), piece, plan), span=plan.span, at_end=at_end)
    found = []
    for old, track in zip(midi.tracks, out.tracks, strict=True):
        kept = old.rows[old.rows["tick"] < plan.cut]
        assert np.array_equal(track.rows[: len(kept)], kept)
        rows = track.rows[(track.rows["status"] & 0xF0 == 0xB0) & (track.rows["tick"] >= plan.cut)]
        assert set(rows["data1"].tolist()) <= {64}
        found.append([(t - plan.cut, v) for t, v in zip(rows["tick"].tolist(), rows["data2"].tolist(), strict=True)])
    return found[1:]


def test_no_pedal_before_none_after():
    assert continued(np.empty(0, CONTROL)) == [[]]
    assert continued(pedal([0, 1, 2], [(0, 127), (1900, 0)])) == [[]]  # long ago


def test_the_pattern_goes_on_bar_by_bar_and_ends_up():
    moves = [(60, 110), (900, 0), (1020, 110), (1860, 0)]
    expected = [(bar * BAR + at, value) for bar in range(NEW) for at, value in moves]
    assert continued(pedal(range(BARS), moves)) == [expected]
    assert continued(pedal(range(BARS + 1), moves), at_end=False, tail=4) == [expected]


def test_a_pedal_held_over_the_bar_line_is_changed_there_and_lifted_at_the_end():
    (found,) = continued(pedal(range(BARS), [(20, 0), (100, 90)]))
    assert found[0] == (0, 0)  # held at the cut
    assert found[1:] == [
        *[(bar * BAR + at, value) for bar in range(NEW) for at, value in ((20, 0), (100, 90))][1:],
        (NEW * BAR, 0),
    ]


def test_the_most_typical_bar_is_taken_and_its_values():
    table = pedal(range(BARS), [(0, 40), (1440, 0)])
    odd = pedal([BARS - 1], [(480, 0), (960, 40)])
    table = np.sort(np.concatenate([table, odd]), order="tick")
    assert continued(table) == [[(bar * BAR + at, v) for bar in range(NEW) for at, v in ((0, 40), (1440, 0))]]


def test_a_pedal_held_over_several_bars_is_changed_as_often():
    table = pedal(range(0, BARS, 2), [(10, 0), (100, 127)])
    assert continued(table) == [[(0, 0), (100, 127), (2 * BAR + 10, 0), (2 * BAR + 100, 127), (NEW * BAR, 0)]]


def test_only_the_channels_that_did_so():
    moves = [(0, 127), (1800, 0)]
    assert continued(pedal(range(BARS), moves), np.empty(0, CONTROL)) == [
        [(bar * BAR + at, v) for bar in range(NEW) for at, v in moves],
        [],
    ]


def test_two_staves_of_one_channel_pedal_once_where_the_pedal_stood():
    notes = notes_array([(480 * k, 480, 60, 80) for k in range(4 * BARS)])
    moves = pedal(range(BARS), [(0, 127), (1800, 0)])
    midi = midi_from_piece(Piece(480, (Track(notes=notes, controls=moves), Track(notes=notes, controls=moves))))
    conductor, upper, lower = midi.tracks
    is_pedal = upper.rows["status"] == 0xB0
    pedals = replace(upper, rows=upper.rows[is_pedal], blobs=())
    upper = replace(upper, rows=upper.rows[~is_pedal])
    lower = replace(lower, rows=lower.rows[lower.rows["data1"] != 64])
    for tracks in ((upper, lower), (upper, pedals, lower)):
        # The pedal stands in the lower staff, then in a track of its own between the two.
        own = (upper, replace(lower, rows=np.concatenate([lower.rows, pedals.rows]))) if len(tracks) == 2 else tracks
        own = [replace(t, rows=t.rows[np.argsort(t.rows["tick"], kind="stable")]) for t in own]
        file = replace(midi, tracks=(conductor, *own))
        piece = piece_from_midi(file)
        assert [len(track.controls) for track in piece.tracks] == [2 * BARS, 2 * BARS]
        plan = make_plan(piece, Parts(), request=Request(bars=NEW), context=512)
        new = notes_array([(plan.cut, 480, 62, 80)])
        parts = [NewPart(new, 0, False, track, 0) for track, _ in part_homes(file)]
        parts = pedalled(parts, Channels(file), piece, plan)
        assert [len(part.controls) for part in parts] == [2 * NEW, 2 * NEW]
        out = splice(file, parts, span=plan.span, at_end=True)
        found = [
            int(((t.rows["status"] == 0xB0) & (t.rows["data1"] == 64) & (t.rows["tick"] >= plan.cut)).sum())
            for t in out.tracks
        ]
        assert found == ([0, 0, 2 * NEW] if len(tracks) == 2 else [0, 2 * NEW, 0, 0])

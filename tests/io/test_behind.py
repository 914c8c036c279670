"""What lay behind a cut follows the new music: all its events, later, on channels that are as they were."""

from __future__ import annotations

import midi_fixtures
import numpy as np
import pytest

from musicgen.io.behind import with_rest
from musicgen.io.channels import Channels
from musicgen.io.midi import piece_from_midi
from musicgen.io.smf import END_OF_TRACK, META, parse_smf, smf_bytes
from musicgen.io.splice import NewPart, splice
from musicgen.piece import CONTROL, Span, notes_array

FAR = 1_000


def events(midi, number, *, begin, end=None, moved=0):
    """(tick, status, data, payload) of a track's events in [begin, end), `moved` ticks earlier."""
    track = midi.tracks[number]
    rows = track.rows[(track.rows["tick"] >= begin) & (track.rows["tick"] < (end or 1 << 60))]
    rows = rows[(rows["status"] != META) | (rows["data1"] != END_OF_TRACK)]
    return [(r["tick"] - moved, r["status"], r["data1"], r["data2"], track.payload(r)) for r in rows]


def with_new(midi, cut, *, controls=()):
    part = NewPart(notes_array([(cut, 100, 71, 80)]), 0, False, 0, 0, controls=np.array(list(controls), CONTROL))
    span = Span(cut, cut + FAR)
    return parse_smf(smf_bytes(with_rest(splice(midi, [part], span=span), Channels(midi), span=span)))


@pytest.mark.parametrize("name", sorted(midi_fixtures.LEGAL))
def test_every_event_behind_the_cut_follows(name):
    midi = parse_smf(midi_fixtures.LEGAL[name])
    piece = piece_from_midi(midi)
    starts = np.unique(np.concatenate([np.zeros(1, int), *(t.notes["start"] for t in piece.tracks)]))
    cut = int(starts[len(starts) // 2])
    if not cut:
        pytest.skip("no note begins later")
    out = with_new(midi, cut)
    for number in range(len(midi.tracks)):
        before = events(midi, number, begin=cut + 1)
        after = events(out, number, begin=cut + FAR + 1, moved=FAR)
        offs = [e for e in before if e not in after]
        assert [e for e in after if e not in before] == []
        # Only the ends of notes that began before the cut stay out.
        assert all((e[1] & 0xF0) == 0x80 or ((e[1] & 0xF0) == 0x90 and not e[3]) for e in offs)
    old = sorted(n for t in piece.tracks for n in t.notes[t.notes["start"] >= cut][["start", "pitch"]].tolist())
    new = piece_from_midi(out).tracks
    kept = sorted(n for t in new for n in t.notes[t.notes["start"] >= cut + FAR][["start", "pitch"]].tolist())
    assert [(start - FAR, pitch) for start, pitch in kept] == old


def file(*track_bytes):
    return parse_smf(midi_fixtures.file(*track_bytes))


def test_a_held_pedal_is_down_again_behind_the_new_music():
    on, off, track = midi_fixtures.on, midi_fixtures.off, midi_fixtures.track
    pedal = bytes([0, 0xB0, 64, 127])
    midi = file(track(pedal, on(0, 60), off(480, 60), on(0, 62), off(480, 62)))
    out = with_new(midi, 480)
    pedals = [(e[0], e[3]) for e in events(out, 0, begin=0) if e[1] == 0xB0 and e[2] == 64]
    assert pedals == [(0, 127), (480, 0), (480 + FAR, 127)]


def test_a_pedal_of_the_new_music_is_lifted_before_the_rest():
    on, off, track = midi_fixtures.on, midi_fixtures.off, midi_fixtures.track
    midi = file(track(on(0, 60), off(480, 60), on(0, 62), off(480, 62)))
    out = with_new(midi, 480, controls=[(500, 64, 100)])
    pedals = [(e[0], e[3]) for e in events(out, 0, begin=0) if e[1] == 0xB0 and e[2] == 64]
    assert pedals == [(500, 100), (480 + FAR, 0)]

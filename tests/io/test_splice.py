"""The file is preserved: every source event before the cut is in the output, tick for tick and in order."""

from __future__ import annotations

import midi_fixtures
import numpy as np
import pytest
from midi_bricks import events_from_rows, part_homes

from musicgen.io.midi import piece_from_midi, read_midi_file
from musicgen.io.smf import END_OF_TRACK, META, Events, MidiFile, parse_smf, smf_bytes
from musicgen.io.splice import NewPart, splice
from musicgen.piece import Piece, Span, notes_array
from musicgen.sampling.cuts import plain_cut


def listed(track: Events, before: int) -> list[tuple]:
    """A track's events before a tick as plain values, without the end of track."""
    rows = track.rows[track.rows["tick"] < before]
    return [
        (int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), track.payload(r))
        for r in rows
        if (r["status"], r["data1"]) != (META, END_OF_TRACK)
    ]


def new_parts(midi: MidiFile, piece: Piece, cut: int) -> list[NewPart]:
    """A note for every part of the file, and one for an instrument that it lacks."""
    note = notes_array([(cut, 10, 61, 80), (cut + 10, 10, 61, 80)])
    parts = [
        NewPart(note, t.program, t.is_drum, where, channel)
        for t, (where, channel) in zip(piece.tracks, part_homes(midi), strict=True)
    ]
    return [*parts, NewPart(note, 73, False, name="Flute")]


def check_preserved(midi: MidiFile, *, cut: int, at_end: bool) -> None:
    piece = piece_from_midi(midi)
    out = parse_smf(smf_bytes(splice(midi, new_parts(midi, piece, cut), span=Span(cut, cut + 40), at_end=at_end)))
    assert out.format == midi.format
    assert out.division == midi.division
    for number, track in enumerate(midi.tracks):
        assert listed(out.tracks[number], cut) == listed(track, cut)
    # Notes that had ended by the cut are the same; those that sounded across it end there.
    old, new = piece.tracks, piece_from_midi(out).tracks
    for a, b in zip(old, new, strict=False):
        before = a.notes[a.notes["start"] < cut]
        kept = b.notes[b.notes["start"] < cut]
        assert kept["start"].tolist() == before["start"].tolist()
        assert kept["pitch"].tolist() == before["pitch"].tolist()
        assert kept["velocity"].tolist() == before["velocity"].tolist()
        ends = before["start"] + before["duration"]
        if any(warning.startswith("hanging_notes") for warning in piece.warnings):  # nothing ends it before the cut
            ends[ends == piece.end] = max(cut, piece.end)
        expected = np.maximum(1, np.minimum(ends, cut) - before["start"])
        assert kept["duration"].tolist() == expected.tolist()


@pytest.mark.parametrize("name", sorted(midi_fixtures.LEGAL))
def test_every_event_before_the_end_is_kept(name):
    midi = parse_smf(midi_fixtures.LEGAL[name])
    piece = piece_from_midi(midi)
    cut = plain_cut(piece)
    last = max((int(t.notes["start"].max()) for t in piece.tracks if len(t.notes)), default=0)
    assert not piece.n_notes or cut > last
    check_preserved(midi, cut=cut, at_end=True)


@pytest.mark.parametrize("name", sorted(midi_fixtures.LEGAL))
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_every_event_before_a_cut_inside_is_kept(name, share):
    midi = parse_smf(midi_fixtures.LEGAL[name])
    cut = int(piece_from_midi(midi).end * share)
    check_preserved(midi, cut=cut, at_end=False)


def test_real_files_are_kept(shared_data):
    files = sorted((shared_data / "piano_midi_de").rglob("*.mid"))[::40]
    files += sorted((shared_data / "mutopia_pd").glob("*.mid"))[::20]
    for path in files:
        midi = read_midi_file(path)
        check_preserved(midi, cut=plain_cut(piece_from_midi(midi)), at_end=True)
        check_preserved(midi, cut=piece_from_midi(midi).end // 2, at_end=False)


def one_track(*events: tuple[int, int, int, int]) -> MidiFile:
    return MidiFile(1, 480, (events_from_rows([(*e, None) for e in events]),))


def after(midi: MidiFile, tick: int) -> list[tuple]:
    return [e[:4] for e in listed(midi.tracks[0], 10**9) if e[0] >= tick]


def test_held_notes_and_pedals_end_at_the_cut():
    midi = one_track((0, 0xB0, 64, 127), (0, 0x90, 60, 80), (100, 0x90, 64, 80), (900, 0x80, 60, 0), (900, 0x80, 64, 0))
    out = splice(midi, [], span=Span(480, 960), at_end=False)
    assert sorted(after(out, 480)) == [(480, 0x80, 60, 64), (480, 0x80, 64, 64), (480, 0xB0, 64, 0)]


def test_a_fade_out_and_a_bend_do_not_swallow_the_new_notes():
    midi = one_track((0, 0xB0, 7, 100), (0, 0x90, 60, 80), (400, 0xE0, 0, 100), (470, 0xB0, 7, 0), (480, 0x80, 60, 0))
    part = NewPart(notes_array([(480, 240, 62, 80)]), 0, False, 0, 0)
    out = after(splice(midi, [part], span=Span(480, 960), at_end=True), 480)
    assert (480, 0xB0, 7, 100) in out
    assert (480, 0xE0, 0, 64) in out
    assert out.index((480, 0xB0, 7, 100)) < out.index((480, 0x90, 62, 80))


def test_a_channel_gets_the_program_of_the_part_that_plays_on():
    midi = one_track((0, 0xC0, 40, 0), (0, 0x90, 60, 80), (480, 0x80, 60, 0), (480, 0xC0, 56, 0))
    part = NewPart(notes_array([(960, 240, 62, 80)]), 40, False, 0, 0)
    assert (960, 0xC0, 40, 0) in after(splice(midi, [part], span=Span(960, 1440), at_end=True), 960)


def test_format_0_stays_format_0():
    midi = MidiFile(0, 480, one_track((0, 0x90, 60, 80), (480, 0x80, 60, 0)).tracks)
    out = splice(midi, [NewPart(notes_array([(480, 240, 62, 80)]), 73, False)], span=Span(480, 960), at_end=True)
    assert (out.format, len(out.tracks)) == (0, 1)
    assert {t.program for t in piece_from_midi(out).tracks} == {0, 73}


def test_a_track_that_is_lacking_is_appended_with_its_name():
    midi = one_track((0, 0x90, 60, 80), (480, 0x80, 60, 0))
    out = splice(
        midi, [NewPart(notes_array([(480, 240, 62, 80)]), 73, False, name="Flute")], span=Span(480, 960), at_end=True
    )
    assert [t.name for t in piece_from_midi(out).tracks] == ["", "Flute"]


def test_a_key_is_never_held_twice():
    midi = one_track((0, 0x90, 60, 80), (480, 0x80, 60, 0))
    notes = notes_array([(480, 900, 62, 80), (600, 100, 62, 80)])
    out = piece_from_midi(splice(midi, [NewPart(notes, 0, False, 0, 0)], span=Span(480, 1920), at_end=True))
    assert out.tracks[0].notes[["start", "duration"]].tolist() == [(0, 480), (480, 120), (600, 100)]


def test_texts_after_the_end_stay_and_channel_events_go():
    rows = [(0, 0x90, 60, 80, None), (480, 0x80, 60, 0, None), (960, 0xB0, 123, 0, None), (960, META, 6, 0, b"Coda")]
    out = splice(MidiFile(1, 480, (events_from_rows(rows),)), [], span=Span(480, 1920), at_end=True)
    assert [e for e in listed(out.tracks[0], 10**9) if e[0] > 480] == [(960, META, 6, 0, b"Coda")]

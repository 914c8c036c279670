"""Tracks that nobody gave a program are understood by what they are called; all others stay what they are."""

from __future__ import annotations

import pytest
from midi_bricks import event, header, meta, off, on, track

from musicgen.io.midi import piece_and_homes
from musicgen.io.smf import parse_smf
from musicgen.piece import Piece
from musicgen.sampling.names import called
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Request
from musicgen.sampling.source import Source
from musicgen.tokenizers import Parts

DRUMS = 128


def heard(*tracks: tuple[str, int, int | None, int], form: int = 1) -> Piece:
    """The piece as heard of a file with (name, channel, program or None, pitch) tracks of eight notes each."""
    chunks = []
    for name, channel, program, pitch in tracks:
        events = [meta(0, 3, name.encode())]
        events += [] if program is None else [event(0, 0xC0 | channel, program)]
        for _ in range(8):
            events += [on(0, pitch, 80, channel), off(240, pitch, channel)]
        chunks.append(track(*events))
    midi = parse_smf(header(form, len(chunks)) + b"".join(chunks))
    return Source(midi, *piece_and_homes(midi), "test.mid", "0").encoded_piece


def values(piece: Piece) -> list[int]:
    return [DRUMS if t.is_drum else t.program for t in piece.tracks]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Drums", 128), ("DRUM KIT 1", 128), ("Perc.", 128), ("Schlagzeug", 128), ("Batterie", 128), ("hi-hat", 128),
        ("Bass", 33), ("E-Bass", 33), ("Bajo", 33), ("Bass Gtr", 33), ("Bass Drum", 128), ("Joe's bass", 33),
        ("Vox", 52), ("Lead Vocal", 52), ("Backing vocals 2", 52), ("Voz", 52), ("Voice", 52),
        ("Guitar", 24), ("Dist Gtr", 30), ("Acoustic Guitar (L)", 25), ("Streicher", 48), ("Strings", 48),
        ("Violine I", 40), ("Brass", 61), ("Bläser", 61), ("Pad", 89), ("Flöte", 73), ("Alto Sax", 65), ("Organ", 19),
        ("Piano left hand", 0), ("Klavier rechts", 0), ("Left hand", None), ("", None), ("Track 3", None),
        ("Voice 2", None), ("Stimme 1", None), ("The Little Drummer Boy", None), ("Song for voice and piano", None),
        ("Bassoon", 70), ("Steel drums", 114), ("Bass clef of the second system", None),
    ],
)  # fmt: skip
def test_what_names_say(name, value):
    assert called(name) == value


def test_tracks_of_one_channel_are_what_they_are_called_and_it_is_said():
    piece = heard(("Drums", 0, 0, 38), ("Bass", 0, None, 40), ("Vox", 0, None, 67), ("Piano", 0, None, 60))
    assert values(piece) == [128, 33, 52, 0]
    assert piece.warnings[0] == 'named: track 1 "Drums" is understood as drums'
    assert len([line for line in piece.warnings if line.startswith("named: ")]) == 3


def test_tracks_without_a_program_are_what_they_are_called():
    assert values(heard(("Bass", 0, None, 40), ("Flute", 1, None, 72), ("Drums", 2, None, 40))) == [33, 73, 128]
    assert values(heard(("Flute", 0, None, 72))) == [73]


def test_real_programs_stay():
    given = [("Bass", 0, 38, 40), ("Vox", 1, 85, 67), ("Drums", 2, 0, 40), ("Drums", 9, None, 40)]
    assert values(heard(*given)) == [38, 85, 0, 128]
    # Two violins of one channel are the strings that its program says.
    assert values(heard(("Violin I", 0, 48, 72), ("Violin II", 0, None, 67), ("Cello", 0, None, 48))) == [48, 48, 48]
    assert not heard(*given).warnings


def test_staves_and_titles_are_no_instruments():
    staves = ("Soprano", 0, None, 72), ("Alto", 0, None, 65), ("Tenor", 0, None, 60), ("Bass", 0, None, 48)
    assert values(heard(*staves)) == [0, 0, 0, 0]
    assert values(heard(("Prelude for organ", 0, None, 60), form=0)) == [0]
    assert values(heard(("Piano left hand", 0, None, 40), ("Piano right hand", 0, None, 72))) == [0, 0]


def test_what_is_called_drums_must_look_like_a_kit():
    assert values(heard(("Drums", 0, None, 100), ("Bass", 0, None, 40))) == [0, 33]


def test_a_plan_numbers_the_parts_as_they_are_heard():
    piece = heard(("Drums", 0, 0, 38), ("Vox", 0, None, 67), ("Bass", 0, None, 40))
    plan = make_plan(piece, Parts(), request=Request(), context=512)
    assert [(voice.program, voice.tracks) for voice in plan.ensemble.voices] == [(33, (2,)), (52, (1,)), (128, (0,))]
    assert (Parts().encode(piece, voices=plan.ensemble.voices)[:, 0] > 128).sum() == 8  # struck as drums


def test_a_program_of_another_port_is_no_program_of_this_one():
    chunks = [
        track(meta(0, 0x21, bytes([port])), meta(0, 3, name), *chosen, *([on(0, 40) + off(240, 40)] * 4))
        for port, name, chosen in ((0, b"Flute", [event(0, 0xC0, 5)]), (1, b"Bass", []))
    ]
    midi = parse_smf(header(1, 2) + b"".join(chunks))
    assert values(Source(midi, *piece_and_homes(midi), "test.mid", "0").encoded_piece) == [5, 33]

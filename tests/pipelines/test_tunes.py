"""Tunes with chords made from music of several parts: what they keep of it, and how they are written."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from musicgen.io.scores import read_tune
from musicgen.piece import KEY, METER, NOTE, Piece, Track, notes_array
from musicgen.tokenizers import Abc

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines"))
from tune_chords import heard_chords
from tune_text import Style, drawn_style, written
from tunes import in_key, tunes_of

BAR = 3 * 480
HARMONY = "CFGCCFGCGCGCCFGC"  # a chord a bar
TRIADS = {"C": (48, 52, 55), "F": (53, 57, 60), "G": (55, 59, 62)}
MELODY = {"C": (72, 76, 79), "F": (77, 72, 69), "G": (74, 71, 74)}
ENTRY = {"kind": "piano-score", "source": "polish_scores/keyboard/x_anonim--walc.mid", "bars": 16}


def waltz() -> Piece:
    """Sixteen bars: a right hand of three quarters a bar, its last one held; a bass and two chords in the left."""
    right, left = [], []
    for n, name in enumerate(HARMONY):
        at = n * BAR
        if n % 8 == 7:
            right.append((at, BAR, 72, 80))
        else:
            right += [(at + 480 * k, 480, pitch, 80) for k, pitch in enumerate(MELODY[name])]
        root, third, fifth = TRIADS[name]
        left += [(at, 480, root - 12, 70)]
        left += [(at + 480 * k, 480, pitch, 60) for k in (1, 2) for pitch in (third, fifth)]
    tracks = (Track("", 0, notes=notes_array(right)), Track("", 0, notes=notes_array(left)))
    return Piece(480, tracks, meters=np.array([(0, 3, 4)], METER))


def test_a_waltz_becomes_a_tune_with_its_chords_and_repeats():
    (tune,) = tunes_of(waltz(), ENTRY)
    assert (tune.kind, tune.title, tune.meter) == ("dance", "Waltz", (3, 4))
    assert (int(tune.piece.keys["fifths"][0]), bool(tune.piece.keys["minor"][0])) == (0, False)
    text = written(tune)
    assert text.startswith('X:1\nT:Waltz\nM:3/4\nL:1/8\nK:C Major\n|:"C"c2 e2 g2|"F"f2 c2 A2|"G"d2 B2 d2|"C"')
    assert text.count("|:") == text.count(":|") == 2, "a dance repeats its sections"
    assert text.endswith("c6:|\n")
    read = read_tune(text)
    assert [w for w in read.warnings if not w.startswith("chord_symbols")] == []
    assert read.tracks[0].notes["pitch"][:3].tolist() == [72, 76, 79]


def test_what_no_one_would_sing_is_no_tune():
    piece = waltz()
    right = piece.tracks[0]
    wild = right.notes.copy()
    wild["pitch"][::2] += 19
    assert not list(tunes_of(replace(piece, tracks=(replace(right, notes=wild), piece.tracks[1])), ENTRY))
    dense = notes_array([(n * 120, 120, 60 + n % 12, 80) for n in range(16 * 12)])
    assert not list(tunes_of(replace(piece, tracks=(replace(right, notes=dense), piece.tracks[1])), ENTRY))


def test_a_tune_that_does_not_close_on_its_tonic_is_left_out():
    piece = waltz()
    left = piece.tracks[1].notes.copy()
    left["pitch"][left["start"] >= 15 * BAR] += 1  # a last chord outside of every key near C
    right = piece.tracks[0].notes.copy()
    right["pitch"][right["start"] >= 15 * BAR] += 1
    tracks = tuple(replace(t, notes=notes_array(n)) for t, n in zip(piece.tracks, (right, left), strict=True))
    assert not list(tunes_of(replace(piece, tracks=tracks), ENTRY))


@pytest.mark.parametrize("fifths", range(-4, 5))
def test_a_tune_in_another_key_is_spelled_in_it(fifths):
    (tune,) = tunes_of(waltz(), ENTRY)
    moved = in_key(tune, fifths)
    tonic, above = (
        ["Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E"][fifths + 4],
        ["Eb", "Bb", "F", "C", "G", "D", "A", "E", "B"][fifths + 4],
    )
    symbols = moved.piece.chords["symbol"].tolist()
    assert symbols[0] == symbols[-1] == tonic
    assert above in symbols
    text = written(moved)
    assert f"K:{tonic} Major\n" in text
    assert not set("^_=") & set(text.partition("\nK:")[2]), "no accidentals in a tune that has none"
    shift = (7 * fifths + 5) % 12 - 5
    assert read_tune(text).tracks[0].notes["pitch"][:3].tolist() == [72 + shift, 76 + shift, 79 + shift]


def test_every_style_says_the_same_music():
    (tune,) = tunes_of(waltz(), ENTRY)
    plain = read_tune(written(tune))
    rng = np.random.default_rng(1)
    styles = {drawn_style(rng, tune) for _ in range(12)} | {Style(unit=Fraction(1, 4), spaced=False)}
    texts = {written(tune, style) for style in styles}
    assert len(texts) > 5
    for text in texts:
        played = read_tune(text).tracks[0].notes
        whole = plain.tracks[0].notes
        assert played["pitch"][:40].tolist() == whole["pitch"][:40].tolist() or ":|" not in text
        grammar = Abc().grammar()
        for token in Abc().encode_text(text).tolist():
            assert grammar.allowed()[token]
            grammar.advance(token)


def test_a_pickup_stands_before_the_first_bar_line():
    tracks = []
    for track, program in zip(waltz().tracks, (52, 0), strict=True):
        notes = track.notes.copy()
        notes["start"] += 480
        if program:
            notes = notes_array(np.append(np.array([(0, 480, 67, 80)], NOTE), notes))
        tracks.append(replace(track, program=program, notes=notes))
    meters, keys = np.array([(0, 1, 4), (480, 3, 4)], METER), np.array([(0, 0, False)], KEY)
    song = Piece(480, tuple(tracks), meters=meters, keys=keys)
    (tune,) = tunes_of(song, {**ENTRY, "kind": "song", "source": "openscore_lieder/x.mxl"})
    first = written(tune).split("\n")[5]
    assert re.sub(r'"[^"]*"', "", first) == "G2|c2 e2 g2|f2 c2 A2|d2 B2 d2|c2 e2 g2|"


def test_chords_are_heard_with_their_bass_and_once():
    rows = []
    for n, chord in enumerate([(48, 64, 67, 72), (48, 64, 67, 72), (43, 59, 62, 65), (45, 60, 64, 69)]):
        rows += [(n * 32, n * 32 + 32, pitch) for pitch in chord]
    notes = np.array(rows)
    bars = [(n * 32, n * 32 + 32) for n in range(4)]
    found = heard_chords(notes, notes[:0], bars=bars, fifths=0, halves={32: 16})
    assert [(h.at, h.root, h.quality) for h in found] == [(0, 0, ""), (64, 7, "7"), (96, 9, "m")]

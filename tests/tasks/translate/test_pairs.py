"""Pairs are what a musician hears in a piece, and survive being ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from translate_pieces import PROGRESSION, QUARTER, chorale, lead_sheet, notes, tune_with_chords

from musicgen.models.tasks.translate_layout import ATB, CHORDS, LONGEST_BAR, N_CHORDS
from musicgen.piece import METER, Piece, Track
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.examples import batch_of, random_batch
from musicgen.tasks.translate.harmony import KINDS, chord_number, fifths_of, pitch_classes, shifted, symbol_of
from musicgen.tasks.translate.pairs import PER_QUARTER, REST, in_c, pair_of


@pytest.mark.parametrize("piece", [lead_sheet(), tune_with_chords()], ids=["symbols", "a part"])
def test_chords_are_those_of_symbols_or_of_a_part_that_plays_them(piece):
    pair = pair_of(piece, CHORDS)
    assert [symbol_of(chord) for chord in pair.values_MK[:, 0]] == list(PROGRESSION)
    assert pair.steps_M2.tolist() == [[24 * n, 24 * (n + 1)] for n in range(8)]
    assert pair.notes_N3[:3, :2].tolist() == [[0, 12], [12, 24], [24, 36]]
    assert pair.notes_N3[:, 2].min() > 59  # the melody, and not the chords


def test_a_target_is_cut_at_each_bar_line_and_says_which_chords_go_on():
    pair = pair_of(lead_sheet(), CHORDS)
    long = replace(lead_sheet(), chords=lead_sheet().chords[:1])
    cut = pair_of(long, CHORDS)
    assert cut.steps_M2.tolist() == pair.steps_M2.tolist()
    assert cut.struck_MK[:, 0].tolist() == [True] + 7 * [False]


def test_voices_are_alto_tenor_and_bass_below_the_highest_line():
    pair = pair_of(chorale(), ATB)
    assert pair.values_MK[0].tolist() == [60, 52, 43]
    assert pair.struck_MK.all()
    assert pair_of(replace(chorale(), tracks=chorale().tracks[:3]), ATB) is None
    assert pair_of(lead_sheet(), ATB) is None


def test_a_voice_that_pauses_and_one_that_goes_on_are_told_apart():
    upper = [Track("", 0, False, notes([(beat, 1, 72 - 5 * n) for beat in range(4)])) for n in range(3)]
    bass = Track("", 0, False, notes([(0, 2, 40), (3, 1, 41)]))
    pair = pair_of(Piece(QUARTER, (*upper, bass)), ATB)
    assert pair.values_MK[:, 2].tolist() == [40, 40, REST, 41]
    assert pair.struck_MK[:, 2].tolist() == [True, False, False, True]
    alphabet = Alphabet(ATB, 4)
    again = alphabet.decoded(pair, alphabet.target(pair))
    assert again.values_MK.tolist() == pair.values_MK.tolist()


@pytest.mark.parametrize(("kind", "piece"), [(CHORDS, lead_sheet()), (ATB, chorale())])
def test_ids_say_the_pair_and_the_inputs_stand_where_the_targets_do(kind, piece):
    pair, alphabet = pair_of(piece, kind), Alphabet(kind, 8)
    ids = alphabet.target(pair)
    again = alphabet.decoded(pair, ids)
    assert again.steps_M2.tolist() == pair.steps_M2.tolist()
    assert again.values_MK.tolist() == pair.values_MK.tolist()
    for f, (first, size) in enumerate(alphabet.fields):
        assert ((ids[:, f] >= first) & (ids[:, f] < first + size)).all()
    inputs = alphabet.inputs(pair)
    assert inputs[1:, : ids.shape[1]].tolist() == ids[:-1].tolist()
    # A chord and the note that begins with it are at one place.
    assert inputs[2, -3:].tolist() == alphabet.source(pair)[1 + 4, -3:].tolist()
    assert alphabet.source(pair).max() < max(alphabet.n_source, alphabet.n_place)
    assert inputs.max() < max(alphabet.n_target, alphabet.n_place)


def test_an_excerpt_is_transposed_as_a_whole():
    pair = pair_of(lead_sheet(), CHORDS).excerpt(2, 3)
    assert (pair.bars, pair.edges_B1.tolist()) == (3, [0, 24, 48, 72])
    assert [symbol_of(c) for c in pair.values_MK[:, 0]] == ["G", "C", "Am"]
    up = pair.transposed(2, kind=CHORDS)
    assert [symbol_of(c) for c in up.values_MK[:, 0]] == ["A", "D", "Bm"]
    assert (up.notes_N3[:, 2] - pair.notes_N3[:, 2] == 2).all()


@pytest.mark.parametrize("semitones", range(-6, 6))
def test_every_transposition_is_one_pair_in_the_signature_without_sharps_and_flats(semitones):
    pair = pair_of(lead_sheet(), CHORDS)
    moved, by = in_c(pair.transposed(semitones, kind=CHORDS), kind=CHORDS)
    assert [symbol_of(chord) for chord in moved.values_MK[:, 0]] == list(PROGRESSION)
    assert (by + semitones) % 12 == 0
    assert -6 <= by < 6
    assert in_c(pair, kind=CHORDS, moves=False) == (pair, 0)


def test_a_signature_that_is_written_decides_unless_the_notes_contradict_it():
    line = np.array([[12 * n, 12 * n + 12, pitch] for n, pitch in enumerate((60, 62, 64, 67, 64, 62, 67))])
    # G and C are near each other here, and F sharp is far.
    assert (fifths_of(line, written=1), fifths_of(line, written=0), fifths_of(line, written=6)) == (1, 0, 1)
    assert fifths_of(line[:0], written=3) == 3


def test_chords_are_numbered_by_kind_and_root():
    assert 1 + 12 * len(KINDS) == N_CHORDS
    numbers = np.arange(N_CHORDS)
    assert [chord_number(symbol_of(n)) for n in numbers] == numbers.tolist()
    assert shifted(shifted(numbers, 5), 7).tolist() == numbers.tolist()
    assert pitch_classes(chord_number("Gmaj7")) == {7, 11, 2}
    assert symbol_of(chord_number("Bbm"), fifths=5) == "A#m"


def test_a_bar_that_is_too_long_is_cut_in_equal_parts():
    meters = np.array([(0, 12, 4)], METER)
    pair = pair_of(replace(lead_sheet(), meters=meters), CHORDS)
    assert np.diff(pair.edges_B1).max() <= LONGEST_BAR
    assert pair.edges_B1[:3].tolist() == [0, 6 * PER_QUARTER, 12 * PER_QUARTER]


def test_a_batch_is_a_function_of_seed_and_step_and_uses_all_numbers_of_bars():
    pairs, alphabet = [pair_of(tune_with_chords(seed=n), CHORDS) for n in range(3)], Alphabet(CHORDS, 12)
    how = {"rows": 32, "seed": 1, "semitones": (-5, 6)}
    one, same, other = (random_batch(pairs, alphabet, step=step, **how) for step in (4, 4, 5))
    assert one.source.equal(same.source)
    assert one.targets.equal(same.targets)
    assert not (one.source.shape == other.source.shape and one.source.equal(other.source))
    assert set(one.inputs[..., 2].unique().tolist()) >= set(range(1, 13))
    assert one.n_steps == int((one.targets[..., 0] != 0).sum())
    alone = batch_of(pairs[:1], alphabet)
    assert alone.source.shape[1] == 1 + len(pairs[0].notes_N3)

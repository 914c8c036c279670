"""Distances of notes from steps, from ids alone."""

from __future__ import annotations

import numpy as np
import torch
from translate_pieces import lead_sheet

from musicgen.models.tasks.translate_distances import EDGES, N_DISTANCES, distances
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.examples import batch_of
from musicgen.tasks.translate.pairs import PER_QUARTER, pair_of


def test_a_step_knows_the_notes_under_it_those_that_go_on_and_how_far_the_others_are():
    pair, alphabet = pair_of(lead_sheet(), CHORDS), Alphabet(CHORDS, 8)
    pair.notes_N3[3, 1] += PER_QUARTER  # the second bar's last note goes on into the third
    batch = batch_of([pair], alphabet)
    found = distances(alphabet, batch.inputs[..., -3:], batch.source)[0]
    assert found.shape == (8, 17)
    away = pair.notes_N3[None, :, 0] - pair.steps_M2[:, :1]
    classes = np.searchsorted(EDGES, away, side="right")
    goes_on = (away < 0) & (pair.notes_N3[None, :, 1] > pair.steps_M2[:, :1])
    assert goes_on.sum() == 1
    assert found[:, 1:].tolist() == np.where(goes_on, N_DISTANCES - 1, classes).tolist()


def test_where_in_the_numbers_of_bars_an_excerpt_begins_changes_no_distance():
    pair, alphabet = pair_of(lead_sheet(), CHORDS).excerpt(0, 4), Alphabet(CHORDS, 8)
    one, other = (batch_of([pair], alphabet, first_bars=[n]) for n in (0, 3))
    found = [distances(alphabet, each.inputs[..., -3:], each.source) for each in (one, other)]
    assert torch.equal(*found)

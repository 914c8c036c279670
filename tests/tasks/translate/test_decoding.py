"""Whatever weights a model has, what is decoded is music: whole bars, voices in their ranges, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from translate_pieces import chorale, tune_with_chords

from musicgen.errors import UsageError
from musicgen.models.settings import ModelSettings
from musicgen.models.tasks.registry import build_task_model
from musicgen.models.tasks.translate_layout import ATB, CHORDS
from musicgen.sampling.filters import SamplingSettings
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.examples import batch_of
from musicgen.tasks.translate.figures import sounding, voice_leading
from musicgen.tasks.translate.harmony import shifted
from musicgen.tasks.translate.pairs import REST, pair_of

SOURCES = {CHORDS: pair_of(tune_with_chords(), CHORDS), ATB: pair_of(chorale(12), ATB)}


def model(kind, *, family="gru", bars=8, seed=0):
    settings = ModelSettings(family, 1, width=16, layers=1, heads=2, context=64)
    return build_task_model(settings, {"name": "translate", "pair": kind, "bars": bars}, seed=seed)


@pytest.mark.parametrize("kind", [CHORDS, ATB])
@pytest.mark.parametrize("bars", [8, 3], ids=["at once", "in sections"])
@pytest.mark.parametrize("search", ["greedy", "beam", "sample"])
def test_every_target_fills_its_bars_and_no_step_passes_a_bar_line(kind, bars, search):
    source = SOURCES[kind]
    generator = torch.Generator().manual_seed(3)
    found, nats = translate(model(kind, bars=bars), source, search=Search(search, width=2), generator=generator)
    assert nats > 0
    assert found.steps_M2[0, 0] == 0
    assert found.steps_M2[-1, 1] == source.edges_B1[-1]
    assert (found.steps_M2[1:, 0] == found.steps_M2[:-1, 1]).all()
    assert set(source.edges_B1.tolist()) <= {0, *found.steps_M2[:, 1].tolist()}
    if kind == ATB:
        facts = voice_leading([found])
        assert (facts["crossings"], facts["out_of_range"], facts["parallels"]) == (0, 0, 0)
        assert (sounding(found) != REST).all()
        ends = found.steps_M2[:, 1]
        assert (np.isin(ends, source.notes_N3[:, 0]) | (ends % 3 == 0)).all()


def test_voices_may_cross_and_move_in_parallel_where_that_is_asked():
    free = Search("sample", crossing=True, parallels=True, sampling=SamplingSettings())
    generator = torch.Generator().manual_seed(0)
    facts = voice_leading([translate(model(ATB), SOURCES[ATB], search=free, generator=generator)[0] for _ in range(4)])
    assert facts["crossings"] > 0
    assert facts["parallels"] > 0


def test_a_beam_of_one_is_greedy_and_a_wide_one_finds_nothing_worse():
    net = model(CHORDS)
    greedy, nats = translate(net, SOURCES[CHORDS], search=Search("greedy"))
    one, same = translate(net, SOURCES[CHORDS], search=Search("beam", width=1))
    _, wide = translate(net, SOURCES[CHORDS], search=Search("beam", width=6))
    assert one.values_MK.tolist() == greedy.values_MK.tolist()
    assert nats == pytest.approx(same)
    assert wide <= nats


def test_the_nats_are_those_that_the_model_gives_the_same_target():
    net = model(ATB)
    found, nats = translate(net, SOURCES[ATB], search=Search("greedy"))
    batch = batch_of([found], Alphabet(ATB, 8))
    with torch.no_grad():
        again = net.eval().nats(batch.source, batch.inputs, batch.targets).sum().item()
    assert nats == pytest.approx(again, rel=1e-4)


@pytest.mark.parametrize("kind", [CHORDS, ATB])
def test_a_melody_in_another_key_gets_the_same_chords_there_and_voices_keep_their_ranges(kind):
    net = model(kind)
    one, _ = translate(net, SOURCES[kind], search=Search("greedy"))
    other, _ = translate(net, SOURCES[kind].transposed(2, kind=kind), search=Search("greedy"))
    if kind == CHORDS:
        assert other.steps_M2.tolist() == one.steps_M2.tolist()
        assert other.values_MK.tolist() == shifted(one.values_MK, 2).tolist()
    else:
        assert (other.values_MK.max(axis=0) <= [76, 69, 62]).all()  # the ranges don't move


def test_a_take_is_a_function_of_its_seed():
    net = model(CHORDS)
    takes = [
        translate(net, SOURCES[CHORDS], search=Search("sample"), generator=torch.Generator().manual_seed(seed))[0]
        for seed in (1, 1, 2)
    ]
    assert takes[0].values_MK.tolist() == takes[1].values_MK.tolist()
    assert takes[0].values_MK.tolist() != takes[2].values_MK.tolist()


def test_a_source_below_all_ranges_is_crossed_rather_than_left_alone():
    low = SOURCES[ATB].transposed(-40, kind=ATB)
    found, _ = translate(model(ATB), low, search=Search("greedy"))
    assert (sounding(found)[:, 1:] != REST).any()


def test_a_search_that_is_none_is_refused():
    with pytest.raises(UsageError, match="there is no search 'beem'; did you mean 'beam'"):
        Search("beem")
    with pytest.raises(UsageError, match="a beam of 0; give 1 to 64 hypotheses"):
        Search(width=0)

"""The translator: every family, causal, indifferent to padding, and with one vector where it has no attention."""

from __future__ import annotations

import pytest
import torch
from translate_pieces import chorale, tune_with_chords

from musicgen.errors import UsageError
from musicgen.models.registry import FAMILIES
from musicgen.models.settings import ModelSettings
from musicgen.models.tasks.registry import blank_task_model, build_task_model, task_settings
from musicgen.models.tasks.translate_layout import ATB, CHORDS
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.examples import batch_of
from musicgen.tasks.translate.pairs import pair_of

ALPHABET = Alphabet(CHORDS, 8)
PAIRS = [pair_of(tune_with_chords(seed=n), CHORDS) for n in range(2)]


def model(family="gru", *, pair=CHORDS, attention=True):
    settings = ModelSettings(family, 1, width=16, layers=2, heads=2, context=64)
    return build_task_model(settings, {"name": "translate", "pair": pair, "attention": attention, "bars": 8}).eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", [True, False])
def test_no_step_depends_on_later_ones_nor_on_what_it_stands_beside(family, attention):
    net = model(family, attention=attention)
    short = PAIRS[0].excerpt(0, 3)
    alone, beside = batch_of([short], ALPHABET), batch_of([short, PAIRS[1]], ALPHABET)
    nats = net.nats(alone.source, alone.inputs, alone.targets)[0]
    assert nats.shape == (3, 2)
    both = net.nats(beside.source, beside.inputs, beside.targets)
    assert torch.allclose(both[0, :3], nats, atol=1e-5)
    assert (both[0, 3:] == 0).all()
    changed = alone.inputs.clone()
    changed[0, 2, 0] = ALPHABET.fields[0][0]
    assert torch.allclose(net.nats(alone.source, changed, alone.targets)[0, :2], nats[:2], atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_step_by_step_equals_the_whole_pass(family):
    net, batch = model(family), batch_of(PAIRS[:1], ALPHABET)
    memory = net.encode(batch.source)
    whole, _, _ = net.decode(batch.inputs, memory)
    state, steps = None, []
    for t in range(batch.inputs.shape[1]):
        hidden, state, _ = net.decode(batch.inputs[:, t : t + 1], memory, state)
        steps.append(hidden)
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)


@torch.no_grad()
def test_a_new_model_looks_at_the_notes_under_a_step_first():
    batch = batch_of([PAIRS[0]], ALPHABET)
    net = model("transformer")
    _, _, (before, _) = net.decode(batch.inputs, net.encode(batch.source))
    under = torch.arange(8)[:, None] == (torch.arange(17)[None] - 1) // 2
    assert (before[0].mean(dim=0) * under).sum(dim=-1).mean() > 0.5  # of even weights it would be 2 / 17


@torch.no_grad()
def test_steps_before_are_left_out_in_training_alone():
    net, batch = model(), batch_of(PAIRS[:1], ALPHABET)
    alike = [net.nats(batch.source, batch.inputs, batch.targets) for _ in range(2)]
    assert torch.equal(*alike)
    torch.manual_seed(0)
    net.train()
    assert not torch.equal(*(net.nats(batch.source, batch.inputs, batch.targets) for _ in range(2)))
    with pytest.raises(UsageError, match=r"\[task\] forget is 1.0; give a share from 0, below 1"):
        build_task_model(net.settings, {"name": "translate", "forget": 1.0})


@torch.no_grad()
def test_attention_sums_to_one_over_the_notes_and_without_it_there_is_one_vector():
    batch = batch_of([PAIRS[0].excerpt(0, 2), PAIRS[1]], ALPHABET)
    net = model("transformer")
    _, _, found = net.decode(batch.inputs, net.encode(batch.source))
    for weights in found:
        assert weights.shape == (2, 2, *batch.targets.shape[1:2], batch.source.shape[1])
        assert torch.allclose(weights.sum(-1), torch.ones(()))
        assert (weights[0, ..., 1 + len(PAIRS[0].excerpt(0, 2).notes_N3) :] == 0).all()
    bare = model("transformer", attention=False)
    assert bare.encode(batch.source).states_BSC.shape == (2, 1, 16)
    assert bare.n_parameters == net.n_parameters
    assert bare.state_dict().keys() == net.state_dict().keys()


def test_the_one_vector_holds_what_was_read_first_and_last():
    net, batch = model(attention=False), batch_of(PAIRS[:1], ALPHABET)
    before = net.encode(batch.source).states_BSC
    for note in (1, -1):
        changed = batch.source.clone()
        changed[0, note, 0] += 1
        assert not torch.allclose(net.encode(changed).states_BSC, before, atol=1e-6)


def test_four_fields_for_voices_and_an_inverse_temperature_for_each():
    net = model(pair=ATB)
    batch = batch_of([pair_of(chorale(), ATB)], Alphabet(ATB, 8))
    nats = net.nats(batch.source, batch.inputs, batch.targets)
    assert nats.shape == batch.targets.shape == (1, 8, 4)
    net.set_inverse_temperature((1.0, 1.0, 1.0, 0.5))
    again = net.nats(batch.source, batch.inputs, batch.targets)
    assert torch.equal(again[..., :3], nats[..., :3])
    assert not torch.equal(again[..., 3], nats[..., 3])
    with pytest.raises(ValueError, match="4 numbers above 0"):
        net.set_inverse_temperature((1.0,))


def test_settings_offer_the_nearest():
    with pytest.raises(UsageError, match=r"\[task\] pair is 'melody-chord'; did you mean 'melody-chords'\?"):
        task_settings({"name": "translate", "pair": "melody-chord"})
    with pytest.raises(UsageError, match=r"\[task\] bars is 0; give 1 to 256 bars"):
        task_settings({"name": "translate", "bars": 0})
    assert blank_task_model(ModelSettings("lstm", 1, width=16), {"name": "translate"}).n_parameters > 0

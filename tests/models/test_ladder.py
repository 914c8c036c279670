"""What each rung of the ladder promises beside what all models do: its equations, its reach, its horizon."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model
from musicgen.models.layers.convolution import CausalConvolution, dilations
from musicgen.models.layers.recurrence import CELLS, GATES, Recurrence
from musicgen.sampling.eager import _step_recurrence

V, C = 12, 16
KINDS = sorted(CELLS)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def recurrence(kind: str, *, layers: int = 2) -> Recurrence:
    torch.manual_seed(3)
    return Recurrence(kind, 6, C, layers).eval()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_written_out_equals_the_fused_layer(kind, packed):
    layer = recurrence(kind)
    x = random(3, 40, 6)
    with torch.no_grad():
        _, state = layer(random(3, 7, 6, seed=1))
        fused, fused_state = layer(x, state)
        if packed:
            _step_recurrence(layer)
        looped, looped_state = layer.unrolled(x, state)
    torch.testing.assert_close(looped, fused, atol=1e-5, rtol=1e-5)
    for name, value in fused_state.tensors().items():
        torch.testing.assert_close(looped_state.tensors()[name], value, atol=1e-5, rtol=1e-5)
    assert looped_state.position == fused_state.position == 47


@pytest.mark.parametrize("family", ["rnn", "gru", "lstm", "cnn-lstm"])
def test_the_loop_trains_as_the_fused_layer_does(family):
    """The same weights by the same names: losses equal to 1e-6, and gradients to 1e-4 of the largest."""
    shape = {"width": C, "layers": 2}
    models = [build_model(ModelSettings(family, V, recurrence=kind, **shape), seed=1) for kind in ("fused", "loop")]
    models[1].load_state_dict(models[0].state_dict())
    ids = torch.randint(V, (3, 65), generator=torch.Generator().manual_seed(2))
    losses, gradients = [], []
    for model in models:
        nats, _ = model.train().nats(ids[:, :-1], ids[:, 1:], pad=0)
        nats.mean().backward()
        losses.append(nats.detach())
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(losses[1], losses[0], atol=1e-6, rtol=1e-6)
    for name, fused in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], fused, atol=1e-4 * fused.abs().max().item(), rtol=0, msg=name)


def test_the_loop_drops_between_layers_only_and_only_in_training():
    layers = [Recurrence("lstm", 6, C, count, dropout=0.5, by_hand=True) for count in (1, 2)]
    x = random(2, 9, 6)
    for layer, same in zip(layers, (True, False), strict=True):
        assert torch.equal(layer.train()(x)[0], layer(x)[0]) == same
        assert torch.equal(layer.eval()(x)[0], layer(x)[0])


def test_the_plain_recurrence_is_its_equation():
    layer = recurrence("rnn", layers=1)
    W, U, b, c = layer.fused.all_weights[0]
    x, h = random(1, 5, 6), torch.zeros(1, C)
    with torch.no_grad():
        told, _ = layer.unrolled(x)
        for t in range(5):
            h = torch.tanh(x[:, t] @ W.T + b + h @ U.T + c)
            torch.testing.assert_close(told[:, t], h)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gates_lie_where_they_can_and_explain_what_is_said(kind):
    layer = recurrence(kind)
    x = random(2, 30, 6)
    gates = layer.gates(x)
    assert [tuple(each) for each in gates] == [GATES[kind]] * 2
    for each in gates:
        for name, value in each.items():
            assert value.shape == (2, 30, C)
            low = -1 if name == "candidate" else 0
            assert low <= value.min()
            assert value.max() <= 1
    # From the gates alone, what the top layer says follows.
    top, hidden, cell = gates[-1], torch.zeros(2, C), torch.zeros(2, C)
    with torch.no_grad():
        told, _ = layer(x)
    for t in range(30):
        at = {name: value[:, t] for name, value in top.items()}
        if kind == "lstm":
            cell = at["forget"] * cell + at["input"] * at["candidate"]
            hidden = at["output"] * cell.tanh()
        else:
            hidden = at["update"] * hidden + (1 - at["update"]) * at["candidate"]
        torch.testing.assert_close(hidden, told[:, t], atol=1e-5, rtol=1e-5)


def test_the_plain_network_has_no_gates():
    assert recurrence("rnn").gates(random(1, 4, 6)) == []


@pytest.mark.parametrize("family", ["gru", "lstm", "cnn-lstm"])
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_a_model_shows_its_gates(family, embedding):
    model = build_model(ModelSettings(family, V, width=C, layers=2, embedding=embedding)).eval()
    gates = model.gates(torch.randint(V, (2, 9)))
    assert len(gates) == 2
    assert all(value.shape == (2, 9, C) for each in gates for value in each.values())


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_causal_convolution_is_that_of_the_library(dilation):
    layer = CausalConvolution(5, 7, taps=4, dilation=dilation)
    x = random(2, 20, 5)
    kernel = layer.product.weight.view(7, 4, 5).transpose(1, 2)  # (outputs, inputs, taps), the oldest first
    padded = F.pad(x.transpose(1, 2), (layer.reach, 0))
    expected = F.conv1d(padded, kernel, dilation=dilation).transpose(1, 2)
    with torch.no_grad():
        got, past = layer(x, None)
    torch.testing.assert_close(got, expected)
    assert torch.equal(past, x[:, -layer.reach :])


def test_dilations_double_and_begin_again():
    assert dilations(8, 512) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert dilations(6, 7) == [1, 2, 1, 2, 1, 2]
    assert dilations(3, 1) == [1, 1, 1]


@pytest.mark.parametrize(("family", "layers", "context"), [("window", 3, 10), ("window", 1, 1), ("cnn", 4, 31)])
def test_a_step_sees_exactly_what_lies_within_reach(family, layers, context):
    model = build_model(ModelSettings(family, V, width=C, layers=layers, context=context)).eval()
    ids = torch.randint(V, (1, 60), generator=torch.Generator().manual_seed(1))
    other = ids.clone()
    other[:, 5] = (other[:, 5] + 1) % V
    with torch.inference_mode():
        differs = (model(ids)[0] != model(other)[0]).any(-1)[0]
    assert model.reach == context
    assert differs.nonzero().flatten().tolist() == list(range(5, 5 + context))


@pytest.mark.parametrize("fields", [(), ((0, 5), (5, 7))])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_horizon_scores_the_steps_after_the_next(family, fields):
    model = build_model(ModelSettings(family, V, width=C, layers=2, heads=2, context=16, horizon=3, fields=fields))
    model.eval()
    with torch.no_grad():
        for layer in model.ahead:
            torch.nn.init.normal_(layer.weight)
        shape = (2, 11, 2) if fields else (2, 11)
        ids = torch.randint(1, 5, shape)
        if fields:
            ids[..., 1] += 5
        inputs, targets = ids[:, :-1], ids[:, 1:]
        ahead, _ = model.nats_ahead(inputs, targets, pad=0)
        alone, _ = model.nats(inputs, targets, pad=0)
        changed = inputs.clone()
        changed[:, -1] = inputs[:, 0]
        again, _ = model.nats_ahead(changed, targets, pad=0)
    assert [nats.shape[1] for nats in ahead] == [10, 9, 8]
    assert torch.equal(ahead[0], alone)
    assert not torch.allclose(ahead[1], alone[:, 1:])
    # The last input is read too late for any target two steps ahead.
    assert torch.equal(again[1], ahead[1])
    assert not torch.equal(again[0], ahead[0])


def test_a_horizon_of_nought_is_refused():
    with pytest.raises(UsageError, match="horizon is 0"):
        ModelSettings("window", V, horizon=0)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"transformer"}))
def test_a_state_is_cleared_by_row_and_restored_from_tensors(family):
    model = build_model(ModelSettings(family, V, width=C, layers=2, context=8)).eval()
    ids, more = torch.randint(V, (3, 20)), torch.randint(V, (3, 6))
    with torch.inference_mode():
        _, state = model(ids)
        kept = model(more, state)[0]
        fresh = model(more)[0]
        mixed = model(more, state.cleared(torch.tensor([False, True, False])))[0]
        _, blank = model.read(more[:, :1])
        restored = model(more, blank.restored(state.tensors()))[0]
    torch.testing.assert_close(mixed[[0, 2]], kept[[0, 2]])
    torch.testing.assert_close(mixed[1], fresh[1])
    assert torch.equal(restored, kept)


def test_a_transformers_state_is_not_carried_in_training():
    model = build_model(ModelSettings("transformer", V, width=C, layers=1, heads=2)).eval()
    _, state = model(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match="not carried"):
        state.tensors()

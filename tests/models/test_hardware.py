"""What the machine can do is asked in one place, and everything that chooses a precision goes by the answer."""

from __future__ import annotations

import pytest
import torch
from training_tunes import REMI, Tunes, recipe

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model, hardware
from musicgen.models.layers.linear import products_by_row
from musicgen.training.loop import train
from musicgen.training.precision import precision_for

CPU = torch.device("cpu")


def small(family: str, width: int = 32):
    return build_model(ModelSettings(family, 40, width=width, layers=2, heads=2, context=16))


@pytest.fixture
def without(monkeypatch):
    """Makes this a machine that lacks some kinds of layers in bfloat16, whether or not it helps with the others."""

    def lacking(*kinds: str, helps: bool = True) -> None:
        monkeypatch.setattr(hardware, "_trains", lambda kind, device: kind not in kinds)
        monkeypatch.setattr(hardware, "_cpu_multiplies_in_bfloat16", lambda: helps)

    return lacking


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_is_said_to_work_works_and_what_fails_is_known(family):
    net = small(family).train()
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            nats, _ = net.nats(torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64), pad=0)
        nats.sum().backward()
        works = True
    except RuntimeError:
        works = False
    assert (hardware.lacks_bfloat16(net, CPU) is None) is works


def test_the_question_is_answered_for_a_model_without_memory_and_leaves_the_random_state(monkeypatch):
    hardware._trains.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.device("meta"):
        lacking = [hardware.lacks_bfloat16(torch.nn.LSTM(4, 4), CPU)]
    assert torch.equal(torch.rand(2), expected)
    with torch.inference_mode():
        hardware._trains.cache_clear()
        assert [hardware.lacks_bfloat16(torch.nn.LSTM(4, 4), CPU)] == lacking


def test_auto_never_takes_what_fails_or_does_not_help(without):
    without("LSTM")
    assert precision_for(CPU, "auto", small("lstm")) == "float32"
    assert precision_for(CPU, "auto", small("transformer")) == "bfloat16"
    without("attention")
    assert precision_for(CPU, "auto", small("transformer")) == "float32"
    without(helps=False)
    assert precision_for(CPU, "auto", small("transformer")) == "float32"
    assert precision_for(CPU, "bfloat16", small("transformer")) == "bfloat16", "slow, but asked for"


@pytest.mark.parametrize("family", ["lstm", "cnn-lstm"])
def test_a_wish_for_bfloat16_that_cant_be_met_is_one_line_and_leaves_nothing(family, without, tmp_path):
    without("LSTM")
    line = (
        f"`device` cpu: {family} can't be trained in bfloat16: this device computes no LSTM layers in it; "
        "use `precision` auto or float32"
    )
    with pytest.raises(UsageError) as caught:
        precision_for(CPU, "bfloat16", small(family))
    assert str(caught.value) == line
    with pytest.raises(UsageError, match="computes no LSTM layers in it"):
        train(Tunes(), REMI, recipe=recipe("lstm", precision="bfloat16"), folder=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_processor_held_to_avx2_is_not_said_to_be_fast(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    hardware._cpu_multiplies_in_bfloat16.cache_clear()
    try:
        assert not hardware.bfloat16_helps(CPU)
    finally:
        hardware._cpu_multiplies_in_bfloat16.cache_clear()


@torch.inference_mode()
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (48, 32), (64, 192), (192, 768), (48, 98), (20, 64), (7, 1)])
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 11])
def test_a_row_of_a_product_is_the_same_alone_and_among_others(inputs, outputs, rows):
    generator = torch.Generator().manual_seed(rows)
    x_BC = torch.randn(rows, inputs, generator=generator)
    weight = torch.randn(inputs, outputs, generator=generator).t()  # column by column, as steps read it
    for x in (x_BC, x_BC[:, None]):
        products = products_by_row(x, weight)
        assert torch.equal(products, torch.cat([torch.nn.functional.linear(row, weight) for row in x.split(1)]))


def test_rows_that_begin_inside_a_cache_line_are_not_put_into_one_batch():
    assert not hardware.keeps_rows_apart(98, 64)
    assert not hardware.keeps_rows_apart(64, 20)

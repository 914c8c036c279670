"""Weights, optimizers and checkpoints from strangers: what doesn't fit the model is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from musicgen.checkpoint import model_for
from musicgen.errors import ResourceError, UnreadableError
from musicgen.models import ModelSettings, build_model, hardware
from musicgen.models.layers.attention import Rotary, rotary_table
from musicgen.models.registry import blank_model
from musicgen.recipe import Recipe
from musicgen.runs.weights import check_optimizer, check_weights, fits_header, load_tensors, load_weights, read_header
from musicgen.training.optimizers import make_optimizers

SETTINGS = ModelSettings("lstm", 50, width=16, layers=2, context=32)


def refused(call, *arguments, **named) -> str:
    with pytest.raises(UnreadableError) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return caught.value.what


def loaded(path: Path) -> dict[str, torch.Tensor]:
    """A file's tensors in memory of their own: safetensors may map the file, and these tests write over it."""
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


@pytest.fixture
def stored(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(build_model(SETTINGS).state_dict(), path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_every_width_are_loaded(tmp_path, dtype):
    model, path = build_model(SETTINGS), tmp_path / "model.safetensors"
    save_file({name: value.to(dtype) for name, value in model.state_dict().items()}, path)
    weights = load_weights(path, blank_model(SETTINGS))
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value.to(dtype)) for name, value in model.state_dict().items())


def test_a_header_says_what_pytorch_would_load(stored):
    tensors = loaded(stored)
    assert {name: entry.shape for name, entry in read_header(stored).items()} == {
        n: tuple(t.shape) for n, t in tensors.items()
    }


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.uint8])
def test_what_is_no_float_is_no_weight(stored, dtype):
    tensors = loaded(stored)
    name = min(tensors)
    save_file({**tensors, name: tensors[name].to(dtype)}, stored)
    kind = {torch.int32: "I32", torch.bool: "BOOL", torch.uint8: "U8"}[dtype]
    assert refused(load_weights, stored, blank_model(SETTINGS)) == f"the tensor {name!r} holds {kind}, not floats"


def test_tensors_are_named_that_lack_or_are_too_many_or_of_another_shape(stored):
    tensors = loaded(stored)
    name = "recurrence.fused.weight_hh_l1"
    assert tensors[name].shape == (64, 16)
    for harmed, told in (
        ({k: v for k, v in tensors.items() if k != name}, f"lacks the tensor {name!r}"),
        ({**tensors, "more": torch.zeros(1)}, "the recipe's model has no tensor 'more'"),
        (
            {**tensors, name: tensors[name].t().contiguous()},
            f"the tensor {name!r} is 16 x 64, and the recipe asks for 64 x 16",
        ),
        (
            {**tensors, name: torch.zeros(())},
            f"the tensor {name!r} is a single number, and the recipe asks for 64 x 16",
        ),
    ):
        save_file(harmed, stored)
        assert refused(load_weights, stored, blank_model(SETTINGS)) == told


def test_each_number_must_be_finite(stored):
    tensors = loaded(stored)
    for value in (float("nan"), float("inf"), -float("inf")):
        name = sorted(tensors)[1]
        harmed = tensors[name].clone()
        harmed.view(-1)[-3:] = value
        save_file({**tensors, name: harmed}, stored)
        assert refused(load_tensors, stored) == f"the tensor {name!r} has 3 numbers that are NaN or infinite"


def test_a_recipe_that_the_file_cannot_hold_is_refused_without_a_model(stored):
    header = read_header(stored)
    fits_header({"width": 16, "layers": 2}, header, where=stored)
    assert refused(fits_header, {"width": 2**20}, header, where=stored).startswith("the recipe says width = 1,048,576")
    assert refused(fits_header, {"layers": 10**9}, header, where=stored).startswith(
        "the recipe says layers = 1,000,000,000"
    )
    assert refused(check_weights, header, blank_model(ModelSettings("gru", 50, width=16, layers=2)), where=stored)


def test_a_model_that_the_machine_cannot_hold_is_not_begun(monkeypatch):
    monkeypatch.setattr(hardware, "memory", lambda: 10**6)
    build_model(SETTINGS)
    with pytest.raises(
        ResourceError, match=r"a model of [\d,]+ parameters needs 0\.0 GB, this machine has 0\.0; use a"
    ):
        build_model(ModelSettings("lstm", 50, width=256, layers=2))


def test_a_long_context_takes_no_memory_before_it_is_read():
    rotary = Rotary(65_536, 8)
    assert len(rotary.cos) == 4096
    cos_TD, sin_TD = rotary_table(0, 6000, 8)
    for start, length in ((0, 100), (4000, 200), (4200, 1), (5000, 1000)):
        for mine, whole in zip(rotary(start, length), (cos_TD, sin_TD), strict=True):
            assert torch.equal(mine, whole[start : start + length])


# ---- the optimizer -----------------------------------------------------------------------------------------


@pytest.fixture
def optimizers():
    model = build_model(SETTINGS)
    made = make_optimizers(model, "muon", weight_decay=0.1, half=False)
    model.nats(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.int64), pad=0)[0].sum().backward()
    for optimizer in made:
        optimizer.step()
    return made


def flat(optimizers) -> dict[str, torch.Tensor]:
    return {
        f"{which}.{number}.{key}": value
        for which, optimizer in enumerate(optimizers)
        for number, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }


def test_an_optimizers_own_values_are_taken(optimizers):
    values = flat(optimizers)
    assert len(values) > 10
    check_optimizer(values, optimizers, where="x")
    check_optimizer({}, optimizers, where="x")


def test_other_values_are_refused_by_name(optimizers):
    values = flat(optimizers)
    name = next(name for name, value in values.items() if value.ndim == 2)
    for harm, told in (
        ({name: torch.zeros(3, 3)}, f"the optimizer's {name!r} is 3 x 3, and its weights are "),
        ({"0.999.momentum": torch.zeros(2)}, "the optimizer has no '0.999.momentum'"),
        ({"9.0.momentum": torch.zeros(2)}, "the optimizer has no '9.0.momentum'"),
        ({"0.0": torch.zeros(2)}, "the optimizer has no '0.0'"),
        ({"²..": torch.zeros(2)}, "the optimizer has no '²..'"),
        ({"-1.0.a": torch.zeros(2)}, "the optimizer has no '-1.0.a'"),
        ({"0.1.more": 1.0}, "the optimizer's values of weight 0."),
    ):
        assert refused(check_optimizer, {**values, **harm}, optimizers, where="x").startswith(told)


# ---- checkpoints -------------------------------------------------------------------------------------------


def test_a_recipe_and_a_tokenizer_make_the_same_model_blank():
    from musicgen.tokenizers import load_tokenizer

    tokenizer, recipe = load_tokenizer({"name": "parts"}), Recipe({"family": "transformer", "width": 16, "heads": 2})
    blank, real = model_for(recipe, tokenizer, blank=True), model_for(recipe, tokenizer)
    assert {n: t.shape for n, t in blank.state_dict().items()} == {n: t.shape for n, t in real.state_dict().items()}
    assert all(parameter.is_meta for parameter in blank.parameters())


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ({"step": "x"}, "step is 'x', not a whole number"),
        ({"step": True}, "step is True, not a whole number"),
        ({"seconds": "x"}, "seconds is 'x', not a number"),
        ({"best": [1]}, "best is a list, not a number"),
        ({"card": []}, "card is a list, not a table"),
        ({"sharpness": [None]}, "sharpness.0 is None, not a number"),
        ({"optimizer": {"0.0.step": "x"}}, "optimizer.0.0.step is 'x', not a number"),
    ],
)
def test_a_state_of_other_types_is_refused(harm, told):
    from musicgen.schemas import State, check

    state = {"format": 1, "step": 3, "seconds": 1.5, "best": None, "sharpness": [1.0], "card": {}, "optimizer": {}}
    assert check(State, state, where="state.json") == state
    assert refused(check, State, {**state, **harm}, where="state.json") == told

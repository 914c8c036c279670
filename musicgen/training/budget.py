"""What a run may choose by itself: the width of a `tiny` model, and batches and validation that fit a small budget.

A preset is made for thousands of steps on a large corpus. In a minute on one core it would take a dozen steps and be
validated once. Many small steps teach more than few large ones (McCandlish et al. 2018, arXiv:1812.06162, section 2:
below the noise scale a batch half as large loses next to nothing), so a run with a time limit takes the largest batch
with which there are still some hundred steps, as measured by taking a few.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from musicgen.checkpoint import model_for
from musicgen.corpus.store import TokenSource
from musicgen.models.presets import TINY_PARAMETERS
from musicgen.recipe import Recipe, TrainSettings
from musicgen.tokenizers import Tokenizer
from musicgen.training.step import Setup
from musicgen.training.task import Task

__all__ = ["Chosen", "fitted_to_budget", "with_equal_size"]

STEPS = 400  # fewest steps that a time limit should leave room for, if smaller batches can do it
ROWS = 20  # planned rows of the log: half of them are left where the machine gets twice as busy
VALIDATING = 0.15  # most of the time, or of the training tokens, that validation is to take
LEAST_BATCH, LEAST_LENGTH = 4, 128
LEAST_VALIDATED = 2048  # tokens; fewer tell little
FORWARD = 0.5  # what a validated token costs beside a trained one
MEASURING = 0.1  # share of the time limit after which no larger batch is tried
GRAIN = 4  # widths are multiples of it


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A recipe with what was chosen in it, and that in words; "" where all is as the preset has it."""

    recipe: Recipe
    words: str = ""


def with_equal_size(recipe: Recipe, tokenizer: Tokenizer) -> Recipe:
    """The recipe with the width at which the model has TINY_PARAMETERS, whatever family and tokenizer.

    So families are compared at one size: at equal widths a head of fields alone makes one model twice another's size.
    """
    grain = math.lcm(GRAIN, 2 * recipe.model.get("heads", 1)) if recipe.model["family"] == "transformer" else GRAIN

    def at(times: int) -> Recipe:
        return dataclasses.replace(recipe, model={**recipe.model, "width": times * grain})

    def excess(times: int) -> int:
        return model_for(at(times), tokenizer, blank=True).n_parameters - TINY_PARAMETERS

    low, high = 1, 2
    while excess(high) < 0:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return at(min(low, high, key=lambda times: abs(excess(times))))


def fitted_to_budget(
    recipe: Recipe,
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    task: Task,
    free: frozenset[str],
    max_seconds: float | None,
    device: torch.device,
    clock: Callable[[], float] = time.monotonic,
) -> Chosen:
    """The recipe with batches and a calendar of validations that fit the time limit, or the number of steps.

    `free` names the settings that may change ("train.batch"): those that nobody asked for. With a time limit a few
    steps are taken and timed by `clock`, with a model that is thrown away.
    """
    before = recipe.train
    pace = None
    if max_seconds is not None:
        measured: list[tuple[Recipe, float]] = []
        for smaller in _candidates(recipe, source, free):
            pace = _seconds_a_step(smaller, source, tokenizer, task=task, device=device, clock=clock)
            measured.append((smaller, pace))
            if pace * STEPS > max_seconds or 4 * pace > MEASURING * max_seconds:
                break
        enough = [each for each in measured if each[1] * STEPS <= max_seconds]
        recipe, pace = enough[-1] if enough else measured[0]
    recipe = _validated(recipe, free, max_seconds, pace)
    after = recipe.train
    if after == before:
        return Chosen(recipe)
    words = (
        f"batches of {after.batch} windows of {after.length:,} tokens, "
        f"validated every {after.evaluate_every:,} steps on up to {after.evaluate_tokens:,} tokens"
    )
    return Chosen(recipe, words if pace is None else f"{words}; a step takes {pace:.2g} s")


def _candidates(recipe: Recipe, source: TokenSource, free: frozenset[str]) -> list[Recipe]:
    """Recipes with smaller batches, ascending, up to the recipe's own; windows no longer than most pieces need."""
    batch, length = recipe.train.batch, recipe.train.length
    if "train.length" in free:
        sizes = source.spans("train")[:, 1]
        typical = 2 ** math.ceil(math.log2(max(2.0, float(np.quantile(sizes, 0.9)) - 1)))
        length = min(length, max(LEAST_LENGTH, typical))
    found = [(batch, length)]
    while True:
        shorter = "train.length" in free and length > LEAST_LENGTH
        fewer = "train.batch" in free and batch > LEAST_BATCH
        if shorter and (length > 2 * LEAST_LENGTH or not fewer):
            length = max(LEAST_LENGTH, length // 2)
        elif fewer:
            batch = max(LEAST_BATCH, batch // 2)
        else:
            break
        found.append((batch, length))
    return [_sized(recipe, batch, length, free) for batch, length in reversed(found)]


def _sized(recipe: Recipe, batch: int, length: int, free: frozenset[str]) -> Recipe:
    """The recipe with such batches. A Transformer's context is as long as its windows: it predicts badly past them."""
    model = recipe.model
    if model["family"] == "transformer" and "model.context" in free and length < model.get("context", 0):
        model = {**model, "context": length}
    return dataclasses.replace(recipe, model=model, train=dataclasses.replace(recipe.train, batch=batch, length=length))


def _seconds_a_step(
    recipe: Recipe,
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    task: Task,
    device: torch.device,
    clock: Callable[[], float],
) -> float:
    """How long a training step takes: the second of two, for the first one loads and allocates."""
    model = model_for(recipe, tokenizer).to(device)
    learner = task.learner(model, source, tokenizer, setup=Setup(recipe, device))
    try:
        learner(0, rate=0.0).norm.item()
        begun = clock()
        learner(1, rate=0.0).norm.item()
        return max(clock() - begun, 1e-6)
    finally:
        learner.close()


def _validated(recipe: Recipe, free: frozenset[str], max_seconds: float | None, pace: float | None) -> Recipe:
    """The recipe with a validation often enough for ROWS rows of the log, on as many tokens as that leaves time for."""
    settings: TrainSettings = recipe.train
    trained = float(settings.steps)  # steps' worth of training that there is time for
    if max_seconds is not None and pace is not None:
        trained = min(trained, max_seconds / pace)
    elif "train.evaluate_every" not in free or trained >= ROWS / 2 * settings.evaluate_every:
        return recipe  # no clock cuts it short, and the calendar is asked for, or will do
    tokens = VALIDATING * trained * settings.batch * settings.length / FORWARD / ROWS
    chosen = {
        "evaluate_every": max(1, round((1 - VALIDATING) * trained / ROWS)),
        "evaluate_tokens": max(LEAST_VALIDATED, 2 ** int(math.log2(max(1.0, tokens)))),
    }
    return recipe.with_train(
        **{name: min(value, getattr(settings, name)) for name, value in chosen.items() if f"train.{name}" in free}
    )

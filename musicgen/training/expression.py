"""Training of a model of how notes are played (`models/expression.py`), on arrays: small enough for one CPU core.

Sequences are cut into windows of one length at random places; which, and the dropout, follow from the seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from musicgen.models.expression import NO_CLASS, ExpressionModel, ExpressionSettings

__all__ = ["ExpressionTraining", "Notes", "measured", "train_expression"]


@dataclass(frozen=True)
class ExpressionTraining:
    """`steps` updates on `batch` windows of `length` notes; the rate falls from `learning_rate` to nothing. It is
    validated every `evaluate_every` steps, and the best weights are kept. After `seconds` it ends early, if given."""

    steps: int = 1500
    batch: int = 32
    length: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    evaluate_every: int = 100
    seed: int = 1
    seconds: float | None = None


@dataclass(frozen=True)
class Notes:
    """The notes of one player: `features` (N, I) float32, `classes` (N, O) int64, and how often it is drawn."""

    features: np.ndarray
    classes: np.ndarray
    weight: float = 1.0


def train_expression(
    settings: ExpressionSettings,
    training: ExpressionTraining,
    *,
    train: Sequence[Notes],
    valid: Sequence[Notes],
    on_step: Callable[[int, float, float | None], None] = lambda step, loss, valid: None,
) -> tuple[ExpressionModel, list[float]]:
    """The best model by its nats on `valid`, in evaluation mode, and these, an output each.

    `on_step(step, loss, valid)` hears of every step, with the mean nats of valid where they were measured.
    """
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(training.seed)
        model = ExpressionModel(settings)
        model.normalise(torch.from_numpy(np.concatenate([one.features for one in train])))
        optimizer = torch.optim.AdamW(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)
        random = np.random.default_rng(training.seed)
        best, kept, done = float("inf"), model.state_dict(), 0.0
        for step in range(1, training.steps + 1):
            share = max(step / training.steps, done)
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * min(1.0, step / 50) * 0.5 * (1 + np.cos(np.pi * share))
            model.train()
            losses = _losses(model, *_windows(train, training, random))
            loss = torch.stack(losses).sum()
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done = 0.0 if training.seconds is None else (time.monotonic() - began) / training.seconds
            last = step == training.steps or done >= 1
            found = None
            if last or step % training.evaluate_every == 0:
                found = sum(measured(model, valid))
                if found < best:
                    best, kept = found, {name: value.clone() for name, value in model.state_dict().items()}
            on_step(step, float(loss.detach()), found)
            if last:
                break
    model.load_state_dict(kept)
    return model.eval(), measured(model, valid)


def _losses(model: ExpressionModel, features: torch.Tensor, classes: torch.Tensor) -> list[torch.Tensor]:
    """The mean nats a known target, an output each."""
    known = (classes != NO_CLASS).sum((0, 1)).clamp(min=1)
    return [nats.sum() / known[o] for o, nats in enumerate(model.nats(features, classes))]


def _windows(
    sequences: Sequence[Notes], training: ExpressionTraining, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of windows of one length: of all sequences by weight, the length that the shortest drawn one has."""
    sizes = np.array([one.weight * len(one.features) for one in sequences])
    chosen = random.choice(len(sequences), training.batch, p=sizes / sizes.sum())
    length = min(training.length, *(len(sequences[k].features) for k in chosen))
    begin = [int(random.integers(0, len(sequences[k].features) - length + 1)) for k in chosen]
    cut = [(sequences[k], slice(b, b + length)) for k, b in zip(chosen, begin, strict=True)]
    features = np.stack([one.features[span] for one, span in cut])
    classes = np.stack([one.classes[span] for one, span in cut])
    return torch.from_numpy(features), torch.from_numpy(classes)


@torch.no_grad()
def measured(model: ExpressionModel, sequences: Sequence[Notes]) -> list[float]:
    """The mean nats a known target, an output each, over whole sequences."""
    model.eval()
    total, known = torch.zeros(len(model.settings.outputs)), torch.zeros(len(model.settings.outputs))
    for one in sequences:
        classes = torch.from_numpy(one.classes)[None]
        total += torch.stack([nats.sum() for nats in model.nats(torch.from_numpy(one.features)[None], classes)])
        known += (classes != NO_CLASS).sum((0, 1))
    return (total / known.clamp(min=1)).tolist()

"""One optimiser step: a batch, its loss, the gradient, the weight update.

Step s is a function of (recipe, corpus, s): data and dropout are both seeded by (seed, step). With `carry` it also
depends on the hidden state after the previous step, which is saved in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from musicgen.corpus.store import TokenSource
from musicgen.errors import UsageError
from musicgen.models import SequenceModel
from musicgen.models.hardware import bfloat16_helps
from musicgen.recipe import Recipe, TrainSettings
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch
from musicgen.training.batches import Batches
from musicgen.training.feed import Feed
from musicgen.training.log import layer_norms
from musicgen.training.objectives import Loss, NextSteps, Objective, Taught
from musicgen.training.optimizers import make_optimizers
from musicgen.training.precision import autocast_for, precision_for
from musicgen.training.streams import Carried, Streams

__all__ = ["Learner", "Outcome", "check_request"]


@dataclass(frozen=True)
class Outcome:
    """The result of a step: the loss in nats per token and the gradient norm before clipping, both on the device, and
    the number of steps read, padding included."""

    loss: Tensor
    norm: Tensor
    ids: int
    layers: dict[str, float]  # gradient norm of each layer, if requested


def check_request(model: SequenceModel, settings: TrainSettings, device: torch.device, *, taught: bool) -> None:
    """Raise UsageError for settings that this model or device doesn't support; the model may be on the meta device.

    `taught` says that there are teachers.
    """
    precision_for(device, settings.precision, model)
    if settings.carry and not model.carries:
        what = "a model that reads by frame" if model.settings.by_frame else "a Transformer"
        raise UsageError(
            f"[train] carry is for models with a state, which {what} in training has not",
            hint="leave carry out, or choose a recurrent model and by_frame = false",
        )
    if taught and not model.step_head.teaches:
        raise UsageError("a model with a memory neither teaches nor is taught", hint="leave `teachers` out")
    if taught and (settings.carry or model.settings.horizon > 1):
        what = "carry" if settings.carry else "a horizon"
        raise UsageError(f"{what} and teachers don't go together", hint="leave one of them out")


class Learner:
    """A model on its device with its optimisers, its data, and the hidden state carried between batches."""

    def __init__(
        self,
        model: SequenceModel,
        source: TokenSource,
        tokenizer: Tokenizer,
        *,
        recipe: Recipe,
        device: torch.device,
        teachers: Sequence[SequenceModel] = (),
        workers: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        settings = recipe.train
        self._check = check
        self._hooks = _watched(model, check)
        check_request(model, settings, device, taught=bool(teachers))
        self.model, self.settings, self.device = model, settings, device
        half = bfloat16_helps(device)
        self.optimizers = make_optimizers(model, settings.optimizer, weight_decay=settings.weight_decay, half=half)
        self.autocast = autocast_for(device, settings.precision, model)
        self.scoring = Scoring.of(tokenizer, device)
        self.objective: Objective = NextSteps(model, self.scoring)
        if teachers:
            self.objective = Taught(model, self.scoring, teachers=teachers, share=settings.taught)
        how: dict[str, Any] = {"length": settings.length, "batch": settings.batch, "seed": settings.seed}
        self._data: Streams | Batches
        if settings.carry:
            self._data = Streams(source, tokenizer, augment=recipe.augment, **how)
        else:
            recalls = any(each.recalls for each in (model, *teachers))
            self._data = Batches(source, tokenizer, augment=recipe.augment, pasts=recalls, **how)
        self._precompute = None if teachers else model.precomputing()
        pin = device.type == "cuda"
        self._feed = Feed(self._made, workers=0 if settings.carry else workers, pin=pin)
        self.carried = Carried(model)

    def __call__(self, step: int, *, rate: float, by_layer: bool = False) -> Outcome:
        """Train on batch number `step` at learning rate `rate`; `by_layer` also computes gradient norms by layer.

        `check` may raise to abandon the step; it is called only before any weight has changed.
        """
        batch = self._batch(step)
        self._check()
        model, settings = self.model, self.settings
        model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(
                hash((settings.seed, step)) & 0x7FFFFFFF
            )  # for dropout; the caller's generator state is restored
            with self.autocast():
                loss: Loss = self.objective(batch)
        self._check()
        model.zero_grad(set_to_none=True)
        loss.mean.backward()
        self._check()
        layers = layer_norms(model) if by_layer else {}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.carried.take(batch, loss.state)
        return Outcome(loss.nats_per_token, norm, batch.inputs.shape[0] * batch.inputs.shape[1], layers)

    def precomputed(self, batch: Batch) -> Batch:
        """The batch with the state that a memory model recalls for it, if that can be computed without the model."""
        if self._precompute is None:
            return batch
        return replace(batch, pasts=(), state=self._precompute(batch.inputs, batch.targets, batch.pasts))

    def ready(self, batch: Batch) -> Batch:
        """The batch on the device, with the state that the model starts from."""
        batch = batch.to(self.device)
        if batch.state is None and batch.pasts and self.model.recalls:
            batch = replace(batch, state=self.model.recalling(batch.past_ids()))
        return self.carried.give(batch)

    def close(self) -> None:
        """End the worker processes and remove the hooks from the model."""
        self._feed.close()
        for hook in self._hooks:
            hook.remove()

    def _made(self, step: int) -> Batch:
        """Batch number `step` as far as it can be made without the model, in a worker process."""
        return self.precomputed(self._data(step))

    def _batch(self, step: int) -> Batch:
        """Batch number `step`, ready for training."""
        return self.ready(self._feed(step))


def _watched(model: SequenceModel, check: Callable[[], None]) -> list[RemovableHandle]:
    """Hooks that call `check` between a model's layers in the forward and backward pass.

    A step of a large model on a CPU may take longer than a scheduler waits for a process to save after SIGTERM.
    """

    def before(layer: torch.nn.Module, given: Any) -> None:
        check()

    def behind(layer: torch.nn.Module, given: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.requires_grad:
            first.register_hook(lambda gradient: check())

    layers = [layer for name, layer in model.named_modules() if name and name.count(".") <= 1]
    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    return hooks + [layer.register_forward_hook(behind) for layer in layers]

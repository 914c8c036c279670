"""One optimiser step: a batch, its loss, the gradient, the new weights. And the state that rows carry on.

Step s is a function of (recipe, corpus, s): the data are drawn from (seed, step) and dropout is seeded by it. With
`carry` it also depends on the state that the step before left, which a checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from musicgen.errors import UsageError
from musicgen.models import SequenceModel, State
from musicgen.models.hardware import bfloat16_helps
from musicgen.models.heads.following import following_of, scored_targets
from musicgen.recipe import Recipe, TrainSettings
from musicgen.tokenizers import Tokenizer
from musicgen.training.batches import Batches, TokenSource
from musicgen.training.feed import Feed
from musicgen.training.log import layer_norms
from musicgen.training.optimizers import make_optimizers
from musicgen.training.precision import autocast_for, precision_for
from musicgen.training.streams import Streams
from musicgen.training.teaching import Teachers

__all__ = ["Learner", "Outcome", "check_request", "count_steps", "recalled"]


@dataclass(frozen=True)
class Outcome:
    """What a step gave: the loss in nats a token and the gradient's norm, on the device; how many ids were read."""

    loss: Tensor
    norm: Tensor
    ids: int
    layers: dict[str, float]  # norms by layer, where they were asked for


def check_request(model: SequenceModel, settings: TrainSettings, device: torch.device, *, taught: bool) -> None:
    """Raise UsageError for what can't be asked of this model on this device; the model may lie on none (meta)."""
    precision_for(device, settings.precision, model)
    if settings.carry and not model.carries:
        what = "a model that reads by frame" if model.settings.by_frame else "a Transformer"
        raise UsageError(
            f"[train] carry is for models with a state, which {what} in training has not",
            hint="leave carry out, or choose a recurrent model and by_frame = false",
        )
    if taught and not model.step_head.teaches:
        raise UsageError("a model with a memory neither teaches nor is taught", hint="leave --teacher out")
    if taught and (settings.carry or model.settings.horizon > 1):
        what = "carry" if settings.carry else "a horizon"
        raise UsageError(f"{what} and teachers don't go together", hint="leave one of them out")


class Learner:
    """A model on its device with its optimisers, its data, and the state of its rows."""

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
        self.pad: int = tokenizer.vocabulary.id("pad")
        self.following_VV = following_of(tokenizer, device)
        self.teachers = None
        if teachers:
            self.teachers = Teachers(teachers, model, share=settings.taught)
        self._recalls = any(each.recalls for each in (model, *teachers))
        kind: type[Batches] | type[Streams] = Streams if settings.carry else Batches
        self._data = kind(
            source, tokenizer, length=settings.length, batch=settings.batch, seed=settings.seed, augment=recipe.augment
        )
        self._foretells = None if teachers else model.foretelling()
        pin = device.type == "cuda"
        self._feed = Feed(self._made, workers=0 if settings.carry else workers, pin=pin)
        self._state: State | None = None
        self._carried: Mapping[str, Tensor] = {}

    @property
    def carried(self) -> dict[str, Tensor]:
        """The rows' state, for a checkpoint; empty without `carry`."""
        return {} if self._state is None else self._state.tensors()

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Go on with the state of a checkpoint."""
        self._carried = carried

    def __call__(self, step: int, *, rate: float, by_layer: bool = False) -> Outcome:
        """Learn from batch number `step` at this learning rate.

        `check` is called where the step may still be given up: no weight has changed then.
        """
        inputs_BT, targets_BT, pasts, state = self._batch(step)
        self._check()
        targets_BT = scored_targets(targets_BT, self.following_VV, pad=self.pad)
        scored = targets_BT != self.pad  # with fields (B, T, F)
        n_values, n_steps = max(1, int(scored.sum())), max(1, count_steps(scored))
        inputs_BT, targets_BT = _to(self.device, inputs_BT), _to(self.device, targets_BT)
        model, settings = self.model, self.settings
        model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(hash((settings.seed, step)) & 0x7FFFFFFF)  # dropout; the caller's state stays
            with self.autocast():
                pad, following_VV = self.pad, self.following_VV
                if self.teachers:
                    nats = [
                        self.teachers.nats(
                            model, inputs_BT, targets_BT, state, pasts, pad=pad, following_VV=following_VV
                        )
                    ]
                else:
                    nats, state = model.nats_ahead(inputs_BT, targets_BT, state, pad=pad, following_VV=following_VV)
            totals = [ahead.sum() for ahead in nats]
        self._check()
        model.zero_grad(set_to_none=True)
        # By the values that were chosen, so that gradients are of one size with and without fields, and the mean
        # over the horizon, so that the rate means the same.
        (torch.stack(totals).mean() / n_values).backward()
        self._check()
        layers = layer_norms(model) if by_layer else {}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        if settings.carry and state is not None:
            self._state = state.detach()
        # A token is a step, whatever its fields; the loss that is told is that of the next one.
        return Outcome(totals[0].detach() / n_steps, norm, inputs_BT.shape[0] * inputs_BT.shape[1], layers)

    def close(self) -> None:
        """End the processes that make batches, and let the model be."""
        self._feed.close()
        for hook in self._hooks:
            hook.remove()

    def _made(self, step: int) -> tuple[Tensor, Tensor, list[np.ndarray] | None, State | None]:
        """Batch number `step` as far as it can be made without the model: inputs, targets, what lies before them for
        models that are told of it, and the state in which it is told where that can be made ahead."""
        assert isinstance(self._data, Batches)
        if not self._recalls:
            return *self._data(step), None, None
        inputs_BT, targets_BT, pasts = self._data.with_pasts(step)
        if self._foretells is None:
            return inputs_BT, targets_BT, pasts, None
        return inputs_BT, targets_BT, None, self._foretells(inputs_BT, targets_BT, pasts)

    def _batch(self, step: int) -> tuple[Tensor, Tensor, list[Tensor] | None, State | None]:
        """Inputs, targets, what lies before them where a model is told of it, and the state to read on from."""
        if isinstance(self._data, Batches):
            inputs_BT, targets_BT, arrays, state = self._feed(step)
            if state is not None:
                return inputs_BT, targets_BT, None, state.to(self.device)
            if arrays is None:
                return inputs_BT, targets_BT, None, None
            pasts = on_device(arrays, self.device)
            return inputs_BT, targets_BT, pasts, self.model.recalling(pasts) if self.model.recalls else None
        inputs_BT, targets_BT, begins_B = self._data(step)
        if self._carried:
            with torch.no_grad():  # any state of this shape, to be filled
                _, blank = self.model.read(inputs_BT[:, :1].to(self.device))
            assert blank is not None
            self._state = blank.restored({name: value.to(self.device) for name, value in self._carried.items()})
            self._carried = {}
        if self._state is None:
            return inputs_BT, targets_BT, None, None
        return inputs_BT, targets_BT, None, self._state.cleared(begins_B.to(self.device))


def _watched(model: SequenceModel, check: Callable[[], None]) -> list[RemovableHandle]:
    """Call `check` between one layer of a model and the next, forward and back: a step of a large model on a CPU takes
    longer than a scheduler waits for a process to save."""

    def before(layer: torch.nn.Module, given: Any) -> None:
        check()

    def behind(layer: torch.nn.Module, given: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and first.requires_grad:
            first.register_hook(lambda gradient: check())

    layers = [layer for name, layer in model.named_modules() if name and name.count(".") <= 1]
    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    return hooks + [layer.register_forward_hook(behind) for layer in layers]


def recalled(model: SequenceModel, pasts: Sequence[np.ndarray], device: torch.device) -> State | None:
    """The state of windows before which these ids lie, for a model that is told of them; else None."""
    return model.recalling(on_device(pasts, device)) if model.recalls else None


def on_device(pasts: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Ids of any length, each a tensor."""
    return [torch.from_numpy(past.astype(np.int64)).to(device) for past in pasts]


def _to(device: torch.device, ids: Tensor) -> Tensor:
    """A batch on its way to the device; from pinned memory a GPU fetches it by itself."""
    if device.type != "cuda":
        return ids.to(device)
    return (ids if ids.is_pinned() else ids.pin_memory()).to(device, non_blocking=True)


def count_steps(scored: Tensor) -> int:
    """How many steps are scored, of scored_BT or scored_BTF: of a step's fields any one is enough."""
    return int((scored if scored.ndim == 2 else scored.any(dim=2)).sum())

"""One optimiser step: a batch, its loss, the gradient, the weight update. What a batch and its loss are, a task says.

Step s is a function of (recipe, corpus, s): data and dropout are both seeded by (seed, step). With `carry` it also
depends on the hidden state after the previous step, which is saved in checkpoints.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from musicgen.models.hardware import bfloat16_helps
from musicgen.models.state import State
from musicgen.models.tasks.base import Model
from musicgen.recipe import Recipe
from musicgen.training.feed import Feed
from musicgen.training.log import layer_norms
from musicgen.training.optimizers import make_optimizers
from musicgen.training.precision import autocast_for

if TYPE_CHECKING:
    from musicgen.training.task import Validation

__all__ = ["Learner", "Loss", "Outcome", "Setup"]

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Loss:
    """The loss of a batch.

    `mean` is minimised. `figure` is reported, detached, in the task's unit: nats per token for next-note prediction.
    `state` is the hidden state after the last step, if a task carries one.
    """

    mean: Tensor
    figure: Tensor
    state: State | None = None


@dataclass(frozen=True)
class Outcome:
    """The result of a step: the loss in the task's unit and the gradient norm before clipping, both on the device, and
    the number of places read, padding included."""

    figure: Tensor
    norm: Tensor
    places: int
    layers: dict[str, float]  # gradient norm of each layer, if requested


@dataclass(frozen=True)
class Setup:
    """How a learner works: the recipe, the device, how many processes make batches ahead (0: none besides this one),
    and `check`, which is called between the parts of a step and may raise."""

    recipe: Recipe
    device: torch.device
    workers: int = 0
    check: Callable[[], None] = lambda: None


class Learner(ABC, Generic[M]):
    """A model on its device with its optimisers and its data. A task's learner says what a batch is, and its loss.

    A batch may be anything with a method `to(device)`, and `pin_memory()` for worker processes that feed a GPU.
    """

    def __init__(self, model: M, *, setup: Setup) -> None:
        settings, device = setup.recipe.train, setup.device
        self._check = setup.check
        self._hooks = _watched(model, setup.check)
        self.model, self.settings, self.device = model, settings, device
        half = bfloat16_helps(device)
        self.optimizers = make_optimizers(model, settings.optimizer, weight_decay=settings.weight_decay, half=half)
        self.autocast = autocast_for(device, settings.precision, model)
        self._feed = Feed(self.made, workers=setup.workers, pin=device.type == "cuda")

    # ---- what a task says --------------------------------------------------------------------------

    @abstractmethod
    def made(self, step: int) -> Any:
        """Batch number `step` on the CPU, as far as it can be made without the model, perhaps in another process: a
        function of (recipe, corpus, step) alone."""

    @abstractmethod
    def loss(self, batch: Any) -> Loss:
        """The loss of a batch that is ready. Called under autocast, with the model in training mode and the generators
        seeded for this step."""

    @abstractmethod
    def places(self, batch: Any) -> int:
        """The number of places that the model reads in a batch, padding included: what speed is counted in."""

    @abstractmethod
    def validation(self, *, check: Callable[[], None]) -> Validation:
        """The validation of this model, whose data are made now; `check` is called between batches and may raise."""

    def ready(self, batch: Any) -> Any:
        """The batch on the device, with all that the model starts from."""
        return batch.to(self.device)

    def seen(self, steps: int) -> dict[str, int]:
        """What the card says about the amount of data read in so many steps."""
        return {"examples_seen": steps * self.settings.batch}

    @property
    def carried(self) -> Mapping[str, Tensor]:
        """The tensors that are handed on from step to step, to be saved in a checkpoint; none by default."""
        return {}

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        """Restore what was `carried` from a checkpoint."""

    def keep(self, batch: Any, loss: Loss) -> None:
        """Keep what is handed on to the next step, after the weights have changed."""

    # ---- a step ------------------------------------------------------------------------------------

    def __call__(self, step: int, *, rate: float, by_layer: bool = False) -> Outcome:
        """Train on batch number `step` at learning rate `rate`; `by_layer` also computes gradient norms by layer.

        `check` may raise to abandon the step; it is called only before any weight has changed.
        """
        batch = self.ready(self._feed(step))
        self._check()
        model, settings = self.model, self.settings
        model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(
                hash((settings.seed, step)) & 0x7FFFFFFF
            )  # for dropout; the caller's generator state is restored
            with self.autocast():
                loss = self.loss(batch)
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
        self.keep(batch, loss)
        return Outcome(loss.figure, norm, self.places(batch), layers)

    def close(self) -> None:
        """End the worker processes and remove the hooks from the model."""
        self._feed.close()
        for hook in self._hooks:
            hook.remove()


def _watched(model: torch.nn.Module, check: Callable[[], None]) -> list[RemovableHandle]:
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

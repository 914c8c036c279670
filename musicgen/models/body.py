"""What every model is to its callers: a body that reads steps, and a head that says what a step is made of.

Models never see a note. They read ids of a vocabulary and score which step comes next; what an id means is the
tokenizer's affair. A step is one id, or a row of F ids where the tokenizer has fields (a note a step: pitch, duration,
velocity, and where the next one stands). Families differ only in how they read; heads stand in `heads/`, and those of
frames and of memories beside their bodies.

Shapes: B batch, T time, F fields, V vocabulary, C width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models.heads.head import Head, IdHead, Reading, Scores
from musicgen.models.layers.embedding import OneHotLinear
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["SequenceModel"]


class SequenceModel(nn.Module, ABC):
    """A body, and once one is attached a head: together a model of which step comes next.

    `read(ids, state=None) -> (hidden_BTC, state)`: a hidden state depends on no later step. Reading a sequence whole,
    in pieces, or a step at a time with the state handed on gives the same (in float32, to 1e-5). From hidden states
    `scores` scores the next step, field after field, and `nats` is the exact likelihood of the steps that came.
    """

    embedding: nn.Embedding | OneHotLinear | None
    carries: ClassVar[bool] = True  # whether in training, too, it returns a state to go on from
    recalls: ClassVar[bool] = False  # whether training windows come with what lies before them in their pieces
    apart: ClassVar[bool] = False  # whether in evaluation it reads every row by itself
    reads_frames: ClassVar[bool] = False  # whether what its trunk reads are frames, of several ids each
    trunk: SequenceModel  # of bodies that read something else than steps, or more: a rung of the ladder inside
    step_head: Head

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings

    # ---- the body ---------------------------------------------------------------------------------

    @abstractmethod
    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """hidden_BTC after each step, and the state after the last one. In training mode the state may be None.

        `ids` is ids_BT or ids_BTF, int64 or int32 with T >= 1, each id below V; a state must have the same B.
        Raises UsageError where T is 0.
        """

    def listen(
        self, ids: Tensor, state: State | None = None, *, targets: Tensor | None = None
    ) -> tuple[Any, State | None]:
        """All that the head is to know of these steps, and the state; `targets` follow them one step ahead."""
        hidden_BTC, state = self.read(ids, state)
        return Reading(hidden_BTC, ids), state

    def first_weights(self) -> None:
        """Fill the weights, when body and head stand. The embedding, which is also the head's weight, and a head of its
        own start at deviation 0.02, so that the first guess is even. With fields the embedding starts at deviation 1:
        else what the layers add soon drowns the step itself, which says where the next note stands.
        """
        if self.embedding is not None:
            learned = isinstance(self.embedding, nn.Embedding)
            nn.init.normal_(self.embedding.weight, std=1.0 if self.settings.fields and learned else 0.02)
        self.step_head.start_even()

    def foretelling(self) -> Callable[[Tensor, Tensor, Sequence[np.ndarray]], State] | None:
        """A function of inputs, targets and pasts that makes a state for `nats` without the model, or None.

        For models that spend time on what they are told (`recalls`): another process can spend it.
        """
        return None

    def recalling(self, pasts: Sequence[Tensor]) -> State:
        """The state of rows that are told what came before, ids (T,) each, though not read through with weights.

        For windows from the middle of pieces, and models that are told of their whole past (`recalls`).
        """
        raise TypeError(f"a {self.settings.family} model is told of nothing but what it reads")

    def embedded(self, ids: Tensor) -> Tensor:
        """x_BTC of ids_BT, or of ids_BTF as the sum of the fields' embeddings.

        A step may also be told as how often it has each id, ids_BTV of floats; or, where the embedding is an
        `nn.Identity`, as its vector.
        """
        if isinstance(self.embedding, nn.Identity):
            return ids
        if ids.is_floating_point():
            weight = self.embedding.weight  # type: ignore[union-attr]
            return ids @ (weight.t() if isinstance(self.embedding, OneHotLinear) else weight)
        x = self.embedding(ids)  # type: ignore[misc]
        return x.sum(dim=-2) if ids.ndim == 3 else x

    def input_rows(self) -> Tensor | None:
        """rows_VC: what each id of the vocabulary becomes on its way into the model; None where it has no such rows."""
        size = self.settings.vocabulary_size
        if self.embedding is not None:
            return self.embedding(torch.arange(size, device=next(self.parameters()).device))
        # A one-hot vector picks a column of the first matrix that it meets.
        first = next((p for p in self.parameters() if p.ndim == 2 and p.shape[1] == size), None)
        return None if first is None else first.t()

    def trunk_steps(self, ids_1T: Tensor) -> tuple[Tensor, Tensor, str]:
        """Of a body that reads frames: what its trunk reads of a piece from its beginning, which of these steps is the
        last that it has read after each id (done_1T), and what that is where it isn't all there is."""
        raise TypeError(f"a {self.settings.family} model reads no frames")

    def check_ids(self, ids: Tensor) -> None:
        """Refuses ids of the wrong shape, or a batch without any: there is nothing to predict from."""
        fields = self.settings.fields
        if ids.is_floating_point() and ids.ndim == 3 and ids.shape[1] and ids.shape[2] == self.settings.vocabulary_size:
            return
        wanted = (2, None) if not fields else (3, len(fields))
        if ids.ndim != wanted[0] or ids.shape[1] == 0 or (fields and ids.shape[2] != wanted[1]):
            shape = f"(batch, time, {len(fields)})" if fields else "(batch, time)"
            raise UsageError(
                f"the model was given ids of shape {tuple(ids.shape)}",
                hint=f"give {shape} with at least one step, such as the one that begins a piece",
            )

    @property
    def context(self) -> int | None:
        """How many past ids a step attends to, itself included; None where the memory has no such limit."""
        return self.settings.context

    @property
    def n_parameters(self) -> int:
        """How many numbers are learned; a weight used twice counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    # ---- with a head ------------------------------------------------------------------------------

    def attach(self, head: Head) -> None:
        """Have this head, and where the settings ask for a horizon a layer for each later step that it is to see."""
        vars(self)["step_head"] = head  # not as a module: its name in run folders is `head.name`
        if head.name:
            self.add_module(head.name, head)
        else:
            for name, parameter in head.named_parameters(recurse=False):
                self.register_parameter(name, parameter)
            for name, part in head.named_children():
                own = self._modules.get(name)
                if isinstance(own, nn.ModuleDict) and isinstance(part, nn.ModuleDict):
                    own.update(dict(part.items()))
                else:
                    self.add_module(name, part)
        width = self.settings.width
        self.ahead = nn.ModuleList(Linear(width, width) for _ in range(self.settings.horizon - 1))
        for layer in self.ahead:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def forward(self, ids_BT: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """logits_BTV of the id after each, and the state. Raises TypeError for a model with fields."""
        if not isinstance(self.step_head, IdHead):
            raise TypeError("a step of this model has fields: use read and scores, or nats")
        reading, state = self.listen(ids_BT, state)
        return self.step_head.logits(reading), state

    def scores(self, hidden_BC: Tensor, state: State | None = None) -> Scores:
        """The next step's scores, field after field, from what was read up to here and the state that came with it."""
        return self.step_head.scores(hidden_BC, state)

    def nats(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[Tensor, State | None]:
        """Negative log-likelihood of `targets`, which follow `ids` one step ahead, and the state.

        nats_BT, or nats_BTF by field: by the chain rule a row's sum is the step's. `pad` counts nothing. Where steps
        are single ids, `following_VV` says which may come after which; the others get no probability.
        """
        reading, state = self.listen(ids, state, targets=targets)
        return self.step_head.nats(reading, targets, pad=pad, following_VV=following_VV), state

    def nats_ahead(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[list[Tensor], State | None]:
        """`nats` of one step ahead, of two, and so on to the horizon, all from the same pass, and the state.

        Entry h has the shape of targets[:, h:], for the last h steps of the ids have no such target.
        """
        reading, state = self.listen(ids, state, targets=targets)
        result = [self.step_head.nats(reading, targets, pad=pad, following_VV=following_VV)]
        for later, layer in enumerate(self.ahead, start=1):
            if later >= ids.shape[1]:
                break
            seen_BTC = reading.hidden_BTC[:, :-later]
            seen = Reading(seen_BTC + layer(seen_BTC), ids[:, :-later])
            # No mask: what stands right before such a target hasn't been read.
            result.append(self.step_head.nats(seen, targets[:, later:], pad=pad))
        return result, state

    def nats_at(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
        inverse_temperature: Sequence[tuple[float, ...]],
    ) -> list[Tensor]:
        """`nats` at each of several inverse temperatures, from one pass."""
        reading, _ = self.listen(ids, state, targets=targets)
        return self.step_head.nats_at(
            reading, targets, pad=pad, following_VV=following_VV, inverse_temperature=inverse_temperature
        )

    def choices(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, following_VV: Tensor | None = None
    ) -> list[Tensor]:
        """Logits (B, T, K) of each choice that the steps after `ids` are; see `Head.choices`."""
        reading, _ = self.listen(ids, state, targets=targets)
        return self.step_head.choices(reading, targets, following_VV=following_VV)

    @property
    def inverse_temperature(self) -> tuple[float, ...]:
        """See `set_inverse_temperature`."""
        return self.step_head.inverse_temperature

    def set_inverse_temperature(self, values: Sequence[float]) -> None:
        """Multiply the scores of each field, or of single ids, by its number from now on: by less than 1 where a
        model has learned to be surer than it is right (Guo et al. 2017, arXiv:1706.04599). Training goes without.

        Raises ValueError where there are more or fewer numbers, or one isn't above 0.
        """
        if len(values) != len(self.inverse_temperature) or not all(0 < value < math.inf for value in values):
            count = len(self.inverse_temperature)
            raise ValueError(f"inverse temperatures are {count} numbers above 0, not {list(values)}")
        self.step_head.inverse_temperature = tuple(values)

    def train(self, mode: bool = True) -> Self:
        if "step_head" in vars(self):  # a trunk has none
            self.step_head.train(mode)
        return super().train(mode)

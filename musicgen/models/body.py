"""The interface of all models: a body that reads steps, and a head that predicts the next step from hidden states.

Models never see a note. They read ids of a vocabulary and score which step comes next; only the tokenizer knows what an
id means. A step is one id, or a row of F ids where the tokenizer has fields (one note per step: pitch, duration,
velocity, and the place of the next note). Families differ only in their bodies; heads are in `heads/`, and those of
frame and memory models beside their bodies.

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
    """A body and, once attached, a head: together a model of the next step.

    `read(ids, state=None) -> (hidden_BTC, state)`: a hidden state depends on no later step. Reading a sequence whole,
    in pieces, or a step at a time with the state handed on gives the same (in float32, to 1e-5). From hidden states
    `scores` scores the next step, field after field, and `nats` is the exact negative log-likelihood of given steps.

    >>> from musicgen.models import build_model
    >>> model = build_model(ModelSettings("lstm", 50, width=8, layers=1)).eval()
    >>> hidden_BTC, state = model.read(torch.zeros(2, 5, dtype=torch.int64))
    >>> hidden_BTC.shape, state.position
    (torch.Size([2, 5, 8]), 5)
    """

    embedding: nn.Embedding | OneHotLinear | None
    carries: ClassVar[bool] = True  # whether `read` returns a state in training mode, too
    recalls: ClassVar[bool] = False  # whether training windows need the past of their pieces
    apart: ClassVar[bool] = False  # whether in evaluation it reads each row by itself
    studies: ClassVar[bool] = False  # whether its head learns from a piece at hand, at steps chosen with `reading.at`
    reads_frames: ClassVar[bool] = False  # whether its trunk reads frames, of several ids each
    trunk: SequenceModel  # the inner family model, in bodies with an input stage of their own
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

    def head_inputs(
        self, ids: Tensor, state: State | None = None, *, targets: Tensor | None = None
    ) -> tuple[Any, State | None]:
        """The head's input for these steps, and the state; `targets` are the same steps shifted by one."""
        hidden_BTC, state = self.read(ids, state)
        return Reading(hidden_BTC, ids), state

    def first_weights(self) -> None:
        """Initialise the weights, once body and head exist. The embedding, often shared with the head, and a separate
        head's weight start at standard deviation 0.02, for nearly uniform predictions. With fields the embedding starts
        at 1: else the layers soon drown the step itself in the residual stream, which has the next note's place.
        """
        if self.embedding is not None:
            learned = isinstance(self.embedding, nn.Embedding)
            nn.init.normal_(self.embedding.weight, std=1.0 if self.settings.fields and learned else 0.02)
        if "step_head" in vars(self):  # a body of a task's model has none
            self.step_head.start_even()

    def precomputing(self) -> Callable[[Tensor, Tensor, Sequence[np.ndarray]], State] | None:
        """A function of inputs, targets and pasts that makes a state for `nats` without the model, or None.

        For models with costly inputs (`recalls`): worker processes can compute them.
        """
        return None

    def recalling(self, pasts: Sequence[Tensor]) -> State:
        """The state of rows whose pasts, ids (T,) each, are remembered but not read by the network.

        For windows from the middle of pieces, and models with features of their whole past (`recalls`). Raises
        TypeError for other models.
        """
        raise TypeError(f"a {self.settings.family} model knows nothing but what it reads")

    def embedded(self, ids: Tensor) -> Tensor:
        """x_BTC of ids_BT, or of ids_BTF as the sum of the fields' embeddings.

        Steps may also be given as floats ids_BTV, how often each has each id; or, where the embedding is an
        `nn.Identity`, as vectors.
        """
        if isinstance(self.embedding, nn.Identity):
            return ids
        if ids.is_floating_point():
            weight = self.embedding.weight  # type: ignore[union-attr]
            return ids @ (weight.t() if isinstance(self.embedding, OneHotLinear) else weight)
        x = self.embedding(ids)  # type: ignore[misc]
        return x.sum(dim=-2) if ids.ndim == 3 else x

    def input_rows(self) -> Tensor | None:
        """rows_VC: the input vector of each id of the vocabulary; None where the model has no such vectors."""
        size = self.settings.vocabulary_size
        if self.embedding is not None:
            return self.embedding(torch.arange(size, device=next(self.parameters()).device))
        # A one-hot vector selects a column of the first matrix.
        first = next((p for p in self.parameters() if p.ndim == 2 and p.shape[1] == size), None)
        return None if first is None else first.t()

    def trunk_steps(self, ids_1T: Tensor) -> tuple[Tensor, Tensor, str]:
        """For a body that reads frames: its trunk's inputs for a whole piece, the index of the last of them that it has
        read after each id (done_1T), and a description of them where they aren't all, else "". Raises TypeError for
        other bodies."""
        raise TypeError(f"a {self.settings.family} model reads no frames")

    def check_ids(self, ids: Tensor) -> None:
        """Raise UsageError for ids of the wrong shape or of no steps, as there is nothing to predict from."""
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
        """How many past ids a step attends to, itself included; None where there is no such limit."""
        return self.settings.context

    @property
    def n_parameters(self) -> int:
        """The number of parameters; a shared weight counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    # ---- with a head ------------------------------------------------------------------------------

    def attach(self, head: Head) -> None:
        """Attach the head and, with a horizon above 1, a layer for each later step that is to be predicted."""
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
        reading, state = self.head_inputs(ids_BT, state)
        return self.step_head.logits(reading), state

    def scores(self, hidden_BC: Tensor, state: State | None = None) -> Scores:
        """The next step's scores, by field, from the last hidden state and the state returned with it."""
        return self.step_head.scores(hidden_BC, state)

    def nats(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[Tensor, State | None]:
        """Negative log-likelihood of `targets`, which follow `ids` one step ahead, and the state.

        nats_BT, or nats_BTF by field: by the chain rule a row's sum is the step's. Targets of `pad` count 0. Where
        steps are single ids, `following_VV` says which may come after which; the others get no probability.
        """
        reading, state = self.head_inputs(ids, state, targets=targets)
        return self.step_head.nats(reading, targets, pad=pad, following_VV=following_VV), state

    def nats_ahead(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[list[Tensor], State | None]:
        """`nats` of the next step, the one after it, and so on up to the horizon, from one pass, and the state.

        Entry h has the shape of targets[:, h:], as the last h ids have no such target.
        """
        reading, state = self.head_inputs(ids, state, targets=targets)
        result = [self.step_head.nats(reading, targets, pad=pad, following_VV=following_VV)]
        for later, layer in enumerate(self.ahead, start=1):
            if later >= ids.shape[1]:
                break
            seen_BTC = reading.hidden_BTC[:, :-later]
            seen = Reading(seen_BTC + layer(seen_BTC), ids[:, :-later])
            # No mask: the id right before such a target hasn't been read.
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
        reading, _ = self.head_inputs(ids, state, targets=targets)
        return self.step_head.nats_at(
            reading, targets, pad=pad, following_VV=following_VV, inverse_temperature=inverse_temperature
        )

    def choices(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, following_VV: Tensor | None = None
    ) -> list[Tensor]:
        """Logits (B, T, K) of each choice in the steps after `ids`; see `Head.choices`."""
        reading, _ = self.head_inputs(ids, state, targets=targets)
        return self.step_head.choices(reading, targets, following_VV=following_VV)

    @property
    def inverse_temperature(self) -> tuple[float, ...]:
        """See `set_inverse_temperature`."""
        return self.step_head.inverse_temperature

    def set_inverse_temperature(self, values: Sequence[float]) -> None:
        """Multiply the logits of each field, or of single ids, by its value from now on, except in training: below 1
        where the model is overconfident (Guo et al. 2017, arXiv:1706.04599).

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

"""What every model is to its callers: ids in, logits out, and a state that lets it go on.

Models never see a note. They read ids of a vocabulary and score which id comes next; what an id means is
the tokenizer's affair.

A step is one id, or a row of F ids where the tokenizer has fields (a note a step: pitch, duration, velocity, and
where the next one stands). The families differ only in how they read steps; `head.py` says how what they read
becomes scores.

Shapes: B batch, T time, F fields, V vocabulary, C width.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models.heads.fields import FieldHead, FieldScores
from musicgen.models.heads.following import masked
from musicgen.models.heads.token import Scores, TokenScores
from musicgen.models.layers.embedding import OneHotLinear
from musicgen.models.layers.linear import Linear, row_by_row
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["SequenceModel"]


class SequenceModel(nn.Module, ABC):
    """A model of which step comes next.

    `forward(ids_BT, state=None) -> (logits_BTV, state)`: `logits_BTV[:, t]` scores the id after `ids_BT[:, t]`
    and depends on no later id. Reading a sequence whole, in pieces, or a step at a time with the state handed on
    gives the same logits (in float32, to 1e-5).

    With fields there is no single row of logits to a step: `read` gives hidden_BTC, `scores` scores field after
    field from it, and `nats` is the exact likelihood of both kinds of steps.
    """

    embedding: nn.Embedding | OneHotLinear | None
    head: Linear | None  # None where the embedding is the head, or the fields have theirs
    field_head: FieldHead | None
    carries: ClassVar[bool] = True  # whether in training, too, it returns a state to go on from
    teaches: ClassVar[bool] = True  # whether it can learn from what others say of a step, and they from it
    recalls: ClassVar[bool] = False  # whether training windows come with what lies before them in their pieces
    ahead: nn.ModuleList  # for the second step ahead and later ones: what the head is to see

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.sharpness: tuple[float, ...] = (1.0,) * max(1, len(settings.fields))
        self._tied_VC: Tensor | None = None  # the head as sampling reads it

    def _make_heads(self) -> None:
        """The head that the settings ask for; called by the families once the body stands."""
        s = self.settings
        own = s.embedding != "learned" and not s.fields
        self.head = Linear(s.width, s.vocabulary_size) if own else None
        self.field_head = None
        if s.fields:
            self.field_head = FieldHead(s.fields, vocabulary_size=s.vocabulary_size, width=s.width, dropout=s.dropout)
        self.ahead = nn.ModuleList(Linear(s.width, s.width) for _ in range(s.horizon - 1))
        for layer in self.ahead:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def _small_ends(self) -> None:
        """Starts the embedding, which is also the head's weight, and a head of its own at deviation 0.02.

        So the first guess is even. With fields the embedding isn't the head's too, and starts at deviation 1: else
        what the layers add soon drowns the step itself, which says where the next note stands.
        """
        if self.embedding is not None:
            learned = isinstance(self.embedding, nn.Embedding)
            nn.init.normal_(self.embedding.weight, std=1.0 if self.settings.fields and learned else 0.02)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=0.02)

    @abstractmethod
    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """hidden_BTC after each step, and the state after the last one. In training mode the state may be None.

        `ids` is ids_BT or ids_BTF, int64 or int32 with T >= 1, each id below V; a state must have the same B.
        Raises UsageError where T is 0.
        """

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

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """logits_BTV of the next id, for models whose steps are single ids; but in training, times the sharpness."""
        logits_BTV = self._logits(hidden_BTC)
        return logits_BTV if self.training or self.sharpness == (1.0,) else logits_BTV * self.sharpness[0]

    def _logits(self, hidden_BTC: Tensor) -> Tensor:
        """A learned embedding is also the head's weight (Press and Wolf 2017, arXiv:1608.05859)."""
        if self.head is not None:
            return self.head(hidden_BTC)
        tied_VC = self._tied_VC
        if tied_VC is not None and hidden_BTC.shape[1] == 1:
            return row_by_row(lambda row: F.linear(row, tied_VC), hidden_BTC)
        return F.linear(hidden_BTC, self.embedding.weight)  # type: ignore[union-attr]

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

    def forward(self, ids_BT: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """Logits and the state after the last id; see `read`. Raises TypeError for a model with fields."""
        if self.field_head is not None:
            raise TypeError("a step of this model has fields: use read and scores, or nats")
        hidden_BTC, state = self.read(ids_BT, state)
        return self.logits(hidden_BTC), state

    def scores(self, hidden_BC: Tensor, state: State | None = None) -> Scores:
        """The next step's scores, field after field, from what was read up to here and the state that came with it."""
        if self.field_head is None:
            return TokenScores(self.logits(hidden_BC[:, None])[:, 0])
        return FieldScores(self.field_head, hidden_BC)

    def nats(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
    ) -> tuple[Tensor, State | None]:
        """Negative log-likelihood of `targets`, which follow `ids` one step ahead, and the state.

        nats_BT, or nats_BTF by field: by the chain rule a row's sum is the step's. `pad` counts nothing. Where steps
        are single ids, `following_VV` says which may come after which; the others get no probability.
        """
        hidden_BTC, state = self.read(ids, state)
        return self._nats(hidden_BTC, targets, ids, pad=pad, following_VV=following_VV), state

    def nats_ahead(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
    ) -> tuple[list[Tensor], State | None]:
        """`nats` of one step ahead, of two, and so on to the horizon, all from the same pass, and the state.

        Entry h has the shape of targets[:, h:], for the last h steps of the ids have no such target.
        """
        hidden_BTC, state = self.read(ids, state)
        result = [self._nats(hidden_BTC, targets, ids, pad=pad, following_VV=following_VV)]
        for later, layer in enumerate(self.ahead, start=1):
            if later >= ids.shape[1]:
                break
            seen_BTC = hidden_BTC[:, :-later]
            # No mask: what stands right before such a target hasn't been read.
            result.append(self._nats(seen_BTC + layer(seen_BTC), targets[:, later:], ids[:, :-later], pad=pad))
        return result, state

    def _nats(
        self, hidden_BTC: Tensor, targets: Tensor, ids: Tensor, *, pad: int, following_VV: Tensor | None = None
    ) -> Tensor:
        """nats_BT or nats_BTF of targets, from what the head sees."""
        if self.field_head is not None:
            return self.field_head.nats(hidden_BTC, targets, pad=pad)
        (logits_BTV,) = self.choices(hidden_BTC, targets, ids, following_VV=following_VV)
        flat = F.cross_entropy(logits_BTV.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="none")
        return flat.view(targets.shape)

    def choices(
        self, hidden_BTC: Tensor, targets: Tensor, ids: Tensor, *, following_VV: Tensor | None = None
    ) -> list[Tensor]:
        """Logits (B, T, K) of each choice that a step is, from what `read` returned for `ids`: of the next id, or of
        each field given the targets of those before it."""
        if self.field_head is not None:
            return self.field_head.choices(hidden_BTC, targets)
        logits_BTV = self.logits(hidden_BTC).float()
        return [logits_BTV if following_VV is None else masked(logits_BTV, ids, following_VV)]

    def nats_at(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
        sharpness: Sequence[tuple[float, ...]],
    ) -> list[Tensor]:
        """`nats` at each of several sharpnesses, from one pass."""
        hidden_BTC, _ = self.read(ids, state)
        own, result = self.sharpness, []
        try:
            for values in sharpness:
                self.sharpen(values)
                result.append(self._nats(hidden_BTC, targets, ids, pad=pad, following_VV=following_VV))
        finally:  # a run may be interrupted here, and saved
            self.sharpen(own)
        return result

    def sharpen(self, values: Sequence[float]) -> None:
        """Multiply the scores of each field, or of single ids, by its number from now on: by less than 1 where a
        model has learned to be surer than it is right (Guo et al. 2017, arXiv:1706.04599). Training goes without.

        Raises ValueError where there are more or fewer numbers, or one isn't above 0.
        """
        if len(values) != len(self.sharpness) or not all(0 < value < math.inf for value in values):
            raise ValueError(f"sharpness is {len(self.sharpness)} numbers above 0, not {list(values)}")
        self.sharpness = tuple(values)
        if self.field_head is not None:
            self.field_head.sharpness = self.sharpness

    @property
    def context(self) -> int | None:
        """How many past ids a step attends to, itself included; None where the memory has no such limit."""
        return self.settings.context

    @property
    def n_parameters(self) -> int:
        """How many numbers are learned; a weight used twice counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def head_parameters(self) -> Iterable[nn.Parameter]:
        """What turns hidden states into scores: the weights that move when a piece is studied."""
        head = self.field_head or self.head
        return self.parameters() if head is None else head.parameters()

    def faster(self, *, int8: bool = False) -> Self:
        """Prepares, in place, for sampling on a CPU, and switches to `eval()`; elsewhere it only does the latter.

        A product of one row with a matrix runs faster when the matrix lies column by column. Values and
        shapes stay as they were, so the logits move by rounding only. Single steps of several rows go row by row,
        so that a row's bits don't depend on its neighbours. Save before, not after: safetensors takes row-by-row
        tensors only. `train()` undoes what would go stale.

        With `int8` single steps multiply with weights of 8 bits in the layers that can (`Linear.quantisable`): faster
        still, and a little less exact. Prompts are read as ever; so are the gates of an LSTM.
        """
        self.eval()
        if next(self.parameters()).device.type == "cpu":
            # A tensor made in inference mode could never be trained again.
            with torch.inference_mode(False), torch.no_grad():
                for layer in self.modules():
                    if isinstance(layer, nn.Linear):
                        layer.weight.data = layer.weight.data.t().contiguous().t()
                    if isinstance(layer, Linear):
                        layer.by_row = True
                        if int8 and layer.quantisable:
                            layer.quantise()
                self._pack_head()
        return self

    def _pack_head(self) -> None:
        if self.field_head is not None:
            self.field_head.pack()
        elif self.head is None and not isinstance(self.embedding, nn.Identity):
            self._tied_VC = self.embedding.weight.t().contiguous().t()  # type: ignore[union-attr]

    def train(self, mode: bool = True) -> Self:
        if mode:
            for layer in self.modules():
                if isinstance(layer, Linear):
                    layer.by_row, layer.int8 = False, None
            if self.field_head is not None:
                self.field_head.packed_VFC = None
            self._tied_VC = None
        return super().train(mode)

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

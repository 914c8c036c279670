"""What every model is to its callers: ids in, logits out, and a state that lets it go on.

Models never see a note. They read ids of a vocabulary and score which id comes next; what an id means is
the tokenizer's affair.

Shapes: B batch, T time, V vocabulary, C width.
"""

from __future__ import annotations

import dataclasses
import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError

__all__ = ["EMBEDDINGS", "ModelSettings", "OneHotLinear", "SequenceModel", "State", "embed", "nearest", "select_state"]

EMBEDDINGS = ("learned", "one-hot")


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint for a name that doesn't exist: the nearest of `names`, or all of them where none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(names)}"


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The shape of a model: with the weights, all that is needed to rebuild it.

    `context` is how many ids a Transformer attends to at once, and for an LSTM, whose memory has no such
    limit, only the length of the excerpts it is meant to be trained on. `heads` is read by the Transformer
    alone. Raises UsageError where a value is out of range.
    """

    family: str
    vocabulary_size: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 512
    dropout: float = 0.0
    embedding: str = "learned"

    def __post_init__(self) -> None:
        for name in ("vocabulary_size", "width", "layers", "heads", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} is {value!r}", where="model", hint="give a whole number of at least 1")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}", where="model", hint="give a number from 0 to below 1")
        if self.embedding not in EMBEDDINGS:
            hint = nearest(str(self.embedding), EMBEDDINGS)
            raise UsageError(f"there is no embedding {self.embedding!r}", where="model", hint=hint)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON or TOML; `from_dict` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values. Raises UsageError for a key that doesn't exist or one that is missing."""
        fields = dataclasses.fields(cls)
        names = [field.name for field in fields]
        for key in values:
            if key not in names:
                raise UsageError(f"there is no setting {key!r}", where="model", hint=nearest(str(key), names))
        for field in fields:
            if field.default is dataclasses.MISSING and field.name not in values:
                raise UsageError(f"the setting '{field.name}' is missing", where="model", hint=f"give {field.name}")
        return cls(**values)


class State(ABC):
    """What a model remembers of the ids it has read. A value: stepping makes a new one and spoils no old one.

    `position` counts the ids read so far. The state carries no gradient from a Transformer's cache.
    """

    position: int

    @property
    @abstractmethod
    def rows(self) -> int:
        """The batch size B."""

    @abstractmethod
    def select(self, rows_B: Tensor) -> Self:
        """The state of the named rows, in that order; a row may be named many times, or not at all."""


def select_state(state: State, rows_B: Tensor | Iterable[int]) -> State:
    """Picks rows of a batch's state: one prompt's state for 64 takes, or only the takes that go on."""
    rows = rows_B if isinstance(rows_B, Tensor) else torch.tensor(list(rows_B), dtype=torch.int64)
    return state.select(rows)


class SequenceModel(nn.Module, ABC):
    """A model of which id comes next.

    `forward(ids_BT, state=None) -> (logits_BTV, state)`: `logits_BTV[:, t]` scores the id after `ids_BT[:, t]`
    and depends on no later id. One id is one step. Reading a sequence whole, in pieces, or an id at a time with
    the state handed on gives the same logits (in float32, to 1e-5).

    Steps may one day have fields (a note a step: pitch, duration, velocity). Such a model takes ids_BTF, sums
    the fields' embeddings, and scores field after field from `hidden_BTC`; that is why the families keep
    embedding, body and head apart. Callers that only hand on `state` and the ids they drew need no change.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings

    @abstractmethod
    def forward(self, ids_BT: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """Logits and the state after the last id. In training mode the state may be None.

        ids_BT is int64 or int32 with T >= 1, each id below V; a state must have the same B. Raises UsageError
        where T is 0.
        """

    @property
    def context(self) -> int | None:
        """How many past ids a step attends to, itself included; None where the memory has no such limit."""
        return self.settings.context

    @property
    def n_parameters(self) -> int:
        """How many numbers are learned; a weight used twice counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def faster(self) -> Self:
        """Prepares, in place, for sampling on a CPU, and switches to `eval()`; elsewhere it only does the latter.

        A product of one row with a matrix runs faster when the matrix lies column by column. Values and
        shapes stay as they were, so the logits move by rounding only. Save before, not after: safetensors
        takes row-by-row tensors only. `train()` undoes what would go stale.
        """
        self.eval()
        if next(self.parameters()).device.type == "cpu":
            # A tensor made in inference mode could never be trained again.
            with torch.inference_mode(False), torch.no_grad():
                for layer in self.modules():
                    if isinstance(layer, nn.Linear):
                        layer.weight.data = layer.weight.data.t().contiguous().t()
        return self

    @staticmethod
    def check_ids(ids_BT: Tensor) -> None:
        """Refuses a batch without ids: there is nothing to predict from."""
        if ids_BT.ndim != 2 or ids_BT.shape[1] == 0:
            raise UsageError(
                f"the model was given ids of shape {tuple(ids_BT.shape)}",
                hint="give (batch, time) with at least one id, such as the token that begins a piece",
            )


class OneHotLinear(nn.Linear):
    """A linear layer without a bias that reads one-hot vectors: ids of any shape -> (..., C).

    Multiplying a one-hot vector by the weight picks one of its columns, so the column is looked up and the
    V - 1 zeros are never made.
    """

    def __init__(self, vocabulary_size: int, width: int) -> None:
        super().__init__(vocabulary_size, width, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight.t())


def embed(settings: ModelSettings) -> nn.Embedding | OneHotLinear:
    """The layer that turns ids_BT into x_BTC: a learned table, or a fixed one-hot input and its linear layer.

    The learned table has rows of width C that a head may share (Press and Wolf 2017, arXiv:1608.05859); the
    one-hot input's layer is a layer of the model like any other and shares nothing.
    """
    if settings.embedding == "one-hot":
        return OneHotLinear(settings.vocabulary_size, settings.width)
    return nn.Embedding(settings.vocabulary_size, settings.width)

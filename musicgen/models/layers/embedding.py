"""How ids become vectors: a learned table, or one-hot vectors and a linear layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.settings import ModelSettings

__all__ = ["OneHotLinear", "embed"]


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
    """The layer that turns ids into vectors of width C: a learned table, or a one-hot input and its linear layer.

    The learned table has rows of width C that a head may share (Press and Wolf 2017, arXiv:1608.05859); the
    one-hot input's layer is a layer of the model like any other and shares nothing.
    """
    if settings.embedding == "one-hot":
        return OneHotLinear(settings.vocabulary_size, settings.width)
    return nn.Embedding(settings.vocabulary_size, settings.width)

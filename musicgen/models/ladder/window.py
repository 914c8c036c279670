"""The sliding window: a perceptron over the concatenated embeddings of the last `context` ids.

Shapes: B batch, T time, V vocabulary, C width, L lags.

Sources: Bengio et al. 2003, "A neural probabilistic language model" (embedded lags through a hidden layer);
residual layers after the first as in `transformer.py`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.layers.convolution import CausalConvolution, PastState
from musicgen.models.layers.embedding import embed
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["Window"]


class Hidden(nn.Module):
    """A pre-norm residual block with one hidden layer of width 2 C."""

    def __init__(self, width: int, *, dropout: float, layers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.widen = Linear(width, 2 * width)
        self.narrow = Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.widen.weight, std=width**-0.5)
        nn.init.normal_(self.narrow.weight, std=(2 * layers * 2 * width) ** -0.5)

    def forward(self, x_BTC: Tensor) -> Tensor:
        return x_BTC + self.dropout(self.narrow(F.gelu(self.widen(self.norm(x_BTC)))))


class Window(SequenceModel):
    """Embedding, lags, hidden layers, norm, head; `context` is the number of lags, L.

    The first layer is a convolution with one tap per lag: a window that slides over the sequence.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        C = settings.width
        self.embedding = embed(settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.lags = CausalConvolution(C, C, taps=settings.context)
        self.hidden = nn.ModuleList(
            Hidden(C, dropout=settings.dropout, layers=settings.layers) for _ in range(settings.layers - 1)
        )
        self.norm = nn.LayerNorm(C, bias=False)

    @property
    def context(self) -> None:
        """None: the state holds just the lags, so the caller need not limit the context."""
        return None

    @property
    def reach(self) -> int:
        """How many past ids a step sees, itself included."""
        return self.settings.context

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, PastState]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, PastState):
            raise TypeError(f"a window can't go on from a {type(state).__name__}")
        embedded_BTC = self.dropout(self.embedded(ids))
        x_BTC, past = self.lags(embedded_BTC, None if state is None else state.pasts[0])
        # A residual path for the current step, which the perceptron then need not pass through.
        x_BTC = embedded_BTC + F.gelu(x_BTC)
        for layer in self.hidden:
            x_BTC = layer(x_BTC)
        position = ids.shape[1] + (0 if state is None else state.position)
        return self.norm(x_BTC), PastState((past,), position)

"""A temporal convolutional network over ids: blocks of causal convolutions whose dilation doubles.

Shapes: B batch, T time, V vocabulary, C width.

Source: Bai et al. 2018 (arXiv:1803.01271), with norms before each block as in `transformer.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from musicgen.models.body import SequenceModel
from musicgen.models.layers.convolution import TAPS, ConvolutionBlock, PastState, dilations
from musicgen.models.layers.embedding import embed
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["CNN"]


class CNN(SequenceModel):
    """Embedding, blocks, norm, head. It sees `reach` steps: at least `context`, given enough layers."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        C = settings.width
        self.embedding = embed(settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.dilations = dilations(settings.layers, settings.context)
        self.blocks = nn.ModuleList(
            ConvolutionBlock(C, dilation=dilation, dropout=settings.dropout, blocks=settings.layers)
            for dilation in self.dilations
        )
        self.norm = nn.LayerNorm(C, bias=False)

    @property
    def context(self) -> None:
        """None: the state holds just the steps within reach, so the caller need not limit the context."""
        return None

    @property
    def reach(self) -> int:
        """How many past ids a step sees, itself included."""
        return 1 + (TAPS - 1) * sum(self.dilations)

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, PastState]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, PastState):
            raise TypeError(f"a CNN can't go on from a {type(state).__name__}")
        x_BTC = self.dropout(self.embedded(ids))
        pasts = []
        for layer, block in enumerate(self.blocks):
            x_BTC, past = block(x_BTC, None if state is None else state.pasts[layer])
            pasts.append(past)
        position = ids.shape[1] + (0 if state is None else state.position)
        return self.norm(x_BTC), PastState(tuple(pasts), position)

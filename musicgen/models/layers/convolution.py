"""Causal convolutions, for the window, the CNN and the CNN-LSTM.

Shapes: B batch, T time, P the past steps that a layer still needs, K taps, I inputs, C width, L layers.

Sources: van den Oord et al. 2016, "WaveNet" (arXiv:1609.03499: causal, dilated); Bai et al. 2018, "An empirical
evaluation of generic convolutional and recurrent networks for sequence modeling" (arXiv:1803.01271: residual blocks
whose dilation doubles).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.layers.linear import Linear
from musicgen.models.state import State

__all__ = ["TAPS", "CausalConvolution", "ConvolutionBlock", "PastState", "dilations"]

TAPS = 3


def dilations(layers: int, reach: int, taps: int = TAPS) -> list[int]:
    """The dilation of each layer: doubling until the layers reach back over `reach` steps, then from 1 again.

    >>> dilations(5, 15)
    [1, 2, 4, 1, 2]
    """
    result: list[int] = []
    dilation, seen = 1, 1
    for _ in range(layers):
        if seen >= reach and result:
            dilation, seen = 1, 1
        result.append(dilation)
        seen += (taps - 1) * dilation
        dilation *= 2
    return result


class CausalConvolution(nn.Module):
    """y_t = sum over k < taps of W_k x_{t - k * dilation}; before the first step x is 0.

    Computed as one product with the concatenated taps, so that a step gives the same numbers as a whole pass.
    """

    def __init__(self, inputs: int, outputs: int, *, taps: int, dilation: int = 1) -> None:
        super().__init__()
        self.inputs, self.taps, self.dilation = inputs, taps, dilation
        self.product = Linear(taps * inputs, outputs)
        nn.init.normal_(self.product.weight, std=(taps * inputs) ** -0.5)

    @property
    def reach(self) -> int:
        """P, the number of past steps that an output depends on, besides the current one."""
        return (self.taps - 1) * self.dilation

    def forward(self, x_BTI: Tensor, past_BPI: Tensor | None) -> tuple[Tensor, Tensor]:
        """y_BTC, and the past inputs (B, P, I) that the next steps need."""
        B, T, inputs = x_BTI.shape
        if past_BPI is None:
            past_BPI = x_BTI.new_zeros(B, self.reach, inputs)
        all_BSI = torch.cat([past_BPI.to(x_BTI.dtype), x_BTI], dim=1)
        taps = [all_BSI[:, k * self.dilation : k * self.dilation + T] for k in range(self.taps)]
        return self.product(torch.cat(taps, dim=-1)), all_BSI[:, T:]


class ConvolutionBlock(nn.Module):
    """A pre-norm residual block of a causal convolution and a linear layer.

    It is one of `blocks`: the output weights start smaller the more blocks there are.
    """

    def __init__(self, width: int, *, dilation: int, dropout: float, blocks: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.convolution = CausalConvolution(width, width, taps=TAPS, dilation=dilation)
        self.mix = Linear(width, width)
        nn.init.normal_(self.mix.weight, std=(2 * blocks * width) ** -0.5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTC: Tensor, past_BPC: Tensor | None) -> tuple[Tensor, Tensor]:
        y_BTC, past_BPC = self.convolution(self.norm(x_BTC), past_BPC)
        return x_BTC + self.dropout(self.mix(F.gelu(y_BTC))), past_BPC


@dataclasses.dataclass
class PastState(State):
    """The past inputs that each convolution still needs."""

    pasts: tuple[Tensor, ...]  # (B, P, I) each
    position: int

    @property
    def rows(self) -> int:
        return len(self.pasts[0])

    def select(self, rows_B: Tensor) -> Self:
        return self.restored({name: past[rows_B.to(past.device)] for name, past in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        return {f"past{layer}": past for layer, past in enumerate(self.pasts)}

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        pasts = tuple(tensors[f"past{layer}"] for layer in range(len(self.pasts)))
        return dataclasses.replace(self, pasts=pasts)

    def cleared(self, rows_B: Tensor) -> Self:
        keep = {name: (~rows_B).to(past)[:, None, None] for name, past in self.tensors().items()}
        return self.restored({name: past * keep[name] for name, past in self.tensors().items()})

"""Products with matrices: the linear layer, and products of each row of a batch by itself.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.hardware import INT8_BLOCK, has_int8, keeps_rows_apart

__all__ = ["Linear", "products_by_row", "row_by_row"]


def row_by_row(product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`product` of each row of a batch on its own.

    A product of two rows or more runs through another kernel than that of one, which rounds differently. Row by
    row, take 3 of 64 equals take 3 alone bit for bit; the matrix stays in the cache, so this costs little but calls.
    """
    return product(x) if len(x) == 1 else torch.cat([product(row) for row in x.split(1)])


def products_by_row(x: Tensor, weight: Tensor) -> Tensor:
    """`F.linear` of each row of a batch on its own; with one call where rows keep their bits in it."""
    rows = x.shape[0]
    if rows == 1:
        return F.linear(x, weight)
    if x.device.type != "cpu" or not keeps_rows_apart(*weight.shape):
        return row_by_row(lambda row: F.linear(row, weight), x)
    products = torch.bmm(x.reshape(rows, 1, -1), weight.t().expand(rows, -1, -1))
    return products.view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """A linear layer without a bias that, once `by_row` is set, multiplies single steps row by row.

    `int8` then holds its weight in 8 bits, with a scale for each output, where speed counts for more than the last
    digits: one step waits for the weights to come from memory, and these are a quarter as long.
    """

    by_row = False
    int8: tuple[Tensor, Tensor] | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.by_row and (x.ndim == 2 or x.shape[1] == 1):
            return products_by_row(x, self.weight) if self.int8 is None else row_by_row(self._rounded, x)
        return F.linear(x, self.weight)

    def _rounded(self, row: Tensor) -> Tensor:
        assert self.int8 is not None
        product = torch._weight_int8pack_mm(row.reshape(1, -1).bfloat16(), *self.int8)
        return product.float().view(*row.shape[:-1], -1)

    @property
    def quantisable(self) -> bool:
        """Whether `quantise` may be called: this machine can, and the inputs are a multiple of the kernel's block."""
        return self.in_features % INT8_BLOCK == 0 and has_int8()

    def quantise(self) -> None:
        """Round the weight to 127 steps either side of nought, by output; the weight itself stays."""
        scale = (self.weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
        steps = (self.weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.int8 = steps.contiguous(), scale

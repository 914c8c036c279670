"""Products with matrices: the linear layer, and products of each row of a batch by itself.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.hardware import keeps_rows_apart

__all__ = ["Linear", "products_by_row", "row_by_row"]


def row_by_row(product: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`product` of each row of a batch on its own.

    A product of two rows or more runs through another kernel than that of one, which rounds differently. Row by
    row, take 3 of 64 equals take 3 alone bit for bit; the matrix stays in the cache, so the only cost is more calls.
    """
    return product(x) if len(x) == 1 else torch.cat([product(row) for row in x.split(1)])


def products_by_row(x: Tensor, weight: Tensor) -> Tensor:
    """`F.linear` of each row of a batch on its own; in one call where that gives the same bits."""
    rows = x.shape[0]
    if rows == 1:
        return F.linear(x, weight)
    if x.device.type != "cpu" or not keeps_rows_apart(*weight.shape):
        return row_by_row(lambda row: F.linear(row, weight), x)
    products = torch.bmm(x.reshape(rows, 1, -1), weight.t().expand(rows, -1, -1))
    return products.view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """A linear layer without a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

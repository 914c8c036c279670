"""How layers step fast on a CPU, a row at a time: the same functions of the same weights, up to rounding.

One step of one row waits for the weights to come from memory. So matrices lie column by column, what is looked up is
worked out once, and with `int8` weights are a quarter as long. And a product of two rows or more runs through another
kernel than that of one, which rounds differently: row by row, take 3 of 64 equals take 3 alone bit for bit.

Shapes: B rows, T time, C width, V vocabulary, G the gates of a recurrent layer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models import SequenceModel
from musicgen.models.hardware import INT8_BLOCK, has_int8
from musicgen.models.heads.fields import FieldHead, FieldScores
from musicgen.models.heads.token import TokenHead
from musicgen.models.ladder.rnn import Recurrent, summed
from musicgen.models.layers.linear import Linear, products_by_row, row_by_row
from musicgen.models.layers.recurrence import Recurrence
from musicgen.models.memory.head import PointerHead
from musicgen.models.memory.scores import Packed

__all__ = ["can_round", "prepared"]


def can_round(layer: nn.Module) -> bool:
    """Whether a layer may have weights of 8 bits: this machine can, and the inputs are a multiple of the kernel's
    block."""
    return isinstance(layer, Linear) and layer.in_features % INT8_BLOCK == 0 and has_int8()


@torch.inference_mode(False)  # a tensor made in inference mode could never be trained again
@torch.no_grad()
def prepared(model: SequenceModel, *, int8: bool = False) -> SequenceModel:
    """A copy of the model that shares its weights and steps row by row, in evaluation mode, as the model is then, too.

    It is of the weights as they are: once these are trained on, it is to be made anew.

    On a CPU the weights of the model itself are laid column by column in place, with the same values; elsewhere, and
    for a model that reads row by row by itself, it is the model. Prompts are read as ever; so are an LSTM's gates.
    """
    model.eval()
    if model.apart or next(model.parameters()).device.type != "cpu":
        return model
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.t().contiguous().t()
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, memo=shared)
    for layer in twin.modules():
        if isinstance(layer, Linear):
            vars(layer)["forward"] = _Product(layer, rounded=int8 and can_round(layer))
    for layer in twin.modules():
        if isinstance(layer, Recurrence):
            _step_recurrence(layer)
        if isinstance(layer, Recurrent) and not isinstance(layer.embedding, nn.Identity):
            vectors_VC = None if layer.embedding is None else layer.embedding.weight
            vars(layer)["first"] = partial(_looked_up, layer, layer.recurrence.table(vectors_VC).contiguous())
    head = vars(twin).get("step_head")
    if isinstance(head, FieldHead):
        told_VFC = torch.stack([learn(head.embedding.weight) for learn in head.learn], dim=1)
        vars(head)["scores"] = lambda hidden_BC, state: _FieldLookup(head, hidden_BC, told_VFC)
    elif isinstance(head, TokenHead) and head.tied is not None:
        weight_VC = head.tied.weight.t().contiguous().t()
        vars(head)["project"] = partial(row_by_row, partial(_times, weight_VC))
    elif isinstance(head, PointerHead):
        vars(head)["scores"] = partial(head.scores, packed=Packed(head))
    return twin


def _times(weight: Tensor, row: Tensor) -> Tensor:
    return F.linear(row, weight)


class _Product:
    """A linear layer's product: of whole sequences as ever, of single steps row by row, and there rounded if asked."""

    def __init__(self, layer: Linear, *, rounded: bool) -> None:
        self._weight = layer.weight
        self._int8 = _quantised(layer.weight) if rounded else None

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 2 or x.shape[1] == 1:
            return products_by_row(x, self._weight) if self._int8 is None else row_by_row(self._rounded, x)
        return F.linear(x, self._weight)

    def _rounded(self, row: Tensor) -> Tensor:
        assert self._int8 is not None
        product = torch._weight_int8pack_mm(row.reshape(1, -1).bfloat16(), *self._int8)
        return product.float().view(*row.shape[:-1], -1)


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The weight in 127 steps either side of nought, and the size of a step by output."""
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
    steps = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return steps.contiguous(), scale


def _step_recurrence(recurrence: Recurrence) -> None:
    """Single steps multiply with copies of the weights that lie column by column, row by row."""
    into, own = [], []
    for into_GI, own_GC, into_bias_G, own_bias_G in recurrence.fused.all_weights:
        into.append(partial(_affine, into_bias_G, into_GI.t().contiguous()))
        own.append(partial(_affine, own_bias_G, own_GC.t().contiguous()))
    vars(recurrence)["into"], vars(recurrence)["own"] = partial(_by_layer, into), partial(_by_layer, own)


def _affine(bias_G: Tensor, matrix: Tensor, row: Tensor) -> Tensor:
    return torch.addmm(bias_G, row, matrix)


def _by_layer(products: Sequence[Callable[[Tensor], Tensor]], layer: int, x: Tensor) -> Tensor:
    return row_by_row(products[layer], x)


def _looked_up(body: Recurrent, table_VG: Tensor, ids: Tensor) -> tuple[None, Tensor]:
    """What a step sends to the first layer's gates, from a table of what each id sends."""
    return None, summed(ids, table_VG) + body.recurrence.first_bias_G


class _FieldLookup(FieldScores):
    """What each value tells each later field is a row to look up, told_VFC."""

    def __init__(self, head: FieldHead, hidden_BC: Tensor, told_VFC: Tensor) -> None:
        super().__init__(head, hidden_BC)
        self._told_VFC = told_VFC

    def told(self, field: int, ids_B: Tensor) -> list[Any]:
        return list(self._told_VFC[ids_B].unbind(1)[field:])

"""Faster single decoding steps on a CPU, computed one row at a time: equal to the model's own up to rounding.

A step of one row is limited by reading the weights from memory. So matrices are stored column-major, products of
embeddings with weights are precomputed as tables, and with `int8` weights take a quarter of the memory. Rows are
multiplied one by one because the kernel for several rows rounds differently from that for one: so take 3 of 64 is
bit-identical to take 3 drawn alone.

Shapes: B batch rows, T time steps, C hidden width, V vocabulary size, F fields, G gate units of a recurrent layer,
I inputs of a layer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models import SequenceModel
from musicgen.models.hardware import INT8_BLOCK, has_int8
from musicgen.models.heads.fields import FieldHead, FieldScores
from musicgen.models.heads.token import TokenHead
from musicgen.models.ladder.rnn import Recurrent, summed
from musicgen.models.layers.linear import Linear, products_by_row, row_by_row
from musicgen.models.layers.recurrence import Recurrence
from musicgen.models.memory.head import PointerHead
from musicgen.models.memory.scores import Packed

__all__ = ["can_round", "check_int8", "prepared"]


def can_round(layer: nn.Module) -> bool:
    """Whether a layer can use 8-bit weights: it is a `Linear`, the machine supports it, and its input width is a
    multiple of the kernel's block size."""
    return isinstance(layer, Linear) and layer.in_features % INT8_BLOCK == 0 and has_int8()


def check_int8(model: SequenceModel, device: str) -> None:
    """Raise UsageError if a model can't draw with 8-bit weights on this device."""
    if not device.startswith("cpu"):
        raise UsageError(f"weights of 8 bits are for a CPU, not for {device}", where="`int8`", hint="use `device` cpu")
    if not has_int8():
        what = "this PyTorch can't multiply with weights of 8 bits on this CPU"
        raise UsageError(what, where="`int8`", hint="leave `int8` out")
    if not any(can_round(layer) for layer in model.modules()):
        what = f"this {model.settings.family} model has no layer for it: none is a multiple of {INT8_BLOCK} wide"
        raise UsageError(what, where="`int8`", hint="leave `int8` out")


@torch.inference_mode(False)  # a tensor made in inference mode could never be trained again
@torch.no_grad()
def prepared(model: SequenceModel, *, int8: bool = False) -> SequenceModel:
    """A copy of the model that shares its weights and computes single steps row by row; both are in evaluation mode.

    The copy holds tables computed from the current weights: after further training, prepare the model again.

    On a CPU the weights of the linear layers of the model itself are stored column-major in place, with the same
    values. On other devices, and for a model that computes row by row by itself (`apart`), returns the model itself.
    Prompts of several steps are read as by the model. `int8` rounds the weights of `Linear` layers for single steps
    (see `can_round`), never those of recurrent gates.
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
        contributions_VFC = torch.stack([layer(head.embedding.weight) for layer in head.from_fields], dim=1)
        vars(head)["scores"] = lambda hidden_BC, state: _FieldLookup(head, hidden_BC, contributions_VFC)
    elif isinstance(head, TokenHead) and head.tied is not None:
        weight_VC = head.tied.weight.t().contiguous().t()
        vars(head)["project"] = partial(row_by_row, partial(_times, weight_VC))
    elif isinstance(head, PointerHead):
        vars(head)["scores"] = partial(head.scores, packed=Packed(head))
    return twin


def _times(weight: Tensor, row: Tensor) -> Tensor:
    return F.linear(row, weight)


class _Product:
    """The forward function of a linear layer: unchanged for sequences, row by row for single steps.

    With `rounded`, single steps use 8-bit weights.
    """

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
    """The weight as int8 within -127..127, and the scale of each output row, bfloat16."""
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
    steps = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return steps.contiguous(), scale


def _step_recurrence(recurrence: Recurrence) -> None:
    """Make single steps of a recurrent layer multiply row by row with column-major copies of its weights."""
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
    """The input of a step to the first layer's gates, bias included, from a table of each id's contribution."""
    return None, summed(ids, table_VG) + body.recurrence.first_bias_G


class _FieldLookup(FieldScores):
    """Field scores that look up what an id contributes to each field, in the precomputed table contributions_VFC."""

    def __init__(self, head: FieldHead, hidden_BC: Tensor, contributions_VFC: Tensor) -> None:
        super().__init__(head, hidden_BC)
        self._contributions_VFC = contributions_VFC

    def contributions(self, field: int, ids_B: Tensor) -> list[Any]:
        return list(self._contributions_VFC[ids_B].unbind(1)[field:])

"""A stacked LSTM over ids: the fused kernel for whole passes, four gates written out for single steps.

Shapes: B batch, T time, V vocabulary, C width, L layers, 4C the gates input, forget, cell, output side by side.

Sources: Hochreiter and Schmidhuber 1997; the forget gate from Gers et al. 2000, its bias of 1 from Jozefowicz
et al. 2015 (section 2.2); dropout between layers only from Zaremba et al. 2014 (arXiv:1409.2329).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.base import ModelSettings, SequenceModel, State
from musicgen.models.head import row_by_row

__all__ = ["LSTM", "LSTMState", "lstm_cell"]


@dataclasses.dataclass
class LSTMState(State):
    """What the layers output last and what their cells hold."""

    hidden_LBC: Tensor
    cell_LBC: Tensor
    position: int

    @property
    def rows(self) -> int:
        return self.hidden_LBC.shape[1]

    def select(self, rows_B: Tensor) -> Self:
        rows_B = rows_B.to(self.hidden_LBC.device)
        hidden_LBC, cell_LBC = self.hidden_LBC.index_select(1, rows_B), self.cell_LBC.index_select(1, rows_B)
        return dataclasses.replace(self, hidden_LBC=hidden_LBC, cell_LBC=cell_LBC)

    def detach(self) -> Self:
        """The same state without its gradient, for training on an excerpt that goes on from the one before."""
        return dataclasses.replace(self, hidden_LBC=self.hidden_LBC.detach(), cell_LBC=self.cell_LBC.detach())


def lstm_cell(gates_B4C: Tensor, cell_BC: Tensor) -> tuple[Tensor, Tensor]:
    """One step of one layer, from the sums that reach its gates: what it outputs, and what its cell then holds."""
    into, forget, new, out = gates_B4C.chunk(4, dim=1)  # PyTorch's order
    cell_BC = forget.sigmoid() * cell_BC + into.sigmoid() * new.tanh()
    return out.sigmoid() * cell_BC.tanh(), cell_BC


@dataclasses.dataclass(frozen=True)
class _Packed:
    """Copies of the weights as sampling reads them: a layer's inputs meet one matrix, and lie as it likes.

    `first_V4C` is what each id sends to the first layer's gates, a row to look up: with the biases, but where a
    step has fields and its rows are summed.
    `products` are the matrices: (C, 4C) for the first layer's own output, (2C, 4C) for the later layers'
    input and own output together.
    """

    first_V4C: Tensor
    products: tuple[Tensor, ...]
    biases_4C: tuple[Tensor, ...]


def _affine(bias_4C: Tensor, matrix: Tensor, row: Tensor) -> Tensor:
    return torch.addmm(bias_4C, row, matrix)


def _combined(ids: Tensor, table: Tensor) -> Tensor:
    """The table's rows for ids_B, or for ids_BF their sums."""
    rows = F.embedding(ids, table)
    return rows.sum(dim=1) if ids.ndim == 2 else rows


class LSTM(SequenceModel):
    """Embedding, stacked LSTM, head. A learned embedding is also the head's weight.

    With the one-hot input the first layer's gates read the one-hot vector itself: nothing of width C lies
    between, unlike the learned table.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        V, C = settings.vocabulary_size, settings.width
        one_hot = settings.embedding == "one-hot"
        self.embedding = None if one_hot else nn.Embedding(V, C)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(V if one_hot else C, C, settings.layers, dropout=between, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self._packed: _Packed | None = None
        self._make_heads()
        self._initialise()

    def _initialise(self) -> None:
        """Rows of length one for the embedding, PyTorch's own for the gates, and memory that starts by keeping."""
        C = self.settings.width
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=C**-0.5)
        for layer in range(self.settings.layers):
            # PyTorch has two biases where one would do; the second stays at nought so that they sum to 1.
            for name, value in ((f"bias_ih_l{layer}", 1.0), (f"bias_hh_l{layer}", 0.0)):
                bias_4C = self.lstm.get_parameter(name)
                nn.init.zeros_(bias_4C)
                nn.init.constant_(bias_4C[C : 2 * C], value)

    @property
    def context(self) -> None:
        """No limit: the state carries whatever the network chose to keep."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, LSTMState]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, LSTMState):
            raise TypeError(f"an LSTM can't go on from a {type(state).__name__}")
        T = ids.shape[1]
        # The fused kernel takes three to nine times as long for a single step as the step written out.
        if T == 1 and not self.training:
            hidden_BTC, state = self._step(ids[:, 0], state or self._silence(ids))
            if self._skips:
                hidden_BTC = hidden_BTC + self.embedded(ids)
        else:
            past = None if state is None else (state.hidden_LBC, state.cell_LBC)
            inputs = self._inputs(ids)
            hidden_BTC, (hidden_LBC, cell_LBC) = self.lstm(inputs, past)
            state = LSTMState(hidden_LBC, cell_LBC, T + (0 if state is None else state.position))
            if self._skips:
                hidden_BTC = hidden_BTC + inputs
        return self.dropout(hidden_BTC), state

    @property
    def _skips(self) -> bool:
        """Whether the head also sees the step itself: it says where the next note stands, which gates would blur."""
        return bool(self.settings.fields) and self.embedding is not None

    def _inputs(self, ids: Tensor) -> Tensor:
        """What the first layer reads: x_BTC, or with the one-hot input x_BTV."""
        if self.embedding is not None:
            return self.dropout(self.embedded(ids))
        one_hot = F.one_hot(ids.long(), self.settings.vocabulary_size)
        one_hot = one_hot.sum(dim=-2) if ids.ndim == 3 else one_hot
        return one_hot.to(self.lstm.get_parameter("weight_ih_l0").dtype)

    def _silence(self, ids_BT: Tensor) -> LSTMState:
        """The state before the first id."""
        zeros_LBC = self.lstm.get_parameter("weight_hh_l0").new_zeros(
            self.settings.layers, len(ids_BT), self.settings.width
        )
        return LSTMState(zeros_LBC, zeros_LBC, 0)

    def _step(self, ids: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One step (ids_B or ids_BF) further: hidden_BTC of T = 1 and the state, as the fused kernel has them."""
        packed = self._packed
        x_BC: Tensor | None = None
        hiddens, cells = [], []
        for layer, (hidden_BC, cell_BC) in enumerate(zip(state.hidden_LBC, state.cell_LBC, strict=True)):
            if packed is None:
                into_gates, own, bias_ih, bias_hh = self.lstm.all_weights[layer]
                if x_BC is not None:
                    gates_B4C = F.linear(x_BC, into_gates, bias_ih)
                elif self.embedding is not None:
                    gates_B4C = F.linear(_combined(ids, self.embedding.weight), into_gates, bias_ih)
                else:
                    gates_B4C = _combined(ids, into_gates.t()) + bias_ih  # a one-hot vector picks a column
                gates_B4C = gates_B4C + F.linear(hidden_BC, own, bias_hh)
            elif x_BC is None:
                first_B4C = _combined(ids, packed.first_V4C)
                if ids.ndim == 2:
                    first_B4C = first_B4C + packed.biases_4C[0]
                gates_B4C = first_B4C + row_by_row(partial(torch.matmul, other=packed.products[0]), hidden_BC)
            else:
                both_B2C = torch.cat([x_BC, hidden_BC], dim=1)
                weights = packed.biases_4C[layer], packed.products[layer]
                gates_B4C = row_by_row(partial(_affine, *weights), both_B2C)
            x_BC, cell_BC = lstm_cell(gates_B4C, cell_BC)
            hiddens.append(x_BC)
            cells.append(cell_BC)
        return hiddens[-1][:, None], LSTMState(torch.stack(hiddens), torch.stack(cells), state.position + 1)

    def faster(self, *, int8: bool = False) -> Self:
        """As every model's, and packs the gates' weights in copies; `train()` drops them, as they would go stale."""
        super().faster(int8=int8)
        if self.lstm.get_parameter("weight_hh_l0").device.type != "cpu":
            return self
        with torch.inference_mode(False), torch.no_grad():
            products, biases = [], []
            for layer, (into_gates, own, bias_ih, bias_hh) in enumerate(self.lstm.all_weights):
                biases.append(bias_ih + bias_hh)
                if layer == 0:
                    inputs = into_gates.t() if self.embedding is None else F.linear(self.embedding.weight, into_gates)
                    # A row of one id holds the biases; of several fields, whose rows are summed, none does.
                    first_V4C = (inputs if self.settings.fields else inputs + biases[0]).contiguous()
                    products.append(own.t().contiguous())
                else:
                    products.append(torch.cat([into_gates, own], dim=1).t().contiguous())
            self._packed = _Packed(first_V4C, tuple(products), tuple(biases))
        return self

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._packed = None
        return super().train(mode)

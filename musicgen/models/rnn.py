"""A stacked LSTM over ids: the fused kernel for whole passes, four gates written out for single steps.

Shapes: B batch, T time, V vocabulary, C width, L layers, 4C the gates input, forget, cell, output side by side.

Sources: Hochreiter and Schmidhuber 1997; the forget gate from Gers et al. 2000, its bias of 1 from Jozefowicz
et al. 2015 (section 2.2); dropout between layers only from Zaremba et al. 2014 (arXiv:1409.2329).
"""

from __future__ import annotations

import dataclasses
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.base import ModelSettings, SequenceModel, State

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

    `first_V4C` is what each id sends to the first layer's gates, biases included: a row to look up.
    `products` are the matrices: (C, 4C) for the first layer's own output, (2C, 4C) for the later layers'
    input and own output together.
    """

    first_V4C: Tensor
    products: tuple[Tensor, ...]
    biases_4C: tuple[Tensor, ...]


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
        if one_hot:  # the tied head is no module of its own, so the weight has one name in a saved file
            self.head = nn.Linear(C, V, bias=False)
        self._packed: _Packed | None = None
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

    def forward(self, ids_BT: Tensor, state: State | None = None) -> tuple[Tensor, LSTMState]:
        self.check_ids(ids_BT)
        if state is not None and not isinstance(state, LSTMState):
            raise TypeError(f"an LSTM can't go on from a {type(state).__name__}")
        T = ids_BT.shape[1]
        # The fused kernel takes three to nine times as long for a single step as the step written out.
        if T == 1 and not self.training:
            hidden_BTC, state = self._step(ids_BT[:, 0], state or self._silence(ids_BT))
        else:
            past = None if state is None else (state.hidden_LBC, state.cell_LBC)
            hidden_BTC, (hidden_LBC, cell_LBC) = self.lstm(self._inputs(ids_BT), past)
            state = LSTMState(hidden_LBC, cell_LBC, T + (0 if state is None else state.position))
        hidden_BTC = self.dropout(hidden_BTC)
        if self.embedding is None:
            return self.head(hidden_BTC), state
        return F.linear(hidden_BTC, self.embedding.weight), state

    def _inputs(self, ids_BT: Tensor) -> Tensor:
        """What the first layer reads: x_BTC, or with the one-hot input x_BTV."""
        if self.embedding is not None:
            return self.dropout(self.embedding(ids_BT))
        return F.one_hot(ids_BT.long(), self.settings.vocabulary_size).to(self.lstm.get_parameter("weight_ih_l0").dtype)

    def _silence(self, ids_BT: Tensor) -> LSTMState:
        """The state before the first id."""
        zeros_LBC = self.lstm.get_parameter("weight_hh_l0").new_zeros(
            self.settings.layers, len(ids_BT), self.settings.width
        )
        return LSTMState(zeros_LBC, zeros_LBC, 0)

    def _step(self, ids_B: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """One id further: hidden_BTC of T = 1 and the state, from the same weights as the fused kernel's."""
        packed = self._packed
        x_BC: Tensor | None = None
        hiddens, cells = [], []
        for layer, (hidden_BC, cell_BC) in enumerate(zip(state.hidden_LBC, state.cell_LBC, strict=True)):
            if packed is None:
                into_gates, own, bias_ih, bias_hh = self.lstm.all_weights[layer]
                if x_BC is not None:
                    gates_B4C = F.linear(x_BC, into_gates, bias_ih)
                elif self.embedding is not None:
                    gates_B4C = F.linear(self.embedding(ids_B), into_gates, bias_ih)
                else:
                    gates_B4C = F.embedding(ids_B, into_gates.t()) + bias_ih  # a one-hot vector picks a column
                gates_B4C = gates_B4C + F.linear(hidden_BC, own, bias_hh)
            elif x_BC is None:
                gates_B4C = torch.addmm(F.embedding(ids_B, packed.first_V4C), hidden_BC, packed.products[0])
            else:
                both_B2C = torch.cat([x_BC, hidden_BC], dim=1)
                gates_B4C = torch.addmm(packed.biases_4C[layer], both_B2C, packed.products[layer])
            x_BC, cell_BC = lstm_cell(gates_B4C, cell_BC)
            hiddens.append(x_BC)
            cells.append(cell_BC)
        return hiddens[-1][:, None], LSTMState(torch.stack(hiddens), torch.stack(cells), state.position + 1)

    def faster(self) -> Self:
        """As every model's, and packs the gates' weights in copies; `train()` drops them, as they would go stale."""
        super().faster()
        if self.lstm.get_parameter("weight_hh_l0").device.type != "cpu":
            return self
        with torch.inference_mode(False), torch.no_grad():
            products, biases = [], []
            for layer, (into_gates, own, bias_ih, bias_hh) in enumerate(self.lstm.all_weights):
                biases.append(bias_ih + bias_hh)
                if layer == 0:
                    inputs = into_gates.t() if self.embedding is None else F.linear(self.embedding.weight, into_gates)
                    first_V4C = (inputs + biases[0]).contiguous()
                    products.append(own.t().contiguous())
                else:
                    products.append(torch.cat([into_gates, own], dim=1).t().contiguous())
            self._packed = _Packed(first_V4C, tuple(products), tuple(biases))
        return self

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._packed = None
        return super().train(mode)

"""Recurrent layers: the plain network, GRU and LSTM, each as explicit equations and as PyTorch's fused layer.

A layer reads x_t and its own last output, h_{t-1}. Both go through a matrix, `into` = W x_t + b and
`own` = U h_{t-1} + c, and the cell computes the new h_t from the two. The stack runs fused over whole passes and cell
by cell over single steps, with the same weights and the same results.

Shapes: B batch, T time, C width, L layers, G = 1, 3 or 4 times C the concatenated gates.

Sources: Elman 1990 (the plain network); Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000
and its bias of 1 from Jozefowicz et al. 2015 (section 2.2); Cho et al. 2014 (arXiv:1406.1078) in the form that
PyTorch computes, with the reset gate applied after the product; dropout between layers only: Zaremba et al. 2014.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.state import State

__all__ = ["CELLS", "Recurrence", "RecurrentState", "gru_cell", "lstm_cell", "rnn_cell"]

GATES = {
    "rnn": (),
    "gru": ("reset", "update", "candidate"),
    "lstm": ("input", "forget", "candidate", "output"),
}


def rnn_cell(into_BC: Tensor, own_BC: Tensor, hidden_BC: Tensor, cell_BC: Tensor | None) -> tuple[Tensor, None]:
    """h_t = tanh(W x_t + U h_{t-1} + b). The output is the whole state."""
    return (into_BC + own_BC).tanh(), None


def gru_gates(into_B3C: Tensor, own_B3C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """reset, update and the candidate for the new state; (B, C) each, or with any dimensions before C.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r), z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z),
    n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + c_n)).
    """
    into_reset, into_update, into_new = into_B3C.chunk(3, dim=-1)  # PyTorch's order
    own_reset, own_update, own_new = own_B3C.chunk(3, dim=-1)
    reset = (into_reset + own_reset).sigmoid()
    update = (into_update + own_update).sigmoid()
    new = (into_new + reset * own_new).tanh()
    return reset, update, new


def gru_cell(into_B3C: Tensor, own_B3C: Tensor, hidden_BC: Tensor, cell_BC: Tensor | None) -> tuple[Tensor, None]:
    """h_t = z * h_{t-1} + (1 - z) * n: the update gate z keeps the old state, the reset gate scales U h in n."""
    _, update, new = gru_gates(into_B3C, own_B3C)
    return new + update * (hidden_BC - new), None


def lstm_gates(into_B4C: Tensor, own_B4C: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """input, forget, the candidate for the cell, and output; as `gru_gates`.

    i_t, f_t and o_t are sigmoid(W x_t + U h_{t-1} + b), and g_t is tanh of such a sum, each with weights of its own.
    """
    sums_i, sums_f, sums_g, sums_o = (into_B4C + own_B4C).chunk(4, dim=-1)  # PyTorch's order
    into = sums_i.sigmoid()
    forget = sums_f.sigmoid()
    new = sums_g.tanh()
    out = sums_o.sigmoid()
    return into, forget, new, out


def lstm_cell(
    into_B4C: Tensor, own_B4C: Tensor, hidden_BC: Tensor, cell_BC: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t): the cell is the memory, o gates the output."""
    into, forget, new, out = lstm_gates(into_B4C, own_B4C)
    assert cell_BC is not None
    cell_BC = forget * cell_BC + into * new
    return out * cell_BC.tanh(), cell_BC


CELLS = {"rnn": rnn_cell, "gru": gru_cell, "lstm": lstm_cell}
_FUSED: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclasses.dataclass
class RecurrentState(State):
    """The last outputs of all layers and, for an LSTM, their cells."""

    hidden_LBC: Tensor
    cell_LBC: Tensor | None
    position: int

    @property
    def rows(self) -> int:
        return self.hidden_LBC.shape[1]

    def select(self, rows_B: Tensor) -> Self:
        rows_B = rows_B.to(self.hidden_LBC.device)
        return self.restored({name: value.index_select(1, rows_B) for name, value in self.tensors().items()})

    def tensors(self) -> dict[str, Tensor]:
        cell = {} if self.cell_LBC is None else {"cell_LBC": self.cell_LBC}
        return {"hidden_LBC": self.hidden_LBC, **cell}

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        return dataclasses.replace(self, **tensors)  # type: ignore[arg-type]

    def cleared(self, rows_B: Tensor) -> Self:
        keep = (~rows_B).to(self.hidden_LBC)[None, :, None]
        return self.restored({name: value * keep for name, value in self.tensors().items()})


class Recurrence(nn.Module):
    """A stack of recurrent layers over vectors x_BTI of `inputs` numbers: `kind` is rnn, gru or lstm.

    With `by_hand` it is computed by `unrolled`, the loop of the textbooks, in training, too. The weights and their
    names are those of the fused layers, so that either reads what the other has learned. The loop is slow: its cost
    is that of some twenty small operations a step and layer, whatever their size.
    """

    def __init__(
        self, kind: str, inputs: int, width: int, layers: int, *, dropout: float = 0.0, by_hand: bool = False
    ) -> None:
        super().__init__()
        self.kind, self.width, self.layers, self.by_hand = kind, width, layers, by_hand
        self.cell = CELLS[kind]
        between = dropout if layers > 1 else 0.0
        self.fused = _FUSED[kind](inputs, width, layers, dropout=between, batch_first=True)
        C = width
        for layer in range(layers):
            # PyTorch has two biases where one would do, but for a GRU, whose reset gate scales the second.
            for name in (f"bias_ih_l{layer}", f"bias_hh_l{layer}"):
                nn.init.zeros_(self.fused.get_parameter(name))
            if kind == "lstm":  # start by keeping the memory
                nn.init.ones_(self.fused.get_parameter(f"bias_ih_l{layer}").data[C : 2 * C])

    def silence(self, rows: int) -> RecurrentState:
        """The state before the first step."""
        zeros_LBC = self.fused.get_parameter("weight_hh_l0").new_zeros(self.layers, rows, self.width)
        return RecurrentState(zeros_LBC, zeros_LBC if self.kind == "lstm" else None, 0)

    def forward(self, x_BTI: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """hidden_BTC of the last layer and the state: by the fused layers, or with `by_hand` step by step."""
        if self.by_hand:
            return self.unrolled(x_BTI, state)
        state = state or self.silence(len(x_BTI))
        past = (state.hidden_LBC, state.cell_LBC) if self.kind == "lstm" else state.hidden_LBC
        hidden_BTC, last = self.fused(x_BTI, past)
        hidden_LBC, cell_LBC = last if self.kind == "lstm" else (last, None)
        return hidden_BTC, RecurrentState(hidden_LBC, cell_LBC, state.position + x_BTI.shape[1])

    def step(
        self, x_BI: Tensor | None, state: RecurrentState, *, into_BG: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """One step further, cell by cell: hidden_BC and the state, as the fused layers have them.

        `into_BG` is W x + b of the first layer's gates, precomputed, where x_BI is None.
        """
        hiddens: list[Tensor] = []
        cells: list[Tensor] = []
        x_BC = x_BI
        for layer in range(self.layers):
            hidden_BC = state.hidden_LBC[layer]
            cell_BC = None if state.cell_LBC is None else state.cell_LBC[layer]
            if layer and self.training and x_BC is not None:  # between layers only, as in the fused ones
                x_BC = F.dropout(x_BC, self.fused.dropout)
            sums_BG = into_BG if x_BC is None else self.into(layer, x_BC)
            assert sums_BG is not None
            x_BC, cell_BC = self.cell(sums_BG, self.own(layer, hidden_BC), hidden_BC, cell_BC)
            hiddens.append(x_BC)
            if cell_BC is not None:
                cells.append(cell_BC)
        new = RecurrentState(torch.stack(hiddens), torch.stack(cells) if cells else None, state.position + 1)
        return hiddens[-1], new

    def unrolled(self, x_BTI: Tensor, state: RecurrentState | None = None) -> tuple[Tensor, RecurrentState]:
        """`forward` as an explicit loop over steps, h_t from x_t and h_{t-1}, cell by cell (`rnn_cell`, `gru_cell`,
        `lstm_cell`). Its gradient is that of back-propagation through time (Werbos 1990), as autograd finds it: back
        through every step that the loop took. Equal to the fused layers up to rounding.
        """
        state = state or self.silence(len(x_BTI))
        hiddens = []
        for x_BI in x_BTI.unbind(1):
            hidden_BC, state = self.step(x_BI, state)
            hiddens.append(hidden_BC)
        return torch.stack(hiddens, dim=1), state

    @torch.no_grad()
    def gates(self, x_BTI: Tensor) -> list[dict[str, Tensor]]:
        """For each layer the activations (B, T, C) of its gates over a sequence from its beginning, by name.

        Empty for the plain network, which has none.
        """
        result: list[dict[str, Tensor]] = []
        names = GATES[self.kind]
        for layer in range(self.layers if names else 0):
            hidden_BC = x_BTI.new_zeros(len(x_BTI), self.width)
            cell_BC = hidden_BC if self.kind == "lstm" else None
            seen: list[tuple[Tensor, ...]] = []
            hidden: list[Tensor] = []
            for x_BI in x_BTI.unbind(1):
                into_BG, own_BG = self.into(layer, x_BI), self.own(layer, hidden_BC)
                seen.append(lstm_gates(into_BG, own_BG) if self.kind == "lstm" else gru_gates(into_BG, own_BG))
                hidden_BC, cell_BC = self.cell(into_BG, own_BG, hidden_BC, cell_BC)
                hidden.append(hidden_BC)
            stacked = (torch.stack(values, dim=1) for values in zip(*seen, strict=True))
            result.append(dict(zip(names, stacked, strict=True)))
            x_BTI = torch.stack(hidden, dim=1)
        return result

    def into(self, layer: int, x: Tensor) -> Tensor:
        """The input's contribution to a layer's gates: W x + b."""
        weight, _, bias, _ = self.fused.all_weights[layer]
        return F.linear(x, weight, bias)

    def own(self, layer: int, hidden_BC: Tensor) -> Tensor:
        """The last output's contribution to a layer's gates: U h + c."""
        _, weight, _, bias = self.fused.all_weights[layer]
        return F.linear(hidden_BC, weight, bias)

    def table(self, inputs_VI: Tensor | None) -> Tensor:
        """Each id's contribution to the first layer's gates (V, G), without bias, from the ids' vectors `inputs_VI`.

        None stands for one-hot vectors, each of which selects a column of the weight.
        """
        into = self.fused.get_parameter("weight_ih_l0")
        return into.t() if inputs_VI is None else F.linear(inputs_VI, into)

    @property
    def first_bias_G(self) -> Tensor:
        return self.fused.get_parameter("bias_ih_l0")

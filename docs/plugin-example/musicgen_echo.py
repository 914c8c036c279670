"""A model family and a tokenizer as a plug-in for musicgen.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import nn

from musicgen.models import SequenceModel, State
from musicgen.tokenizers import Remi


@dataclasses.dataclass
class EchoState(State):
    """What is left of the past. A state is a value: each step makes a new one."""

    echo_BC: torch.Tensor
    position: int

    @property
    def rows(self):
        return len(self.echo_BC)

    def select(self, rows_B):
        return dataclasses.replace(self, echo_BC=self.echo_BC[rows_B])

    # For training with `carry`, where the state is handed from one window to the next.
    def tensors(self):
        return {"echo_BC": self.echo_BC}

    def restored(self, tensors):
        return dataclasses.replace(self, **tensors)

    def cleared(self, rows_B):
        return self.restored({"echo_BC": self.echo_BC * ~rows_B[:, None]})


class Echo(SequenceModel):
    """Every step sounds on and fades, in each channel at a rate of its own: e_t = a * e_{t-1} + (1 - a) * x_t."""

    presets: ClassVar = {
        "tiny": {"width": 128, "layers": 1, "context": 256},
        "small": {"width": 512, "layers": 1, "context": 256},
    }

    def __init__(self, settings):
        super().__init__(settings)
        C = settings.width
        self.embedding = nn.Embedding(settings.vocabulary_size, C)
        self.fading_C = nn.Parameter(torch.linspace(-2.0, 4.0, C))
        self.mix = nn.Linear(2 * C, C)
        self.norm = nn.LayerNorm(C)

    @property
    def context(self):
        """None: there is no limit to the past."""
        return None

    def read(self, ids, state=None):
        self.check_ids(ids)
        x_BTC = self.embedded(ids)  # of single ids, of steps with fields, and of vectors where another body brings them
        keep_C = self.fading_C.sigmoid()
        echo_BC = x_BTC.new_zeros(x_BTC.shape[0], x_BTC.shape[2]) if state is None else state.echo_BC
        heard = []
        for x_BC in x_BTC.unbind(1):
            echo_BC = keep_C * echo_BC + (1 - keep_C) * x_BC
            heard.append(echo_BC)
        hidden_BTC = self.mix(torch.cat([x_BTC, torch.stack(heard, dim=1)], dim=-1))
        position = ids.shape[1] + (0 if state is None else state.position)
        return self.norm(x_BTC + hidden_BTC), EchoState(echo_BC, position)


class Even(Remi):
    """`remi` with every note at velocity 80, for models of what is played and not of how."""

    name = "even"

    def encode(self, piece, *, until=None):
        tracks = []
        for track in piece.tracks:
            notes = track.notes.copy()
            notes["velocity"] = 80
            tracks.append(dataclasses.replace(track, notes=notes))
        return super().encode(dataclasses.replace(piece, tracks=tuple(tracks)), until=until)

"""The base class of heads for lines along pitches: scores for every rank of the keyboard and for the mark.

Shapes: B batch, T time (ids), F frames, K ranks of the keyboard, D width of scores, V vocabulary, Q = 128 ranks.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from musicgen.models.frames.by_pitch import LineReading, LineState
from musicgen.models.frames.pitch_view import KEYS, LineView
from musicgen.models.frames.view import Memory, from_ranks
from musicgen.models.heads.head import IdHead, IdScores

__all__ = ["NEVER", "LineHead"]

NEVER = -12.0  # the score of a pitch outside the keyboard; as a hazard's logit, a probability of 1 in 160,000
AT_ONCE = 512  # ids whose scores are computed at once


class LineHead(IdHead):
    """Scores of the next id, from the hidden states of the lines and from the ids' places in their frames."""

    name = ""

    def __init__(self, view: LineView, *, vocabulary_size: int) -> None:
        super().__init__()
        self.view, self.layout, self.size = view, view.layout, vocabulary_size

    def _prepared(self) -> Any:
        """Whatever `_of_places` needs for all ids, computed once per pass."""
        return None

    @abstractmethod
    def _of_places(self, projected_BTKD: Tensor, places: dict[str, Tensor], prepared: Any) -> Tensor:
        """Scores (B, T, Q + 1) of the ranks and the mark."""

    def _logits(self, reading: LineReading) -> Tensor:
        rows, prepared = [], self._prepared()
        for lines, projected_BFKD in reading.parts:
            row_B1 = torch.arange(len(projected_BFKD), device=projected_BFKD.device)[:, None]
            scores = []
            for begin in range(0, lines.done_BT.shape[1], AT_ONCE):
                part = slice(begin, begin + AT_ONCE)
                projected_BTKD = projected_BFKD[row_B1, lines.done_BT[:, part]]
                scores.append(self._of_places(projected_BTKD, self.view.places(lines, part).tensors, prepared))
            rows.append(torch.cat(scores, dim=1))
        return from_ranks(self.layout, torch.cat(rows), self.size)

    def scores(self, hidden_BC: Tensor, state: Any) -> IdScores:
        """See `Head.scores`; the state has the places of the last ids. Rows are scored one by one, as they are read."""
        if not isinstance(state, LineState) or not isinstance(state.last, Memory):
            raise TypeError("a model of pitches needs the state to score the next id")
        rows, prepared = [], self._prepared()
        for row, hidden_C in enumerate(hidden_BC):
            places = {name: of_rows[row : row + 1] for name, of_rows in state.last.tensors.items()}
            rows.append(self._of_places(hidden_C.view(1, 1, KEYS, -1), places, prepared))
        logits_B1V = from_ranks(self.layout, torch.cat(rows), self.size)
        return IdScores(self.tempered(logits_B1V)[:, 0])

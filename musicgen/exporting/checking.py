"""An exported model against the one it was made of: the same logits, on a real piece and on random steps.

Shapes: B batch, T time, F fields, K the values of a field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicgen.errors import MusicgenError
from musicgen.exporting.steps import Form
from musicgen.io import read
from musicgen.models import SequenceModel
from musicgen.models.heads.head import Reading
from musicgen.resources import piece_path
from musicgen.tokenizers import Tokenizer

__all__ = ["PIECE", "STEPS", "largest_difference", "likely_steps"]

PIECE = "schubert-unfinished"  # comes along
STEPS = 33  # that are compared
ROWS = 3


def likely_steps(tokenizer: Tokenizer, length: int = STEPS) -> np.ndarray:
    """Steps to try a model on, (3, length) or (3, length, F), int64: two rows of a real piece, from its beginning and
    from further on, and one of ids drawn at random from all values of each field."""
    rng = np.random.default_rng(0)
    try:
        ids = np.asarray(tokenizer.encode(read(piece_path(PIECE)))).astype(np.int64)
    except MusicgenError:  # music that this tokenizer can't say
        ids = np.empty((0, len(tokenizer.fields)), np.int64)
    drawn = np.stack([rng.integers(each.first, each.first + each.size, length) for each in tokenizer.fields], axis=-1)
    drawn = drawn if len(tokenizer.fields) > 1 else drawn[:, 0]
    starts = (0, (len(ids) - length) // 2)
    return np.stack([*(ids[n : n + length] if len(ids) >= 2 * length else drawn[::-1] for n in starts), drawn])


def largest_difference(session: Any, model: SequenceModel, tokenizer: Tokenizer, form: Form) -> float:
    """The largest difference between the logits of an onnxruntime session and of the model itself, which reads all
    steps in one pass; infinite where one isn't finite."""
    ids = torch.from_numpy(likely_steps(tokenizer, min(STEPS, (form.longest or STEPS) + 1)))
    inputs, nexts = ids[:, :-1], ids[:, 1:]
    wanted = _own(model, inputs, nexts)
    got = _stepped(session, inputs, nexts, form) if form.state else _windows(session, inputs, nexts)
    worst = 0.0
    for t, logits in got:
        for mine, theirs in zip((each[:, t] for each in wanted), logits, strict=True):
            worst = max(worst, float(np.nan_to_num(np.abs(theirs - mine), nan=np.inf).max()))
    return worst


@torch.no_grad()
def _own(model: SequenceModel, inputs: Tensor, nexts: Tensor) -> list[np.ndarray]:
    """The model's logits (B, T, K) of each field."""
    hidden_BTC, _ = model.read(inputs)
    return [logits.numpy() for logits in model.step_head.choices(Reading(hidden_BTC, inputs), nexts)]


def _stepped(session: Any, inputs: Tensor, nexts: Tensor, form: Form) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(t, logits of each field after step t), step by step, from a state of zeros."""
    state = [value.numpy() for value in form.zeros(len(inputs)).values()]
    names = list(form.state)
    for t in range(inputs.shape[1]):
        feed = {"ids": inputs[:, t].numpy(), **dict(zip(names, state, strict=True))}
        outputs = session.run(None, _with_chosen(feed, nexts, t, form.n_fields))
        logits, state = outputs[: -len(names)], outputs[-len(names) :]
        yield t, logits


def _windows(session: Any, inputs: Tensor, nexts: Tensor) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(t, logits of each field after step t) of some windows from the first step, and for one row alone."""
    n_fields = inputs.shape[2] if inputs.ndim == 3 else 0
    for t in sorted({0, 1, inputs.shape[1] // 2, inputs.shape[1] - 1}):
        yield t, session.run(None, _with_chosen({"ids": inputs[:, : t + 1].numpy()}, nexts, t, n_fields))


def _with_chosen(feed: dict[str, np.ndarray], nexts: Tensor, t: int, n_fields: int) -> dict[str, np.ndarray]:
    return {**feed, "chosen": nexts[:, t].numpy()} if n_fields else feed

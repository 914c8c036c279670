"""The numbers behind a run's pictures: what it logged, how its pitches lie, how far back it listens.

Shapes: N excerpts or rows, T time, V vocabulary, C width, P pitches, K lags.

Sources: the gradient of a late loss with respect to early inputs as a measure of vanishing memory is that of Bengio
et al. 1994, "Learning Long-Term Dependencies with Gradient Descent is Difficult", and of Pascanu et al. 2013
(arXiv:1211.5063), section 2.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from musicgen.errors import UnreadableError
from musicgen.io.bounded import MEGABYTE, read_small
from musicgen.models import SequenceModel, State

__all__ = [
    "gradient_by_lag",
    "input_rows",
    "pitch_classes",
    "plane",
    "read_columns",
    "read_gradients",
    "similarity_by_interval",
]

MOST_LOGGED = 16 * MEGABYTE
MOST_LAYERS = 1000
AGAIN = "train the run again"


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of log.csv as float arrays, NaN where a cell is empty. UnreadableError when it isn't such a file."""
    return {name: np.array([_number(cell, path) for cell in cells]) for name, cells in _columns(path).items()}


def read_gradients(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(steps, norms) of each layer in gradients.csv, in the file's order. UnreadableError when it isn't such a file."""
    columns = _columns(path)
    if missing := {"step", "layer", "norm"} - set(columns):
        raise UnreadableError(f"has no column {min(missing)!r}", where=path, hint=AGAIN)
    if (count := len(set(columns["layer"]))) > MOST_LAYERS:
        raise UnreadableError(f"names {count:,} layers, more than any model has", where=path, hint=AGAIN)
    steps = np.array([_number(cell, path) for cell in columns["step"]])
    norms = np.array([_number(cell, path) for cell in columns["norm"]])
    layers = np.array(columns["layer"])
    return {name: (steps[layers == name], norms[layers == name]) for name in dict.fromkeys(columns["layer"])}


@torch.no_grad()
def input_rows(model: SequenceModel) -> np.ndarray | None:
    """rows_VC: what each id of the vocabulary becomes on its way into the model; None where it has no such rows."""
    rows_VC = model.input_rows()
    return None if rows_VC is None else rows_VC.float().cpu().numpy()


def plane(rows_PC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows' two principal components: (points_P2, share of the variance of each). Their signs are the SVD's own."""
    centred_PC = rows_PC - rows_PC.mean(axis=0)
    left, values, _ = np.linalg.svd(centred_PC, full_matrices=False)
    variance = values**2
    points = np.zeros((len(rows_PC), 2))
    shares = np.zeros(2)
    kept = min(2, len(values))
    points[:, :kept] = (left * values)[:, :kept]
    shares[:kept] = variance[:kept] / max(variance.sum(), 1e-30)
    return points, shares


def pitch_classes(rows_PC: np.ndarray, pitch_P: np.ndarray) -> np.ndarray | None:
    """means_12C of the rows by pitch class, each row less the mean of the octave around it; None if a class is absent.

    What is taken off is how high a pitch lies: it is what rows differ in most, and hides how they are related.
    """
    apart_PP = np.abs(pitch_P[:, None] - pitch_P[None])
    near_PP = np.where(apart_PP < 6, 1.0, np.where(apart_PP == 6, 0.5, 0.0))
    rest_PC = rows_PC - near_PP @ rows_PC / near_PP.sum(axis=1, keepdims=True)
    of_class_12P = np.arange(12)[:, None] == pitch_P[None] % 12
    sizes = of_class_12P.sum(axis=1, keepdims=True)
    return of_class_12P @ rest_PC / sizes if sizes.all() else None


def similarity_by_interval(rows_PC: np.ndarray, pitch_P: np.ndarray, *, widest: int = 24) -> np.ndarray:
    """(widest + 1,): the mean cosine of pairs of rows 0, 1, ... semitones apart; NaN where no pair is.

    The rows' mean is taken off first: what all pitches share says nothing of one of them.
    """
    centred_PC = rows_PC - rows_PC.mean(axis=0)
    unit_PC = centred_PC / np.maximum(np.linalg.norm(centred_PC, axis=1, keepdims=True), 1e-12)
    cosine_PP = unit_PC @ unit_PC.T
    apart_PP = np.abs(pitch_P[:, None] - pitch_P[None])
    pairs = [cosine_PP[apart_PP == interval] for interval in range(widest + 1)]
    return np.array([cosines.mean() if len(cosines) else math.nan for cosines in pairs])


def gradient_by_lag(model: SequenceModel, inputs: Tensor, targets: Tensor, *, pad: int) -> np.ndarray:
    """norm_NK: how much the nats of each row's last step change with what the model read k steps before it.

    `inputs` is (N, T) or (N, T, F) and `targets` follows it one step ahead. The norm is of the gradient with respect
    to the embedded step, or to the one-hot vector where no embedding is. Lag 0 is the last step read. What a model of
    frames reads are frames, told as what they hold: K is the least that a row has.
    """
    model.eval()
    if model.reads_frames:
        rows = [_gradient_by_frame(model, inputs[n : n + 1], targets[n : n + 1], pad=pad) for n in range(len(inputs))]
        least = min(map(len, rows))
        return np.stack([row[:least] for row in rows])
    caught: list[Tensor] = []
    norm_NT = _gradient_norms(
        model, inputs, targets, caught, _on_first_input(model, inputs.shape[:2], caught.append), pad=pad
    )
    if norm_NT.ndim > 2:  # the sum of the fields' embeddings is read: each has the gradient of the sum
        norm_NT = norm_NT.mean(dim=2)
    return norm_NT.flip(1).cpu().numpy()


def _gradient_norms(
    model: SequenceModel,
    inputs: Tensor,
    targets: Tensor,
    caught: list[Tensor],
    undo: Callable[[], None],
    *,
    pad: int,
) -> Tensor:
    """Norms over the last dimension of the gradient of the last step's nats with respect to the leaf that a pass puts
    into `caught`; `undo` is called then."""
    last = torch.full_like(targets, pad)
    last[:, -1] = targets[:, -1]
    model.zero_grad(set_to_none=True)
    try:
        with torch.enable_grad():
            nats, _ = model.nats(inputs, last, pad=pad)
            (grad,) = torch.autograd.grad(nats.sum(), caught[:1])
    finally:
        undo()
    return grad.double().norm(dim=-1)  # in float32 the squares of 1e-23 are nought


def _gradient_by_frame(model: SequenceModel, ids_1T: Tensor, targets_1T: Tensor, *, pad: int) -> np.ndarray:
    """norm_F of one row, the last frame first. What the speller sees of the frames by itself is left out; a model of
    pitches has many lines, whose norm is that of all."""
    caught: list[Tensor] = []
    trunk, read = model.trunk, model.trunk.read

    def told(frames_1FX: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        caught.append(frames_1FX.detach().requires_grad_())
        return read(caught[-1], state)

    vars(trunk)["read"] = told  # before the class's own
    undo = partial(vars(trunk).pop, "read")
    norm_NF = _gradient_norms(model, ids_1T, targets_1T, caught, undo, pad=pad)
    return norm_NF.norm(dim=0).flip(0).cpu().numpy()


def _on_first_input(model: SequenceModel, shape: torch.Size, tell: Callable[[Tensor], None]) -> Callable[[], None]:
    """Have the next pass tell of the vectors it first makes of ids, as a leaf; the function returned undoes it."""

    def leaf(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        tell(x)
        return x

    if model.embedding is not None:
        return model.embedding.register_forward_hook(lambda _module, _ids, x: leaf(x)).remove
    done: list[bool] = []

    def before(_module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        x = arguments[0] if arguments else None
        if done or not isinstance(x, Tensor) or not x.is_floating_point() or x.shape[:2] != shape:
            return None
        done.append(True)
        return (leaf(x), *arguments[1:])

    hooks = [module.register_forward_pre_hook(before) for module in model.modules() if module is not model]

    def undo() -> None:
        for hook in hooks:
            hook.remove()

    return undo


def _columns(path: Path) -> dict[str, list[str]]:
    try:
        text = read_small(path, most=MOST_LOGGED, hint=AGAIN).decode("utf-8")
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (ValueError, csv.Error) as error:
        raise UnreadableError(f"can't be read ({error})", where=path, hint=AGAIN) from None
    # A run that was killed may have half a last line.
    rows = [row for row in rows if len(row) == len(header)]
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _number(cell: str, path: Path) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise UnreadableError(f"{cell!r} is not a number", where=path, hint="train the run again") from None

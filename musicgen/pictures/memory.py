"""memory.png: how much a prediction depends on the input k steps earlier.

Shapes: N excerpts, T time steps, F fields or frames, K lags.

Sources: the gradient of a late loss with respect to early inputs as a measure of vanishing memory is that of Bengio
et al. 1994, "Learning Long-Term Dependencies with Gradient Descent is Difficult", and of Pascanu et al. 2013
(arXiv:1211.5063), section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from musicgen.corpus.split import spread
from musicgen.models import SequenceModel, State
from musicgen.pictures import canvas
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_memory", "gradient_by_lag", "gradients_of"]

NAME = "memory.png"
EXCERPTS = 16  # over which memory is averaged
LONGEST_LAG = 256


def draw(subject: Subject) -> dict[str, Figure]:
    """The picture by name, averaged over excerpts of the run's corpus. Raises Absent."""
    title = f"{subject.name}: what the next step's nats depend on"
    return {NAME: draw_memory(gradients_of(subject), title=title, unit=subject.unit)}


def gradients_of(subject: Subject) -> np.ndarray:
    """`gradient_by_lag` (norm_NK) over excerpts of the run's corpus, of pieces that were held out. Raises Absent."""
    source, model = subject.needed_corpus(), subject.run.model
    spans = source.spans("valid") if len(source.spans("valid")) else source.spans("train")
    if not len(spans):
        raise Absent("the corpus has no pieces to train on or to validate with")
    length = min(LONGEST_LAG, model.context or LONGEST_LAG)
    # The longest lag for which there are enough pieces.
    length = min(length, int(np.sort(spans[:, 1])[-min(EXCERPTS, len(spans))]) - 1)
    if length < 2:
        raise Absent("the pieces of the corpus are too short")
    spans = spans[spans[:, 1] > length]
    chosen = spans[spread(len(spans), EXCERPTS)]
    # From the middle of a piece: at its beginning there is little to remember, at its end nothing to predict.
    begins = chosen[:, 0] + (chosen[:, 1] - length - 1) // 2
    ids = subject.tensor(np.stack([source.tokens[begin : begin + length + 1] for begin in begins.tolist()]))
    return gradient_by_lag(model, ids[:, :-1], ids[:, 1:], pad=subject.run.tokenizer.vocabulary.id("pad"))


def draw_memory(norm_NK: np.ndarray, *, title: str, unit: str = "step") -> Figure:
    """Plot how strongly the prediction depends on the input k steps earlier; past the last point the gradient is 0.

    `unit` is the name of a step: "frame" for a model that reads by frame.
    """
    figure = canvas.figure_of(8, 5)
    axes = figure.subplots()
    mean_K = norm_NK.mean(axis=0)
    lags = np.arange(len(mean_K))
    nonzero = mean_K > 0
    low_K, high_K = np.quantile(norm_NK, [0.25, 0.75], axis=0)
    band = nonzero & (low_K > 0)
    axes.fill_between(
        lags, low_K, high_K, where=band, color="tab:blue", alpha=0.2, linewidth=0, label="middle half of them"
    )
    axes.plot(lags[nonzero], mean_K[nonzero], color="tab:blue", label=f"mean of {len(norm_NK)} excerpts")
    axes.set_yscale("log")
    # Anything below 1e-12 of the maximum is indistinguishable from 0 for training in float32.
    axes.set_ylim(bottom=max(mean_K[nonzero].min(initial=1.0) / 3, mean_K.max(initial=1e-12) * 1e-12))
    axes.set_xlim(0, max(1, len(lags) - 1))
    axes.set_xlabel(f"lag ({unit}s before the last one read)")
    axes.set_ylabel("norm of the gradient (nats per unit of input)")
    if not nonzero.all():
        reach = int(np.flatnonzero(nonzero).max(initial=0))
        axes.axvspan(reach + 0.5, len(lags) - 1, color="grey", alpha=0.15, label=f"nought past lag {reach}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    canvas.entitle(figure, title)
    return figure


def gradient_by_lag(model: SequenceModel, inputs: Tensor, targets: Tensor, *, pad: int) -> np.ndarray:
    """norm_NK: the gradient norm of the nats of each row's last step with respect to the input k steps earlier.

    `inputs` is (N, T) or (N, T, F), and `targets` are the inputs one step later. The gradient is with respect to the
    embedded step, or to the one-hot vector if the model has no embedding. Lag 0 is the last step read. For a model that
    reads frames, lags are counted in frames, the gradient is with respect to their content vectors, and K is the
    smallest number of frames of a row.
    """
    model.eval()
    if model.reads_frames:
        rows = [_gradient_by_frame(model, inputs[n : n + 1], targets[n : n + 1], pad=pad) for n in range(len(inputs))]
        least = min(map(len, rows))
        return np.stack([row[:least] for row in rows])
    caught: list[Tensor] = []
    norm_NT = _gradient_norms(
        model,
        inputs,
        targets=targets,
        caught=caught,
        pad=pad,
        undo=_on_first_input(model, inputs.shape[:2], caught.append),
    )
    if norm_NT.ndim > 2:  # the model reads the sum of the fields' embeddings, and each has the sum's gradient
        norm_NT = norm_NT.mean(dim=2)
    return norm_NT.flip(1).cpu().numpy()


def _gradient_norms(
    model: SequenceModel,
    inputs: Tensor,
    *,
    targets: Tensor,
    caught: list[Tensor],
    undo: Callable[[], None],
    pad: int,
) -> Tensor:
    """The norm, over the last dimension, of the gradient of the last step's nats with respect to the leaf tensor that
    the forward pass appends to `caught`. `undo` is called afterwards."""
    last = torch.full_like(targets, pad)
    last[:, -1] = targets[:, -1]
    model.zero_grad(set_to_none=True)
    try:
        with torch.enable_grad():
            nats, _ = model.nats(inputs, last, pad=pad)
            (grad,) = torch.autograd.grad(nats.sum(), caught[:1])
    finally:
        undo()
    norms: Tensor = grad.double().norm(dim=-1)  # in float32 the square of 1e-23 underflows to 0
    return norms


def _gradient_by_frame(model: SequenceModel, ids_1T: Tensor, targets_1T: Tensor, *, pad: int) -> np.ndarray:
    """norm_F: the gradient norm for each frame of one row, the last frame first.

    Only the trunk's input counts, not what the speller reads of the frames directly. For a `by_pitch` model it is the
    norm over the inputs of all pitches.
    """
    caught: list[Tensor] = []
    trunk, read = model.trunk, model.trunk.read

    def read_with_gradients(frames_1FX: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        caught.append(frames_1FX.detach().requires_grad_())
        return read(caught[-1], state)

    vars(trunk)["read"] = read_with_gradients  # shadows the method of the class
    undo = partial(vars(trunk).pop, "read")
    norm_NF = _gradient_norms(model, ids_1T, targets=targets_1T, caught=caught, undo=undo, pad=pad)
    norm_F: np.ndarray = norm_NF.norm(dim=0).flip(0).cpu().numpy()
    return norm_F


def _on_first_input(model: SequenceModel, shape: torch.Size, catch: Callable[[Tensor], None]) -> Callable[[], None]:
    """Make the next forward pass call `catch` with its first input vectors as a leaf tensor; return a function that
    removes the hooks."""

    def leaf(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        catch(x)
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

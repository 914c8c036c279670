"""loss.png: train and validation loss over the training steps, and the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.pictures import canvas
from musicgen.pictures.logs import read_columns
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_loss"]

NAME = "loss.png"


def draw(subject: Subject) -> dict[str, Figure]:
    """The picture by name, from the run's log.csv. Raises Absent."""
    path = subject.folder / "log.csv"
    if not path.is_file():
        raise Absent(f"there is no {path.name} in this run")
    log = read_columns(path)
    unit = next((name.removeprefix("train_") for name in log if name.startswith("train_")), "")
    needed = {"step", f"train_{unit}", f"valid_{unit}", "learning_rate"}
    if needed - set(log) or not len(log["step"]):
        raise Absent(f"{path.name} holds no steps")
    return {NAME: draw_loss(log, unit=unit, title=f"{subject.name}: loss")}


def draw_loss(log: Mapping[str, np.ndarray], *, unit: str = "nats_per_token", title: str) -> Figure:
    """Plot training and validation loss over the training steps, and the learning rate below; mark the best step.

    `unit` is that of the run's task, as in the names of the columns.
    """
    figure = canvas.figure_of(8, 6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    steps, valid = log["step"], log[f"valid_{unit}"]
    dots: Any = {"marker": ".", "markersize": 4} if len(steps) < 60 else {}
    top.plot(steps, log[f"train_{unit}"], color="tab:blue", label="train", **dots)
    if np.isfinite(valid).any():
        top.plot(steps, valid, color="tab:orange", label="validation", **dots)
        best = int(np.nanargmin(valid))
        top.axvline(steps[best], color="grey", linestyle=":", linewidth=1)
        best_label = f"best: {valid[best]:.3f} at step {steps[best]:,.0f}"
        top.plot(steps[best], valid[best], "o", color="tab:red", label=best_label)
    top.set_ylabel(f"loss ({unit.replace('_per_', ' a ').replace('_', ' ')})")
    top.legend(frameon=False)
    below.plot(steps, log["learning_rate"], color="black", **dots)
    below.set_ylabel("learning rate")
    below.set_ylim(bottom=0)
    below.set_xlabel("training step")
    for axes in (top, below):
        axes.grid(alpha=0.25)
    canvas.entitle(figure, title)
    return figure

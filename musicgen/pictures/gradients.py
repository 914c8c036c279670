"""gradients.png: the norm of each layer's gradient over the training steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from musicgen.pictures import canvas
from musicgen.pictures.logs import read_gradients
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_gradients"]

NAME = "gradients.png"


def draw(subject: Subject) -> dict[str, Figure]:
    """The picture by name, from the run's gradients.csv. Raises Absent."""
    path = subject.folder / "gradients.csv"
    if not path.is_file():
        raise Absent(f"there is no {path.name} in this run")
    layers = read_gradients(path)
    if not layers:
        raise Absent(f"{path.name} holds no steps")
    return {NAME: draw_gradients(layers, title=f"{subject.name}: gradients by layer, before clipping")}


def draw_gradients(layers: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str) -> Figure:
    """Plot the norm of each layer's gradient over the training steps; layers near the input are darker."""
    from matplotlib import colormaps

    figure = canvas.figure_of(8.5, 5)
    axes = figure.subplots()
    for number, (name, (steps, norms)) in enumerate(layers.items()):
        colour = colormaps["viridis"](number / max(1, len(layers) - 1) * 0.9)
        shown = np.where(norms > 0, norms, np.nan)  # a logarithmic axis can't show 0
        axes.plot(
            steps, shown, color=colour, marker="." if len(steps) < 60 else None, markersize=4, label=canvas.plain(name)
        )
    axes.set_yscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("norm of the gradient (nats per unit of weight)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    canvas.entitle(figure, title)
    return figure

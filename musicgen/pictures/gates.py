"""gates.png: the gate activations of an LSTM or GRU over an excerpt.

Shapes: T time steps, C units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from musicgen.pictures import canvas
from musicgen.pictures.step_roll import StepNotes
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_gates"]

NAME = "gates.png"


def draw(subject: Subject) -> dict[str, Figure]:
    """The picture by name; empty for a model without gates. Raises Absent."""
    if not hasattr(subject.body, "gates"):
        return {}
    excerpt = subject.excerpt
    layers: list[dict[str, Tensor]] = subject.body.gates(excerpt.batch)
    if not layers:
        raise Absent(f"a model of the family {subject.run.model.settings.family} has no gates")
    figure = draw_gates(
        [{name: gate_BTC[0].float().cpu().numpy() for name, gate_BTC in gates.items()} for gates in layers],
        notes=excerpt.notes,
        bars=excerpt.bars,
        title=f"{subject.name}: gates over {excerpt.title}",
        unit=subject.unit,
    )
    return {NAME: figure}


def draw_gates(
    layers: Sequence[Mapping[str, np.ndarray]],
    *,
    notes: StepNotes | None,
    bars: np.ndarray,
    title: str,
    unit: str = "step",
) -> Figure:
    """Each layer's gates (name -> values_TC) as images below the piano roll; units are sorted by their mean value."""
    from matplotlib.ticker import MaxNLocator

    rows = max(len(gates) for gates in layers)
    steps = len(next(iter(layers[0].values())))
    figure = canvas.figure_of(7.5 * len(layers) + 1, 1.6 + 2.4 * rows)
    grid = figure.subplots(rows + 1, len(layers), squeeze=False, sharex=True, height_ratios=[1.1] + [2] * rows)
    for column, gates in enumerate(layers):
        canvas.draw_roll(grid[0, column], notes, steps=steps, bars=bars)
        grid[0, column].set_title(f"layer {column + 1}")
        for row, (name, values_TC) in enumerate(gates.items(), 1):
            axes = grid[row, column]
            signed = bool(values_TC.min() < 0)
            image = axes.imshow(
                values_TC[:, np.argsort(values_TC.mean(axis=0))].T,
                cmap="RdBu_r" if signed else "viridis",
                vmin=-1 if signed else 0,
                vmax=1,
                aspect="auto",
                origin="lower",
                interpolation="nearest",
                extent=(-0.5, steps - 0.5, -0.5, values_TC.shape[1] - 0.5),
            )
            canvas.draw_bars(axes, bars)
            axes.set_ylabel(f"{name}\nunit (by mean)")
            if column == len(layers) - 1:
                figure.colorbar(image, ax=axes, label="activation (−1 to 1)" if signed else "activation (0 to 1)")
        for axes in grid[len(gates) + 1 :, column]:
            axes.set_axis_off()
        grid[len(gates), column].set_xlabel(unit)
        grid[len(gates), column].xaxis.set_major_locator(MaxNLocator(integer=True))
    canvas.entitle(figure, title)
    return figure

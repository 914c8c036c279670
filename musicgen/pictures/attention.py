"""attention.layerN.png: the attention weights of each head of a Transformer over an excerpt.

Shapes: H heads, T time steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from musicgen.models.ladder.transformer import Transformer, attention_weights
from musicgen.pictures import canvas
from musicgen.pictures.step_roll import StepNotes
from musicgen.pictures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_attention"]

NAME = "attention.layer*.png"


def draw(subject: Subject) -> dict[str, Figure]:
    """The pictures by name, one per layer; empty for a model that isn't a Transformer. Raises Absent."""
    if not isinstance(subject.body, Transformer):
        return {}
    excerpt = subject.excerpt
    return {
        NAME.replace("*", str(layer)): draw_attention(
            weights_BHTT[0].float().cpu().numpy(),
            notes=excerpt.notes,
            bars=excerpt.bars,
            title=f"{subject.name}: attention of layer {layer} over {excerpt.title}",
            unit=subject.unit,
        )
        for layer, weights_BHTT in enumerate(attention_weights(subject.body, excerpt.batch), 1)
    }


def draw_attention(
    weights_HTT: np.ndarray, *, notes: StepNotes | None, bars: np.ndarray, title: str, unit: str = "step"
) -> Figure:
    """A layer's attention weights, one image per head, below the piano roll: rows are queries, columns are keys."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import MaxNLocator

    heads, steps, _ = weights_HTT.shape
    across = min(heads, 2 if heads <= 4 else 3 if heads <= 6 else 4)
    down = -(-heads // across)
    figure = canvas.figure_of(4.6 * across + 0.8, 5.6 * down + 0.4)
    grid = figure.subplots(2 * down, across, squeeze=False, height_ratios=[1, 3.6] * down)
    distance_TT = np.arange(steps)[:, None] - np.arange(steps)[None]
    for head in range(across * down):
        above, axes = grid[head // across * 2, head % across], grid[head // across * 2 + 1, head % across]
        if head >= heads:
            above.set_axis_off()
            axes.set_axis_off()
            continue
        weights_TT = weights_HTT[head]
        back = float((weights_TT * distance_TT).sum(axis=1).mean())
        canvas.draw_roll(above, notes, steps=steps, bars=bars)
        above.set_title(f"head {head + 1}: {back:.1f} {unit}s back on average", fontsize=11)
        # A square-root colour scale makes the small weights of diffuse heads visible.
        image = axes.imshow(
            np.where(distance_TT >= 0, weights_TT, np.nan),
            cmap="magma_r",
            norm=PowerNorm(0.5, vmin=0, vmax=1),
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, steps - 0.5, steps - 0.5, -0.5),
        )
        canvas.draw_bars(axes, bars, both=True)
        axes.set_xlabel(f"{unit} looked at")
        axes.set_ylabel(f"{unit} that looks")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(-0.5, steps - 0.5)
    figure.colorbar(image, ax=grid[1::2, -1].tolist(), label="attention weight (a row sums to 1)", aspect=40)
    canvas.entitle(figure, title)
    return figure

"""Drawings of a run from plain arrays: each function gives a matplotlib figure, `write_png` a file.

Figures are made without pyplot, so that nothing global changes and no display is needed. Axes carry their units.

Shapes: T time in steps, H heads, C units, P pitches, N excerpts, K lags.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.errors import UsageError, printable
from musicgen.io.atomic import atomic_path
from musicgen.pictures.step_roll import StepNotes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_attention", "draw_gates", "draw_gradients", "draw_loss", "draw_memory", "draw_pitches", "write_png"]

NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
DPI = 110
LONGEST_NAME = 300  # characters of a title


def figure_of(width: float, height: float) -> Figure:
    """A new figure, in inches. Raises UsageError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "pictures need matplotlib", hint="install it with pip install 'musicgen-symbolic[pictures]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def write_png(figure: Figure, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure whole or not at all; the same figure gives the same bytes. Raises as `atomic_path` does."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


# ---- what training logged ----------------------------------------------------------------------------------


def draw_loss(log: Mapping[str, np.ndarray], *, title: str) -> Figure:
    """Train and validation loss over the training steps, and the learning rate below; the best step is marked."""
    figure = figure_of(8, 6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    steps, valid = log["step"], log["valid_nats_per_token"]
    dots: Any = {"marker": ".", "markersize": 4} if len(steps) < 60 else {}
    top.plot(steps, log["train_nats_per_token"], color="tab:blue", label="train", **dots)
    if np.isfinite(valid).any():
        top.plot(steps, valid, color="tab:orange", label="validation", **dots)
        best = int(np.nanargmin(valid))
        top.axvline(steps[best], color="grey", linestyle=":", linewidth=1)
        best_label = f"best: {valid[best]:.3f} at step {steps[best]:,.0f}"
        top.plot(steps[best], valid[best], "o", color="tab:red", label=best_label)
    top.set_ylabel("loss (nats a token)")
    top.legend(frameon=False)
    below.plot(steps, log["learning_rate"], color="black", **dots)
    below.set_ylabel("learning rate")
    below.set_ylim(bottom=0)
    below.set_xlabel("training step")
    for axes in (top, below):
        axes.grid(alpha=0.25)
    _entitle(figure, title)
    return figure


def draw_gradients(layers: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str) -> Figure:
    """The norm of each layer's gradient over the training steps; dark layers are near the input."""
    from matplotlib import colormaps

    figure = figure_of(8.5, 5)
    axes = figure.subplots()
    for number, (name, (steps, norms)) in enumerate(layers.items()):
        colour = colormaps["viridis"](number / max(1, len(layers) - 1) * 0.9)
        shown = np.where(norms > 0, norms, np.nan)  # a logarithmic axis has no place for nought
        axes.plot(steps, shown, color=colour, marker="." if len(steps) < 60 else None, markersize=4, label=_plain(name))
    axes.set_yscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("norm of the gradient (nats per unit of weight)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _entitle(figure, title)
    return figure


# ---- what the model holds ----------------------------------------------------------------------------------


def draw_memory(norm_NK: np.ndarray, *, title: str, unit: str = "step") -> Figure:
    """How strongly the prediction depends on what was read k steps ago; beyond the last point not at all.

    `unit` is what a step is called here and below: for a model that reads by frame, a frame.
    """
    figure = figure_of(8, 5)
    axes = figure.subplots()
    mean_K = norm_NK.mean(axis=0)
    lags = np.arange(len(mean_K))
    heard = mean_K > 0
    low_K, high_K = np.quantile(norm_NK, [0.25, 0.75], axis=0)
    band = heard & (low_K > 0)
    axes.fill_between(
        lags, low_K, high_K, where=band, color="tab:blue", alpha=0.2, linewidth=0, label="middle half of them"
    )
    axes.plot(lags[heard], mean_K[heard], color="tab:blue", label=f"mean of {len(norm_NK)} excerpts")
    axes.set_yscale("log")
    # Twelve powers of ten hold all that training in float32 can tell from nought.
    axes.set_ylim(bottom=max(mean_K[heard].min(initial=1.0) / 3, mean_K.max(initial=1e-12) * 1e-12))
    axes.set_xlim(0, max(1, len(lags) - 1))
    axes.set_xlabel(f"lag ({unit}s before the last one read)")
    axes.set_ylabel("norm of the gradient (nats per unit of input)")
    if not heard.all():
        reach = int(np.flatnonzero(heard).max(initial=0))
        axes.axvspan(reach + 0.5, len(lags) - 1, color="grey", alpha=0.15, label=f"nought past lag {reach}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    _entitle(figure, title)
    return figure


def draw_pitches(
    points_P2: np.ndarray,
    pitch_P: np.ndarray,
    *,
    shares: np.ndarray,
    counts_P: np.ndarray,
    by_interval: np.ndarray,
    classes: tuple[np.ndarray, np.ndarray] | None,
    title: str,
) -> Figure:
    """Pitches in the plane, coloured along the circle of fifths, octaves joined; pitch classes; likeness by interval.

    `classes` is what `plane` gives for the twelve pitch classes; None where some don't occur.
    """
    from matplotlib import colormaps

    figure = figure_of(15, 8)
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    left, top, right = (figure.add_subplot(cell) for cell in (grid[:, 0], grid[0, 1], grid[1, 1]))
    # Around the circle C, G, D, ... neighbours are a fifth apart: 7 is its own inverse modulo 12.
    colours = [colormaps["hsv"](pitch * 7 % 12 / 12) for pitch in range(12)]
    place = {int(p): points_P2[i] for i, p in enumerate(pitch_P)}
    for pitch, here in place.items():
        if pitch + 12 in place:
            ends = np.stack([here, place[pitch + 12]])
            left.plot(ends[:, 0], ends[:, 1], color=colours[pitch % 12], alpha=0.35, linewidth=0.8, zorder=1)
    size_P = 20 + 160 * np.sqrt(counts_P / max(1, counts_P.max()))
    dots: Any = {"edgecolors": "black", "linewidths": 0.4, "zorder": 2}
    left.scatter(points_P2[:, 0], points_P2[:, 1], s=size_P, c=[colours[p % 12] for p in pitch_P], **dots)
    for pitch, here in place.items():
        _label(left, f"{NAMES[pitch % 12]}{pitch // 12 - 1}", here, size=7)
    _components(left, shares)
    left.set_title("pitches: size by number in the training data, lines join octaves", fontsize=10)

    top.set_title("pitch classes: means over the octaves, less the register; a line of fifths", fontsize=10)
    if classes is None:
        top.text(0.5, 0.5, "not all twelve occur", transform=top.transAxes, ha="center", va="center")
    else:
        points, shares = classes
        around = np.arange(13) * 7 % 12
        top.plot(points[around, 0], points[around, 1], color="0.7", linewidth=0.8, zorder=1)
        top.scatter(points[:, 0], points[:, 1], s=60, c=colours, **dots)
        for pitch in range(12):
            _label(top, NAMES[pitch], points[pitch], size=9)
        top.margins(0.12)  # room for the names
        _components(top, shares)

    intervals = np.arange(len(by_interval))
    marked = {0: "0.6", 7: "tab:orange", 12: "tab:red", 19: "tab:orange", 24: "tab:red"}
    right.bar(intervals, by_interval, color=[marked.get(int(i), "tab:blue") for i in intervals])
    right.axhline(0, color="black", linewidth=0.8)
    right.set_xticks(intervals, [str(i) for i in intervals], fontsize=8)
    right.set_xlabel("interval (semitones); red: octaves, orange: fifths and twelfths")
    right.set_ylabel("mean cosine similarity")
    # A pitch is like itself: the bar of 0 would flatten the others.
    others = by_interval[1:][np.isfinite(by_interval[1:])]
    if len(others):
        right.set_ylim(min(-0.05, 1.2 * others.min()), max(0.05, 1.2 * others.max()))
    right.set_title("likeness by interval, of rows less their mean (the bar of 0 goes up to 1)", fontsize=10)
    right.grid(axis="y", alpha=0.25)
    _entitle(figure, title)
    return figure


def _label(axes: Axes, text: str, place: np.ndarray, *, size: float) -> None:
    x, y = place.tolist()
    axes.annotate(text, (x, y), textcoords="offset points", xytext=(6, 4), fontsize=size, zorder=3)


def _components(axes: Axes, shares: np.ndarray) -> None:
    axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({shares[1]:.0%} of the variance)")


# ---- what the model does at each step of an excerpt --------------------------------------------------------


def draw_attention(
    weights_HTT: np.ndarray, *, notes: StepNotes | None, bars: np.ndarray, title: str, unit: str = "step"
) -> Figure:
    """A layer's heads: each one's weights, a row a step that reads, a column a step it looks at, under the roll."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import MaxNLocator

    heads, steps, _ = weights_HTT.shape
    across = min(heads, 2 if heads <= 4 else 3 if heads <= 6 else 4)
    down = -(-heads // across)
    figure = figure_of(4.6 * across + 0.8, 5.6 * down + 0.4)
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
        draw_roll(above, notes, steps=steps, bars=bars)
        above.set_title(f"head {head + 1}: {back:.1f} {unit}s back on average", fontsize=11)
        # The square root shows the small weights of heads that spread theirs.
        image = axes.imshow(
            np.where(distance_TT >= 0, weights_TT, np.nan),
            cmap="magma_r",
            norm=PowerNorm(0.5, vmin=0, vmax=1),
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, steps - 0.5, steps - 0.5, -0.5),
        )
        _bars(axes, bars, both=True)
        axes.set_xlabel(f"{unit} looked at")
        axes.set_ylabel(f"{unit} that looks")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(-0.5, steps - 0.5)
    figure.colorbar(image, ax=grid[1::2, -1].tolist(), label="attention weight (a row sums to 1)", aspect=40)
    _entitle(figure, title)
    return figure


def draw_gates(
    layers: Sequence[Mapping[str, np.ndarray]],
    *,
    notes: StepNotes | None,
    bars: np.ndarray,
    title: str,
    unit: str = "step",
) -> Figure:
    """Each layer's gates (name -> values_TC) as images under the roll; units ascend by their mean over the excerpt."""
    from matplotlib.ticker import MaxNLocator

    rows = max(len(gates) for gates in layers)
    steps = len(next(iter(layers[0].values())))
    figure = figure_of(7.5 * len(layers) + 1, 1.6 + 2.4 * rows)
    grid = figure.subplots(rows + 1, len(layers), squeeze=False, sharex=True, height_ratios=[1.1] + [2] * rows)
    for column, gates in enumerate(layers):
        draw_roll(grid[0, column], notes, steps=steps, bars=bars)
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
            _bars(axes, bars)
            axes.set_ylabel(f"{name}\nunit (by mean)")
            if column == len(layers) - 1:
                figure.colorbar(image, ax=axes, label="activation (−1 to 1)" if signed else "activation (0 to 1)")
        for axes in grid[len(gates) + 1 :, column]:
            axes.set_axis_off()
        grid[len(gates), column].set_xlabel(unit)
        grid[len(gates), column].xaxis.set_major_locator(MaxNLocator(integer=True))
    _entitle(figure, title)
    return figure


def draw_roll(axes: Axes, notes: StepNotes | None, *, steps: int, bars: np.ndarray) -> None:
    """The notes over the steps that stand for them, on an axis that lines up with the steps below."""
    axes.set_xlim(-0.5, steps - 0.5)
    if notes is None or not len(notes.pitch):
        axes.text(0.5, 0.5, "no notes that can be placed", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
        return
    for drums, colour in ((False, "tab:blue"), (True, "0.5")):
        mine = notes.is_drum == drums
        left, width = notes.begin[mine] - 0.5, (notes.end - notes.begin)[mine]
        axes.barh(notes.pitch[mine], width, left=left, height=0.9, color=colour, alpha=0.45)
        # Where the pitch is read: the step that the model takes.
        axes.barh(notes.pitch[mine], np.ones(int(mine.sum())), left=left, height=0.9, color=colour)
    _bars(axes, bars)
    axes.set_ylim(notes.pitch.min() - 2, notes.pitch.max() + 2)
    axes.set_ylabel("pitch (MIDI)")
    axes.tick_params(labelbottom=False)


def _bars(axes: Axes, bars: np.ndarray, *, both: bool = False) -> None:
    """Thin lines before the steps that begin a bar."""
    style: Any = {"color": "0.3", "linewidth": 0.8, "linestyle": ":"}
    axes.vlines(bars - 0.5, 0, 1, transform=axes.get_xaxis_transform(), **style)
    if both:
        axes.hlines(bars - 0.5, 0, 1, transform=axes.get_yaxis_transform(), **style)


def _entitle(figure: Figure, title: str) -> None:
    """The title over all, in as many lines as the figure's width asks for: a path in it may be long."""
    figure.suptitle(textwrap.fill(_plain(title), max(40, int(8.5 * figure.get_figwidth()))))


def _plain(text: str) -> str:
    """A name as it is: a dollar sign in it begins no formula."""
    return printable(text)[:LONGEST_NAME].replace("$", r"\$")

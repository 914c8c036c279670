"""compared.*.png: several runs on one axis, each picture with its numbers beside it as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.checkpoint import Run
from musicgen.pictures import canvas
from musicgen.pictures.album import Album
from musicgen.pictures.comparison import Compared, Comparison, csv_text
from musicgen.pictures.subject import Absent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PATTERN", "draw_runs"]

PATTERN = "compared.*"
WIDE = 9.5  # inches
LEAST = 1e-12  # of the largest gradient; less is 0 to training in float32


def draw_runs(runs: Sequence[Run], folders: Sequence[Path]) -> tuple[Album, tuple[str, ...]]:
    """All pictures of runs side by side, and what their reader has to know. Raises UsageError as `Comparison.of`."""
    comparison, album = Comparison.of(runs, folders), Album(pattern=PATTERN)
    for name, draw in {"loss": _loss, "memory": _memory, "gradients": _gradients, "horizon": _horizon}.items():
        try:
            figure, table = draw(comparison)
        except Absent as reason:
            album.left_out.append(f"compared.{name}: {reason}")
            continue
        album.figures[f"compared.{name}.png"] = figure
        album.tables[f"compared.{name}.csv"] = table
    return album, comparison.notes


def _loss(comparison: Comparison) -> tuple[Figure, str]:
    """Training (thin, dashed) and validation loss over the steps, and over the seconds."""
    having = [each for each in comparison.runs if each.log is not None]
    if not having:
        raise Absent("no run has a log of its training")
    figure = canvas.figure_of(WIDE, 5.5)
    panels = figure.subplots(1, 2, sharey=True)
    rows: list[tuple[Any, ...]] = []
    top = 0.0
    faint: dict[str, Any] = {"linestyle": "--", "linewidth": 1, "alpha": 0.6, "label": None}
    for each, style in _styled(comparison.runs, having):
        log = each.log
        assert log is not None
        train, valid = log["train_nats_per_token"], log["valid_nats_per_token"]
        dots: dict[str, Any] = {"marker": "o", "markersize": 3} if len(train) < 60 else {}
        for axes, across in zip(panels, ("step", "seconds"), strict=True):
            axes.plot(log[across], train, **(style | faint))
            axes.plot(log[across], valid, **(style | dots))
        # The first quarter of training, in which all losses fall alike, may leave the picture at the top.
        later = slice(len(train) // 4, None)
        top = max(top, np.nan_to_num(train[later]).max(), np.nan_to_num(valid[later]).max())
        rows += [(each.name, *row) for row in zip(log["step"], log["seconds"], train, valid, strict=True)]
    for axes, across in zip(panels, ("training steps", "seconds of training"), strict=True):
        axes.set_xlabel(across)
        axes.grid(alpha=0.25)
    panels[0].set_ylim(top=top * 1.05)
    panels[0].set_ylabel(f"loss (nats a {comparison.unit})")
    panels[1].plot([], [], color="0.4", linestyle="--", linewidth=1, label="dashed: on training windows")
    _legend(figure, panels[1])
    canvas.entitle(figure, comparison.title(f"Validation loss of {len(having)} runs"))
    unit = comparison.unit
    return figure, csv_text(("run", "step", "seconds", f"train_nats_per_{unit}", f"valid_nats_per_{unit}"), rows)


def _memory(comparison: Comparison) -> tuple[Figure, str]:
    """How far back each run listens: the gradient by lag as a share of that of the last step read."""
    having = [each for each in comparison.runs if each.by_lag is not None and each.by_lag[1][0] > 0]
    if not having:
        raise Absent("no run has its corpus, over which memory is measured")
    figure = canvas.figure_of(WIDE, 5.5)
    axes = figure.subplots()
    rows: list[tuple[Any, ...]] = []
    for each, style in _styled(comparison.runs, having):
        assert each.by_lag is not None
        lags, norms = each.by_lag
        _by_lag(axes, lags, norms / norms[0], style)
        rows += [(each.name, float(lag), float(norm / norms[0])) for lag, norm in zip(lags, norms, strict=True)]
    axes.set_ylabel("gradient, as a share of that at lag 0")
    _lag_axis(axes, comparison)
    _legend(figure, axes)
    canvas.entitle(figure, comparison.title("Memory: how much the next prediction depends on what was read k earlier"))
    return figure, csv_text(("run", f"lag_{comparison.unit}s", "share_of_lag_0"), rows)


def _gradients(comparison: Comparison) -> tuple[Figure, str]:
    """The gradient by lag as it is, and by layer from input to output in the second half of training."""
    having = [each for each in comparison.runs if each.by_lag is not None or each.by_layer is not None]
    if not having:
        raise Absent("no run has gradients.csv or its corpus")
    figure = canvas.figure_of(WIDE, 6)
    left, right = figure.subplots(1, 2)
    rows: list[tuple[Any, ...]] = []
    for each, style in _styled(comparison.runs, having):
        if each.by_lag is not None:
            lags, norms = each.by_lag
            _by_lag(left, lags, norms, style)
            rows += [(each.name, "lag", float(lag), float(norm)) for lag, norm in zip(lags, norms, strict=True)]
        right.plot([], [], **style)  # a line in the legend, also without layers
        if each.by_layer is not None:
            found = np.array(list(each.by_layer.values()))
            right.plot(np.linspace(0, 1, len(found)), np.where(found > 0, found, np.nan), marker="o", markersize=4,
                       **(style | {"label": None}))  # fmt: skip
            rows += [(each.name, "layer", name, norm) for name, norm in each.by_layer.items()]
    _lag_axis(left, comparison)
    left.set_ylabel("norm of the gradient of the last nats")
    left.set_title("by lag", fontsize=10)
    right.set_yscale("log")
    right.set_xticks([0, 0.5, 1], ["input", "", "output"])
    right.set_ylabel("norm of the gradient of the layer's weights")
    right.set_title("by layer, in the second half of training", fontsize=10)
    right.grid(alpha=0.25)
    _legend(figure, right)
    canvas.entitle(figure, comparison.title("Gradients by lag and by layer"))
    return figure, csv_text(("run", "by", "lag_or_layer", "norm"), rows)


def _horizon(comparison: Comparison) -> tuple[Figure, str]:
    """The nats of the steps that lie 1, 2, .. ahead; drawn where a run predicts more than the next one."""
    having = [each for each in comparison.runs if each.run.model.settings.horizon > 1 and each.by_horizon is not None]
    if not having:
        raise Absent("no run predicts further than one step ahead (model.horizon), or its corpus is not there")
    having = [each for each in comparison.runs if each.by_horizon is not None]
    figure = canvas.figure_of(WIDE, 5)
    axes = figure.subplots()
    rows: list[tuple[Any, ...]] = []
    for each, style in _styled(comparison.runs, having):
        assert each.by_horizon is not None
        steps = np.arange(1, len(each.by_horizon) + 1)
        axes.plot(steps, each.by_horizon, marker="o", **style)
        rows += [(each.name, int(ahead), float(nats)) for ahead, nats in zip(steps, each.by_horizon, strict=True)]
    axes.set_xticks(range(1, 1 + max(len(each.by_horizon) for each in having if each.by_horizon is not None)))
    axes.set_xlabel("steps ahead")
    axes.set_ylabel(f"nats a {comparison.unit} (validation)")
    axes.grid(alpha=0.25)
    _legend(figure, axes)
    canvas.entitle(figure, comparison.title("Nats by horizon: how well steps further ahead are foreseen"))
    return figure, csv_text(("run", "steps_ahead", f"nats_per_{comparison.unit}"), rows)


def _styled(runs: Sequence[Compared], having: Sequence[Compared]) -> list[tuple[Compared, dict[str, Any]]]:
    """Each run with its colour and label: the same in all pictures; an untrained run is grey and dotted."""
    from matplotlib import colormaps

    colours = colormaps["tab10" if len(runs) <= 10 else "turbo"]
    styles = []
    for number, each in enumerate(runs):
        colour = colours(number) if len(runs) <= 10 else colours(number / (len(runs) - 1))
        styles.append({"color": colour, "label": canvas.plain(each.label)})
        if each.subject.is_untrained:
            styles[-1] |= {"color": "0.5", "linestyle": ":"}
    return [(each, style) for each, style in zip(runs, styles, strict=True) if each in having]


def _by_lag(axes: Axes, lags: np.ndarray, norms: np.ndarray, style: dict[str, Any]) -> None:
    """A line up to the last lag with a gradient, and a dot where it ends before the longest lag."""
    seen = np.flatnonzero(norms > norms.max() * LEAST)
    axes.plot(lags[seen], norms[seen], **style)
    if len(seen) and seen[-1] < len(norms) - 1:
        axes.plot(lags[seen[-1]], norms[seen[-1]], "o", color=style["color"], markersize=5)


def _lag_axis(axes: Axes, comparison: Comparison) -> None:
    axes.set_yscale("log")
    axes.set_xscale("symlog", linthresh=8)
    axes.set_xticks([0, 2, 4, 8, 16, 32, 64, 128, 256], ["0", "2", "4", "8", "16", "32", "64", "128", "256"])
    longest = max((each.by_lag[0][-1] for each in comparison.runs if each.by_lag is not None), default=1.0)
    axes.set_xlim(0, longest)
    frames = any(each.subject.by_frame for each in comparison.runs)
    axes.set_xlabel(
        f"lag ({'frames' if frames else comparison.unit + 's'} before the last one read; dot: nought past it)"
    )
    axes.grid(alpha=0.25)


def _legend(figure: Figure, axes: Axes) -> None:
    """The legend below the axes, where no line can be hidden by it."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > 60 else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)

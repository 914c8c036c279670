"""pitches.png: the embeddings of pitches projected to the plane, and their cosine similarity by interval.

Shapes: V vocabulary size, C embedding width, P pitches that occur.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from musicgen.models import SequenceModel
from musicgen.pictures import canvas
from musicgen.pictures.step_roll import pitch_kind
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NAME", "draw", "draw_pitches", "input_rows", "pitch_classes", "plane", "similarity_by_interval"]

NAME = "pitches.png"
NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def draw(subject: Subject) -> dict[str, Figure]:
    """The picture by name, for the pitches that occur in the training data. Raises Absent."""
    run = subject.run
    kind = pitch_kind(run.tokenizer)
    if kind is None:
        raise Absent(f"the tokenizer {run.tokenizer.name} has no pitch tokens")
    source = subject.needed_corpus()
    rows_VC = input_rows(run.model)
    if rows_VC is None:
        raise Absent("this model has no row for a token")
    base, counts = run.tokenizer.vocabulary.base[kind], np.zeros(128, np.int64)
    for offset, length in source.spans("train").tolist():
        ids = np.asarray(source.tokens[offset : offset + length]).astype(np.int64) - base
        counts += np.bincount(ids[(ids >= 0) & (ids < 128)], minlength=128)
    pitch_P = np.flatnonzero(counts)
    if len(pitch_P) < 3:
        raise Absent("fewer than three pitches occur in the training data")
    rows_PC = rows_VC[base + pitch_P].astype(np.float64)
    points_P2, shares = plane(rows_PC)
    means_12C = pitch_classes(rows_PC, pitch_P)
    figure = draw_pitches(
        points_P2,
        pitch_P,
        shares=shares,
        counts_P=counts[pitch_P],
        by_interval=similarity_by_interval(rows_PC, pitch_P),
        classes=None if means_12C is None else plane(means_12C),
        title=f"{subject.name}: input embedding of the pitches",
    )
    return {NAME: figure}


@torch.no_grad()
def input_rows(model: SequenceModel) -> np.ndarray | None:
    """rows_VC: the input vector of each id of the vocabulary; None if the model has no such vectors."""
    rows_VC = model.input_rows()
    return None if rows_VC is None else rows_VC.float().cpu().numpy()


def plane(rows_PC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project the rows to their first two principal components: (points_P2, share of variance of each). The signs are
    arbitrary."""
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
    """means_12C: the mean row of each pitch class, after subtracting from each row the mean of the octave around it.

    None if a pitch class is absent. The subtraction removes pitch height, in which rows differ most and which hides
    other relations.
    """
    apart_PP = np.abs(pitch_P[:, None] - pitch_P[None])
    near_PP = np.where(apart_PP < 6, 1.0, np.where(apart_PP == 6, 0.5, 0.0))
    rest_PC = rows_PC - near_PP @ rows_PC / near_PP.sum(axis=1, keepdims=True)
    of_class_12P = np.arange(12)[:, None] == pitch_P[None] % 12
    sizes = of_class_12P.sum(axis=1, keepdims=True)
    return of_class_12P @ rest_PC / sizes if sizes.all() else None


def similarity_by_interval(rows_PC: np.ndarray, pitch_P: np.ndarray, *, widest: int = 24) -> np.ndarray:
    """(widest + 1,): the mean cosine similarity of pairs of rows 0, 1, ... semitones apart; NaN if there is no pair.

    The mean of all rows is subtracted first.
    """
    centred_PC = rows_PC - rows_PC.mean(axis=0)
    unit_PC = centred_PC / np.maximum(np.linalg.norm(centred_PC, axis=1, keepdims=True), 1e-12)
    cosine_PP = unit_PC @ unit_PC.T
    apart_PP = np.abs(pitch_P[:, None] - pitch_P[None])
    pairs = [cosine_PP[apart_PP == interval] for interval in range(widest + 1)]
    return np.array([cosines.mean() if len(cosines) else math.nan for cosines in pairs])


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
    """Plot the pitches in the plane, coloured by the circle of fifths with octaves joined, the pitch classes likewise,
    and the similarity by interval.

    `classes` is the result of `plane` for the twelve pitch classes; None if some don't occur.
    """
    from matplotlib import colormaps

    figure = canvas.figure_of(15, 8)
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
    # The similarity of a pitch to itself would compress the scale for the others.
    others = by_interval[1:][np.isfinite(by_interval[1:])]
    if len(others):
        right.set_ylim(min(-0.05, 1.2 * others.min()), max(0.05, 1.2 * others.max()))
    right.set_title("likeness by interval, of rows less their mean (the bar of 0 goes up to 1)", fontsize=10)
    right.grid(axis="y", alpha=0.25)
    canvas.entitle(figure, title)
    return figure


def _label(axes: Axes, text: str, place: np.ndarray, *, size: float) -> None:
    x, y = place.tolist()
    axes.annotate(text, (x, y), textcoords="offset points", xytext=(6, 4), fontsize=size, zorder=3)


def _components(axes: Axes, shares: np.ndarray) -> None:
    axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({shares[1]:.0%} of the variance)")

"""densities.png: what a model of how notes are played expects of each note of a phrase, and what was played.

A row a value (inter-onset time, velocity, length), a column a model; along it the notes, upwards the value. The darker
a place, the likelier; the dots are what was played. Times are on a scale by ratio, and densities per unit of it.

Shapes: N notes, V values, G rows of the grid, Q quantiles.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from musicgen.gm import pitch_name
from musicgen.models.heads.densities import Binned, Density
from musicgen.models.tasks.performer import VALUES, Performer
from musicgen.pictures import canvas
from musicgen.pictures.subject import Absent, Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NAME", "TABLE", "Phrase", "densities_csv", "draw_densities", "drawn", "phrase_of"]

NAME, TABLE = "densities.png", "densities.csv"
NOTES = 64  # of a phrase
TITLES = {"ioi": "inter-onset time (ms)", "velocity": "velocity", "length": "length (ms)"}
ROWS = {"ioi": 110, "velocity": 64, "length": 110}
QUANTILES = (0.05, 0.5, 0.95)
DENSEST = 0.995  # quantile of the densities that is drawn black: a few spikes would leave all else white
AT_ONCE = 8  # notes


@dataclass(frozen=True)
class Phrase:
    """Notes of a performance under a model: their keys (N,), as pitches, -1 for drums; of each value, by name, what was
    played (N,), its nats (N,), the expected quantiles (N, Q), and the chances of the rows of a grid (N, G) with the
    rows' edges (G + 1,)."""

    pitch: np.ndarray
    played: dict[str, np.ndarray]
    nats: dict[str, np.ndarray]
    quantiles: dict[str, np.ndarray]
    chances: dict[str, np.ndarray]
    edges: dict[str, np.ndarray]


def drawn(subject: Subject) -> tuple[dict[str, Figure], dict[str, str]]:
    """The picture and its table by name: the second NOTES notes of the longest held-out performance, or of the
    subject's piece, or its first where it is shorter. Raises Absent where there is no performance."""
    model: Any = subject.run.model
    tokenizer = subject.run.tokenizer
    if subject.piece is not None:
        ids, title = tokenizer.encode(subject.piece), "the piece"
    else:
        source = subject.needed_corpus()
        records = source.pieces("test") or source.pieces("valid") or source.pieces("train")
        longest = max(records, key=lambda record: record.length)
        ids, title = np.asarray(source.ids(longest)), longest.source
    notes = tokenizer.count_notes(ids)
    if not notes:
        raise Absent("there are no notes in the piece")
    begin = 1 + (NOTES if notes >= 2 * NOTES else 0)
    phrase = phrase_of(model, ids, begin=begin, count=NOTES)
    about = f"{subject.name}: notes {begin} to {begin + len(phrase.pitch) - 1} of {title}"
    return {NAME: draw_densities([(model.task.head, phrase)], title=about)}, {TABLE: densities_csv(phrase)}


@torch.no_grad()
def phrase_of(model: Performer, ids: np.ndarray, *, begin: int, count: int) -> Phrase:
    """The `count` notes from index `begin` of a piece's ids (T, F), of which 0 is BOS; fewer where it ends before."""
    model.eval()
    end = min(begin + count, len(ids) - 1)
    first = 0 if model.context is None else max(0, end - model.context - 1)
    begin = max(begin, first + 1)
    device = next(model.parameters()).device
    read = torch.from_numpy(np.asarray(ids[first:end]).astype(np.int64))[None].to(device)
    given, _ = model.numbers(read[:, :-1], read[:, 1:])
    notes_NF = read[0, begin - first :]
    values = [value.cpu().numpy() for value in model.values(notes_NF)]
    key = notes_NF[:, 0].cpu().numpy() - model.first_key
    phrase = Phrase(np.where(key < 128, key, -1), {}, {}, {}, {}, {})
    for name, density, numbers_BTP, played in zip(VALUES, model.head.each(), given, values, strict=True):
        numbers_NP = numbers_BTP[0, begin - first - 1 :]
        logs_NK = _every(density, numbers_NP)
        here = played - density.low
        phrase.played[name] = played
        phrase.nats[name] = -logs_NK[np.arange(len(played)), here]
        total_NK = np.cumsum(np.exp(logs_NK), axis=1)
        phrase.quantiles[name] = np.stack([density.low + (total_NK < q).sum(axis=1) for q in QUANTILES], axis=1)
        firsts = Binned(density.low, density.most, bins=ROWS[name], by_ratio=name != "velocity").firsts_K.numpy()
        phrase.edges[name] = np.append(firsts, density.most + 1)
        phrase.chances[name] = np.add.reduceat(np.exp(logs_NK), firsts - density.low, axis=1)
    return phrase


def _every(density: Density, numbers_NP: Tensor) -> np.ndarray:
    """(N, K) float64: the logarithm of the chance of every integer."""
    every = torch.arange(density.low, density.most + 1, device=numbers_NP.device)
    parts = [density.log_chances(some[:, None], every) for some in numbers_NP.split(AT_ONCE)]
    return torch.cat(parts).double().cpu().numpy()


def draw_densities(phrases: Sequence[tuple[str, Phrase]], *, title: str) -> Figure:
    """The picture of one phrase under models, by name. Raises UsageError if matplotlib is not installed."""
    count = len(phrases[0][1].pitch)
    figure = canvas.figure_of(max(9.0, min(0.11 * count + 2, 14)) * (1 if len(phrases) == 1 else 1.5), 10)
    grid = figure.subplots(len(VALUES), len(phrases), sharex=True, sharey="row", squeeze=False)
    for row, name in enumerate(VALUES):
        densest = [_heights(phrase, name) for _, phrase in phrases]
        most = max(float(np.quantile(each, DENSEST)) for each in densest)
        for axes, (model, phrase), heights_NG in zip(grid[row], phrases, densest, strict=True):
            _draw(axes, phrase, name, heights_NG=heights_NG, most=most)
            axes.set_title(f"{model}: {phrase.nats[name].mean():.2f} nats a note", fontsize=10, loc="left")
        grid[row][0].set_ylabel(TITLES[name])
    for axes in grid[-1]:
        axes.set_xlabel("note of the phrase")
    canvas.entitle(figure, title)
    return figure


def _heights(phrase: Phrase, name: str) -> np.ndarray:
    """(N, G): the density of each row of the grid, over its height in the picture."""
    heights: np.ndarray = phrase.chances[name] / np.diff(_places(phrase, name))
    return heights


def _places(phrase: Phrase, name: str) -> np.ndarray:
    """(G + 1,): where the edges of the rows are in the picture; times stand by the logarithm of half a millisecond
    more."""
    edges = phrase.edges[name].astype(np.float64)
    return edges - 0.5 if name == "velocity" else np.log(edges + 0.5)


def _draw(axes: Axes, phrase: Phrase, name: str, *, heights_NG: np.ndarray, most: float) -> None:
    count = len(phrase.pitch)
    places, played = _places(phrase, name), phrase.played[name].astype(np.float64)
    axes.pcolormesh(np.arange(count + 1) - 0.5, places, heights_NG.T, cmap="Greys", vmin=0, vmax=most, shading="flat")
    dots = played if name == "velocity" else np.log(played + 1.0)
    axes.plot(np.arange(count), dots, ".", color="tab:red", markersize=4)
    if name == "velocity":
        axes.set_ylim(0.5, 127.5)
        return
    seen = dots[np.isfinite(dots)]
    axes.set_ylim(places[0], max(float(seen.max()), float(np.log(2000))) + 0.3)
    ticks = np.array([0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000])
    axes.set_yticks(np.log(ticks + 1.0), [f"{tick:,}" for tick in ticks])
    axes.set_ylim(places[0], max(float(seen.max()), float(np.log(2000))) + 0.3)


def densities_csv(phrase: Phrase) -> str:
    """The numbers behind: a line a note and value, with what was played, its nats, and the quantiles expected."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["note", "key", "value", "played", "nats", *(f"q{round(100 * q)}" for q in QUANTILES)])
    for n, pitch in enumerate(phrase.pitch.tolist()):
        key = "drum" if pitch < 0 else pitch_name(pitch)
        for name in VALUES:
            nats = f"{phrase.nats[name][n]:.4f}"
            rows.writerow([n, key, name, phrase.played[name][n], nats, *phrase.quantiles[name][n].tolist()])
    return text.getvalue()

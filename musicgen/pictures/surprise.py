"""A piano roll whose notes are coloured by their surprise, and below it the nats of each note over time.

It is of a piece and a model, where the other pictures are of a run.

Shapes: N notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from musicgen.gm import pitch_name
from musicgen.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_surprise"]

NARROWEST, WIDEST, INCHES_A_BAR = 12.0, 60.0, 0.55
LABELS_A_PICTURE = 24  # bars with their numbers, at most about so many


def draw_surprise(
    notes_N4: np.ndarray, nats_N: np.ndarray, *, marked: np.ndarray, is_drum: np.ndarray, bars: np.ndarray, title: str
) -> Figure:
    """The picture of notes, (N, 4) int64: tick, duration, track, pitch; `nats_N` of each.

    The notes with the indices `marked` are named in the roll, but for drums (`is_drum`, (N,) bool). `bars` are the
    ticks at which bars begin, and where the last one ends. Raises UsageError if matplotlib is not installed.
    """
    tick, duration, _, pitch = notes_N4.T
    width = float(np.clip(INCHES_A_BAR * len(bars), NARROWEST, WIDEST))
    figure = canvas.figure_of(width, 8)
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    roll, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    top = max(1.0, float(np.quantile(nats_N, 0.995)))  # one outlier would leave all others pale
    scale = ScalarMappable(Normalize(0, top), colormaps["viridis_r"])
    colours = scale.to_rgba(nats_N)
    order = np.argsort(nats_N, kind="stable")  # what is surprising isn't hidden
    roll.barh(
        pitch[order],
        duration[order],
        left=tick[order],
        height=0.9,
        color=colours[order],
        edgecolor="0.4",
        linewidth=0.3,
    )
    for n in marked.tolist():
        name = f"drum {pitch[n]}" if is_drum[n] else pitch_name(int(pitch[n]))
        place = (float(tick[n]), float(pitch[n]) + 0.5)
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        roll.annotate(
            name, place, textcoords="offset points", xytext=(0, 3), fontsize=9, color="crimson", weight="bold", bbox=box
        )
    roll.set_ylim(pitch.min() - 2, pitch.max() + 4)
    roll.set_ylabel("pitch (MIDI)")
    figure.colorbar(scale, ax=roll, label="nats a note", extend="max", pad=0.01)

    below.vlines(tick, 0, nats_N, color=colours, linewidth=1.2)
    below.scatter(tick, nats_N, s=10, color=colours, zorder=2)
    below.scatter(tick[marked], nats_N[marked], s=48, facecolors="none", edgecolors="crimson", zorder=3)
    mean = float(nats_N.mean())
    below.axhline(mean, color="black", linewidth=1, linestyle="--")
    below.set_title(
        f"mean {mean:.2f} nats a note (dashed); circled: the most surprising pitches", fontsize=10, loc="left"
    )
    below.set_ylim(0, 1.08 * float(nats_N.max()))
    below.set_ylabel("nats")
    below.set_xlabel("bar")
    for axes in (roll, below):
        axes.vlines(bars, 0, 1, transform=axes.get_xaxis_transform(), color="0.6", linewidth=0.6, linestyle=":")
    apart = -(-len(bars) // LABELS_A_PICTURE)
    below.set_xticks(bars[:-1:apart], [str(number) for number in range(1, len(bars), apart)])
    below.set_xlim(float(bars[0]), float(bars[-1]))
    canvas.entitle(figure, title)
    return figure

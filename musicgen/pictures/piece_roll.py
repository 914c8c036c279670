"""A piece as a piano roll whose time axis is bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from musicgen.gm import program_name
from musicgen.overview import in_words
from musicgen.pictures import canvas
from musicgen.piece import Piece

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "in_bars"]

MOST_NAMED = 12  # parts in the legend
WIDEST, BARS_AN_INCH = 24.0, 1.5


def in_bars(piece: Piece, ticks: np.ndarray) -> np.ndarray:
    """Ticks as places in bars, counted from 1: 2.5 is the middle of the second bar, however long that is."""
    starts, _ = piece.bar_starts()
    edges = np.append(starts, max(piece.end, starts[-1]) + 1.0)
    places: np.ndarray = np.interp(ticks, edges, 1.0 + np.arange(len(edges)))
    return places


def draw(piece: Piece) -> Figure:
    """The piano roll as a figure; see `Piece.plot`. Raises UsageError without matplotlib."""
    starts, _ = piece.bar_starts(max(piece.end - 1, 0))
    figure = canvas.figure_of(min(WIDEST, max(6.0, len(starts) / BARS_AN_INCH)), 4.0)
    axes = figure.add_subplot()
    parts = [track for track in piece.tracks if len(track.notes)]
    for number, track in enumerate(parts):
        begin = in_bars(piece, track.notes["start"])
        end = in_bars(piece, track.notes["start"] + track.notes["duration"])
        name = track.name.strip() or program_name(track.program, is_drum=track.is_drum)
        label = canvas.plain(name) if number < MOST_NAMED else None
        colour = "0.5" if track.is_drum else f"C{number % 10}"
        axes.barh(track.notes["pitch"], end - begin, left=begin, height=0.9, color=colour, alpha=0.75, label=label)
    axes.set_xlim(1, 1 + len(starts))
    axes.set_xlabel("bar")
    axes.set_ylabel("pitch (MIDI)")
    axes.grid(axis="x", alpha=0.3)
    if len(parts) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    canvas.entitle(figure, in_words(piece))
    return figure

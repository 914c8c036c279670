"""Basic musical statistics of a piece. All of them are per piece and dimensionless unless their name says otherwise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from musicgen.evaluation import measures
from musicgen.piece import NOTE, Piece

__all__ = ["statistics"]

GRID = 24  # places of a quarter at which onsets of neighbouring bars are compared


def statistics(piece: Piece, *, begin: int = 0, end: int | None = None) -> dict[str, Any]:
    """Statistics of the notes that begin in [begin, end) ticks.

    `notes_per_bar`; `silent_bars` and `repeated_bars` (same pitches at the same places as the bar before) as
    shares of bars; `polyphony`, the mean number of notes that sound while any does; `mean_pitch`, `pitch_range`
    and `pitch_class_entropy` (bits, at most 3.58) without drums; `on_eighths`, the share of onsets on the grid of
    eighth notes. `polyphony_rate` (time with more than two pitches), `scale_consistency` and `groove_consistency` (on a
    grid of GRID a quarter; only where all bars are of one length) are those of `measures.py`, the first two without
    drums.
    """
    end = piece.end if end is None else end
    starts, _ = piece.bar_starts(max(begin, end - 1))
    starts = starts[starts < end]
    first = max(0, int(np.searchsorted(starts, begin + 0.5, side="right")) - 1)
    starts = starts[first:]
    every = [(t.notes, t.is_drum) for t in piece.tracks if len(t.notes)]
    notes = np.concatenate([n for n, _ in every]) if every else np.empty(0, NOTE)
    drum = np.repeat([d for _, d in every], [len(n) for n, _ in every]) if every else np.zeros(0, bool)
    inside = (notes["start"] >= begin) & (notes["start"] < end)
    notes, drum = notes[inside], drum[inside].astype(bool)
    result: dict[str, Any] = {"notes": len(notes), "bars": len(starts)}
    if not len(notes):
        return result
    bar = np.searchsorted(starts, notes["start"] + 0.5, side="right") - 1
    contents = []
    for b in range(len(starts)):
        mine = notes[bar == b]
        contents.append(frozenset(zip((mine["start"] - starts[b]).tolist(), mine["pitch"].tolist(), strict=True)))
    pairs = [(a, b) for a, b in pairwise(contents) if a or b]
    pitch = notes["pitch"][~drum].astype(int)
    edges = np.unique(np.concatenate([notes["start"], notes["start"] + notes["duration"]]))
    sounding = np.searchsorted(np.sort(notes["start"]), edges[:-1], side="right") - np.searchsorted(
        np.sort(notes["start"] + notes["duration"]), edges[:-1], side="right"
    )
    spans = np.diff(edges) * (sounding > 0)
    eighth = piece.ticks_per_quarter / 2
    offset = (notes["start"] - starts[bar]) / eighth
    result |= {
        "notes_per_bar": round(len(notes) / len(starts), 3),
        "silent_bars": round(sum(not c for c in contents) / len(starts), 4),
        "repeated_bars": round(sum(a == b for a, b in pairs) / max(1, len(pairs)), 4),
        "polyphony": round(float((sounding * spans).sum() / max(1, spans.sum())), 3),
        "on_eighths": round(float((np.abs(offset - np.rint(offset)) < 0.02).mean()), 4),
    }
    if len(pitch):
        inside = notes[~drum].copy()
        inside["duration"] = np.minimum(inside["duration"], end - inside["start"])
        result |= {
            "mean_pitch": round(float(pitch.mean()), 2),
            "pitch_range": [int(pitch.min()), int(pitch.max())],
            "pitch_class_entropy": round(measures.pitch_class_entropy(pitch), 3),
            "scale_consistency": round(measures.scale_consistency(pitch), 3),
            "polyphony_rate": round(measures.polyphony_rate(inside, length=max(1, end - begin)), 3),
        }
    lengths = np.diff(starts)
    if len(starts) > 1 and np.ptp(lengths) < 1:
        scale = GRID / piece.ticks_per_quarter
        groove = measures.groove_consistency(
            np.rint((notes["start"] - starts[0]) * scale),
            bar_starts=np.rint((starts - starts[0]) * scale),
            bar_length=round(float(lengths[0]) * scale),
        )
        result["groove_consistency"] = round(groove, 3)
    return result

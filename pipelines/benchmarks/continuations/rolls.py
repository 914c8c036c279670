"""Piano rolls to look at: the bars before the cut, a take behind them, and the truth in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .passage import Case, Passage

__all__ = ["draw"]

DRUMS = "tab:red"
COLOURS = ("tab:blue", "tab:green", "tab:purple", "tab:orange", "tab:cyan", "tab:olive", "tab:brown", "tab:gray")


def draw(case: Case, takes: dict[str, Passage], path: Path) -> None:
    """A picture with a row for each of `takes`: pitch over time, a colour a part, drums in red, faint where soft."""
    from matplotlib.figure import Figure

    rows = {**takes, "truth": case.truth}
    figure = Figure(figsize=(14, 2.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    recent = case.before.last()
    for ax, (name, new) in zip(axes, rows.items(), strict=True):
        notes = np.concatenate([recent.notes, new.notes])
        for part in np.unique(notes["part"]):
            mine = notes[notes["part"] == part]
            colour = DRUMS if mine["drum"].all() else COLOURS[part % len(COLOURS)]
            length = np.where(mine["drum"], 0.12, mine["duration"])
            alpha = 0.25 + 0.75 * np.clip(mine["velocity"], 0, 127) / 127
            height = 1.8 if mine["drum"].all() else 1.0  # semitones; short strokes are hard to see
            ax.barh(
                mine["pitch"], length, left=mine["start"], height=height, color=[(colour, a) for a in alpha.tolist()]
            )
        for line in (*recent.bars, *new.bars):
            ax.axvline(line, color="0.85", linewidth=0.6, zorder=0)
        ax.axvline(new.bars[0], color="black", linewidth=1.2)
        ax.set_ylabel(f"{name}\npitch")
    axes[-1].set(xlabel="quarters", xlim=(recent.bars[0], case.truth.bars[-1]))
    figure.suptitle(f"{case.kind}: {case.name}, bar {case.bar + 1}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)

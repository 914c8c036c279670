"""How cost grows with size: building a corpus, training, sampling and rendering, as a table and four plots.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/growth.py --out docs/growth

Times are CPU time on one core; memory is that of a process which does nothing else. What should be constant or
linear is drawn beside a dashed line that is. Needs Linux, which tells the peak of memory, and matplotlib.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, here and in every process from here

from growth_costs import WINDOW, Cost, building, fresh, rendering, sampling, training
from measure import ROOT, Spread, header, parser, table, versus

from musicgen.models.presets import PRESETS

MB = 1e6
STEADY = 1.1  # how far from constant or linear a cost may be: these machines aren't quiet
FIXED_BATCH, FIXED_LENGTH = 2, 512
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.alpha": 0.3,
    "lines.marker": "o",
    "lines.markersize": 5,
}
DASHED: dict[str, Any] = {"linestyle": "--", "color": "0.45", "marker": "", "zorder": 3}


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--out", type=Path, default=ROOT / "docs" / "growth", help="folder of the plots")
    chosen = made.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    header("Growth", "numpy", "torch", "matplotlib")
    corpus(chosen.out, quick=chosen.quick)
    memory(chosen.out, quick=chosen.quick)
    steps(chosen.out, quick=chosen.quick, rounds=chosen.rounds or 1)
    sound(chosen.out, quick=chosen.quick)
    return 0


def corpus(out: Path, *, quick: bool) -> None:
    """Notes a second and memory of a build against the notes in it."""
    sizes = [10_000, 30_000, 100_000, 300_000] + ([] if quick else [1_000_000, 3_000_000, 10_000_000])
    costs = list(building(sizes))
    rows = [[f"{c.size:,}", f"{c.cpu_s:.2f}", f"{c.size / c.cpu_s:,.0f}", f"{c.peak_bytes / MB:.0f}"] for c in costs]
    table(["corpus, notes", "s of CPU", "notes/s", "peak MB"], rows)
    start_s, each_s = line(costs, [c.cpu_s for c in costs])
    floor, each = line(costs, [c.peak_bytes for c in costs])
    kept = costs[-1].size / costs[-1].cpu_s / (costs[-2].size / costs[-2].cpu_s)
    print(f"\na line through the times: {start_s:.2f} s and {each_s * 1e6:.2f} us a note", end="; ")
    print(f"through the memory: {floor / MB:.0f} MB and {each:.0f} bytes a note")
    print(f"notes/s of the largest against the one before: {versus(kept, 1 / STEADY, form='.2f')}\n", flush=True)

    figure, (left, right) = canvas(2)
    left.plot([c.size for c in costs], [c.size / c.cpu_s for c in costs], label="measured")
    left.plot([c.size for c in costs], [1 / each_s] * len(costs), **DASHED, label="constant: the work a note alone")
    left.set(xlabel="notes in the corpus", ylabel="notes a second of CPU")
    logarithmic(left.xaxis)
    logarithmic(left.yaxis, subs=(1, 2, 5))
    right.plot([c.size / 1e6 for c in costs], [c.peak_bytes / MB for c in costs], label="measured, all processes")
    straight = [(floor + each * c.size) / MB for c in costs]
    right.plot([c.size / 1e6 for c in costs], straight, **DASHED, label=f"linear: {each:.0f} bytes a note")
    right.set(xlabel="million notes in the corpus", ylabel="peak memory, MB")
    right.set_ylim(0, 1.35 * costs[-1].peak_bytes / MB)
    keep(figure, out / "corpus.png", "Building a corpus, one worker")


def memory(out: Path, *, quick: bool) -> None:
    """Memory of training against the length of the windows, and against how many a batch has."""
    lengths = [256, 512, 1024] + ([] if quick else [2048, 4096])
    batches = [1, 2, 4] + ([] if quick else [8, 16])
    # The Transformer attends to the whole window; the others see as far as their preset does.
    reach = {family: shapes["tiny"]["context"] for family, shapes in PRESETS.items()}
    ways = {f: [(n, FIXED_BATCH, n if f == "transformer" else reach[f]) for n in lengths] for f in PRESETS}
    short = reach["transformer"]
    ways[f"transformer, context {short}"] = [(n, FIXED_BATCH, short) for n in lengths if n >= short]
    by_length = {name: [fresh(training, name.split(",")[0], *way) for way in way_s] for name, way_s in ways.items()}
    by_batch = {f: [fresh(training, f, FIXED_LENGTH, n, reach[f]) for n in batches] for f in PRESETS}

    rows = []
    for name, costs in by_length.items():
        rows += [training_row(name, length, batch, c) for (length, batch, _), c in zip(ways[name], costs, strict=True)]
    for name, costs in by_batch.items():
        rows += [training_row(name, FIXED_LENGTH, n, c) for n, c in zip(batches, costs, strict=True)]
    table(["training", "window, steps", "batch", "peak growth, MB", "KB a step of the batch"], rows)
    print()
    for what, curves in (("window", by_length), ("batch", by_batch)):
        for name, costs in curves.items():
            grown = costs[-1].peak_bytes / costs[-2].peak_bytes
            print(f"{name}, the {what}'s last doubling: {versus(grown, 2 * STEADY, most=True, form='.2f')}")
    print(flush=True)

    figure, (left, right) = canvas(2)
    for name, costs in by_length.items():
        marker = "s" if "," in name else "o"
        left.plot([w[0] for w in ways[name]], [c.peak_bytes / MB for c in costs], label=name, marker=marker)
    linear(left, lengths, by_length.values())
    left.set(xlabel=f"window, steps (batch {FIXED_BATCH})", ylabel="peak growth, MB")
    for name, costs in by_batch.items():
        right.plot(batches, [c.peak_bytes / MB for c in costs], label=name)
    linear(right, batches, by_batch.values())
    right.set(xlabel=f"batch, windows of {FIXED_LENGTH} steps", ylabel="peak growth, MB")
    for axes, ticks in ((left, lengths), (right, batches)):
        logarithmic(axes.xaxis)
        axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
        logarithmic(axes.yaxis, subs=(1, 2, 5))
    keep(figure, out / "training.png", "Memory of training, tiny presets, notes tokenizer")


def steps(out: Path, *, quick: bool, rounds: int) -> None:
    """CPU time of a sampled step against how many came before it."""
    count = 3_000 if quick else 20_000
    drawn = {}
    for family in PRESETS:
        every = [fresh(sampling, family, count) for _ in range(rounds)]  # the same sequence each time
        # The least of each window: what came on top was the machine's other work.
        drawn[family] = [min(ms) for ms in zip(*(ms for ms, _, _ in every), strict=True)], *every[0][1:]
    rows = []
    for n in range(count // WINDOW):
        rows.append([f"{n * WINDOW:,} to {(n + 1) * WINDOW:,}", *(f"{ms[n]:.2f}" for ms, _, _ in drawn.values())])
    table(["steps", *(f"{family}, ms of CPU a step" for family in drawn)], rows)
    print()
    past = max(1, PRESETS["transformer"]["tiny"]["context"] // WINDOW + 1)  # the first window past the context
    for family, (ms, notes, peak) in drawn.items():
        quarter = max(1, (len(ms) - past) // 4)
        bent = Spread(tuple(ms[-quarter:])).median / Spread(tuple(ms[past : past + quarter])).median
        print(f"{family}: {notes:,} notes in {count:,} steps, {peak / MB:.0f} MB; ", end="")
        print(f"the last quarter against the first past the context: {versus(bent, STEADY, most=True, form='.2f')}")
    print(flush=True)

    figure, (axes,) = canvas(1)
    for family, (ms, _, _) in drawn.items():
        (points,) = axes.plot([(n + 1) * WINDOW for n in range(len(ms))], ms, label=family)
        level = Spread(tuple(ms[past:])).median
        name = "constant: the medians past the context" if family == list(drawn)[-1] else None
        axes.axhline(level, **{**DASHED, "color": points.get_color()}, label=name)
    axes.set(xlabel="steps sampled so far", ylabel=f"ms of CPU a step, mean of {WINDOW:,}")
    axes.set_ylim(0, 1.35 * max(max(ms) for ms, _, _ in drawn.values()))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    keep(figure, out / "sampling.png", "Sampling, tiny presets, random weights, notes tokenizer")


def sound(out: Path, *, quick: bool, rate: int = 44_100) -> None:
    """CPU time and memory of rendering against the length of the music."""
    costs = [fresh(rendering, minutes, rate) for minutes in ([1, 2, 5] if quick else [1, 2, 5, 15, 30, 60])]
    whole = [c.size * 60 * rate * 8 for c in costs]  # bytes of all the sound in float32 stereo
    rows = []
    for c, size in zip(costs, whole, strict=True):
        speed = f"{c.size * 60 / c.cpu_s:.0f} x"
        rows.append([f"{c.size:.1f}", f"{c.cpu_s:.2f}", speed, f"{c.peak_bytes / MB:.0f}", f"{size / MB:.0f}"])
    table(["minutes", "s of CPU", "real time", "peak growth, MB", "the sound as float32, MB"], rows)
    slower = (costs[-1].cpu_s / costs[-1].size) / (costs[-2].cpu_s / costs[-2].size)
    print(f"\nCPU a minute, the longest against the one before: {versus(slower, STEADY, most=True, form='.2f')}")
    more = costs[-1].peak_bytes / costs[-2].peak_bytes
    print(f"memory, likewise: {versus(more, STEADY, most=True, form='.2f')}\n", flush=True)

    figure, (left, right) = canvas(2)
    minutes = [c.size for c in costs]
    left.plot(minutes, [c.cpu_s for c in costs], label="measured")
    each_s = costs[-1].cpu_s / costs[-1].size
    left.plot(minutes, [each_s * m for m in minutes], **DASHED, label=f"linear: {each_s:.2f} s a minute")
    left.set(xlabel="minutes of music", ylabel="s of CPU")
    right.plot(minutes, [c.peak_bytes / MB for c in costs], label="measured")
    right.plot(minutes, [size / MB for size in whole], **DASHED, label="linear: the sound held as float32")
    right.set(xlabel="minutes of music", ylabel="peak growth, MB")
    right.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    keep(figure, out / "rendering.png", "Rendering nine tracks to a WAV file at 44.1 kHz")


def training_row(name: str, length: int, batch: int, cost: Cost) -> list[str]:
    each = cost.peak_bytes / cost.size / 1e3
    return [name, f"{length:,}", str(batch), f"{cost.peak_bytes / MB:.0f}", f"{each:.0f}"]


def line(costs: Sequence[Cost], values: Sequence[float]) -> tuple[float, float]:
    """(value at size 0, value by which it grows with each) of the line through the first and the last."""
    slope = (values[-1] - values[0]) / (costs[-1].size - costs[0].size)
    return values[0] - slope * costs[0].size, slope


def linear(axes: Any, sizes: Sequence[int], curves: Any) -> None:
    """A dashed line that grows as the sizes do, through the end of the highest curve."""
    top = max(costs[-1].peak_bytes for costs in curves) / MB
    axes.plot(sizes, [top * size / sizes[-1] for size in sizes], **DASHED, label="linear")


def logarithmic(axis: Any, *, subs: Sequence[float] = (1,)) -> None:
    """A logarithmic axis with plain numbers at `subs` times the powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if value >= 1e6 else f"{value:,.0f}")


def canvas(count: int) -> tuple[Any, Any]:
    """A figure and its `count` axes side by side."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(STYLE)
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(11 if count > 1 else 8.5, 4), squeeze=False)
    return figure, axes[0]


def keep(figure: Any, path: Path, title: str) -> None:
    """Write a figure with its legends and title."""
    for axes in figure.axes:
        # A long legend hides curves: it stands beside them.
        crowded = len(axes.get_legend_handles_labels()[1]) > 4
        beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if crowded else {}
        axes.legend(fontsize=9, frameon=False, **beside)
    figure.suptitle(title, fontsize=12)
    figure.savefig(path, metadata={"Software": None})  # the same figures give the same bytes
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())

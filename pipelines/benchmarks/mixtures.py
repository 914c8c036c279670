"""Mixtures of densities or bins: nats a note of performances, under the same trunk.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/mixtures.py --data DATA --runs RUNS [--pictures FOLDER]

Runs that are in RUNS already are measured as they are, so that it can be broken off.

The task `perform` is trained on performances by pianists or by drummers, and measured on composers and drummers that
were never heard (`train_humanise.split_of`). Both heads give probabilities of the same integers, milliseconds and
velocities; a bin shares its probability equally among its integers. The heads differ in their last layer, the trunk
begins with the same weights and reads the same windows in the same order.

- floor: the shares of each value in the training split, in the best number of bins; no music is read.
- mixture K: K log-normals and a point mass at 0 for times, K logistics for velocities.
- binned B: at most B bins a value, by ratio for times.

Means over seeds, with the lowest and highest. Differences to the best bins: an interval of 95 %, by a bootstrap over
pieces of the mean over seeds. Components: how many have a hundredth of the weight or more, on average over the notes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import header, parser, table

from musicgen import read
from musicgen.checkpoint import load_task_run
from musicgen.models.heads.densities import Mixture
from musicgen.models.tasks.performer import VALUES, Performer
from musicgen.pictures import canvas
from musicgen.pictures.densities import densities_csv, draw_densities, phrase_of
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings
from musicgen.scoring import Scoring
from musicgen.tasks.perform.figures import floor, note_nats
from musicgen.tasks.perform.task import Perform
from musicgen.tokenizers import Tokenizer, load_tokenizer
from musicgen.training.loop import train

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from train_humanise import split_of

# By name: (folders, of Vienna's 22 pianists those who train and are measured by; which sets are only measured by).
PIANISTS = ("p01", "p08", "p15", "p22")
SETS = {"piano": ("giantmidi_piano", "vienna4x22"), "drums": ("groove_midi",)}
ELSEWHERE = {"piano": ("piano_midi_de",)}  # of sequencers and no hands: measured by alone
HEADS = [("mixture", 1), ("mixture", 3), ("mixture", 8), ("binned", 32), ("binned", 64), ("binned", 128)]
FEW = [("mixture", 8), ("binned", 128)]  # for drums
MODEL = {"family": "gru", "width": 96, "layers": 1, "dropout": 0.1, "context": 256}
STEPS, SEEDS, MOST_NOTES = 300, 2, 1000  # notes of a piece that are measured
DRAWS = 2000


class Pieces:
    """Performances as a `TokenSource`, in memory."""

    def __init__(self, tokenizer: Tokenizer, paths: dict[str, list[Path]]) -> None:
        parts, self._spans, at = [], {}, 0
        for split, names in paths.items():
            rows = []
            for path in names:
                ids = tokenizer.encode(read(path))
                ids = (
                    ids if split == "train" or len(ids) <= MOST_NOTES else np.concatenate([ids[:MOST_NOTES], ids[-1:]])
                )
                parts.append(ids)
                rows.append((at, len(ids)))
                at += len(ids)
            self._spans[split] = np.array(rows, np.int64).reshape(-1, 2)
        self.tokens = np.concatenate(parts)

    def spans(self, split: str) -> np.ndarray:
        return self._spans[split]


def files(data: Path, kind: str, *, quick: bool) -> dict[str, list[Path]]:
    """The files of a kind by split; those of ELSEWHERE in one called "elsewhere"."""
    found: dict[str, list[Path]] = {"train": [], "valid": [], "test": [], "elsewhere": []}
    for folder in SETS[kind]:
        for path in sorted((data / folder).rglob("*.mid")):
            if folder != "vienna4x22" or path.stem.endswith(PIANISTS):
                found[split_of(path.relative_to(data))].append(path)
    for folder in ELSEWHERE.get(kind, ()):
        found["elsewhere"] += sorted((data / folder).rglob("*.mid"))[::20]
    return {split: paths[:: max(1, len(paths) // 6)] if quick else paths for split, paths in found.items()}


@dataclass(frozen=True)
class Measured:
    """The nats of each piece by value (pieces, V), its notes (pieces,), and the live components of each value."""

    nats_PV: np.ndarray
    notes_P: np.ndarray
    live: tuple[int, ...]

    @property
    def by_value(self) -> np.ndarray:
        """(V,): mean nats a note."""
        found: np.ndarray = self.nats_PV.sum(axis=0) / self.notes_P.sum()
        return found


def trained(
    source: Pieces, tokenizer: Tokenizer, head: tuple[str, int], *, seed: int, steps: int, folder: Path
) -> Performer:
    """A model of one head and seed, which lies in `folder` or is trained into it."""
    name, size = head
    task = {"name": "perform", "head": name, {"mixture": "components", "binned": "bins"}[name]: size}
    how = TrainSettings(
        steps=steps, batch=16, length=128, optimizer="adamw", learning_rate=3e-3, evaluate_every=100,
        evaluate_tokens=16_384, calibrate=False, seed=seed,
    )  # fmt: skip
    recipe = Recipe(dict(MODEL), how, AugmentSettings(), task=task)
    if not (folder / "card.json").is_file() or json.loads((folder / "card.json").read_text())["steps"] < steps:
        resumes = (folder / "checkpoints").is_dir()
        train(
            source, tokenizer, recipe=recipe, folder=folder, task=Perform(), device="cpu", workers=0, resume=resumes
        )  # fmt: skip
    model = load_task_run(folder, task="perform").model
    assert isinstance(model, Performer)
    return model


@torch.no_grad()
def measured(model: Performer, source: Pieces, tokenizer: Tokenizer, split: str) -> Measured:
    """The nats of a split's pieces."""
    scoring, nats, weights = Scoring.of(tokenizer), [], []
    for begin, size in source.spans(split).tolist():
        ids = source.tokens[begin : begin + size]
        nats.append(note_nats(model, ids, scoring))
        part = torch.from_numpy(ids[: min(size, 200)].astype(np.int64))[None]
        given, _ = model.numbers(part[:, :-1], part[:, 1:])
        weights.append([
            density.weights(numbers)[0].mean(0).numpy()
            for density, numbers in zip(model.head.each(), given, strict=True)
            if isinstance(density, Mixture)
        ])  # fmt: skip
    live = tuple(int((np.mean(each, axis=0) >= 0.01).sum()) for each in zip(*weights, strict=True))
    return Measured(np.array([each.sum(axis=0) for each in nats]), np.array([len(each) for each in nats]), live)


def shown(runs: Sequence[Measured]) -> list[str]:
    """Cells of a row: nats a note and by value, over seeds."""
    totals = [float(run.by_value.sum()) for run in runs]
    means = np.mean([run.by_value for run in runs], axis=0)
    live = "/".join(str(round(float(n))) for n in np.mean([run.live for run in runs], axis=0)) if runs[0].live else ""
    spread = f"{np.mean(totals):.3f} ({min(totals):.3f} to {max(totals):.3f})"
    return [spread, *(f"{value:.3f}" for value in means), live]


def difference(mine: Sequence[Measured], theirs: Sequence[Measured]) -> str:
    """Mine less theirs, nats a note, with an interval of 95 % over pieces."""
    notes_P = mine[0].notes_P
    apart_P = np.mean([run.nats_PV.sum(axis=1) for run in mine], axis=0)
    apart_P = apart_P - np.mean([run.nats_PV.sum(axis=1) for run in theirs], axis=0)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(notes_P), (DRAWS, len(notes_P)))
    low, high = np.quantile(apart_P[drawn].sum(axis=1) / notes_P[drawn].sum(axis=1), [0.025, 0.975])
    return f"{apart_P.sum() / notes_P.sum():+.3f} ({low:+.3f} to {high:+.3f})"


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="the folder with giantmidi_piano, groove_midi, ...")
    made.add_argument("--runs", type=Path, required=True, help="a folder for the trained runs")
    made.add_argument("--pictures", type=Path, help="a folder for the densities of both heads over one phrase")
    made.add_argument("--kind", choices=sorted(SETS), help="one of the two kinds of performances")
    chosen = made.parse_args()
    torch.set_num_threads(1)
    seeds = chosen.rounds or (1 if chosen.quick else SEEDS)
    header("Performances: mixtures beside bins", "torch")
    tokenizer = load_tokenizer({"name": "exact"})
    for kind in [chosen.kind] if chosen.kind else SETS:
        report(kind, chosen, tokenizer, seeds=seeds)
    return 0


def report(kind: str, chosen: object, tokenizer: Tokenizer, *, seeds: int) -> None:
    """Train and measure all heads on one kind of performances, and print the tables."""
    quick, data, runs, folder = (getattr(chosen, name) for name in ("quick", "data", "runs", "pictures"))
    source = Pieces(tokenizer, files(data, kind, quick=quick))
    sizes = ", ".join(
        f"{split} {len(spans)} ({int(spans[:, 1].sum()):,} notes)"
        for split in ("train", "valid", "test", "elsewhere")
        if len(spans := source.spans(split))
    )
    print(f"\n{kind}: {sizes}\n")
    heads = FEW if quick or kind == "drums" else HEADS
    began, models = time.process_time(), {}
    for head in heads:
        models[head] = [
            trained(
                source, tokenizer, head, seed=seed, steps=20 if quick else STEPS,
                folder=runs / "-".join(map(str, (kind, *head, seed))),
            )
            for seed in range(1, seeds + 1)
        ]  # fmt: skip
        print(f"{head}: {time.process_time() - began:.0f} s of CPU", file=sys.stderr, flush=True)
    for split in ("test", "elsewhere"):
        if not len(source.spans(split)):
            continue
        found = {head: [measured(model, source, tokenizer, split) for model in each] for head, each in models.items()}
        lowest = floor(models[heads[0]][0], source, spans=source.spans(split))
        best = min((h for h in heads if h[0] == "binned"), key=lambda h: np.mean([m.by_value.sum() for m in found[h]]))
        rows = [["floor", f"{sum(lowest.values()):.3f}", *(f"{lowest[name]:.3f}" for name in VALUES), "", ""]]
        for head, each in found.items():
            apart = "" if head == best else difference(each, found[best])
            rows.append([f"{head[0]} {head[1]}", *shown(each), apart])
        print(f"\n{split}, nats a note\n")
        table(["head", "all", *VALUES, "components", f"less binned {best[1]}"], rows)
    if folder is not None:
        draw(kind, folder, source, {head: models[head][0] for head in (("mixture", 8), best)})


def draw(kind: str, folder: Path, source: Pieces, models: dict[tuple[str, int], Performer]) -> None:
    """The densities of two heads over one phrase of a test piece, and the numbers behind."""
    begin, size = max(source.spans("test").tolist(), key=lambda span: span[1])
    ids = source.tokens[begin : begin + size]
    phrases = [(f"{head[0]} {head[1]}", phrase_of(model, ids, begin=120, count=64)) for head, model in models.items()]
    folder.mkdir(exist_ok=True)
    picture = folder / f"{kind}.png"
    picture.unlink(missing_ok=True)
    canvas.write_png(draw_densities(phrases, title=f"{kind}: a phrase that was not heard"), picture)
    for name, phrase in phrases:
        (folder / f"{kind}, {name}.csv").write_text(densities_csv(phrase), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

"""Melodies with chords, sopranos with the voices below: with attention and without, by how much is translated at once.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/translating.py --corpus CORPUS [--pair soprano-atb] --work DIR

Trains a model with attention and one without of each seed, from the same settings, unless DIR has them already. Then
pieces of the splits valid and test are cut into excerpts of 1 to 16 bars. Told are the nats of a target step given
those before it, and the shares of the time in which a target is right that was written greedily from the excerpt.
Intervals of 95 % are bootstrapped over seeds and works together. Beside the models stand counts: a back-off model of
steps (nats) and the commonest chord over the melody's pitch class (shares).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import header, parser, table

from musicgen.api import train
from musicgen.checkpoint import TaskRun, load_task_run
from musicgen.corpus.store import Corpus
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.runs.checkpoints import has_checkpoint
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.evaluating import pairs_of
from musicgen.tasks.translate.examples import batch_of, excerpts
from musicgen.tasks.translate.figures import changes, rightness, voice_leading
from musicgen.tasks.translate.floors import Commonest, ngram_nats
from musicgen.tasks.translate.pairs import Pair, in_c, pair_of

DRAWN = 1000  # resamples


@dataclass(frozen=True)
class Held:
    """An excerpt that was held out, and its work."""

    work: str
    pair: Pair


def held_out(corpus: Corpus, kind: str, *, bars: int, most: int) -> list[Held]:
    """Excerpts of so many bars from valid and test, at most so many, from as many works as there are; of each work from
    its middle on, since first bars are often no more than an upbeat."""
    by_work: dict[str, list[Pair]] = {}
    for split in ("valid", "test"):
        for record, piece in pieces_of(corpus, split):
            if (pair := pair_of(piece, kind)) is not None:
                by_work.setdefault(record.work, []).extend(excerpts([pair], bars=bars))
    ranked = sorted((n, work) for work, pairs in by_work.items() for n in range(len(pairs)))[:most]
    return [Held(work, by_work[work][(len(by_work[work]) // 2 + n) % len(by_work[work])]) for n, work in ranked]


def trained(corpus: Path, folder: Path, *, steps: int, seed: int, family: str, task: dict[str, object]) -> TaskRun:
    """The run in a folder; it is trained if it isn't there."""
    if not has_checkpoint(folder):
        changes = {"model.layers": 1}
        train(corpus, output=folder, model=family, steps=steps, seed=seed, changes=changes, task=task, device="cpu")
    return load_task_run(folder, task="translate")


@torch.no_grad()
def nats_of(run: TaskRun, held: Sequence[Held]) -> np.ndarray:
    """(n, 2): the nats of each excerpt's target, and its steps."""
    task = run.model.task
    alphabet = Alphabet(task.pair, task.bars)
    rows = []
    for one in held:
        batch = batch_of([in_c(one.pair, kind=task.pair, moves=task.key)[0]], alphabet)
        rows.append((run.model.eval().nats(batch.source, batch.inputs, batch.targets).sum().item(), batch.n_steps))
    return np.array(rows)


def with_interval(values_SN: np.ndarray, weights_N: np.ndarray, works: Sequence[str], *, digits: int = 3) -> str:
    """The mean over seeds and excerpts, and half of its 95 % interval, with seeds and works drawn anew."""
    rng = np.random.default_rng(0)
    names, index = np.unique(list(works), return_inverse=True)
    sums = np.stack([np.bincount(index, weights_N * row, len(names)) for row in values_SN])  # (S, W)
    sizes = np.bincount(index, weights_N, len(names))
    means = []
    for _ in range(DRAWN):
        seeds, drawn = rng.integers(len(sums), size=len(sums)), rng.integers(len(names), size=len(names))
        means.append(sums[seeds][:, drawn].mean(axis=0).sum() / max(1e-9, sizes[drawn].sum()))
    low, high = np.quantile(means, (0.025, 0.975))
    mean = (values_SN * weights_N).sum() / (len(values_SN) * weights_N.sum())
    return f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--corpus", type=Path, required=True, help="a corpus that holds pairs")
    made.add_argument("--pair", default=CHORDS)
    made.add_argument("--family", default="gru")
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--steps", type=int, default=600)
    made.add_argument("--bars", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    made.add_argument("--excerpts", type=int, default=60, help="of each length")
    made.add_argument("--work", type=Path, default=Path("runs/translating"), help="runs are kept here")
    chosen = made.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.steps, chosen.excerpts = 1, 4, 2
    torch.set_num_threads(1)
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    corpus = Corpus.open(chosen.corpus)
    runs: dict[bool, list[TaskRun]] = {True: [], False: []}
    for seed in range(chosen.seeds):
        for attention, found in runs.items():
            task = {"name": "translate", "pair": chosen.pair, "attention": attention, "bars": max(chosen.bars)}
            folder = chosen.work / f"{chosen.pair}-{chosen.family}-{'with' if attention else 'without'}-{seed}"
            how = {"steps": chosen.steps, "seed": seed, "family": chosen.family, "task": task}
            found.append(trained(chosen.corpus, folder, **how))
            say(f"{folder}: {found[-1].card['valid_nats_per_step']:.4f} nats a step")
    known = pairs_of(corpus, "train", kind=chosen.pair)
    floor = Commonest(known) if chosen.pair == CHORDS else None
    rows = []
    for bars in chosen.bars:
        held = held_out(corpus, chosen.pair, bars=bars, most=chosen.excerpts)
        say(f"{bars} bars: {len(held)} excerpts")
        if held:
            rows += of_length(bars, held, runs, known=known, floor=floor)
    header(f"{chosen.pair}, with attention and without", "torch")
    names = list(rows[0][1])
    table(["bars", *names], [[bars, *(row[name] for name in names)] for bars, row in rows])


def of_length(
    bars: int, held: Sequence[Held], runs: dict[bool, list[TaskRun]], *, known: list[Pair], floor: Commonest | None
) -> list[tuple[int, dict[str, str]]]:
    """The rows of the table for excerpts of one length: with attention, without, and by counting."""
    works, pairs = [one.work for one in held], [one.pair for one in held]
    task = runs[True][0].model.task
    rows, ones = [], np.ones(len(held))
    for attention, found in runs.items():
        nats_SN2 = np.stack([nats_of(run, held) for run in found])
        steps = nats_SN2[0, :, 1]
        row = {
            "": "attention" if attention else "one vector",
            "excerpts": str(len(held)),
            "nats a step": with_interval(nats_SN2[..., 0] / steps, steps, works),
        }
        made = [[translate(run.model, pair, search=Search("greedy"))[0] for pair in pairs] for run in found]
        shares = [[rightness(task.pair, [each]) for each in zip(one, pairs, strict=True)] for one in made]
        for name in shares[0][0]:
            row[name] = with_interval(np.array([[s[name] for s in one] for one in shares]), ones, works)
        row["changes a bar"] = f"{changes([p for one in made for p in one]):.2f}"
        if task.pair != CHORDS:
            row |= {name: f"{value:.3f}" for name, value in voice_leading([p for one in made for p in one]).items()}
        rows.append((bars, row))
    counted = ngram_nats(known, pairs, Alphabet(task.pair, task.bars)).sum(axis=1)
    row = dict.fromkeys(rows[0][1], "") | {
        "": "counting; as written",
        "nats a step": f"{counted.mean():.3f}",
        "changes a bar": f"{changes(pairs):.2f}",
    }
    if floor is not None:
        found = rightness(task.pair, [(floor(pair), pair) for pair in pairs])
        row |= {name: f"{value:.3f}" for name, value in found.items()}
    else:
        row |= {name: f"{value:.3f}" for name, value in voice_leading(pairs).items()}
    return [*rows, (bars, row)]


if __name__ == "__main__":
    main()

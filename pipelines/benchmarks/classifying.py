"""Classifiers over all seven bodies beside the majority guess and nearest neighbours by histograms, on held-out works.

    python pipelines/benchmarks/classifying.py --data DATA --work runs/classifying --seeds 0 1
    python pipelines/benchmarks/classifying.py --work runs/classifying --table

DATA holds `mit_irish_abc`, `nottingham/ABC_cleaned`, `openscore_lieder` and `asap`. Each problem's corpus is built
once; works are 65% training, 10% validation and 25% test, and test pieces are seen in neither training nor choice.
Every run adds a line to WORK/results.jsonl with its guesses, so a run that is there already isn't made again; `--table`
prints all as Markdown. Intervals are of 2,000 bootstrap samples of the test pieces, of the mean over seeds.

The problems: `dance` (reel, jig, ... from the tunes' ids), `composer` (of songs; a cycle is a work: its songs stay
together), `mode` (as the key signature says; training windows transposed or, in `mode-untransposed`, not), `played` (a
performance or the score of a piano piece; both of one piece are in the same split).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.checkpoint import load_task_run
from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.scan import find_files
from musicgen.corpus.store import Corpus, is_corpus
from musicgen.events import ignore
from musicgen.recipe import DataSettings, Recipe, TrainSettings
from musicgen.tasks.classify.figures import balanced_accuracy, confusion, measured
from musicgen.tasks.classify.labels import labelled
from musicgen.tasks.classify.neighbours import Neighbours, majority
from musicgen.tasks.classify.scoring import Scored
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.registry import task_of
from musicgen.tokenizers import load_tokenizer
from musicgen.training.loop import train

FAMILIES = ("window", "cnn", "rnn", "gru", "lstm", "cnn-lstm", "transformer")
FIGURES = ("balanced_accuracy", "accuracy", "macro_f1", "nats_per_piece")
SAMPLES = 2000
WINDOWS = 16  # of a test piece at most
FEWEST_SONGS, MOST_SONGS = 40, 75  # of a composer
MINOR = ("m", "min", "dor", "aeo", "phr")


@dataclass(frozen=True)
class Problem:
    """Where a problem's music comes from (a function that puts it in order and gives its folders), its `[task]` table,
    and the label of a piece where an index is needed: a function of the source folders that gives {source: label}."""

    prepare: Callable[[Path, Path], list[Path]]
    label: str
    least: int
    index: Callable[[list[Path]], dict[str, str]] | None = None
    by_folder: bool = False
    changes: dict[str, Any] = field(default_factory=dict)  # of the recipe


# ---- the problems ------------------------------------------------------------------------------------------


def dances(folders: list[Path]) -> dict[str, str]:
    """{tune: dance} by the ids of the Irish tunes, such as `Z: id:dc-hornpipe-1`."""
    found = {}
    for file in find_files(folders):
        for name, block in tune_texts(file.path):
            kind = re.search(r"^Z: ?id:[a-z]+-([a-z]+)-", block, flags=re.MULTILINE)
            found[f"{file.name}#{name}"] = kind[1] if kind else ""
    return found


def modes(folders: list[Path]) -> dict[str, str]:
    """{tune: major or minor} by the third of the mode that its first `K:` names; Dorian is minor, Mixolydian major."""
    found = {}
    for file in find_files(folders, suffixes=(".abc",)):
        for name, block in tune_texts(file.path):
            key = re.search(r"^K: ?([A-G][b#]?) ?(\w*)", block, flags=re.MULTILINE)
            kind = key[2].lower()[:3] if key else "none"
            third = "major" if kind in ("", "maj", "mix", "lyd") else "minor" if kind in MINOR else ""
            found[f"{file.name}#{name}"] = third
    return found


def tune_texts(path: Path) -> list[tuple[str, str]]:
    """(number and title, text) of each tune in an ABC file, numbered as the reader does, for `X:` may begin again."""
    blocks = re.split(r"^X:", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE)[1:]
    titles = [re.search(r"^T:(.*)$", block, flags=re.MULTILINE) for block in blocks]
    names = [f"{number} {title[1].strip() if title else ''}".strip() for number, title in enumerate(titles, start=1)]
    return list(zip(names, blocks, strict=True))


def played(folders: list[Path]) -> dict[str, str]:
    """{file: score or performance}, as ASAP names its files."""
    return {file.name: "score" if file.path.stem == "midi_score" else "performance" for file in find_files(folders)}


def by_cycle(data: Path, work: Path) -> list[Path]:
    """The songs of the composers with many, in folders COMPOSER/CYCLE, so that the songs of a cycle are one work."""
    target = work / "songs"
    for composer in sorted((data / "openscore_lieder" / "scores").iterdir()):
        songs = sorted(composer.rglob("*.mxl"))
        if len(songs) < FEWEST_SONGS:
            continue
        for song in songs[:MOST_SONGS]:
            parts = song.relative_to(composer).parts
            # Songs that belong to no cycle lie in one folder, which is none.
            cycle = parts[-2] if parts[0] == "_" else parts[0]
            place = target / composer.name.split(",")[0] / cycle
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(song, place / f"{parts[-2]} {song.name}")
    return [target]


def one_performance(data: Path, work: Path) -> list[Path]:
    """Of each piece in ASAP its score and its first performance, in a folder a piece."""
    target = work / "asap"
    for score in sorted((data / "asap").rglob("midi_score.mid")):
        others = sorted(path for path in score.parent.glob("*.mid") if path.name != score.name)
        if others:
            place = target / "_".join(score.parent.relative_to(data / "asap").parts)
            place.mkdir(parents=True, exist_ok=True)
            for path in (score, others[0]):
                shutil.copyfile(path, place / path.name)
    return [target]


def tunes(data: Path, work: Path) -> list[Path]:
    return [data / "mit_irish_abc", data / "nottingham" / "ABC_cleaned"]


PROBLEMS = {
    "dance": Problem(lambda data, work: [data / "mit_irish_abc"], "label", 20, dances),
    "composer": Problem(by_cycle, "top-folder", 8, by_folder=True),
    "mode": Problem(tunes, "label", 20, modes, changes={"train.length": 128}),
    "mode-untransposed": Problem(tunes, "label", 20, modes, changes={"train.length": 128, "augment.transposed": 0.0}),
    "played": Problem(one_performance, "label", 20, played, by_folder=True),
}


def prepared(name: str, data: Path, work: Path) -> tuple[Corpus, dict[str, Any]]:
    """The corpus of a problem and the `[task]` table of its runs, built where they aren't yet."""
    problem, folder = PROBLEMS[name], work / name.removesuffix("-untransposed")
    index = folder / "labels.json"
    if not is_corpus(folder / "corpus"):
        folder.mkdir(parents=True, exist_ok=True)
        sources = problem.prepare(data, folder)
        settings = BuildSettings(valid=0.1, test=0.25, by_folder=problem.by_folder, seed=1)
        corpus = build_corpus(sources, folder / "corpus", jobs=1, settings=settings)
        if problem.index is not None:
            told = problem.index(sources)
            rows = [{"path": r.source, "label": told.get(r.source, "")} for r in corpus.records]
            index.write_text(json.dumps(rows), encoding="utf-8")
    table: dict[str, Any] = {"name": "classify", "label": problem.label, "least": problem.least}
    if problem.index is not None:
        table["labels"] = str(index)
    return Corpus.open(folder / "corpus"), table


# ---- runs --------------------------------------------------------------------------------------------------


def recipe_of(name: str, family: str, table: dict[str, Any], options: argparse.Namespace, *, seed: int) -> Recipe:
    shape = {"width": options.width, "layers": options.layers, "heads": 4, "dropout": options.dropout}
    context = 16 if family == "window" else 256
    settings = TrainSettings(
        steps=options.steps, batch=16, length=options.length, evaluate_every=max(1, options.steps // 6),
        learning_rate=options.rate, seed=seed, precision="float32", evaluate_tokens=65_536,
    )  # fmt: skip
    table = {**table, "pooling": options.pooling, "balance": options.balance}
    recipe = Recipe({"family": family, "context": context, **shape}, settings, task=table)
    return recipe.with_changes(PROBLEMS[name].changes)


def run_one(name: str, family: str, options: argparse.Namespace, *, seed: int) -> dict[str, Any]:
    """Train one classifier, and measure it on the test pieces."""
    corpus, table = prepared(name, options.data, options.work)
    tokenizer, recipe = load_tokenizer(corpus.spec), recipe_of(name, family, table, options, seed=seed)
    recipe = task_of(recipe.task).settled(recipe, corpus, listener=ignore)
    recipe = replace(recipe, data=DataSettings(str(corpus.folder.absolute()), corpus.sha256))
    folder = options.work / name / f"{family}-{options.tag}{seed}"
    begun = time.process_time()
    shutil.rmtree(folder, ignore_errors=True)
    card = train(corpus, tokenizer, recipe=recipe, folder=folder, task=task_of(recipe.task), device="cpu")
    took = time.process_time() - begun
    run = load_task_run(folder, task="classify")
    pieces = labelled(corpus, run.model.task).of("test")
    scored = Scored(
        [corpus.ids(record) for record, _ in pieces],
        length=recipe.train.length,
        pad=tokenizer.vocabulary.id("pad"),
        most=WINDOWS,
    )
    model: Any = run.model
    chances_PK = scored.chances(model)[0]
    told = {"best_step": card["best_step"], "parameters": card["parameters"], "cpu_s": round(took, 1)}
    return {**row(name, family, chances_PK, [number for _, number in pieces], model.task.classes), **told}


def floors(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The majority guess and the nearest neighbours on the same test pieces; neighbours of training pieces alone."""
    corpus, table = prepared(name, options.data, options.work)
    recipe = task_of(table).settled(Recipe({"family": "gru"}, task=table), corpus, listener=ignore)
    from musicgen.models.tasks.registry import task_settings

    task = task_settings(recipe.task)
    found = labelled(corpus, task)
    music = {split: {record.source: piece for record, piece in pieces_of(corpus, split)} for split in ("train", "test")}
    train_N = np.array([number for _, number in found.of("train")])
    truth, count = [number for _, number in found.of("test")], len(task.classes)
    begun = time.process_time()
    nearest = Neighbours([music["train"][r.source] for r, _ in found.of("train")], train_N, classes=count)
    chances_PK = nearest.chances([music["test"][r.source] for r, _ in found.of("test")])
    took = round(time.process_time() - begun, 1)
    guess_PK = majority(train_N, pieces=len(truth), classes=count)
    return [
        row(name, "majority", guess_PK, truth, task.classes),
        {**row(name, f"neighbours, k {nearest.k}", chances_PK, truth, task.classes), "cpu_s": took},
    ]


def row(name: str, who: str, chances_PK: np.ndarray, truth: list[int], classes: tuple[str, ...]) -> dict[str, Any]:
    figures = measured(chances_PK, np.array(truth)).to_dict()
    guess = chances_PK.argmax(axis=1).tolist()
    return {"problem": name, "who": who, **figures, "classes": list(classes), "guess": guess, "truth": truth}


# ---- the table ---------------------------------------------------------------------------------------------


def interval(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """The 95% bootstrap interval over test pieces of the balanced accuracy, averaged over runs."""
    truth_P, count = np.array(rows[0]["truth"]), len(rows[0]["classes"])
    guesses = [np.array(each["guess"]) for each in rows]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(SAMPLES):
        at = rng.integers(len(truth_P), size=len(truth_P))
        right = [balanced_accuracy(confusion(guess_P[at], truth_P[at], classes=count)) for guess_P in guesses]
        values.append(np.mean(right))
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def table(rows: list[dict[str, Any]]) -> str:
    """All results as Markdown, a table a problem."""
    lines = []
    for name in dict.fromkeys(each["problem"] for each in rows):
        mine = [each for each in rows if each["problem"] == name]
        classes = mine[0]["classes"]
        lines += [f"{name}: {len(classes)} classes ({', '.join(classes)}), {mine[0]['pieces']} test pieces", ""]
        lines.append("| | runs | balanced accuracy | accuracy | macro F1 | nats a piece | CPU s |")
        lines.append("|---|---|---|---|---|---|---|")
        for who in dict.fromkeys(each["who"] for each in mine):
            of = [each for each in mine if each["who"] == who]
            low, high = interval(of)
            balanced, *others = (np.mean([each[key] for each in of]) for key in FIGURES)
            cpu = np.mean([each.get("cpu_s", 0) for each in of])
            cells = [f"{balanced:.3f} ({low:.3f} to {high:.3f})", *(f"{value:.3f}" for value in others), f"{cpu:.0f}"]
            lines.append(f"| {who} | {len(of)} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--length", type=int, default=96)
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--pooling", default="mean-max")
    parser.add_argument("--balance", default="sampling")
    parser.add_argument("--tag", default="", help="Set apart from runs with other settings; in the name of each row.")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    results = options.work / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    if options.table:
        print(table(rows))
        return 0

    def keep(found: dict[str, Any], **more: Any) -> None:
        with open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps({**found, **more}) + "\n")
        rows.append({**found, **more})
        print(f"{found['problem']:18} {found['who']:16} balanced accuracy {found['balanced_accuracy']:.3f}", flush=True)

    for seed in options.seeds:
        for name in options.problems:
            if not any(each["problem"] == name and each["who"] == "majority" for each in rows):
                for found in floors(name, options):
                    keep(found)
            for family in options.families:
                who = f"{family} {options.tag}".strip()
                if not any((each["problem"], each["who"], each.get("seed")) == (name, who, seed) for each in rows):
                    keep({**run_one(name, family, options, seed=seed), "who": who}, seed=seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

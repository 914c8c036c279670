"""One published set from raw file to figure: build the corpus, train, select on valid, score in nats a frame.

    python pipelines/nextnote/run.py JSB_Chorales --data JSB_Chorales.mat --out runs/jsb
    python pipelines/nextnote/run.py JSB_Chorales --data JSB_Chorales.mat --out runs/jsb-gru --model gru --seed 1
    python pipelines/nextnote/run.py Jsb16thSeparated --data Jsb16thSeparated.json --out runs/jsb16
    python pipelines/nextnote/run.py JSB_Chorales --data JSB_Chorales.mat --out runs/try --steps 20

Every split that the file has besides `train` is scored; weights are selected on valid alone. The protocol: a frame is
a set of pitches, spelled in strict order and closed by an end-of-frame; ids that would break the order are masked and
the rest renormalised, so the product over a frame is its exact likelihood; the end of a piece is not scored. Sixteenth
notes in four voices are four ids a frame. Nothing of the future, no key, no meter is given. The models read a frame at
a time and spell it (`by_frame`), or run along every pitch (`by_pitch`). At sixteenth notes three models are trained
first, into the run folder, and the one that is scored learns from them (`training/objectives.py`).

Sets: Boulanger-Lewandowski et al. 2012 (JSB_Chorales, Nottingham, MuseData, Piano_midi) and JSB at sixteenth notes as
in Huang et al. 2017.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import load_run
from musicgen.cli.options import duration
from musicgen.corpus.build import build_corpus
from musicgen.corpus.store import Corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.evaluation.likelihood import evaluate
from musicgen.events import Event, Step
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings, read_recipe
from musicgen.tokenizers import Frames, FramesSettings
from musicgen.training.loop import choose_device, train
from musicgen.training.next_note import NextNote


@dataclass(frozen=True)
class Task:
    """A set: its grid, its best family, how its windows are cut, and how long its recipe trains on two CPU cores, its
    teachers' time not counted."""

    frames_per_quarter: int
    voices: int
    model: str
    length: int
    batch: int
    dropout: float
    look_back: int
    minutes: float
    transposed: float = 0.5  # all but sixteenth notes stand in C: the rest of the music stays there
    weight_decay: float = 0.1
    rate: float = 1e-2
    along: bool = False  # a small network along every pitch, in the place of a trunk and a speller
    width: int = 0  # in the place of the family's in SHAPES
    teachers: tuple[Task, ...] = ()  # trained first; their mean is what is learned


# Sixteenth notes: networks along every pitch, and one by frame, which errs otherwise, to learn from.
LINES = Task(4, 4, "lstm", 768, 2, 0.0, 8, 7, transposed=1.0, weight_decay=0.3, along=True, width=48)
FRAMES = Task(4, 4, "cnn", 768, 2, 0.4, 8, 8, transposed=1.0)
SETS = {
    "JSB_Chorales": Task(1, 0, "cnn", 512, 8, 0.5, 1, 10),
    "Nottingham": Task(2, 0, "cnn", 1536, 5, 0.15, 1, 14),
    "MuseData": Task(2, 0, "lstm", 512, 3, 0.0, 8, 70, transposed=1.0, along=True, width=128),
    "Piano_midi": Task(2, 0, "lstm", 512, 3, 0.0, 8, 10, transposed=1.0, rate=2e-2, along=True, width=64),
    "Jsb16thSeparated": replace(LINES, minutes=30, weight_decay=0.1, teachers=(LINES, LINES, FRAMES)),
}
EVALUATE_IDS = 80_000  # of valid, spread over its pieces, that weights are selected by; all of it is scored at the end
CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}
MEANS = ("all", "skip_first", "piece_mean")  # nats a frame
# About as many weights each. Contexts are in frames.
SHAPES: dict[str, dict[str, Any]] = {
    "window": {"width": 176, "layers": 4, "context": 16},
    "cnn": {"width": 192, "layers": 6, "context": 64},
    "rnn": {"width": 288, "layers": 2, "context": 512},
    "gru": {"width": 240, "layers": 2, "context": 512},
    "lstm": {"width": 224, "layers": 2, "context": 512},
    "cnn-lstm": {"width": 192, "layers": 2, "context": 512},
    "transformer": {"width": 160, "layers": 4, "heads": 5, "context": 512},
}
RATES = {"transformer": 5e-3}  # at most, unlike the others


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", required=True, type=Path, help="the .mat or .json file")
    parser.add_argument("--out", required=True, type=Path, help="the run folder; the corpus lies in it")
    parser.add_argument("--model", choices=SHAPES, help="default: the set's best")
    parser.add_argument("--order", choices=("descending", "ascending"), default="descending")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-time", help="of training, such as 20m; the recipe's own by default")
    parser.add_argument("--steps", type=int, help="of training, each teacher's too; then no time limit by default")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="what it is counted in; cpu: all threads', on a busy machine"
    )
    parser.add_argument(
        "--teacher", action="append", default=[], type=Path, metavar="RUN", help="a run to learn from, not the recipe's"
    )
    parser.add_argument(
        "--set-option", action="append", default=[], metavar="TABLE.KEY=VALUE", help="change the recipe"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the recipe that lies in the run folder")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


def corpus_for(task: Task, data: Path, folder: Path, *, order: str) -> Corpus:
    if (folder / "corpus.json").is_file():
        return Corpus.open(folder)
    tokenizer = Frames(FramesSettings(task.frames_per_quarter, order, task.voices))
    return build_corpus([data], folder, tokenizer=tokenizer, jobs=1)


def recipe_for(task: Task, model: str, *, seed: int, changes: list[str]) -> Recipe:
    shape = {"family": model, **SHAPES[model], "dropout": task.dropout, "by_frame": True, "look_back": task.look_back}
    if task.along:
        shape |= {"by_pitch": True, "layers": 1}
    if task.width and (task.along or model == task.model):
        shape["width"] = task.width
    settings = TrainSettings(
        steps=1_000_000,  # out of reach: the budget shapes the learning rate
        batch=task.batch,
        length=task.length,
        learning_rate=min(task.rate, RATES.get(model, task.rate)),
        weight_decay=task.weight_decay,
        evaluate_every=200,
        evaluate_tokens=EVALUATE_IDS,
        seed=seed,
    )
    recipe = Recipe(shape, settings, AugmentSettings(-5, 6, transposed=task.transposed, tempo_steps=0))
    for change in changes:
        recipe = recipe.with_change(change)
    return recipe


def report(p: Event) -> None:
    if isinstance(p, Step) and p.valid is not None:
        print(f"{p.done} steps, {p.seconds:.0f} s: valid {p.valid:.4f} nats a token", file=sys.stderr, flush=True)


def taught_by(task: Task, corpus: Corpus, tokenizer: Frames, options: argparse.Namespace, share: float) -> list[Path]:
    """The task's teachers, trained into the run folder, each for `share` of its time; one interrupted goes on."""
    folders = [options.out / f"teacher{number}" for number in range(len(task.teachers))]
    for number, (teacher, folder) in enumerate(zip(task.teachers, folders, strict=True)):
        seconds, again = 60 * teacher.minutes * share, False
        if options.resume and (folder / "checkpoints").exists():
            again = True
            seconds -= json.loads((folder / "checkpoints" / "last" / "state.json").read_text())["seconds"]
        if seconds > 0:
            recipe = recipe_for(teacher, teacher.model, seed=options.seed + number, changes=[])
            recipe = recipe.with_train(steps=options.steps)
            train(
                corpus,
                tokenizer,
                recipe=recipe,
                folder=folder,
                card={"title": f"{options.set}, teacher {number}"},
                resume=again,
                max_seconds=seconds if math.isfinite(seconds) else None,
                clock=CLOCKS[options.clock],
                device=options.device,
                listener=report,
            )
    return folders


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    task = SETS[options.set]
    family = options.model or task.model
    corpus = corpus_for(task, options.data, options.out / "corpus", order=options.order)
    tokenizer = Frames.from_spec(corpus.spec)
    again = options.resume and (options.out / "recipe.toml").exists()  # else it was interrupted among its teachers
    if again:
        recipe = read_recipe(options.out / "recipe.toml")
        family = recipe.model["family"]
    else:
        recipe = recipe_for(task, family, seed=options.seed, changes=options.set_option)
    recipe = recipe.with_train(steps=options.steps)
    # The recipe's own time would end a count of steps early where the machine is slow.
    own = math.inf if options.steps else 60 * task.minutes
    seconds = duration(options.max_time) if options.max_time else own
    begun = time.process_time()
    folders = options.teacher
    # Another family is trained as it is, and what was begun goes on with the teachers that it has, if any.
    if again and not folders:
        folders = sorted(options.out.glob("teacher*"))
    elif not (folders or options.model):
        folders = taught_by(task, corpus, tokenizer, options, seconds / 60 / task.minutes)
    teachers = [load_run(folder) for folder in folders]
    digests = " ".join(teacher.sha256 for teacher in teachers)
    if again and digests != recipe.data.teachers_sha256:
        raise UsageError("these are not the teachers of the run", where=options.out, hint="give the same --teacher")
    recipe = replace(recipe, data=replace(recipe.data, teachers_sha256=digests))
    card = train(
        corpus,
        tokenizer,
        recipe=recipe,
        folder=options.out,
        card={"title": options.set},
        resume=again,
        max_seconds=seconds if math.isfinite(seconds) else None,
        clock=CLOCKS[options.clock],
        device=options.device,
        task=NextNote([teacher.model for teacher in teachers]),
        listener=report,
    )
    spent = time.process_time() - begun
    run = load_run(options.out)
    model = run.model.to(choose_device(options.device))
    columns = ("set", "model", "order", "seed", "parameters", "s of CPU", "split", "frames", *MEANS)
    lines = [list(columns), ["---"] * len(columns)]
    for split in ("valid", "test"):
        if not len(corpus.spans(split)):
            continue
        figures = evaluate(model, corpus, tokenizer, split=split)
        about = (options.set, family, options.order, options.seed, f"{card['parameters']:,}", f"{spent:,.0f}")
        means = [f"{getattr(figures.nats_per_frame, name):.4f}" for name in MEANS]
        lines.append([*map(str, about), split, f"{figures.frames:,}", *means])
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"nextnote: {error}")

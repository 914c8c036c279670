"""`musicgen train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from musicgen.cli.options import (
    device_option,
    duration,
    json_option,
    overwrite_option,
    print_json,
    say,
    tokenizer_options,
    warn,
)
from musicgen.errors import UsageError

__all__ = ["command"]


@click.command("train")
@click.argument("corpus", type=click.Path())
@click.option("-o", "--output", "run", required=True, type=click.Path(), help="The run folder to write.")
@click.option(
    "--model",
    "family",
    default=None,
    help="window, cnn, rnn, gru, lstm, cnn-lstm or transformer.  [transformer]",
)
@click.option("--preset", "size", default=None, help="tiny, small, medium or large.  [tiny]")
@click.option("--recipe", "recipe_file", type=click.Path(), default=None, help="A recipe.toml with all settings.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Change one setting of the recipe, such as model.horizon=4 or train.carry=true.",
)
@click.option(
    "--embedding",
    type=click.Choice(["learned", "one-hot"]),
    default=None,
    help="How tokens enter the model.  [learned]",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=click.Path(),
    metavar="RUN",
    help="Learn what this run says of each next step, instead of only which one came; repeatable.",
)
@tokenizer_options
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Optimiser steps.")
@click.option("--max-time", default=None, help="Stop after this long, such as 10m; the learning rate plans for it.")
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=None, help="Weights, data order and dropout.  [0]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default=None,
    help="[auto]: bfloat16 where it helps.",
)
@device_option
@json_option
@overwrite_option
def command(
    corpus: str,
    run: str,
    resume: bool,
    max_time: str | None,
    device: str,
    as_json: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a next-note model on CORPUS: a built corpus folder, a folder of music, or a catalogue name.

    Ctrl-C saves; `--resume` goes on. The best weights so far are always in RUN/model.safetensors.
    """
    from musicgen.checkpoint import load_run
    from musicgen.cli.corpus import open_or_build

    seconds = duration(max_time)
    folder = Path(run)
    if folder.exists() and not resume:
        _make_room(folder, overwrite=overwrite)
    # Settings first: a slip in them must not cost the time to build a corpus.
    recipe = _resumed(folder, options) if resume else _recipe(options)
    teachers = [load_run(name) for name in options["teachers"]]
    source = open_or_build(corpus, folder / "corpus", options=options)

    from dataclasses import replace

    from musicgen.recipe import DataSettings
    from musicgen.tokenizers import load_tokenizer
    from musicgen.training.loop import choose_device, train

    tokenizer = load_tokenizer(source.spec)
    if resume and recipe.data.corpus_sha256 != source.sha256:
        hint = f"give the one it was trained on, {recipe.data.corpus}"
        raise UsageError("this corpus is not the one of the run", where=corpus, hint=hint)
    if hasattr(tokenizer, "layout") and not (resume or options["recipe_file"]):
        # The better way with frames, unless the recipe asks for something else that rules it out.
        by_frame = recipe.model.get("horizon", 1) == 1 and not recipe.train.carry
        recipe = replace(recipe, model={"by_frame": by_frame, **recipe.model})
    for name, teacher in zip(options["teachers"], teachers, strict=True):
        if teacher.tokenizer.spec != tokenizer.spec:
            hint = "train both on the same corpus, or on corpora built with the same tokenizer"
            raise UsageError("this teacher has another tokenizer", where=name, hint=hint)
    digests = " ".join(teacher.sha256 for teacher in teachers)
    if resume and recipe.data.teachers_sha256 != digests:
        count = len(recipe.data.teachers_sha256.split())
        hint = f"give the same {count} with --teacher" if count else "leave --teacher out"
        raise UsageError("these are not the teachers of the run", where=folder, hint=hint)
    recipe = replace(recipe, data=DataSettings(str(corpus), source.sha256, digests))
    chosen = choose_device(device)
    info = source.info()
    if not as_json:
        warn(f"{info['pieces']} pieces, {info['tokens']:,} tokens; {recipe.model['family']} on {chosen}; Ctrl-C saves")
    context = recipe.model.get("context", 0)
    if recipe.model["family"] == "transformer" and recipe.train.length < context:
        length = recipe.train.length
        warn(f"windows of {length} tokens train only a part of the context of {context}: make them equal")
    if not len(source.spans("valid")):
        warn("no validation pieces in this corpus: the last weights are kept instead of the best")
    card = _card(folder.name, source, corpus, teachers)
    bar = _Bar(recipe.train.steps)
    try:
        with bar:
            card = train(
                source,
                tokenizer,
                recipe=recipe,
                folder=folder,
                card=card,
                resume=resume,
                max_seconds=seconds,
                device=device,
                teachers=[teacher.model for teacher in teachers],
                report=bar.report,
            )
    except KeyboardInterrupt:
        warn(f"interrupted: saved; go on with `musicgen train {corpus} -o {run} --resume`")
        sys.exit(130)
    if as_json:
        print_json({"run": str(folder), **card})
        return
    valid = card["valid_nats_per_token"]
    say(f"{folder}: {card['steps']} steps, {card['seconds']:.0f} s, {card['parameters']:,} parameters")
    if valid is not None:
        say(f"validation loss {valid:.4f} nats a token (best, at step {card['best_step']})")
    say(f"use it: musicgen continue piece.mid -m {folder}")


def _make_room(folder: Path, *, overwrite: bool) -> None:
    if not folder.is_dir():
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name")
    if {path.name for path in folder.iterdir()} <= {"corpus"}:  # nothing yet, or a corpus built for this run
        return
    if not overwrite:
        raise UsageError("already exists", where=folder, hint="pass --resume to go on, or --overwrite to replace it")
    if not ((folder / "checkpoints").is_dir() or (folder / "recipe.toml").is_file()):
        # --overwrite must never delete somebody's music folder.
        raise UsageError("is not a run folder, so it is not replaced", where=folder, hint="choose another name")
    import shutil

    for name in ("checkpoints", "corpus"):
        shutil.rmtree(folder / name, ignore_errors=True)
    run = ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json", "manifest.json")
    for name in (*run, "log.csv", "gradients.csv"):
        (folder / name).unlink(missing_ok=True)


def _recipe(options: dict[str, Any]) -> Any:
    """The recipe file, or the preset, with what the options change."""
    from dataclasses import replace

    from musicgen.models.presets import ALONG_PITCHES, PRESETS
    from musicgen.models.presets import preset as check
    from musicgen.recipe import Recipe, TrainSettings, read_recipe
    from musicgen.training.presets import TRAIN_ALONG_PITCHES, TRAIN_PRESETS

    if options["recipe_file"]:
        if options["family"] or options["size"]:
            raise UsageError("--recipe says model and size already", hint="leave --model and --preset out")
        recipe = read_recipe(options["recipe_file"])
        if "family" not in recipe.model:
            raise UsageError("[model] has no family", where=options["recipe_file"], hint='add family = "transformer"')
    else:
        family, size = options["family"] or "transformer", options["size"] or "tiny"
        check(family, size, vocabulary_size=1)
        shape, how = PRESETS[family][size], TRAIN_PRESETS[size]
        if _changed(Recipe(), options["changes"]).model.get("by_pitch") is True:
            shape, how = shape | ALONG_PITCHES[size], how | TRAIN_ALONG_PITCHES
        recipe = Recipe({"family": family, **shape}, TrainSettings(**how))
    if options["embedding"]:
        recipe = replace(recipe, model={**recipe.model, "embedding": options["embedding"]})
    recipe = _changed(recipe, options["changes"])
    return recipe.with_train(steps=options["steps"], seed=options["seed"], precision=options["precision"])


def _changed(recipe: Any, changes: tuple[str, ...]) -> Any:
    for change in changes:
        recipe = recipe.with_change(change)
    return recipe


def _resumed(folder: Path, options: dict[str, Any]) -> Any:
    """The run's own recipe; more steps may be asked for, nothing else may change."""
    from musicgen.recipe import read_recipe

    for name, flag in (
        ("family", "--model"),
        ("size", "--preset"),
        ("recipe_file", "--recipe"),
        ("seed", "--seed"),
        ("embedding", "--embedding"),
        ("changes", "--set"),
    ):
        if options[name] not in (None, ()):
            raise UsageError(f"{flag} can't change in a run that is resumed", where=folder, hint=f"leave {flag} out")
    recipe = read_recipe(folder / "recipe.toml")
    return recipe.with_train(steps=options["steps"], precision=options["precision"])


def _card(title: str, source: Any, corpus: str, teachers: list[Any]) -> dict[str, Any]:
    """What is known of a run before it is trained: what teachers learned from has gone into it, too."""
    info = source.info()
    own = {
        "corpus": str(corpus),
        "pieces": info["pieces"],
        "notes": info["notes"],
        "sha256": source.sha256,
        "licences": info["licences"],
    }
    data, licences = [own], set(info["licences"])
    for teacher in teachers:
        data += [entry for entry in teacher.card.get("data", []) if entry not in data]
        licences |= set(filter(None, teacher.card.get("licence", "").split(" and ")))
    card = {"title": title, "licence": " and ".join(sorted(licences)), "data": data}
    if teachers:
        card["teachers"] = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in teachers]
    return card


class _Bar:
    """The training line: loss, validation loss, tokens a second, time left; off a terminal, a line an evaluation."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.live = sys.stderr.isatty()
        self.progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[line]}"),
            console=Console(stderr=True),
            disable=not self.live,
        )
        self.task = self.progress.add_task("train", total=steps, line="")
        self.valid: float | None = None

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def report(self, p: Any) -> None:
        self.valid = p.valid if p.valid is not None else self.valid
        valid = "-" if self.valid is None else f"{self.valid:.3f}"
        left = f"{int(p.seconds_left) // 60}:{int(p.seconds_left) % 60:02d}"
        line = f"loss {p.loss:.3f}  valid {valid}  {p.tokens_per_second:,.0f} tokens/s  {left} left"
        self.progress.update(self.task, completed=p.step, line=line)
        if not self.live and p.valid is not None:
            warn(f"step {p.step}/{p.steps}  {line}")

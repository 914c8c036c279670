"""What `musicgen train` is asked, checked as a whole before anything is written or removed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen.errors import UsageError
from musicgen.resources import RUN_FILES, RUN_FOLDERS, is_leftover

if TYPE_CHECKING:
    from musicgen.tokenizers import Tokenizer

__all__ = ["Plan", "changed", "check_corpus", "plan_run"]

COPIES = 3  # of the weights that training needs at the least: themselves, their gradients, a momentum


@dataclass(frozen=True)
class Plan:
    """A run that can be trained. `source` is None where the corpus has to be built first; `start` is the Run whose
    weights it begins with, if any; `replaced` names what goes of an older run in the same place, empty where there is
    none."""

    recipe: Any
    tokenizer: Tokenizer
    source: Any
    teachers: list[Any]
    start: Any
    device: Any
    replaced: frozenset[str]


def plan_run(
    corpus: str, folder: Path, options: dict[str, Any], *, device: str, resume: bool, overwrite: bool, timed: bool
) -> Plan:
    """Everything that a run needs, or the error that says what is wrong with the request. `timed`: it has a limit."""
    from dataclasses import replace

    from musicgen.checkpoint import load_run, model_for
    from musicgen.cli.corpus import find_corpus
    from musicgen.cli.fine_tuning import check_tokenizer, start_of, tuned
    from musicgen.cli.options import asked_tokenizer, tokenizer_from
    from musicgen.io.beside import refuse_here, settle
    from musicgen.models.hardware import check_memory
    from musicgen.runs.checked import as_unreadable
    from musicgen.runs.checkpoints import check_checkpoint
    from musicgen.tokenizers import load_tokenizer
    from musicgen.training.loop import choose_device
    from musicgen.training.step import check_request

    settle(folder)
    refusal = None
    try:
        replaces = not resume and _replaces(folder, overwrite=overwrite)
        if replaces:
            refuse_here(folder)
    except UsageError as error:  # what else is wrong with the request is told first
        replaces, refusal = True, error
    start = None
    if resume:
        recipe, found = _resumed(folder, options)
    elif options["start"] is not None:
        start = start_of(options)
        recipe = tuned(start, options, timed=timed)
    else:
        recipe = _recipe(options)
    chosen = choose_device(device)
    teachers = [load_run(name) for name in options["teachers"]]
    # What is built for the run that is replaced goes with it.
    place, asked = None if replaces else folder / "corpus", tokenizer_from(options)
    if start is not None:
        asked = start.tokenizer
    source = find_corpus(corpus, place, tokenizer=asked, demanded=start is None and asked_tokenizer(options))
    tokenizer = asked if source is None else load_tokenizer(source.spec)
    if start is not None:
        check_tokenizer(start, tokenizer, corpus)
    elif tokenizer.layout is not None and not (resume or options["recipe_file"]):
        # The better way with frames, unless the recipe asks for something else that rules it out.
        by_frame = recipe.model.get("horizon", 1) == 1 and not recipe.train.carry
        recipe = replace(recipe, model={"by_frame": by_frame, **recipe.model})
    for name, teacher in zip(options["teachers"], teachers, strict=True):
        if teacher.tokenizer.spec != tokenizer.spec:
            hint = "train both on the same corpus, or on corpora built with the same tokenizer"
            raise UsageError("this teacher has another tokenizer", where=name, hint=hint)
    with as_unreadable(folder / "recipe.toml") if resume else nullcontext():
        model = model_for(recipe, tokenizer, blank=True) if start is None else start.model
    check_request(model, recipe.train, chosen, taught=bool(teachers))
    if resume:
        _check_resumed(recipe, folder, teachers)
        check_checkpoint(found, model)
        if source is not None:
            check_corpus(recipe, source, corpus)
    check_memory(model.n_parameters, copies=COPIES if chosen.type == "cpu" else 1)
    replaced: frozenset[str] = frozenset()
    if refusal is not None:
        raise refusal
    if replaces:
        runs = dict.fromkeys(options["teachers"], "is a teacher")
        if options["start"] is not None:
            runs[options["start"]] = "is the run to start from"
        replaced = _replaced(folder, corpus, runs, built=source is not None)
    return Plan(recipe, tokenizer, source, teachers, start, chosen, replaced)


def check_corpus(recipe: Any, source: Any, corpus: str) -> None:
    """Raise UsageError where a run can't go on with this corpus."""
    if recipe.data.corpus_sha256 != source.sha256:
        hint = f"give the one it was trained on, {recipe.data.corpus}"
        raise UsageError("this corpus is not the one of the run", where=corpus, hint=hint)


def _check_resumed(recipe: Any, folder: Path, teachers: list[Any]) -> None:
    if recipe.data.teachers_sha256 != " ".join(teacher.sha256 for teacher in teachers):
        count = len(recipe.data.teachers_sha256.split())
        hint = f"give the same {count} with --teacher" if count else "leave --teacher out"
        raise UsageError("these are not the teachers of the run", where=folder, hint=hint)


def _replaces(folder: Path, *, overwrite: bool) -> bool:
    """Whether a run lies in the folder that is to be replaced. Raises UsageError where the folder can't be used."""
    from musicgen.runs.checkpoints import has_checkpoint

    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name")
    goes_on = has_checkpoint(folder)
    # Nothing yet, a corpus built for this run, or what a kill left of either or of a first checkpoint.
    if not goes_on and all(path.name in RUN_FOLDERS or is_leftover(path.name) for path in folder.iterdir()):
        return False
    if not overwrite:
        resume = "--resume to go on, or " if goes_on else ""
        raise UsageError("already exists", where=folder, hint=f"pass {resume}--overwrite to replace it")
    if not (goes_on or (folder / "recipe.toml").is_file()):
        # --overwrite must never delete somebody's music folder.
        raise UsageError("is not a run folder, so it is not replaced", where=folder, hint="choose another name")
    return True


def _replaced(folder: Path, corpus: str, runs: dict[str, str], *, built: bool) -> frozenset[str]:
    """The names in the folder that go. Raises UsageError where something that is asked for would go with them.

    A corpus that is built already comes along; of `runs`, each with what it is, none may be lost.
    """
    from musicgen.io.beside import within

    parts = {*RUN_FILES, *RUN_FOLDERS}
    if built and within(corpus, folder / "corpus"):
        parts.remove("corpus")
    elif any(within(corpus, folder / name) for name in RUN_FOLDERS):
        raise UsageError("lies in the run that would be replaced", where=corpus, hint="choose another folder with -o")
    for name, role in runs.items():
        if Path(name).exists() and (Path(name).samefile(folder) or any(within(name, folder / part) for part in parts)):
            what = f"{role}, and lies in the run that would be replaced"
            raise UsageError(what, where=name, hint="choose another folder with -o")
    return frozenset(parts)


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
        if changed(Recipe(), options["changes"]).model.get("by_pitch") is True:
            shape, how = shape | ALONG_PITCHES[size], how | TRAIN_ALONG_PITCHES
        recipe = Recipe({"family": family, **shape}, TrainSettings(**how))
    if options["embedding"]:
        recipe = replace(recipe, model={**recipe.model, "embedding": options["embedding"]})
    recipe = changed(recipe, options["changes"])
    return recipe.with_train(steps=options["steps"], seed=options["seed"], precision=options["precision"])


def changed(recipe: Any, changes: tuple[str, ...]) -> Any:
    """The recipe with all that --set changes."""
    for change in changes:
        recipe = recipe.with_change(change)
    return recipe


def _resumed(folder: Path, options: dict[str, Any]) -> tuple[Any, Any]:
    """The run's own recipe, in which more steps may be asked for and nothing else, and the checkpoint to go on from."""
    from musicgen.runs.checkpoints import find_checkpoint
    from musicgen.runs.recipes import resumed_recipe

    for name, flag in (
        ("family", "--model"),
        ("size", "--preset"),
        ("recipe_file", "--recipe"),
        ("seed", "--seed"),
        ("embedding", "--embedding"),
        ("changes", "--set"),
        ("start", "--from"),
    ):
        if options[name] not in (None, ()):
            raise UsageError(f"{flag} can't change in a run that is resumed", where=folder, hint=f"leave {flag} out")
    found = find_checkpoint(folder / "checkpoints" / "last")
    recipe = resumed_recipe(found, folder)
    return recipe.with_train(steps=options["steps"], precision=options["precision"]), found

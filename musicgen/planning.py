"""Collects and checks everything that a training run needs, before anything is written or removed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from musicgen.checkpoint import Run, load_run, model_for
from musicgen.corpus.build import plan_sources, spec_of
from musicgen.corpus.store import Corpus, is_corpus
from musicgen.errors import UsageError
from musicgen.events import Listener
from musicgen.io.beside import refuse_here, settle, within
from musicgen.models.hardware import check_memory
from musicgen.recipe import Recipe
from musicgen.resources import RUN_FILES, RUN_FOLDERS, is_leftover
from musicgen.runs.checked import as_unreadable
from musicgen.runs.checkpoints import Checkpoint, check_checkpoint, find_checkpoint, has_checkpoint
from musicgen.runs.lineage import teachers_digest
from musicgen.runs.recipes import resumed_recipe
from musicgen.tasks.registry import task_of
from musicgen.tokenizers import UNSPOKEN, Tokenizer, load_tokenizer
from musicgen.training.budget import with_equal_size
from musicgen.training.loop import choose_device
from musicgen.training.recipes import Asked, fine_tuned, free_settings, is_sized, new_recipe, refuse
from musicgen.training.task import Task

__all__ = ["Plan", "check_corpus", "plan_run"]

COPIES = 3  # tensors of the size of the weights that training needs at least: weights, gradients, momentum


@dataclass(frozen=True)
class Plan:
    """The checked inputs of a training run.

    `corpus` is None if it has to be built first: then the recipe of a new run isn't settled by its `task` yet. `start`
    is the run whose weights the new one starts from, if any. `free` names the settings that may be fitted to corpus and
    budget: none in a run that is resumed, or of another task.
    `replaced` are the names in the folder of an older run that is to be replaced; empty if there is none.
    """

    recipe: Recipe
    task: Task
    tokenizer: Tokenizer
    corpus: Corpus | None
    teachers: tuple[Run, ...]
    start: Run | None
    device: torch.device
    replaced: frozenset[str]
    free: frozenset[str] = frozenset()


def plan_run(
    corpus: str | Path,
    folder: Path,
    *,
    asked: Asked,
    device: str,
    resume: bool,
    overwrite: bool,
    timed: bool,
    listener: Listener,
) -> Plan:
    """Check a request for training and return everything that the run needs.

    `corpus` is a corpus folder, a folder or file of music, or a name in the catalogue; `timed` says that a time limit
    ends the run; `listener` gets warnings. Raises UsageError and UnreadableError if the request can't be carried out.
    """
    settle(folder)
    refusal = None
    try:
        replaces = not resume and _replaces(folder, overwrite=overwrite)
        if replaces:
            refuse_here(folder)
    except UsageError as error:  # raised only if nothing else is wrong with the request
        replaces, refusal = True, error
    start, found = None, None
    if resume:
        recipe, found = _resumed(folder, asked)
    elif asked.start is not None:
        start = _start_of(asked)
        recipe = fine_tuned(start, asked, timed=timed)
    else:
        usual = task_of(asked.task).presets(asked.preset or "tiny", asked.task) if asked.task else {}
        recipe = new_recipe(asked, usual=usual)
    chosen = choose_device(device)
    teachers = tuple(load_run(name) for name in asked.teachers)
    task = task_of(recipe.task, teachers=[teacher.model for teacher in teachers])
    if not resume:
        task.check_table(recipe.task)
    # A corpus that was built for the replaced run is replaced with it.
    place = None if replaces else folder / "corpus"
    wanted = start.tokenizer if start is not None else load_tokenizer(spec_of(asked.tokenizer or task.tokenizer))
    demanded = start is None and asked.tokenizer is not None
    source = _find_corpus(corpus, place, tokenizer=wanted, demanded=demanded)
    tokenizer = wanted if source is None else load_tokenizer(source.spec)
    if not recipe.task and tokenizer.name in UNSPOKEN:
        what = f"the tokenizer {tokenizer.name} is for models of how notes are played, and none that writes notes"
        raise UsageError(what, where=corpus, hint="add `task` perform, or choose another tokenizer")
    if start is not None:
        _check_tokenizer(start, tokenizer, named=corpus)
    elif tokenizer.layout is not None and not (resume or asked.recipe or recipe.task):
        # The better model for frames, unless the recipe has a setting that excludes it.
        by_frame = recipe.model.get("horizon", 1) == 1 and not recipe.train.carry
        recipe = replace(recipe, model={"by_frame": by_frame, **recipe.model})
    if not (resume or recipe.task) and is_sized(asked):
        recipe = with_equal_size(recipe, tokenizer)
    for name, teacher in zip(asked.teachers, teachers, strict=True):
        if teacher.tokenizer.spec != tokenizer.spec:
            hint = "train both on the same corpus, or on corpora built with the same tokenizer"
            raise UsageError("this teacher has another tokenizer", where=name, hint=hint)
    _check_shuffled(recipe, tokenizer)
    if source is not None and not resume:
        recipe = task.settled(recipe, source, listener=listener)
    if resume or source is not None or not recipe.task:  # else the corpus has to say what shape the model has
        with as_unreadable(folder / "recipe.toml") if resume else nullcontext():
            model = model_for(recipe, tokenizer, blank=True) if start is None else start.model
        task.check_request(model, recipe, chosen, taught=bool(teachers))
        check_memory(model.n_parameters, copies=COPIES if chosen.type == "cpu" else 1)
    if found is not None:
        _check_teachers(recipe, teachers, folder=folder)
        check_checkpoint(found, model)
        if source is not None:
            check_corpus(recipe, source, named=corpus)
    replaced: frozenset[str] = frozenset()
    if refusal is not None:
        raise refusal
    if replaces:
        runs = dict.fromkeys(asked.teachers, "is a teacher")
        if asked.start is not None:
            runs[asked.start] = "is the run to start from"
        replaced = _replaced(folder, corpus, runs=runs, built=source is not None)
    free = frozenset() if resume or recipe.task else free_settings(asked)
    return Plan(recipe, task, tokenizer, source, teachers, start, chosen, replaced, free)


# ---- the corpus --------------------------------------------------------------------------------------------


def check_corpus(recipe: Recipe, source: Corpus, *, named: str | Path) -> None:
    """Raise UsageError if the corpus isn't the one that the run was trained on."""
    if recipe.data.corpus_sha256 != source.sha256:
        hint = f"give the one it was trained on, {recipe.data.corpus}"
        raise UsageError("this corpus is not the one of the run", where=named, hint=hint)


def _check_shuffled(recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Raise UsageError where notes are to be shuffled that can't be, or that are read in order."""
    if not recipe.data.shuffle_notes:
        return
    if recipe.task:
        what = "[data] shuffle_notes is of next-note prediction"
        raise UsageError(what, where="recipe", hint="leave it out, or leave out `task`")
    if not tokenizer.shuffles:
        what = f"[data] shuffle_notes needs a step for each note, which the tokenizer {tokenizer.name} doesn't have"
        raise UsageError(what, where="recipe", hint="use the tokenizer notes or parts, or leave it out")
    if recipe.train.carry:
        what = "[data] shuffle_notes and carry, which reads pieces in order, don't go together"
        raise UsageError(what, where="recipe", hint="leave one of them out")


def _find_corpus(corpus: str | Path, place: Path | None, *, tokenizer: Tokenizer, demanded: bool) -> Corpus | None:
    """The existing corpus, `corpus` itself or the one at `place`; None if it has to be built first.

    `tokenizer` is the one to build with. Raises UsageError if it was requested explicitly (`demanded`) and the existing
    corpus has another, and if nothing can be built from `corpus`.
    """
    for folder in (Path(corpus), place):
        if folder is not None and is_corpus(folder):
            built = Corpus.open(folder)
            if demanded and tokenizer.spec != built.spec:
                raise UsageError(
                    f"is built with the tokenizer {built.spec['name']} already",
                    where=folder,
                    hint="leave the tokenizer's options out, or build the corpus again with them",
                )
            return built
    plan_sources([corpus], tokenizer.spec)
    return None


# ---- other runs --------------------------------------------------------------------------------------------


def _start_of(asked: Asked) -> Run:
    """Load the run to start from. Raises UsageError for requested settings that this run determines."""
    refuse(asked, ("model", "preset", "recipe", "embedding", "task"), why="is said by the run of `start` already")
    assert asked.start is not None
    start = load_run(asked.start)
    if asked.tokenizer is not None and spec_of(asked.tokenizer) != start.tokenizer.spec:
        what = f"the run of `start` was trained with another tokenizer, {start.tokenizer.name}"
        raise UsageError(what, where=asked.start, hint="leave the tokenizer's options out")
    return start


def _check_tokenizer(start: Run, tokenizer: Tokenizer, *, named: str | Path) -> None:
    """Raise UsageError if the corpus has another tokenizer than the run to start from."""
    if tokenizer.spec != start.tokenizer.spec:
        names = f"{tokenizer.name} and not {start.tokenizer.name}"
        what = f"is built with another tokenizer than the run of `start`, {names}"
        raise UsageError(what, where=named, hint="give the music itself, or build the corpus again")


def _resumed(folder: Path, asked: Asked) -> tuple[Recipe, Checkpoint]:
    """(the recipe of the run to resume, its last checkpoint); of the recipe, only steps and precision may change."""
    names = ("model", "preset", "recipe", "seed", "embedding", "changes", "start", "task")
    refuse(asked, names, why="can't change in a run that is resumed", where=folder)
    found = find_checkpoint(folder / "checkpoints" / "last")
    recipe = resumed_recipe(found, folder)
    return recipe.with_train(steps=asked.steps, precision=asked.precision), found


def _check_teachers(recipe: Recipe, teachers: tuple[Run, ...], *, folder: Path) -> None:
    """Raise UsageError if the resumed run was trained with other teachers."""
    if recipe.data.teachers_sha256 != teachers_digest(teachers):
        count = len(recipe.data.teachers_sha256.split())
        hint = f"give the same {count} with `teachers`" if count else "leave `teachers` out"
        raise UsageError("these are not the teachers of the run", where=folder, hint=hint)


# ---- the folder --------------------------------------------------------------------------------------------


def _replaces(folder: Path, *, overwrite: bool) -> bool:
    """Whether the folder has a run that is to be replaced. Raises UsageError if the folder can't be used."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name")
    goes_on = has_checkpoint(folder)
    # Empty, or only a corpus built for this run, or the remains of a killed process.
    if not goes_on and all(path.name in RUN_FOLDERS or is_leftover(path.name) for path in folder.iterdir()):
        return False
    if not overwrite:
        resume = "`resume` to go on, or " if goes_on else ""
        raise UsageError("already exists", where=folder, hint=f"pass {resume}`overwrite` to replace it")
    if not (goes_on or (folder / "recipe.toml").is_file()):
        # `overwrite` must never delete somebody's music folder.
        raise UsageError("is not a run folder, so it is not replaced", where=folder, hint="choose another name")
    return True


def _replaced(folder: Path, corpus: str | Path, *, runs: dict[str | Path, str], built: bool) -> frozenset[str]:
    """The names in the folder that are replaced. Raises UsageError if an input of the new run would be lost with them.

    A corpus built for the old run is kept if it is the new run's `corpus` (`built`). `runs` maps other runs that are
    needed to descriptions for the error.
    """
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

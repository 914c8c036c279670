"""Makes a run's recipe from a request: a preset, a recipe file, or another run to start from, with changes.

Errors name parameters in backquotes, which the command line shows as its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from musicgen.checkpoint import Run
from musicgen.errors import UsageError
from musicgen.models.presets import ALONG_PITCHES
from musicgen.models.registry import preset, sizes_of
from musicgen.recipe import Recipe, TrainSettings, read_recipe
from musicgen.tokenizers import Tokenizer
from musicgen.training.presets import FINE_TUNING, TRAIN_ALONG_PITCHES, TRAIN_PRESETS

__all__ = ["UNTIL_TIME", "Asked", "fine_tuned", "free_settings", "is_sized", "new_recipe", "refuse"]

UNTIL_TIME = 100_000  # default steps of fine-tuning if a time limit ends the run
FITTED = ("train.batch", "train.length", "train.evaluate_every", "train.evaluate_tokens", "model.context")
FREE = ("dropout", "recurrence")  # of [model]: no weight depends on them, so they may change in a fine-tuned run


@dataclass(frozen=True)
class Asked:
    """The requested settings of a run; None means the value of the preset, the recipe or the run to start from.

    `recipe` is a file or a recipe. `changes` maps names of recipe settings to values: {"model.horizon": 4}. `tokenizer`
    is a name, a spec or a tokenizer. `teachers` and `start` are run folders or names of bundled models. `task` is the
    recipe's `[task]` table as far as it is asked for, with the task's `name`; empty for next-note prediction.
    """

    model: str | None = None
    preset: str | None = None
    recipe: str | Path | Recipe | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    embedding: str | None = None
    tokenizer: Tokenizer | dict[str, Any] | str | None = None
    teachers: tuple[str | Path, ...] = ()
    start: str | Path | None = None
    steps: int | None = None
    seed: int | None = None
    precision: str | None = None
    task: Mapping[str, Any] = field(default_factory=dict)


def free_settings(asked: Asked) -> frozenset[str]:
    """The settings that may be fitted to corpus and budget: of a preset's, those that nobody has asked for."""
    if asked.recipe is not None or asked.start is not None:
        return frozenset()
    return frozenset(FITTED) - set(asked.changes)


def is_sized(asked: Asked) -> bool:
    """Whether the model gets the width of its size: a `tiny` one whose shape nobody has asked for."""
    if asked.recipe is not None or asked.start is not None or (asked.preset or "tiny") != "tiny":
        return False
    return not {"model.width", "model.layers", "model.by_pitch"} & set(asked.changes)


def refuse(asked: Asked, names: tuple[str, ...], *, why: str, where: object = None) -> None:
    """Raise UsageError if any of the fields `names` is set; `why` follows its name in the message."""
    for name in names:
        if getattr(asked, name) not in (None, {}):
            raise UsageError(f"`{name}` {why}", where=where, hint=f"leave `{name}` out")


def new_recipe(asked: Asked, *, usual: Mapping[str, Any]) -> Recipe:
    """The recipe of a run with random initial weights: the given recipe, or the preset, with all changes.

    `usual` are changes of the presets that the task makes (`Task.presets`). Raises UsageError for settings that don't
    go together, UnreadableError for a file that is not a recipe.
    """
    if asked.recipe is not None:
        if asked.model or asked.preset:
            raise UsageError("`recipe` says model and size already", hint="leave `model` and `preset` out")
        recipe = asked.recipe if isinstance(asked.recipe, Recipe) else read_recipe(asked.recipe)
        if "family" not in recipe.model:
            where = "recipe" if isinstance(asked.recipe, Recipe) else asked.recipe
            raise UsageError("[model] has no family", where=where, hint='add family = "transformer"')
    else:
        family, size = asked.model or "transformer", asked.preset or "tiny"
        preset(family, size, vocabulary_size=1)  # raises for unknown names
        shape, how = dict(sizes_of(family)[size]), TRAIN_PRESETS.get(size, TRAIN_PRESETS["tiny"])
        if Recipe().with_changes(asked.changes).model.get("by_pitch") is True:
            shape, how = shape | ALONG_PITCHES[size], how | TRAIN_ALONG_PITCHES
        recipe = Recipe({"family": family, **shape}, TrainSettings(**how)).with_changes(usual)
    if asked.embedding:
        recipe = replace(recipe, model={**recipe.model, "embedding": asked.embedding})
    return _as_asked(replace(recipe, task={**recipe.task, **asked.task}), asked)


def fine_tuned(start: Run, asked: Asked, *, timed: bool) -> Recipe:
    """The recipe of a run that starts from the weights of `start`: that run's recipe with the fine-tuning defaults.

    `timed` says that a time limit ends the run. Raises UsageError if the shape of the model would change.
    """
    usual = {**FINE_TUNING, "steps": UNTIL_TIME} if timed else FINE_TUNING
    recipe = _as_asked(start.recipe.with_train(**usual), asked)
    for name in sorted(set(recipe.model) | set(start.recipe.model)):
        if name not in FREE and recipe.model.get(name) != start.recipe.model.get(name):
            what = f"model.{name} can't change in a run that starts from another's weights"
            raise UsageError(what, where="`changes`", hint="leave it out, or leave `start` out")
    return recipe


def _as_asked(recipe: Recipe, asked: Asked) -> Recipe:
    recipe = recipe.with_changes(asked.changes)
    return recipe.with_train(steps=asked.steps, seed=asked.seed, precision=asked.precision)

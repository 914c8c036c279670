"""Checks that a run resumes with its original recipe, which the checkpoint holds; errors name the edited key."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musicgen.errors import UnreadableError, UsageError
from musicgen.recipe import Recipe, read_recipe, recipe_toml
from musicgen.runs.checked import as_unreadable
from musicgen.runs.checkpoints import Checkpoint
from musicgen.runs.files import read_json

__all__ = ["check_resumed", "resumed_recipe", "text_digest"]

FREE = (("train", "steps"), ("train", "precision"))  # keys that may change when a run is resumed
FIXED = ("model", "train", "augment", "task")  # tables compared here; [data] is checked elsewhere
MISSING = object()


def resumed_recipe(found: Checkpoint, run: Path) -> Recipe:
    """The recipe with which the run in a folder resumes from a checkpoint.

    Raises UsageError that names the first key in which recipe.toml was edited, UnreadableError where it isn't TOML.
    """
    path = run / "recipe.toml"
    saved = found.state.get("recipe")
    if saved is None:  # an older checkpoint
        with as_unreadable(path):
            return read_recipe(path)
    with as_unreadable(found.folder / "state.json"):
        recipe = Recipe.from_dict(saved, where=found.folder / "state.json")
    if not path.exists():
        return recipe
    text = recipe_toml(recipe)
    try:
        own = {text_digest(text), found.state.get("recipe_file"), _named(run)}
        if hashlib.sha256(path.read_bytes()).hexdigest() not in own:
            with as_unreadable(path):
                read_recipe(path)  # raises for invalid TOML and unknown keys
            _compare(tomllib.loads(text), tomllib.loads(path.read_text(encoding="utf-8")), where=path, free=())
    except OSError as error:
        raise UnreadableError(f"can't be read ({error.strerror})", where=path, hint="check the path") from None
    return recipe


def check_resumed(found: Checkpoint, recipe: Recipe, *, where: Path) -> None:
    """Raise UsageError where a run can't resume from a checkpoint with this recipe."""
    if "recipe" in found.state:
        then, now = (
            {table: values for table, values in tomllib.loads(recipe_toml(each)).items() if table in FIXED}
            for each in (Recipe.from_dict(found.state["recipe"]), recipe)
        )
        _compare(then, now, where=where, free=FREE)


def text_digest(text: str) -> str:
    """Hex sha256 of a text encoded as UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _named(run: Path) -> str | None:
    """The digest of recipe.toml that the run's manifest names."""
    try:
        digests = read_json(run / "manifest.json").get("sha256")
    except UnreadableError:
        return None
    return digests.get("recipe.toml") if isinstance(digests, dict) else None


def _compare(
    then: Mapping[str, Any], now: Mapping[str, Any], *, where: Path, free: tuple[tuple[str, str], ...]
) -> None:
    for table in dict.fromkeys((*then, *now)):
        before, after = then.get(table, {}), now.get(table, {})
        for key in dict.fromkeys((*before, *after)):
            was, is_now = before.get(key, MISSING), after.get(key, MISSING)
            if (was != is_now or type(was) is not type(is_now)) and (table, key) not in free:
                what = f"[{table}] {key} was {_quoted(was)} when the run was saved, and is {_quoted(is_now)} now"
                option = f"give `{key}` {is_now} instead" if (table, key) in FREE else "train anew with `recipe`"
                raise UsageError(what, where=where, hint=f"put it back, or {option}")


def _quoted(value: object) -> str:
    return "not there" if value is MISSING else repr(value)

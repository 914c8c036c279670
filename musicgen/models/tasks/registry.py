"""The models of tasks by name. A new task is a class and a line here. Classes are imported on first use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from musicgen.errors import UsageError
from musicgen.models.hardware import check_memory
from musicgen.models.registry import drawn_from, without_storage
from musicgen.models.settings import ModelSettings, nearest
from musicgen.models.tasks.base import TaskModel
from musicgen.schemas import filled

__all__ = ["TASK_MODELS", "blank_task_model", "build_task_model", "named", "task_settings"]


class Entry(NamedTuple):
    """Where a task's model is, what it does in words, and the command that uses it: with RUN, or a piece and -m RUN."""

    module: str
    class_name: str
    does: str
    command: str


TASK_MODELS: dict[str, Entry] = {
    "classify": Entry("classifier", "Classifier", "classifies pieces", "musicgen classify"),
    "forecast": Entry("forecaster", "Forecaster", "forecasts melodies as numbers", "musicgen forecast"),
    "perform": Entry(
        "performer", "Performer", "knows how notes are played", "musicgen inspect RUN --pictures pictures/"
    ),
    "translate": Entry("translator", "Translator", "harmonises melodies", "musicgen harmonise"),
}


def named(name: str) -> Entry:
    """The entry of a task. Raises UsageError for a name that doesn't exist, offering the nearest."""
    if name not in TASK_MODELS:
        raise UsageError(f"there is no task {name!r}", where="`task`", hint=nearest(str(name), TASK_MODELS))
    return TASK_MODELS[name]


def task_settings(table: Mapping[str, Any]) -> Any:
    """The settings in a `[task]` table, of the class that the task's model has. Raises UsageError for a table without a
    known `name`, an unknown key, or a value that can't be."""
    return _filled(_model_class(table), table)


def build_task_model(settings: ModelSettings, table: Mapping[str, Any], *, seed: int = 0) -> TaskModel:
    """A new model on the CPU, in training mode; its first weights depend on the settings, the table and the seed alone.

    Raises UsageError as `task_settings`, ResourceError where the machine's memory can't hold it.
    """
    check_memory(blank_task_model(settings, table).n_parameters)
    with drawn_from(seed):
        return _new(settings, table)


def blank_task_model(settings: ModelSettings, table: Mapping[str, Any]) -> TaskModel:
    """Such a model on the meta device, with no storage for its weights. Raises UsageError as `task_settings`."""
    with without_storage():
        return _new(settings, table)


def _new(settings: ModelSettings, table: Mapping[str, Any]) -> TaskModel:
    model = _model_class(table)
    return model(settings, _filled(model, table))


def _model_class(table: Mapping[str, Any]) -> type[TaskModel]:
    if "name" not in table:
        raise UsageError("[task] has no name", where="recipe", hint="say which one with `task`")
    entry = named(table["name"])
    found: type[TaskModel] = getattr(import_module(f"musicgen.models.tasks.{entry.module}"), entry.class_name)
    return found


def _filled(model: type[TaskModel], table: Mapping[str, Any]) -> Any:
    return filled(model.task_settings, table, where="recipe", error=UsageError, prefix="[task] ", hint=None)

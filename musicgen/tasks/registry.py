"""The tasks by name. A new task is a class and a line here. Classes are imported on first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from musicgen.models import SequenceModel
from musicgen.models.tasks.registry import task_settings
from musicgen.training.next_note import NextNote
from musicgen.training.task import Task

__all__ = ["TASKS", "task_of"]

# By name: (module in tasks/, class).
TASKS: dict[str, tuple[str, str]] = {
    "classify": ("classify.task", "Classify"),
    "forecast": ("forecast.task", "Forecast"),
    "perform": ("perform.task", "Perform"),
    "translate": ("translate.task", "Translate"),
}


def task_of(table: Mapping[str, Any], *, teachers: Sequence[SequenceModel] = ()) -> Task:
    """The task of a recipe's `[task]` table, which is empty for next-note prediction; that may have `teachers`.

    Raises UsageError for a task that doesn't exist, an unknown key, or a value that can't be.
    """
    if not table:
        return NextNote(teachers)
    task_settings(table)
    module, name = TASKS[table["name"]]
    task: Task = getattr(import_module(f"musicgen.tasks.{module}"), name)()
    return task

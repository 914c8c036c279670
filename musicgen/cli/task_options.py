"""Options of `musicgen train` for tasks beside next-note prediction, and the `[task]` table that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from musicgen.cli.completion import TASKS, one_of
from musicgen.cli.options import Whole
from musicgen.errors import UsageError

__all__ = ["TASK_OPTIONS", "task_from", "task_options", "task_outcome"]

F = TypeVar("F", bound=Callable[..., Any])

# The options of each task, by the keys of its `[task]` table; other keys are given with --set task.KEY=VALUE.
TASK_OPTIONS: dict[str, tuple[str, ...]] = {
    "classify": ("label", "labels", "least"),
    "forecast": (),
    "perform": ("head",),
    "translate": (),
}
OPTIONS = (
    click.option(
        "--task",
        default=None,
        metavar="NAME",
        shell_complete=one_of(*TASKS),
        help="Learn something else than the next note: classify, forecast, perform or translate.",
    ),
    click.option(
        "--label",
        default=None,
        metavar="NAME",
        help="classify: what pieces are told apart by: folder, top-folder, licence, key, mode, meter, played, or a "
        "column of --labels.",
    ),
    click.option(
        "--labels",
        default=None,
        type=click.Path(),
        metavar="FILE",
        help="classify: an index (CSV, JSON, JSONL) with the columns path and label.",
    ),
    click.option("--least", type=Whole(min=1), default=None, help="classify: fewest training pieces of a class.  [10]"),
    click.option(
        "--head",
        type=click.Choice(["mixture", "binned"]),
        default=None,
        help="perform: how times and velocities are foreseen: by a mixture of densities, or in bins.  [mixture]",
    ),
)


def task_options(command: F) -> F:
    """Add the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def task_outcome(card: dict[str, Any]) -> list[str]:
    """The validation figures on the card of a task's run, in words: those whose names begin with `valid_`."""
    found = {key.removeprefix("valid_").replace("_", " "): value for key, value in card.items() if key[:6] == "valid_"}
    said = [f"{value:.4f} {name}" if isinstance(value, float) else f"{value:,} {name}"
            for name, value in found.items() if isinstance(value, int | float)]  # fmt: skip
    return [f"validation (best, at step {card['best_step']}): {', '.join(said)}"] if said else []


def task_from(options: dict[str, Any]) -> dict[str, Any]:
    """The `[task]` table that options ask for, empty without `--task`. Raises UsageError for an option of another."""
    name = options["task"]
    given = {key: options[key] for keys in TASK_OPTIONS.values() for key in keys if options[key] is not None}
    for key in given:
        owners = [task for task, keys in TASK_OPTIONS.items() if key in keys]
        if name not in owners:
            wanted = " or ".join(f"--task {owner}" for owner in owners)
            other = "next-note prediction" if name is None else f"--task {name}"
            raise UsageError(f"`{key}` is an option of {wanted}, not of {other}", hint=f"leave `{key}` out")
    return {} if name is None else {"name": name, **given}

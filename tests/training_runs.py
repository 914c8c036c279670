"""Tiny training runs, and what they come to: to be stopped, harmed, resumed and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from training_tunes import REMI, Tunes, log, on_steps, recipe

from musicgen.stopping import Interrupted
from musicgen.training.loop import train


def go(folder: Path, *, source: Tunes | None = None, family: str = "lstm", **options: Any) -> dict[str, Any]:
    changes = options.pop("changes", {})
    return train(
        source or Tunes(),
        REMI,
        recipe=recipe(family, **changes),
        folder=folder,
        device="cpu",
        checkpoint_seconds=0.0,
        **options,
    )


def outcome(folder: Path) -> dict[str, Any]:
    """All that a run comes to, but for seconds."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in log(folder)]
    card = json.loads((folder / "card.json").read_text())
    card.pop("seconds")
    names = ("model.safetensors", "gradients.csv", "recipe.toml", "tokenizer.json")
    return {"log": rows, "card": card, **{name: (folder / name).read_bytes() for name in names}}


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def resumed(folder: Path, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    go(folder, resume=True, **{key: value for key, value in options.items() if key != "start"}, **more)
    return outcome(folder)


def stopped_half(folder: Path) -> Path:
    """A run that was stopped at step 6; the best weights are those of step 4."""

    def stop(progress: Any) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        go(folder, listener=on_steps(stop))
    return folder

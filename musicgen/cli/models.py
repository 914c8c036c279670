"""`musicgen models`."""

from __future__ import annotations

from typing import Any

import click

from musicgen.cli.completion import models, names_and_files
from musicgen.cli.help import Command
from musicgen.cli.options import json_option, print_json, say

__all__ = ["command"]


@click.group("models")
def command() -> None:
    """List the models that come along, or show one."""


@command.command("list", cls=Command)
@json_option
def list_(as_json: bool) -> None:
    """Names, sizes and licences."""
    from musicgen.resources import bundled_models
    from musicgen.runs.checked import read_card

    cards: list[dict[str, Any]] = []
    for name, folder in bundled_models().items():
        card = read_card(folder / "card.json")
        cards.append({"name": name, "megabytes": round((folder / "model.safetensors").stat().st_size / 1e6, 1), **card})
    if as_json:
        print_json(cards)
        return
    for card in cards:
        say(f"{card['name']}  {card.get('family', '?')}, {card['megabytes']} MB  {card.get('title', '')}")


@command.command("show", cls=Command, short_help="What a model learned from, its licences and figures.")
@click.argument("name", shell_complete=names_and_files(models))
@json_option
def show(name: str, as_json: bool) -> None:
    """The card of NAME (a model that comes along, or a run folder): data, licences, figures."""
    from musicgen.checkpoint import load_run

    run = load_run(name)
    card = {"name": run.name, "sha256": run.sha256, **run.card}
    if as_json:
        print_json(card)
        return
    for key, value in card.items():
        if isinstance(value, list):
            say(f"{key}:")
            for item in value:
                say("  " + (", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else str(item)))
        else:
            say(f"{key}: {value}")

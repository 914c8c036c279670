"""`musicgen models`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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
    from musicgen.resources import EXPRESSION_FILE, bundled_models
    from musicgen.runs.expression import load_expression

    folder = Path(name) if Path(name).exists() else bundled_models().get(name, Path(name))
    run = load_expression(folder) if (folder / EXPRESSION_FILE).is_file() else load_run(name)
    card = {"name": run.name, "sha256": run.sha256, **run.card}
    if as_json:
        print_json(card)
        return
    for line in _lines(card):
        say(line)


def _lines(table: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Print a card for reading: empty values are left out, numbers are shortened, nested tables are indented."""
    for key, value in table.items():
        name = f"{indent}{key.replace('_', ' ')}:"
        if value in (None, "", [], {}):
            continue
        if isinstance(value, dict):
            yield name
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(item, dict | str) for item in value):
            yield name
            for item in value:
                yield f"{indent}  {_row(item) if isinstance(item, dict) else item}"
        else:
            yield f"{name} {_short(value)}"


def _row(item: dict[str, Any]) -> str:
    title = item.get("title") or item.get("name") or item.get("corpus") or ""
    rest = {key: value for key, value in item.items() if value and value != title and key != "name"}
    values = [str(value) if isinstance(value, str) else f"{key} {_short(value)}" for key, value in rest.items()]
    return ": ".join(filter(None, [str(title), ", ".join(values)]))


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} ({_short(each)})" for key, each in value.items())
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)

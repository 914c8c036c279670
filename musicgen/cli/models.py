"""`musicgen models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import models, names_and_files
from musicgen.cli.help import Command
from musicgen.cli.options import Number, json_option, overwrite_option, print_json, say, warn
from musicgen.errors import UsageError

__all__ = ["command"]


@click.group("models")
def command() -> None:
    """List the models that are here, show one, fetch one, pass one on, or export one."""


@command.command("list", cls=Command)
@json_option
def list_(as_json: bool) -> None:
    """Names, sizes, licences, and whether a product may use them."""
    from musicgen.resources import bundled_models, known_models
    from musicgen.runs.checked import read_card

    ours, cards = bundled_models(), []
    for name, folder in known_models().items():
        card = read_card(folder / "card.json")
        facts = {"name": name, "comes_along": name in ours, "megabytes": _megabytes(folder), **_product(card)}
        cards.append({**facts, **card})
    if as_json:
        print_json(cards)
        return
    for card in cards:
        size = f"{card['megabytes']} MB, {card.get('parameters', 0) / 1e6:.1f} M parameters"
        clean = {True: "clean for a product", False: "not clean for a product", None: "licences not known"}[
            card["clean"]
        ]
        purpose = f" (continue picks it for {card['for']})" if card.get("for") else ""
        say(f"{card['name']}  {card.get('family', '?')}, {size}, {clean}  {card.get('title', '')}{purpose}")
    _say_plugins()


@command.command("show", cls=Command, short_help="What a model learned from, its licences and figures.")
@click.argument("name", shell_complete=names_and_files(models))
@click.option("--measure", is_flag=True, help="Measure how fast it draws here, in some seconds.")
@json_option
def show(name: str, measure: bool, as_json: bool) -> None:
    """The card of NAME (a model that is here, or a run folder): data, licences, size, figures."""
    from musicgen.checkpoint import load_any_run
    from musicgen.resources import EXPRESSION_FILE, ORIGIN_FILE, known_models
    from musicgen.runs.expression import load_expression
    from musicgen.runs.files import read_json

    folder = Path(name) if Path(name).exists() else known_models().get(name, Path(name))
    run = load_expression(folder) if (folder / EXPRESSION_FILE).is_file() else load_any_run(name)
    facts: dict[str, Any] = {"name": run.name, "sha256": run.sha256}
    if folder.is_dir():
        facts["megabytes"] = _megabytes(folder)
    if (folder / ORIGIN_FILE).is_file():
        facts["origin"] = read_json(folder / ORIGIN_FILE)
    if measure:
        facts["notes_a_second_here"] = _speed(name)
    card = {**facts, **_product(run.card), **run.card}
    if as_json:
        print_json(card)
        return
    for line in _lines(card):
        say(line)


@command.command("pull", cls=Command, short_help="Fetch a model from a server or folder that you name.")
@click.argument("model")
@click.option("--from", "source", default=None, metavar="PLACE", help="An https address or a folder with models.json.")
@click.option("--sha256", "digest", default=None, metavar="HEX", help="What the archive has; an address needs it.")
@click.option(
    "-o", "--output", default=None, type=click.Path(), metavar="DIR", help="Where it goes.  [your data folder]"
)
@click.option(
    "--max-megabytes",
    type=Number(min=0, min_open=True),
    default=2000.0,
    help="Size of the archive, and unpacked.  [2000]",
)
def pull(model: str, source: str | None, digest: str | None, output: str | None, max_megabytes: float) -> None:
    """Fetch MODEL: a run folder, hf://owner/name, a name that PLACE lists, or the https address of a .tar.gz.

    It is checked before it can be seen; afterwards -m finds it by its name. The Hub, hf://, needs the extra `hub`; of a
    repository the commit that was fetched is kept in origin.json, and one can be asked for as hf://owner/name@commit.

    \b
    musicgen models pull /media/shelf/orchestra
    musicgen models pull hf://owner/orchestra
    musicgen models pull orchestra --from https://example.org/models
    musicgen models pull https://example.org/models/orchestra.tar.gz --sha256 HEX
    """
    from musicgen.runs.pulled import pull as fetched

    folder = fetched(model, source=source, digest=digest, output=output, most_megabytes=max_megabytes)
    say(f"{folder}: use it with -m {folder if output else folder.name}")


@command.command("push", cls=Command, short_help="Pass a model on: to a folder, or to the Hub.")
@click.argument("run", type=click.Path(), shell_complete=names_and_files(models))
@click.argument("to")
@click.option("--public", is_flag=True, help="Everybody may see a repository that is made on the Hub.  [private]")
@click.option("--allow-restricted", is_flag=True, help="Also a model whose card says that it may not be passed on.")
@json_option
def push(run: str, to: str, public: bool, allow_restricted: bool, as_json: bool) -> None:
    """Copy RUN whole to TO, a new folder or hf://owner/name, with a model card (README.md) made of its card.json.

    Checkpoints and corpus stay here. A repository is private unless you say --public. The Hub needs the extra `hub`,
    and `hf auth login` once.

    \b
    musicgen models push run /media/shelf/orchestra
    musicgen models push run hf://owner/orchestra
    """
    from dataclasses import asdict

    from musicgen.runs.pushed import push as pushed

    done = pushed(run, to, public=public, allow_restricted=allow_restricted)
    for line in done.warnings:
        warn(line)
    if as_json:
        print_json({"run": run, **asdict(done)})
        return
    say(f"{done.place}: sha256 {done.sha256}; fetch it with `musicgen models pull {to}`")


@command.command("export", cls=Command, short_help="Write a model as ONNX, checked against PyTorch.")
@click.argument("run", type=click.Path(), shell_complete=names_and_files(models))
@click.option("-o", "--output", required=True, type=click.Path(), metavar="FILE", help="The .onnx file to write.")
@click.option(
    "--tolerance", type=Number(min=0), default=None, help="Most that a logit may differ from PyTorch's.  [0.0001]"
)
@json_option
@overwrite_option
def export(run: str, output: str, tolerance: float | None, as_json: bool, overwrite: bool) -> None:
    """Write one step of RUN as an ONNX file, once onnxruntime gives the logits that PyTorch gives.

    Needs the extra `onnx`. Vocabulary, tokenizer and licence are in the file's metadata. docs/onnx.md tells how to draw
    notes from it.

    \b
    musicgen models export run -o run.onnx
    """
    from dataclasses import asdict

    from musicgen.exporting import export_onnx
    from musicgen.exporting.writing import TOLERANCE

    done = export_onnx(run, output, tolerance=TOLERANCE if tolerance is None else tolerance, overwrite=overwrite)
    if as_json:
        print_json({"run": run, **asdict(done), "path": str(done.path)})
        return
    difference = f"logits differ from PyTorch's by {done.largest_difference:.1e} at most"
    say(f"{done.path}: {done.megabytes} MB; {difference}")
    for title, side in (("takes", done.inputs), ("gives", done.outputs)):
        say(f"  {title} " + ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in side.items()))


def _say_plugins() -> None:
    """A line for each installed plug-in, and a warning for each that can't be used."""
    from musicgen.models.registry import family_named
    from musicgen.plugins import FAMILIES, KINDS, TOKENIZERS, installed, problems
    from musicgen.tokenizers import load_tokenizer

    loads: dict[str, Callable[[str], object]] = {
        FAMILIES: family_named,
        TOKENIZERS: lambda name: load_tokenizer({"name": name}),
    }
    for group, load in loads.items():
        for line in problems(group):
            warn(line)
        for name, plugin in installed(group).items():
            try:
                load(name)
            except UsageError as error:
                warn(str(error))
            else:
                say(f"{name}  {KINDS[group]}, a plug-in of {plugin.package} {plugin.version}")


def _megabytes(folder: Path) -> float:
    """The size of a run's weights."""
    return round((folder / "model.safetensors").stat().st_size / 1e6, 1)


def _product(card: dict[str, Any]) -> dict[str, Any]:
    """Whether use in a product is clean by the licences of a card's data (None: not known), and why not."""
    from musicgen.licences import shipping_of

    may = shipping_of(card)
    return {"clean": may.may_ship, "not_clean_because": list(may.reasons)}


def _speed(name: str) -> float:
    """Notes a second of CPU of eight bars drawn from nothing, without loading."""
    import time

    import torch

    from musicgen.composer import Composer

    torch.set_num_threads(1)
    composer = Composer.load(name)
    began = time.process_time()
    (take,) = composer.generate(bars=8, seed=1)
    seconds = max(1e-3, time.process_time() - began)
    return round(int(take.facts["notes_added"]) / seconds, 1)


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

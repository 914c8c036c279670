"""`musicgen corpus`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any, Literal

import click

from musicgen.cli.completion import catalogue_names, names_and_files, several_of
from musicgen.cli.help import Command
from musicgen.cli.listening import Shown
from musicgen.cli.options import (
    Number,
    Whole,
    json_option,
    limit_options,
    limits_from,
    overwrite_option,
    print_json,
    say,
    tokenizer_from,
    tokenizer_options,
    warn,
)
from musicgen.seeds import MOST_SEED
from musicgen.words import counted, spec_in_words

__all__ = ["command", "show_corpus"]

MOST_REASONS = 20  # rows shown in the table of rejected files; corpus.json has all


@click.group("corpus")
def command() -> None:
    """List, fetch, build and inspect corpora."""


@command.command("list", cls=Command, short_help="What can be had: names, sizes, licences.")
@json_option
def list_(as_json: bool) -> None:
    """The catalogue: name, pieces, licence, how it is obtained."""
    from dataclasses import asdict

    from musicgen.corpus.catalog import catalogue

    entries = catalogue()
    if as_json:
        print_json([{**asdict(e), "how": _how(e)} for e in entries])
        return
    say(f"{'name':<26}{'pieces':>7}  {'licence':<34}{'for shipped models':<20}how")
    for e in entries:
        say(f"{e.name:<26}{e.pieces:>7}  {e.licence:<34}{'yes' if e.shippable else 'no':<20}{_how(e)}")


def _how(entry: Any) -> str:
    return f"comes with {entry.source.package}" if entry.source.kind == "package" else "musicgen corpus fetch"


@command.command("fetch", cls=Command, short_help="Download a corpus of the catalogue.")
@click.argument("name", shell_complete=several_of(catalogue_names))
@click.option("-o", "--output", type=click.Path(), default=None, metavar="DIR", help="Where to put it.  [a cache]")
def fetch(name: str, output: str | None) -> None:
    """Download the corpus NAME of the catalogue with git, verified by its commit."""
    from musicgen.corpus.catalog import fetch as download
    from musicgen.corpus.catalog import find_entry

    entry = find_entry(name)
    folder = download(entry, output)
    say(f"{folder}: {entry.title}, {entry.licence}")
    if output is None:
        say(f"build it: musicgen corpus build {name} -o {name}-corpus")
    elif entry.source.only or entry.source.without:  # the catalogue entry uses only a part of the folder
        say(f"build it: MUSICGEN_CORPORA={output} musicgen corpus build {name} -o {name}-corpus")
    else:
        say(f"build it: musicgen corpus build {folder} -o {name}-corpus --licence '{entry.licence}'")


@command.command("build", cls=Command, short_help="Make a corpus to train on out of music.")
@click.argument("sources", nargs=-1, required=True, shell_complete=names_and_files(catalogue_names))
@click.option("-o", "--output", required=True, type=click.Path(), metavar="DIR", help="The corpus folder to make.")
@tokenizer_options
@click.option("--jobs", type=Whole(min=1), default=None, help="Worker processes.  [one a core]")
@click.option("--valid", type=Number(0, 0.5), default=0.05, show_default=True, help="Share of works for validation.")
@click.option("--test", type=Number(0, 0.5), default=0.05, show_default=True, help="Share of works for testing.")
@click.option(
    "--works-by", type=click.Choice(["file", "folder"]), default="file", show_default=True, help="What one work is."
)
@click.option(
    "--licence",
    default="unknown",
    show_default=True,
    metavar="TEXT",
    help="Licence of files that aren't from the catalogue.",
)
@click.option(
    "--seed",
    type=Whole(0, MOST_SEED),
    default=0,
    show_default=True,
    metavar="N",
    help="Which works fall into which split.",
)
@limit_options
@json_option
@overwrite_option
def build(
    sources: tuple[str, ...],
    output: str,
    jobs: int | None,
    valid: float,
    test: float,
    works_by: Literal["file", "folder"],
    licence: str,
    seed: int,
    as_json: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Build a corpus from SOURCES: folders, files, or names of the catalogue.

    Files are MIDI, MusicXML, kern or ABC. A .mat file (arrays traindata, validdata, testdata of T x 88 binary
    matrices) or a .json file (train, valid, test: pieces, frames, pitches by voice) is best built with --tokenizer
    frames; it keeps its own splits.
    """
    from musicgen.api import build_corpus

    made, limits = tokenizer_from(options), limits_from(options)
    try:
        with Shown() as shown:
            build_corpus(
                sources,
                output,
                tokenizer=made,
                valid=valid,
                test=test,
                works_by=works_by,
                licence=licence,
                seed=seed,
                limits=limits,
                jobs=jobs,
                overwrite=overwrite,
                listener=shown,
            )
    except KeyboardInterrupt as error:
        warn("interrupted: the same command goes on where it was")
        sys.exit(128 + getattr(error, "number", signal.SIGINT))
    show_corpus(Path(output), as_json=as_json)


@command.command("info", cls=Command, short_help="What a built corpus holds, and what was rejected.")
@click.argument("folder", type=click.Path())
@json_option
def info(folder: str, as_json: bool) -> None:
    """Counts, splits, licences and rejected files of a built corpus."""
    show_corpus(Path(folder), as_json=as_json)


def show_corpus(folder: Path, *, as_json: bool) -> None:
    """Print a corpus's summary."""
    from musicgen.corpus.store import Corpus

    facts: dict[str, Any] = Corpus.open(folder).info()
    if as_json:
        print_json({"corpus": str(folder), **facts})
        return
    counts = ", ".join(counted(facts[f"{name}s"], name) for name in ("piece", "note", "token"))
    say(f"{folder}: {counts}")
    say(f"  {'split':<6}{'pieces':>9}{'notes':>14}{'tokens':>14}")
    for name in ("train", "valid", "test"):
        counts = facts["splits"][name]
        say(f"  {name:<6}{counts['pieces']:>9,}{counts['notes']:>14,}{counts['tokens']:>14,}")
    say(f"  tokenizer {spec_in_words(facts['tokenizer'])}")
    say(f"  licences: {', '.join(f'{name} ({n})' for name, n in facts['licences'].items())}")
    if facts.get("links_left_out"):
        say(f"  {counted(facts['links_left_out'], 'link')} not followed: out of the folder")
    if facts.get("duplicates"):
        say(f"  {counted(facts.get('all_duplicates', len(facts['duplicates'])), 'duplicate')} left out")
    if facts["rejected"]:
        say(f"  {counted(facts.get('all_rejected', len(facts['rejected'])), 'file')} rejected:")
        reasons: dict[str, list[str]] = {}
        for row in facts["rejected"]:
            reasons.setdefault(row["reason"], []).append(row["source"])
        for reason, sources in list(reasons.items())[:MOST_REASONS]:
            more = "" if len(sources) == 1 else f" and {len(sources) - 1:,} more"
            say(f"    {sources[0]}{more}: {reason}")
        if len(reasons) > MOST_REASONS:
            say(f"    and others, all in {folder / 'corpus.json'}")

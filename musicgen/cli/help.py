"""Help texts and usage errors: options in groups, ranges in words, errors of one line in the words of options."""

from __future__ import annotations

import re
from typing import Any

import click

from musicgen.errors import MusicgenError, printable
from musicgen.plugins import installed

__all__ = ["Command", "Plugged", "WrongCall", "as_options", "in_words", "is_overview"]

# Settings of the library whose options are called otherwise.
CALLED = {
    "Limits.megabytes": "--max-megabytes", "Limits.notes": "--max-notes", "Limits.tracks": "--max-tracks",
    "Limits.hours": "--max-hours",
}  # fmt: skip

# Heading -> options, by their longest name; options not listed here come first, under "Options".
GROUPS = {
    "What the new music keeps to": (
        "--tracks", "--key", "--key-strength", "--scale", "--chords", "--pitch-range", "--range", "--max-polyphony",
        "--polyphony", "--density", "--velocity", "--no-drums", "--kit", "--rhythm-from", "--motif", "--tempo",
        "--meter",
    ),
    "Learning from music first": ("--study", "--study-also", "--study-whole", "--played"),
    "Tasks beside next-note prediction": ("--task", "--label", "--labels", "--least"),
    "How notes are chosen": (
        "--temperature", "--field-temperature", "--top-k", "--top-p", "--min-p", "--typical-p",
        "--repetition-penalty", "--figure-penalty",
    ),
    "How music becomes tokens": (
        "--tokenizer", "--positions", "--pedal", "--frames-per-quarter", "--frame-order", "--voices",
    ),
    "What is read at most": ("--max-megabytes", "--max-notes", "--max-tracks", "--max-hours"),
    "This machine": ("--device", "--int8", "--precision", "--workers", "--jobs"),
}  # fmt: skip


class Command(click.Command):
    """A command whose options are listed in groups, and whose errors name options."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MusicgenError as error:
            error.args = (as_options(str(error), self),)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = {max(p.opts, key=len): p for p in self.get_params(ctx) if isinstance(p, click.Option)}
        grouped = {flag for flags in GROUPS.values() for flag in flags}
        for heading, flags in {"Options": [flag for flag in options if flag not in grouped], **GROUPS}.items():
            records = [options[flag].get_help_record(ctx) for flag in flags if flag in options]
            if shown := [record for record in records if record is not None]:
                with formatter.section(heading):
                    formatter.write_dl(shown)


class Plugged(click.Option):
    """An option whose help also lists the plug-ins of a group (`plugins.py`), which are looked for when it is shown."""

    def __init__(self, *args: Any, group: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        names = ", ".join(installed(self.group))
        return (record[0], f"{record[1]}  Plug-ins: {names}.") if record and names else record


def as_options(text: str, command: click.Command) -> str:
    """A text of the library with the names of its settings, which stand in backquotes, as options of a command.

    >>> tempo = click.Option(["--field-temperature", "field_temperatures"])
    >>> as_options("leave `field_temperatures` out, or take `default`", click.Command("continue", params=[tempo]))
    'leave --field-temperature out, or take `default`'
    """
    options = [param for param in command.params if isinstance(param, click.Option)]

    def option(match: re.Match[str]) -> str:
        called = CALLED.get(match[1], "--" + match[1].replace("_", "-"))
        own = [param for param in options if param.name == match[1]] or [p for p in options if called in p.opts]
        return max(own[0].opts, key=len) if own else match[0]

    return re.sub(r"`([A-Za-z_.0-9]+)`", option, text)


def is_overview(error: click.UsageError) -> bool:
    """Whether the error is only a command group called without arguments, which prints its help."""
    return isinstance(error, click.exceptions.NoArgsIsHelpError)


def in_words(low: float | None, high: float | None, *, low_open: bool = False) -> str:
    """The bounds of a number as text.

    >>> in_words(1, 1000), in_words(1, None), in_words(0, None, low_open=True), in_words(0, 2**62)
    ('1 to 1,000', '1 or more', 'above 0', '0 or more')
    """
    if high is not None and high >= 2**31 - 1:  # practically no limit
        high = None
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    if low is not None:
        return f"above {low:,}" if low_open else f"{low:,} or more"
    return "" if high is None else f"{high:,} or less"


class WrongCall(click.ClickException):
    """A click usage error, shown in one line like every other error."""

    exit_code = 2

    def __init__(self, error: click.UsageError) -> None:
        path = error.ctx.command_path if error.ctx else "musicgen"
        message = error.format_message().rstrip(".")
        super().__init__(f"{message}{' See' if message.endswith('?') else '; see'} {path} --help")

    def show(self, file: Any = None) -> None:
        click.echo(f"musicgen: {printable(self.message)}", err=True)

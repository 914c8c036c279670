"""The entry point of the command line.

Exit codes: 0 done, 1 some of a batch failed, 2 usage, 3 unreadable input, 4 made but failed a check, 5 out of
resources, 130 stopped by Ctrl-C, 143 by SIGTERM. A command's module is imported only when the command is called or
listed, torch and music21 only when it runs.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

from musicgen import __version__
from musicgen.cli.options import reported, warn
from musicgen.errors import UsageError
from musicgen.stopping import raise_on_sigterm

__all__ = ["cli", "main"]

# Command name -> (module, short help). The texts are here so that `--help` imports no command.
COMMANDS = {
    "continue": ("continue_", "Continue an unfinished piece."),
    "infill": ("infill", "Write bars of a piece anew, between what is there."),
    "accompany": ("accompany", "Add parts to a piece, or write some anew."),
    "generate": ("generate", "Make new music from nothing."),
    "harmonise": ("harmonise", "Write chords or voices under a melody."),
    "humanise": ("humanise", "Give notes loudness, timing and pedal as performers would."),
    "train": ("train", "Train a model on a corpus."),
    "corpus": ("corpus", "List, fetch, build and inspect corpora."),
    "evaluate": ("evaluate", "Measure how well a model predicts a split."),
    "classify": ("classify", "Tell which class pieces are of, by a model that learned it."),
    "forecast": ("forecast", "Forecast a melody's next numbers."),
    "render": ("render", "Turn a piece into WAV, FLAC or OGG."),
    "page": ("page", "Make a page to hear and compare pieces by."),
    "inspect": ("inspect", "Tell what is in a file, a corpus or a run."),
    "check": ("check", "Check a take: is it valid, whole, original?"),
    "models": ("models", "List models; show, fetch, pass on or export one."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"musicgen.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            if ctx.resilient_parsing:  # shell completion
                return None, None, args
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if os.path.isfile(args[0]):
                raise UsageError(f"no command {args[0]!r}. To go on with it: musicgen continue {args[0]}")
            hint = f"Did you mean {near[0]!r}?" if near else f"Commands are {', '.join(COMMANDS)}"
            raise UsageError(f"no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with reported():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as error:  # for commands that don't handle it themselves
                warn("interrupted")
                raise click.exceptions.Exit(128 + getattr(error, "number", signal.SIGINT)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="musicgen")
def cli() -> None:
    """Continue unfinished pieces, and train the models that do it on MIDI and scores.

    \b
    musicgen continue piece.mid            writes piece.continued.mid, with eight new bars
    musicgen continue schubert-unfinished  the same with the piece that comes along
    """


def main() -> None:
    """Entry point of the `musicgen` command."""
    raise_on_sigterm()
    try:
        cli(prog_name="musicgen")
    except BrokenPipeError:  # `musicgen inspect ... | head`
        sys.stderr.close()
        sys.exit(0)

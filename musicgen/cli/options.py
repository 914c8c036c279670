"""Shared by the commands: options, error handling and printing.

Results go to stdout, progress and warnings to stderr. Nothing here imports torch, numpy or music21.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from musicgen.cli.completion import DEVICES, one_of, tokenizers
from musicgen.cli.help import Plugged, WrongCall, as_options, in_words, is_overview
from musicgen.errors import FULL, MusicgenError, ResourceError, UsageError, printable
from musicgen.plugins import TOKENIZERS

if TYPE_CHECKING:
    from musicgen.tokenizers import Tokenizer

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "Failure",
    "Number",
    "Whole",
    "all_options",
    "device_option",
    "duration",
    "json_option",
    "limit_options",
    "limits_from",
    "overwrite_option",
    "print_json",
    "progress_bar",
    "reported",
    "say",
    "tokenizer_options",
    "warn",
]


class Failure(click.ClickException):
    """Shows a MusicgenError as one line on stderr, and exits with its exit code."""

    def __init__(self, error: MusicgenError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click declares it for the class

    def show(self, file: Any = None) -> None:
        click.echo(f"musicgen: {self.message}", err=True)


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turn errors of the library and of the system into one line and the documented exit code."""
    try:
        yield
    except MusicgenError as error:
        raise Failure(error) from None
    except click.UsageError as error:
        if is_overview(error):
            raise
        raise WrongCall(error) from None
    except MemoryError:
        raise Failure(ResourceError("out of memory", hint="use a smaller model, batch or piece")) from None
    except RuntimeError as error:  # on a CPU, PyTorch has no own class for out of memory
        if not any(text in str(error) for text in ("can't allocate memory", "out of memory")):
            raise
        raise Failure(ResourceError("out of memory", hint="use a smaller model, batch or piece")) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = ResourceError if error.errno in FULL else UsageError
        raise Failure(kind(error.strerror or str(error), where=error.filename)) from None


def say(text: str) -> None:
    """Print one result line on stdout; line breaks and control characters in it are made printable."""
    click.echo(printable(text))


def warn(text: str) -> None:
    """Print one line on stderr, made printable like those of `say`, with the names of options for those of settings."""
    context = click.get_current_context(silent=True)
    click.echo(printable(text if context is None else as_options(text, context.command)), err=True)


def print_json(value: Any) -> None:
    """Print one JSON value on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def progress_bar(*columns: str, counts: bool = True, transient: bool = False) -> Any:
    """A rich progress bar on stderr with extra `columns` (names of task fields), and with done/total if `counts`.

    Disabled if stderr isn't a terminal. A `transient` bar disappears when it is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        *([MofNCompleteColumn()] if counts else []),
        *(TextColumn(f"{{task.fields[{name}]}}") for name in columns),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=transient,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not sys.stderr.isatty(),
    )


class Number(click.FloatRange):
    """A finite number within bounds. NaN and infinity would pass the comparisons of click's own type."""

    name = "number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "X"

    def _describe_range(self) -> str:
        return ""  # the help texts mention bounds where they matter

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number", param, ctx)
        _check_bounds(self, found, value=value, param=param, ctx=ctx)
        return found


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"

    def _describe_range(self) -> str:
        return ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            found = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        _check_bounds(self, found, value=value, param=param, ctx=ctx)
        return found


def _check_bounds(
    kind: Number | Whole, found: float, *, value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> None:
    low, high = kind.min, kind.max
    below = low is not None and (found <= low if kind.min_open else found < low)
    above = high is not None and found > high
    if above and f"{high:,}" not in in_words(low, high):
        kind.fail(f"{value} is too large: give at most {high:,}", param, ctx)  # a limit that `in_words` leaves out
    if below or above:
        kind.fail(f"{value} is not in the range: give {in_words(low, high, low_open=kind.min_open)}", param, ctx)


def duration(text: str | None) -> float | None:
    """The seconds of a duration such as 90, 90s, 10m, 1h30m; None for None. Raises UsageError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if not match or not text.strip() or not any(match.groups()):
        raise UsageError(f"{text!r} is not a duration", hint="write it like 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part) if part else 0.0 for part in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if not math.isfinite(total):
        raise UsageError("the duration has no end", hint="write it like 90s, 10m or 1h30m")
    if total <= 0:
        raise UsageError("the duration is zero", hint="write it like 90s, 10m or 1h30m")
    return total


def all_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Combine several option decorators into one."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    shell_complete=one_of(*DEVICES),
    help="auto, cpu, cuda or mps; auto takes a GPU where it helps.",
)

limit_options = all_options(
    click.option("--max-megabytes", type=Number(min=0), default=10.0, help="Size of a file.  [10]"),
    click.option("--max-notes", type=Whole(min=1), default=200_000, help="Notes in a file.  [200,000]"),
    click.option("--max-tracks", type=Whole(min=1), default=256, help="Tracks in a file.  [256]"),
    click.option("--max-hours", type=Number(min=0), default=3.0, help="Length of a piece.  [3]"),
)


def limits_from(options: dict[str, Any]) -> Any:
    """Remove the four input limits from a command's options, and return them as `Limits`."""
    from musicgen.io.midi import Limits

    names = {"max_megabytes": "megabytes", "max_notes": "notes", "max_tracks": "tracks", "max_hours": "hours"}
    return Limits(**{ours: options.pop(theirs) for theirs, ours in names.items()})


tokenizer_options = all_options(
    click.option(
        "--tokenizer",
        default=None,
        metavar="NAME",
        cls=Plugged,
        group=TOKENIZERS,
        shell_complete=tokenizers,
        help="notes, parts, remi, performance, frames or abc.  [notes]",
    ),
    click.option(
        "--positions", type=click.Choice(["24", "48"]), default=None, help="Grid positions a quarter note.  [24]"
    ),
    click.option("--pedal", is_flag=True, help="The sustain pedal too (performance only)."),
    click.option("--frames-per-quarter", type=Whole(1, 48), default=None, help="Frames a quarter note (frames).  [4]"),
    click.option(
        "--frame-order",
        type=click.Choice(["descending", "ascending"]),
        default=None,
        help="Order of the pitches in a frame (frames).  [descending]",
    ),
    click.option(
        "--voices",
        type=Whole(0, 8),
        default=None,
        help="Voices of which each frame has one pitch or a rest (frames); 0: frames are sets of pitches.  [0]",
    ),
)
# Options for settings of the tokenizer `frames` -> names of these settings.
_FRAMES_OPTIONS = {"frames_per_quarter": "frames_per_quarter", "frame_order": "order", "voices": "voices"}


def asked_tokenizer(options: dict[str, Any]) -> bool:
    """Whether any of a command's options for the tokenizer is set."""
    asked = options["tokenizer"] or options["positions"] or options["pedal"]
    return bool(asked or any(options[name] is not None for name in _FRAMES_OPTIONS))


def tokenizer_from(options: dict[str, Any]) -> Tokenizer:
    """The tokenizer that a command's options specify. Raises UsageError for settings that it doesn't have."""
    from musicgen.tokenizers import DEFAULT_TOKENIZER, load_tokenizer

    spec: dict[str, Any] = {"name": options["tokenizer"] or DEFAULT_TOKENIZER}
    if options["positions"]:
        spec["positions_per_quarter"] = int(options["positions"])
    if options["pedal"]:
        spec["pedal"] = True
    for name, setting in _FRAMES_OPTIONS.items():
        if options[name] is not None:
            if spec["name"] != "frames":
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} is for the tokenizer frames alone", hint="add --tokenizer frames")
            spec[setting] = options[name]
    return load_tokenizer(spec)

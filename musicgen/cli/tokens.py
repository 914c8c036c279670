"""`musicgen inspect PIECE --tokens` and `--windows`: a tune as a sequence model gets it, as tables to read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from musicgen.cli.completion import tokenizers
from musicgen.cli.help import Plugged
from musicgen.cli.options import Whole, all_options, limits_from, print_json, say
from musicgen.errors import UsageError
from musicgen.plugins import TOKENIZERS
from musicgen.words import counted, spec_in_words

if TYPE_CHECKING:
    import numpy as np

    from musicgen.tokenizers import Tokenizer

__all__ = ["asked_tokens", "show_tokens", "token_options"]

USUAL = "remi"  # a token a line, with bars; the steps of training's own default, `notes`, have five ids each
WIDTH = 100  # columns of a printed row
ROWS = 64
LEAST_STRIP, MOST_STRIP = 16, 32  # columns for a one-hot row
HORIZON = 2
CALLED = {"onset": "position"}  # fields whose values are mostly of a kind of another name
NAMES = ("tokens", "tokenizer", "start", "bars", "rows", "lags", "horizon")  # of these options, as parameters

token_options = all_options(
    click.option("--tokens", is_flag=True, help="For a piece: its tokens, each with id, meaning and one-hot row."),
    click.option(
        "--windows",
        "lags",
        type=Whole(1, 1000),
        default=None,
        help="For a piece: sliding windows of N tokens as X, and the tokens that follow each as y.",
    ),
    click.option(
        "--horizon", type=Whole(1, 1000), default=None, help=f"With --windows: how many tokens follow.  [{HORIZON}]"
    ),
    click.option("--from", "start", type=Whole(min=1), default=None, help="First bar of the tokens.  [1]"),
    click.option("--bars", type=Whole(min=1), default=None, help="How many bars of tokens.  [all]"),
    click.option(
        "--rows", type=Whole(min=0), default=None, help=f"Rows that are printed; 0: all.  [{ROWS}; all with --json]"
    ),
    click.option(
        "--tokenizer",
        default=None,
        metavar="NAME",
        cls=Plugged,
        group=TOKENIZERS,
        shell_complete=tokenizers,
        help=f"notes, parts, remi, performance, frames or abc.  [{USUAL}, as it has one id a token]",
    ),
)


class Stretch(NamedTuple):
    """Steps of a piece to be shown: `ids` are (T,) or (T, F), the first of them step `first` of `total`."""

    tokenizer: Tokenizer
    ids: np.ndarray
    first: int
    total: int

    @property
    def unit(self) -> str:
        return "step" if len(self.tokenizer.fields) > 1 else "token"

    def flat(self, step: int) -> list[int]:
        """The ids of a step as a list, one for each field."""
        row = self.ids[step].tolist()
        return row if isinstance(row, list) else [row]


def asked_tokens(options: dict[str, Any], path: str, *, is_folder: bool) -> dict[str, Any] | None:
    """Remove the options above from a command's, and return them if tokens or windows are asked for, else None.

    Raises UsageError for options without that, and for a folder instead of a piece.
    """
    asked = {name: options.pop(name) for name in NAMES}
    wanted = asked["tokens"] or asked["lags"] is not None
    if asked["horizon"] is not None and asked["lags"] is None:
        raise UsageError("--horizon says what follows a window", hint="add --windows N")
    flags = {"tokenizer": "--tokenizer", "start": "--from", "bars": "--bars", "rows": "--rows"}
    alone = [flag for name, flag in flags.items() if asked[name] is not None]
    if alone and not wanted:
        raise UsageError(f"{alone[0]} is for the tokens of a piece", hint="add --tokens or --windows N")
    if wanted and is_folder:
        flag = "--tokens" if asked["tokens"] else "--windows"
        what = f"{flag} shows a piece, and this is a folder or a model"
        raise UsageError(what, where=path, hint="name a MIDI file or a score")
    return asked if wanted else None


def show_tokens(path: str, asked: dict[str, Any], options: dict[str, Any], *, as_json: bool) -> None:
    """Print the tokens of a piece, the windows over them, or both."""
    from musicgen.tokenizers import load_tokenizer, windows

    tokenizer = load_tokenizer({"name": asked["tokenizer"] or USUAL})
    shown = _stretch(path, tokenizer, limits=limits_from(options), start=asked["start"], bars=asked["bars"])
    tables = None
    if asked["lags"] is not None:
        tables = windows(shown.ids, lags=asked["lags"], horizon=asked["horizon"] or HORIZON)
    rows = asked["rows"] or (None if as_json or asked["rows"] == 0 else ROWS)
    if as_json:
        return print_json({"file": path, **_facts(shown, tables, rows=rows, tokens=asked["tokens"])})
    size = len(tokenizer.vocabulary)
    unit = ", positions and durations in quarter notes" if tokenizer.steps else ""
    say(f"{path}: {counted(shown.total, shown.unit)}, a vocabulary of {size:,}")
    say(f"  tokenizer {spec_in_words(tokenizer.spec)}{unit}")
    if asked["tokenizer"] is None:
        say(f"  {USUAL}, as it has one id a token; --tokenizer notes, the default of training, has five a step")
    if asked["tokens"]:
        _print_tokens(shown, rows)
    if tables is not None:
        _print_windows(shown, tables, rows)


def _stretch(path: str, tokenizer: Tokenizer, *, limits: Any, start: int | None, bars: int | None) -> Stretch:
    from musicgen.io import read
    from musicgen.io.scores.files import read_texts
    from musicgen.resources import piece_path
    from musicgen.tokenizers import bar_offsets

    where = Path(piece_path(path))
    piece = read(where, limits=limits)
    if tokenizer.as_text is not None and where.suffix.lower() == ".abc":
        ids = tokenizer.as_text.encode_text(read_texts(where, limits=limits)[0].text)
    else:
        ids = tokenizer.encode(piece)
    if start is None and bars is None:
        return Stretch(tokenizer, ids, 0, len(ids))
    edges = [*bar_offsets(tokenizer, piece, ids).tolist(), len(ids)]
    begin = (start or 1) - 1
    if begin >= len(edges) - 1:
        has = counted(len(edges) - 1, "bar")
        raise UsageError(f"there is no bar {begin + 1}", where=path, hint=f"the tokens have {has}, counted from 1")
    end = len(edges) - 1 if bars is None else min(begin + bars, len(edges) - 1)
    return Stretch(tokenizer, ids[edges[begin] : edges[end]], edges[begin], len(ids))


def _facts(
    shown: Stretch, tables: tuple[np.ndarray, np.ndarray] | None, *, rows: int | None, tokens: bool
) -> dict[str, Any]:
    """What is shown as JSON values: names and meanings have the shape of ids; a one-hot row has its 1 at the id."""
    from musicgen.tokenizers import meaning

    form = shown.tokenizer
    facts: dict[str, Any] = {
        "tokenizer": form.spec,
        "vocabulary": len(form.vocabulary),
        "fields": [{"name": field.name, "first": field.first, "size": field.size} for field in form.fields],
        "steps": shown.total,
        "first": shown.first,
    }
    if tokens:
        steps = [shown.flat(step) for step in range(len(shown.ids))][:rows]
        names = [[form.vocabulary.token(each) for each in step] for step in steps]
        said = [[meaning(form, each) for each in step] for step in steps]
        single = len(form.fields) == 1
        for key, table in (("ids", steps), ("names", names), ("meanings", said)):
            facts[key] = [row[0] for row in table] if single else table
    if tables is not None:
        X, y = tables
        facts |= {"X_shape": list(X.shape), "y_shape": list(y.shape), "X": X[:rows].tolist(), "y": y[:rows].tolist()}
    return facts


# ---- tokens --------------------------------------------------------------------------------------


def _print_tokens(shown: Stretch, rows: int | None) -> None:
    import numpy as np

    from musicgen.tokenizers import one_hot

    count = len(shown.ids) if rows is None else min(rows, len(shown.ids))
    size = len(shown.tokenizer.vocabulary)
    fields = shown.tokenizer.fields
    if len(fields) == 1:
        head, lines = _flat_rows(shown, count)
    else:
        head, lines = _field_rows(shown, count)
    strip = min(MOST_STRIP, size, WIDTH - sum(_widths([head, *lines])) - 2 * len(head))
    ones = "a 1 at the id" if len(fields) == 1 else "a 1 at each id"
    say(f"  one-hot: {size:,} zeros but for {ones}; a digit here is the sum of about {size / strip:.0f} of them")
    table = [[*head, "one-hot".ljust(strip)]]
    for step, line in enumerate(lines):
        used = [token for token in shown.flat(step) if token or len(fields) == 1]  # 0 is `pad`: a field without a value
        row = one_hot(np.array(used), size).sum(axis=0)
        table.append([*line, "".join(str(row[a:b].sum()) for a, b in _pieces(size, strip))])
    for text in _aligned(table):
        say(text)
    _say_rest(count, len(shown.ids))


def _flat_rows(shown: Stretch, count: int) -> tuple[list[str], list[list[str]]]:
    from musicgen.tokenizers import meaning

    form, lines = shown.tokenizer, []
    for step in range(count):
        (token,) = shown.flat(step)
        lines.append([str(shown.first + step), str(token), form.vocabulary.token(token), meaning(form, token)])
    return ["index", "id", "token", "means"], lines


def _field_rows(shown: Stretch, count: int) -> tuple[list[str], list[list[str]]]:
    """A row a step; the widest columns are shortened until the one-hot row has room."""
    from musicgen.tokenizers import meaning

    form = shown.tokenizer
    head, lines = ["index", *(field.name for field in form.fields)], []
    for step in range(count):
        cells = [
            f"{token} {meaning(form, token).removeprefix(CALLED.get(field.name, field.name) + ' ')}" if token else "-"
            for token, field in zip(shown.flat(step), form.fields, strict=True)
        ]
        lines.append([str(shown.first + step), *cells])
    widths = _widths([head, *lines])
    while sum(widths) + 2 * len(head) + LEAST_STRIP > WIDTH:
        widths[widths.index(max(widths))] -= 1
    return head, [[_short(cell, width) for cell, width in zip(line, widths, strict=True)] for line in lines]


def _pieces(size: int, count: int) -> list[tuple[int, int]]:
    """The edges of `count` pieces of about equal length of `size` numbers."""
    edges = [size * n // count for n in range(count + 1)]
    return list(pairwise(edges))


# ---- windows -------------------------------------------------------------------------------------


def _print_windows(shown: Stretch, tables: tuple[np.ndarray, np.ndarray], rows: int | None) -> None:
    from musicgen.tokenizers import meaning

    X, y = tables
    lags, horizon = X.shape[1], y.shape[1]
    after = counted(horizon, shown.unit)
    say(f"  inputs X {X.shape}: {counted(lags, 'lag')} a row; targets y {y.shape}: the next {after}")
    count = len(X) if rows is None else min(rows, len(X))
    left = ["t" if back == 0 else f"t-{back}" for back in range(lags - 1, -1, -1)]
    right = [f"t+{ahead}" for ahead in range(1, horizon + 1)]
    table = [["index", *left, "|", *right]]
    for n in range(count):
        cells = [[_cell(step) for step in side[n].tolist()] for side in tables]
        table.append([str(shown.first + n), *cells[0], "|", *cells[1]])
    for line in _aligned(_without_middle(table, lags)):
        say(line)
    _say_rest(count, len(X))
    words = [[meaning(shown.tokenizer, each) for each in shown.flat(step) if each] for step in range(lags + horizon)]
    said = [" + ".join(step) or "nothing" for step in words]
    say("  " + _short(f"the first row: {', '.join(said[:lags])} -> {', '.join(said[lags:])}", WIDTH - 2))


def _cell(step: int | list[int]) -> str:
    return ",".join(map(str, step)) if isinstance(step, list) else str(step)


def _without_middle(table: list[list[str]], lags: int) -> list[list[str]]:
    """The table without the middle columns of the longer side, as many as it takes to fit; there stands `…`."""
    widths = _widths(table)
    sides = [list(range(1, lags + 1)), list(range(lags + 2, len(widths)))]
    gone = [False, False]

    def width() -> int:
        kept = [0, lags + 1, *sides[0], *sides[1]]
        return sum(widths[column] + 2 for column in kept) + 3 * sum(gone)

    while width() > WIDTH and max(map(len, sides)) > 1:
        longer = 0 if len(sides[0]) >= len(sides[1]) else 1
        del sides[longer][len(sides[longer]) // 2]
        gone[longer] = True

    def kept(row: list[str]) -> list[str]:
        cells = []
        for side, is_cut in zip(sides, gone, strict=True):
            half = (len(side) + 1) // 2
            cells.append([*(row[c] for c in side[:half]), *(["…"] if is_cut else []), *(row[c] for c in side[half:])])
        return [row[0], *cells[0], row[lags + 1], *cells[1]]

    return [kept(row) for row in table]


# ---- tables in text ------------------------------------------------------------------------------


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines; numbers stand on the right of their column, words on the left."""
    widths = _widths(table)
    numeric = [all(row[column].isdigit() for row in table[1:]) for column in range(len(widths))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in table
    ]


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _say_rest(count: int, of: int) -> None:
    if count < of:
        say(f"  … {counted(of - count, 'row')} more; --rows 0 prints all")

"""Check the contents of files and settings against dataclasses; a fault is reported in one line with its key.

A shape is a plain dataclass: its fields, their types and defaults. pydantic checks values against it strictly: strings
of digits, booleans and NaN aren't accepted as numbers. It is imported only when something is checked, so that commands
such as --help start fast.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, TypeVar

from musicgen.errors import MusicgenError, UnreadableError, UsageError, printable

__all__ = [
    "Card", "CorpusTable", "Manifest", "Owed", "State", "check", "filled", "in_range", "nearest_key", "reader", "typed",
]  # fmt: skip

T = TypeVar("T")
LONGEST_VALUE = 60  # characters of a wrong value that are shown
PLAIN = (int, float, bool, str, type(None), Any)
COPY = "copy the folder again"
# {pydantic's type of error: what the user should give instead}
WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "model": "a table",
    "none": "nothing",
}


# ---- the files of a run folder and a corpus ------------------------------------------------------------


@dataclass(frozen=True)
class Manifest:
    """manifest.json of a run folder."""

    format: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Card:
    """The keys of card.json that the program reads; there may be more."""

    format: int = 1
    title: str = ""
    licence: str = ""
    family: str = ""
    data: list[dict[str, Any]] = ()  # type: ignore[assignment]  # a default is never copied
    plugins: list[dict[str, str]] = ()  # type: ignore[assignment]
    teachers: list[dict[str, str]] = ()  # type: ignore[assignment]
    started_from: dict[str, str] | None = None
    sharpness: list[float] | None = None
    parameters: int = 0
    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    valid_nats_per_token: float | None = None
    valid_nats_per_token_before: float | None = None


@dataclass(frozen=True)
class State:
    """The keys read from a checkpoint's state.json, of the last step or the best one."""

    step: int
    seconds: float = 0.0
    best: float | None = None
    best_state: dict[str, Any] | None = None
    loss_sum: float = 0.0
    loss_count: int = 0
    owed: dict[str, Any] | None = None
    tuned: bool = False
    recipe: dict[str, Any] | None = None
    recipe_file: str | None = None
    valid_nats_per_token: float | None = None
    sharpness: list[float] | None = None
    fitted: list[float] | None = None
    card: dict[str, Any] | None = None
    optimizer: dict[str, float] | None = None


@dataclass(frozen=True)
class Owed:
    """The values that a state keeps of a step whose evaluation was interrupted."""

    rate: float
    norm: str
    layers: dict[str, str]


@dataclass(frozen=True)
class CorpusTable:
    """The keys read from corpus.json; there may be more."""

    format_version: int
    pieces: int
    notes: int
    tokens: int
    splits: dict[str, dict[str, int]]
    rejected: list[dict[str, str]]
    licences: dict[str, int]
    tokenizer: dict[str, Any]
    duplicates: list[dict[str, str]] = ()  # type: ignore[assignment]
    all_rejected: int = 0  # where more than are listed
    all_duplicates: int = 0
    links_left_out: int = 0


# ---- checking ------------------------------------------------------------------------------------------


def check(
    shape: type,
    table: object,
    *,
    where: object,
    error: type[MusicgenError] = UnreadableError,
    hint: str | None = COPY,
    prefix: str = "",
    closed: bool = False,
) -> dict[str, Any]:
    """Return `table` as a dict if all its keys in `shape` have the right type; else raise `error` with `where` and key.

    Unknown keys are accepted unless `closed`: then they are an error that offers the nearest key. `prefix` is printed
    before the key. Without a `hint` the message says what to give.
    """
    from pydantic import ValidationError

    if not isinstance(table, Mapping):
        raise error(f"{prefix.strip()} is {_shown(table)}, not a table".strip(), where=where, hint=hint)
    if closed:
        names = [field.name for field in fields(shape)]
        for key in table:
            if key not in names:
                raise error(f"{prefix}has no {_shown(key)}", where=where, hint=nearest_key(str(key), names))
    hints = _hints(shape)
    try:
        # TOML and JSON have lists where a tuple is meant.
        _model(shape).model_validate({key: _fitting(value, hints.get(key)) for key, value in table.items()})
    except ValidationError as caught:
        raise _error_of(caught.errors()[0], where, error=error, hint=hint, prefix=prefix) from None
    return dict(table)


def filled(shape: type[T], table: object, **how: Any) -> T:
    """An instance of `shape` with the values of `table`, checked as in `check`; unknown keys are an error."""
    kind_of: Any = shape
    values, hints = check(kind_of, table, **{"closed": True, **how}), _hints(kind_of)
    # TOML and JSON write a whole number where a float is meant, too.
    fitting = {name: _fitting(value, hints[name]) for name, value in values.items()}
    try:
        return shape(**fitting)
    except UsageError as fault:  # of its own ranges
        kind: type[MusicgenError] = how.get("error", UnreadableError)
        raise kind(fault.what, where=how["where"], hint=fault.hint) from None


def typed(settings: Any, *, where: object, error: type[MusicgenError] = UsageError) -> None:
    """For `__post_init__` of a frozen dataclass: raise `error` if a value isn't of its field's type.

    numpy numbers are converted to Python numbers, and lists to tuples where the field is a tuple.
    """
    from pydantic import ValidationError

    shape: Any = type(settings)
    hints, values = _hints(shape), {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        plain = value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 else value
        plain = _fitting(plain, hints[field.name])
        if plain is not value:
            object.__setattr__(settings, field.name, plain)
        values[field.name] = plain
    try:
        _model(shape).model_validate(values)
    except ValidationError as caught:
        raise _error_of(caught.errors()[0], where, error=error, hint=None, prefix="") from None


def reader(shape: type) -> Callable[[bytes], dict[str, Any] | None]:
    """A fast function that parses JSON bytes of `shape`, for files of many lines. It returns the values of all fields,
    or None for a fault, which `check` can then describe."""
    from pydantic import ValidationError

    read = _model(shape).model_validate_json

    def values(data: bytes) -> dict[str, Any] | None:
        try:
            return dict(read(data).__dict__)
        except ValidationError:
            return None

    return values


def in_range(settings: Any, limits: Mapping[str, tuple[float, float]], *, where: object, prefix: str = "") -> None:
    """Raise UsageError unless each named value lies between its two limits, both included."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            number = "a whole number" if isinstance(low, int) else "a number"
            span = f"of at least {low:,}" if value < low else f"up to {high:,}"
            raise UsageError(f"{prefix}{name} is {_shown(value)}", where=where, hint=f"give {number} {span}")


def nearest_key(name: str, names: Iterable[str]) -> str:
    """A hint for a key that doesn't exist: the nearest of `names`."""
    near = difflib.get_close_matches(name[:100], list(names), n=1, cutoff=0)
    return f"did you mean {near[0]!r}?" if near else "leave it out"


@cache
def _hints(shape: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return typing.get_type_hints(shape)


@cache
def _model(shape: type) -> Any:
    """The pydantic model of a dataclass; fields whose type isn't plain are not checked."""
    from pydantic import ConfigDict, create_model

    hints = _hints(shape)
    table: dict[str, Any] = {}
    for field in fields(shape):
        kind = hints[field.name] if _is_plain(hints[field.name]) else Any
        default: Any = None if field.default is MISSING else field.default
        required = field.default is MISSING and field.default_factory is MISSING
        table[field.name] = (kind, ... if required else default)
    config = ConfigDict(strict=True, allow_inf_nan=False, protected_namespaces=(), extra="ignore")
    return create_model(shape.__name__, __config__=config, **table)


def _is_plain(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (list, dict, tuple, types.UnionType, typing.Union, typing.Literal):
        return origin is typing.Literal or all(_is_plain(each) or each is ... for each in typing.get_args(kind))
    return kind in PLAIN


def _fitting(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(value)
    if kind is float and type(value) is int and abs(value) < 2**1023:
        return float(value)
    return value


def _error_of(
    fault: Mapping[str, Any], where: object, *, error: type[MusicgenError], hint: str | None, prefix: str
) -> MusicgenError:
    """The error for one fault that pydantic found."""
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return error(f"{prefix}lacks {_shown(place)}", where=where, hint=hint or "add it")
    if fault["type"] == "literal_error":
        wanted = f"one of {fault['ctx']['expected']}"
    else:
        wanted = WANTED.get(fault["type"].partition("_")[0], "something else")
    value = _shown(fault["input"])
    if hint is None:
        return error(f"{prefix}{place} is {value}", where=where, hint=f"give {wanted}")
    return error(f"{prefix}{place} is {value}, not {wanted}", where=where, hint=hint)


def _shown(value: object) -> str:
    """A short text for a value of any size."""
    if isinstance(value, list | tuple | dict):
        return {list: "a list", tuple: "a list", dict: "a table"}[type(value)]
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a number of too many digits"
    text = printable(repr(value[:LONGEST_VALUE] if isinstance(value, str) else value))
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."

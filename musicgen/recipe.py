"""The settings of a training run, and `recipe.toml`, the file that holds them.

A recipe is four flat tables: `[model]` (musicgen.models.ModelSettings without the vocabulary's size), `[train]`,
`[augment]` and `[data]`, and a fifth, `[task]`, for runs that learn something else than the next note. An unknown key
is an error that offers the nearest.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from musicgen.errors import UsageError
from musicgen.io.bounded import read_toml
from musicgen.schemas import filled, in_range, nearest_key, typed
from musicgen.seeds import MOST_SEED

__all__ = ["AugmentSettings", "DataSettings", "Recipe", "TrainSettings", "change_from", "read_recipe", "recipe_toml"]

HOW_TO_SET = "write it like model.width=256"
MOST_IN_A_BATCH = 2**26  # tokens: half a gigabyte of ids


@dataclass(frozen=True)
class TrainSettings:
    """How to train. The learning rate warms up over `warmup` of the run and falls along a cosine to a hundredth.

    With `carry` each row of a batch continues through its piece, and the state is carried from window to window
    (truncated back-propagation through time); else windows are drawn at random. `length` is in tokens;
    `evaluate_every` in steps; `optimizer` is muon or adamw; `precision` is auto, float32 or bfloat16. `calibrate` fits
    inverse temperatures on the validation split (`training/calibration.py`). If there are teachers, `taught` is their
    share of the loss, and the rest is that of the data (`training/objectives.py`).
    """

    steps: int = 3000
    batch: int = 16
    length: int = 256
    carry: bool = False
    optimizer: str = "muon"
    learning_rate: float = 5e-3
    warmup: float = 0.03
    weight_decay: float = 0.05
    clip: float = 1.0
    evaluate_every: int = 200
    evaluate_tokens: int = 65_536
    precision: str = "auto"
    calibrate: bool = True
    taught: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        for name in ("steps", "batch", "length", "evaluate_every", "evaluate_tokens"):
            _require(getattr(self, name) >= 1, f"[train] {name} is {getattr(self, name)}", "give at least 1")
        most = {"steps": 10**9, "batch": 2**16, "length": 2**20, "evaluate_every": 10**9, "evaluate_tokens": 2**31}
        in_range(self, {name: (1, high) for name, high in most.items()}, where="recipe", prefix="[train] ")
        in_range(self, {"seed": (0, MOST_SEED)}, where="recipe", prefix="[train] ")
        tokens = self.batch * self.length
        _require(tokens <= MOST_IN_A_BATCH, f"[train] a batch is {tokens:,} tokens", f"give up to {MOST_IN_A_BATCH:,}")
        _require(self.learning_rate > 0, f"[train] learning_rate is {self.learning_rate}", "give a positive number")
        _require(0 <= self.warmup < 1, f"[train] warmup is {self.warmup}", "give a share of the run, 0 to below 1")
        _require(self.clip > 0, f"[train] clip is {self.clip}", "give a positive number")
        _require(0 <= self.taught <= 1, f"[train] taught is {self.taught}", "give a share from 0 to 1")
        choices = {"optimizer": ("muon", "adamw"), "precision": ("auto", "float32", "bfloat16")}
        for name, kinds in choices.items():
            value = getattr(self, name)
            _require(value in kinds, f"[train] {name} is {value!r}", f"choose from {', '.join(kinds)}")


@dataclass(frozen=True)
class AugmentSettings:
    """How training windows are varied when they are drawn: semitones up and down and the share of windows that are
    transposed at all, tempo steps either way (a twelfth of an octave each), and the shares of windows that get other
    instruments and other dynamics. `infill` and `accompany` are the shares of windows in the order of these
    tasks."""

    transpose_low: int = -5
    transpose_high: int = 6
    tempo_steps: int = 2
    programs: float = 0.0
    transposed: float = 1.0
    loudness: float = 0.0
    infill: float = 0.0
    accompany: float = 0.0

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        reach = {"transpose_low": (-127, 127), "transpose_high": (-127, 127), "tempo_steps": (0, 48)}
        in_range(self, reach, where="recipe", prefix="[augment] ")
        _require(self.transpose_low <= self.transpose_high, "[augment] transpose_low is above transpose_high", "swap")
        for name in ("transposed", "programs", "loudness", "infill", "accompany"):
            share = getattr(self, name)
            _require(0 <= share <= 1, f"[augment] {name} is {share}", "give a share from 0 to 1")


@dataclass(frozen=True)
class DataSettings:
    """Where the tokens came from: the corpus folder as given and the digest of its tokens; the digests of the
    teachers' weights, with spaces between; the digest of the weights that the run started from, empty for none.

    With `shuffle_notes`, an ablation, the notes of each training window are dealt anew to its onsets, so that their
    order teaches nothing. Validation windows stay as they are: what a model loses there is what order was worth.
    """

    corpus: str = ""
    corpus_sha256: str = ""
    teachers_sha256: str = ""
    start_sha256: str = ""
    shuffle_notes: bool = False

    def __post_init__(self) -> None:
        typed(self, where="recipe")


@dataclass(frozen=True)
class Recipe:
    """All settings of a run. `model` holds the keys of ModelSettings but the vocabulary's size; `task` those of the
    task's own settings (`models/tasks/`) and its `name`, and is empty where the next note is learned."""

    model: dict[str, Any] = field(default_factory=dict)
    train: TrainSettings = field(default_factory=TrainSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    data: DataSettings = field(default_factory=DataSettings)
    task: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, where: object = "recipe.toml") -> Recipe:
        """A recipe from plain tables. Raises UsageError for an unknown table, key, or a value of the wrong kind."""
        kinds = {"train": TrainSettings, "augment": AugmentSettings, "data": DataSettings}
        open_tables = {name: tables.get(name, {}) for name in ("model", "task")}
        unknown = set(tables) - {*open_tables, *kinds}
        if unknown:
            name = sorted(unknown)[0]
            raise UsageError(f"there is no table [{name}]", where=where, hint=nearest_key(name, [*open_tables, *kinds]))
        for name, table in open_tables.items():
            if not isinstance(table, Mapping):
                raise UsageError(f"{name} is {table!r}", where=where, hint=f"make it a table, [{name}]")
        how: dict[str, Any] = {"where": where, "error": UsageError, "hint": None}
        parts: dict[str, Any] = {
            name: filled(kind, tables.get(name, {}), prefix=f"[{name}] ", **how) for name, kind in kinds.items()
        }
        return cls(dict(open_tables["model"]), **parts, task=dict(open_tables["task"]))

    def with_train(self, **changes: Any) -> Recipe:
        """The recipe with some of `[train]` changed; None means unchanged."""
        return replace(self, train=replace(self.train, **{k: v for k, v in changes.items() if v is not None}))

    def with_change(self, text: str) -> Recipe:
        """The recipe with one setting changed, as in "model.horizon=4". Raises UsageError for what is no setting."""
        return self.with_changes(dict([change_from(text)]))

    def with_changes(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with some settings changed, as in {"model.horizon": 4}. Raises UsageError for what is none."""
        tables = self.to_dict()
        for name, value in changes.items():
            table, dot, key = name.partition(".")
            if not (dot and key):
                raise UsageError(f"{name!r} is not a setting", where="`changes`", hint=HOW_TO_SET)
            tables[table] = {**tables.get(table, {}), key: value}
        return Recipe.from_dict(tables, where="`changes`")

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The tables as plain values; without `[task]` and `shuffle_notes` where neither is asked for."""
        tables = {name: table for name, table in asdict(self).items() if table or name != "task"}
        if not self.data.shuffle_notes:
            del tables["data"]["shuffle_notes"]
        return tables


def change_from(text: str) -> tuple[str, Any]:
    """The name of a setting and its new value, from a text such as "model.horizon=4": a value as in TOML, or a word
    without quotes. Raises UsageError for a text that is not of this form."""
    name, equals, value = text.partition("=")
    table, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise UsageError(f"{text!r} is not a setting", where="`changes`", hint=HOW_TO_SET)
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    return f"{table}.{key}", parsed


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe file. Raises UnreadableError when it is missing or not TOML, UsageError for wrong content."""
    return Recipe.from_dict(read_toml(path), where=path)


def recipe_toml(recipe: Recipe) -> str:
    """The recipe as TOML text; `read_recipe` takes it back unchanged."""
    lines = []
    for table, values in recipe.to_dict().items():
        lines += [f"[{table}]", *(f"{key} = {_toml_value(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        # Bytes of a file name that are no UTF-8 have no place in TOML.
        whole = escaped.encode("utf-8", "replace").decode("utf-8")
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in whole) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return repr(value)


def _require(holds: bool, what: str, hint: str) -> None:
    if not holds:
        raise UsageError(what, where="recipe", hint=hint)

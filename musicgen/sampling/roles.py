"""What a part that was never heard is foreseen to be like, from the parts that it is to go with.

A left hand lies below a right hand and has a chord or two a beat, a singer's part is one line with rests, a second
violin moves with the first. `roles.json` holds how the traits of a part follow from its instrument and from the parts
beside it in the training data: a ridge regression (Hoerl and Kennard 1970) by family of instruments, built by
`pipelines/build_roles.py`. What it foresees limits what is drawn, and decides among candidates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.piece import NOTE
from musicgen.sampling.traits import FORESEEN, TRAITS, traits, windows
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["CONTEXT", "FAMILIES", "Given", "Role", "context", "design", "family", "foreseen", "typicality"]

TABLE = Path(__file__).with_name("roles.json")
FAMILIES = 18  # the sixteen of General MIDI, drums, singers
SINGERS = (52, 53, 54)
# The columns of `context`: of the bars and the parts, means over given melodic parts, their lowest and highest mean
# pitch and their most onsets, means over parts of the same family, all given notes as one part, drums.
_MEANS = (
    "onsets", "chord", "polyphony", "duration", "groove", "exact", "rhythmic", "rests", "range", "steps", "velocity",
    "touch", "offbeat",
)  # fmt: skip
_OF_FAMILY, _OF_ALL = ("onsets", "chord", "duration", "pitch"), ("onsets", "groove", "offbeat", "rhythmic", "velocity")
CONTEXT = (
    "bar", "parts", "kit", "same program", "same family", "keyboards", "singers", *_MEANS, "lowest", "highest", "most",
    *(f"{name} of family" for name in _OF_FAMILY), *(f"{name} of all" for name in _OF_ALL), "kit onsets", "kit groove",
)  # fmt: skip
UNKNOWN = ("lowest", "onsets of family", "kit onsets")  # columns of which it counts whether there is anything
SQUARED = ("lowest", "highest")
FARTHEST = 3.0  # deviations from the mean that a column may be
WORST = 4.0  # usual errors that a trait counts as at most
MOST_RESTS = 0.9  # share of bars
# What is drawn may go so far beyond what is foreseen.
LINE, CHORD, DENSER = 1.15, 1.6, 1.75
NEVER_RESTS = 0.06  # a part that is foreseen to rest in fewer bars rests for one at most, others for two

Given = Sequence[tuple[int, np.ndarray]]  # (program, 128 for drums; NOTE array) of each part


@dataclass(frozen=True, eq=False)
class Role:
    """The foreseen traits of a part, (F,) in the order of FORESEEN, and the usual error of each; NaN where there is
    none."""

    expected: np.ndarray
    error: np.ndarray
    drum: bool

    def __getitem__(self, name: str) -> float:
        return float(self.expected[FORESEEN.index(name)])

    @property
    def chord_size(self) -> int:
        """The most notes on one onset: 1 for what is nearly always a line."""
        size = 2 ** self["chord"]
        return 1 if size < LINE else max(2, round(CHORD * size))

    @property
    def most_notes_a_bar(self) -> int:
        """The most notes of a bar, with room for a fuller one."""
        return 2 + math.ceil(DENSER * 2 ** min(self["onsets"] + self["chord"], 6.0))

    @property
    def notes_a_bar(self) -> float:
        """The notes of a bar in the mean, bars of rest among them."""
        return 2 ** (self["onsets"] + self["chord"]) * (1 - min(max(self["rests"], 0.0), MOST_RESTS))

    @property
    def longest_rest(self) -> int:
        """The most bars that it rests for."""
        return 1 if self["rests"] < NEVER_RESTS else 2

    def traits(self, notes: np.ndarray, lines: np.ndarray, *, quarter: int, given: np.ndarray) -> np.ndarray:
        """The traits of notes that play this role, (F,), in the mean over windows of the bars between `lines`."""
        each = [traits(notes, at, quarter=quarter, given=given, drum=self.drum) for at in windows(lines)]
        return _mean(np.array(each))[: len(FORESEEN)]

    def apart(self, a: np.ndarray, b: np.ndarray | None = None) -> float:
        """How far traits are from those of `b`, or from what is foreseen: in usual errors, the mean over traits."""
        far = np.minimum(np.abs(a - (self.expected if b is None else b)) / self.error, WORST)
        return WORST if np.isnan(far).all() else float(np.nanmean(far))


def typicality(role: Role, of: Sequence[np.ndarray]) -> list[float]:
    """How far the traits of each candidate are from those of the others, in the mean: the least is the most typical.

    A draw from the model is as far from what is meant as another one; the draw in the middle of many is nearer.
    That is minimum Bayes risk decoding (Kumar and Byrne 2004; Eikema and Aziz 2020).
    """
    if len(of) < 2:
        return [0.0] * len(of)
    return [float(np.mean([role.apart(a, b) for k, b in enumerate(of) if k != n])) for n, a in enumerate(of)]


def foreseen(program: int, given: Given, *, lines: np.ndarray, quarter: int) -> Role | None:
    """The role of a new part for a program (128 for drums) beside the `given` parts in the bars between `lines`
    (ticks; `quarter`, too). None where these have too few notes to go by."""
    table = _table()
    found = []
    for at in windows(lines):
        columns = context(program, given, lines=at, quarter=quarter)
        if not np.isnan(columns[[CONTEXT.index("onsets of all")]]).any():
            scaled = (columns - table["mean"]) / table["deviation"]
            found.append(design(scaled[None], np.array([family(program)]))[0] @ table["weights"] + table["offset"])
    if not found:
        return None
    drum = program == DRUMS
    pitched = ("polyphony", "duration", "spread", "pitch", "range", "steps", "leaps", "repeats")
    error = np.where(np.isin(FORESEEN, pitched) & drum, np.nan, table["error"])
    return Role(_mean(np.array(found)), error, drum)


def family(program: int) -> int:
    """The family of a program, 0..FAMILIES - 1.

    >>> family(0), family(41), family(53), family(128)
    (0, 5, 17, 16)
    """
    return 16 if program == DRUMS else 17 if program in SINGERS else program // 8


def context(program: int, given: Given, *, lines: np.ndarray, quarter: int) -> np.ndarray:
    """What is known of a part before it is heard, (C,) in the order of CONTEXT; NaN where there is nothing to tell."""
    melodic = [(p, traits(notes, lines, quarter=quarter)) for p, notes in given if p != DRUMS]
    melodic = [(p, of) for p, of in melodic if not np.isnan(of[0])]
    kits = [notes for p, notes in given if p == DRUMS and len(notes)]
    everything = np.concatenate([np.empty(0, NOTE), *(notes for _, notes in given)])
    table = np.array([of for _, of in melodic]).reshape(-1, len(TRAITS))
    mine = np.array([of for p, of in melodic if family(p) == family(program)]).reshape(-1, len(TRAITS))
    mean, own, whole = _mean(table), _mean(mine), traits(everything, lines, quarter=quarter)
    kit = traits(kits[0], lines, quarter=quarter, drum=True) if kits else np.full(len(TRAITS), np.nan)
    column = {name: n for n, name in enumerate(TRAITS)}
    pitch = table[:, column["pitch"]]
    found = [
        np.log2(float(np.diff(lines).mean()) / quarter),
        np.log2(1 + len(melodic)),
        float(bool(kits)),
        sum(p == program for p, _ in melodic),
        len(mine),
        sum(p < 8 for p, _ in melodic),
        sum(p in SINGERS for p, _ in melodic),
        *(mean[column[name]] for name in _MEANS),
        pitch.min() if len(pitch) else np.nan,
        pitch.max() if len(pitch) else np.nan,
        table[:, column["onsets"]].max() if len(table) else np.nan,
        *(own[column[name]] for name in _OF_FAMILY),
        *(whole[column[name]] for name in _OF_ALL),
        kit[column["onsets"]],
        kit[column["groove"]],
    ]
    return np.array(found, np.float64)


def design(scaled: np.ndarray, families: np.ndarray) -> np.ndarray:
    """The rows of the regression, (N, (1 + FAMILIES) D), for `scaled` contexts (N, C), in deviations from the mean:
    for all families, then for each of its own."""
    known = np.clip(np.nan_to_num(scaled), -FARTHEST, FARTHEST)
    at = [CONTEXT.index(name) for name in UNKNOWN]
    squared = known[:, [CONTEXT.index(name) for name in SQUARED]] ** 2
    rows = np.hstack([np.ones((len(known), 1)), known, np.isnan(scaled[:, at]), squared])
    own = np.eye(FAMILIES)[families]
    return np.hstack([rows, (own[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)])


def _mean(rows: np.ndarray) -> np.ndarray:
    """The mean over rows, (N, T) -> (T,), of the values that there are; NaN where there is none."""
    known = ~np.isnan(rows)
    count = known.sum(0)
    total = np.where(known, rows, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@cache
def _table() -> dict[str, Any]:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    found = {name: np.array(table[name]) for name in ("mean", "deviation", "offset", "error")}
    width = len(table["weights"][FORESEEN[0]][0])
    columns = [
        np.concatenate([np.zeros(width) if row is None else np.array(row) for row in table["weights"][name]])
        for name in FORESEEN
    ]
    return found | {"weights": np.stack(columns, axis=1)}

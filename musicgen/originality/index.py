"""An index of music: every line of many pieces, one byte an onset, so that any stretch of it can be found.

There are no fingerprints to choose: the steps themselves are searched, so the longest match is exact. A folder holds
`steps.npy` (uint8, memory-mapped), `lines.npy` (LINE) and `index.json` (sources and licences). The upper two bits of a
byte say how many bars later the next onset is, the others are the step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.atomic import json_bytes
from musicgen.originality.lines import SETS, STEP_BITS, TOP, Line, lines_of
from musicgen.piece import Piece

__all__ = ["FOLDER", "Index", "Origin", "build_index", "open_index"]

FOLDER = "originality"  # in a run folder
FORMAT = 1
# A line in the index: where its steps begin, its piece, its first bar from 0, and its part (TOP and SETS as in `Line`).
LINE = np.dtype([("begin", "<u4"), ("piece", "<u4"), ("bar", "<u2"), ("part", "<i2")])
END = 255  # stands after each line
STEP = np.uint8((1 << STEP_BITS) - 1)


@dataclass(frozen=True)
class Origin:
    """Where a piece of an index comes from."""

    source: str
    licence: str


@dataclass(frozen=True, eq=False)
class Index:
    """Steps and lines of many pieces. Lines of sets of pitch classes come last, from byte `sets` on."""

    steps: np.ndarray
    lines: np.ndarray
    origins: Sequence[Origin]
    sets: int

    def region(self, line: Line) -> tuple[int, np.ndarray]:
        """(where it begins, the bytes) of the lines of the same kind."""
        return (self.sets, self.steps[self.sets :]) if line.part == SETS else (0, self.steps[: self.sets])

    def place(self, step: int) -> tuple[Origin, int, int]:
        """(the piece, the bar, counted from 0, the part) of a step."""
        line = self.lines[int(np.searchsorted(self.lines["begin"], step, side="right")) - 1]
        later = int((self.steps[int(line["begin"]) : step] >> STEP_BITS).sum(dtype=np.int64))
        return self.origins[int(line["piece"])], int(line["bar"]) + later, int(line["part"])

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index into a new folder."""
        where = Path(folder)
        where.mkdir(parents=True)
        np.save(where / "steps.npy", self.steps)
        np.save(where / "lines.npy", self.lines)
        licences = sorted({origin.licence for origin in self.origins})
        table = {
            "format": FORMAT,
            "sets": self.sets,
            "licences": licences,
            "sources": [[origin.source, licences.index(origin.licence)] for origin in self.origins],
        }
        (where / "index.json").write_bytes(json_bytes(table))


def build_index(pieces: Iterable[tuple[Origin, Piece]]) -> Index:
    """An index of pieces. A line that a piece has twice, as where two parts play the same, is kept once."""
    kinds: tuple[list[bytes], list[bytes]] = ([], [])
    rows: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = ([], [])
    origins = []
    for number, (origin, piece) in enumerate(pieces):
        origins.append(origin)
        seen = set()
        for line in lines_of(piece):
            if line.part == TOP:  # the top of all parts is nearly always that of one
                continue
            told = _bytes(line)
            if told not in seen:
                seen.add(told)
                kinds[line.part == SETS].append(told)
                rows[line.part == SETS].append((number, int(line.bars[0]), line.part))
    steps = [np.frombuffer(b"".join(kind), np.uint8) for kind in kinds]
    lines = np.zeros(len(rows[0]) + len(rows[1]), LINE)
    lengths = np.array([len(told) for kind in kinds for told in kind], np.int64)
    lines["begin"] = np.cumsum(lengths) - lengths
    if len(lines):
        table = np.array(rows[0] + rows[1], np.int64)
        lines["piece"], lines["bar"], lines["part"] = table[:, 0], np.minimum(table[:, 1], 2**16 - 1), table[:, 2]
    return Index(np.concatenate(steps), lines, origins, len(steps[0]))


def _bytes(line: Line) -> bytes:
    later = np.diff(line.bars)[: len(line.steps)].astype(np.uint8)
    return bytes(line.steps | later << STEP_BITS) + bytes([END])


def open_index(folder: str | os.PathLike[str]) -> Index:
    """Open an index that was saved; its steps are memory-mapped. Raises UnreadableError."""
    where = Path(folder)
    try:
        table = json.loads((where / "index.json").read_bytes())
        steps = np.load(where / "steps.npy", mmap_mode="r", allow_pickle=False)
        lines = np.load(where / "lines.npy", allow_pickle=False)
        if table["format"] != FORMAT or steps.dtype != np.uint8 or lines.dtype != LINE or not len(lines):
            raise ValueError
        if int(lines["begin"].max()) >= len(steps) or int(lines["piece"].max()) >= len(table["sources"]):
            raise ValueError
        origins = [Origin(str(source), table["licences"][number]) for source, number in table["sources"]]
        return Index(steps, lines, origins, int(table["sets"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise UnreadableError(
            "no index of music, or a damaged one", where=where, hint="copy the folder again"
        ) from None

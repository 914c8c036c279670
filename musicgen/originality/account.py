"""The account of how original new music is: its longest match with what a model was trained on, and with what it read.

What returns from the music that was continued, or from pieces that were studied, is no copy of the training data, even
if it stands there too: both are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.originality.index import FOLDER, Index, Origin, build_index, open_index
from musicgen.originality.lines import SETS, TOP, Line, lines_of
from musicgen.originality.matching import Match, matches
from musicgen.piece import Piece

__all__ = ["FEWEST_BARS", "PROMPT", "TELLING_TURNS", "Originality", "Return", "index_of_run"]

PROMPT = Origin("(the piece itself)", "")
# A match is telling with so many turns (`Match.turns`); shorter ones are in much music by chance, as
# `pipelines/benchmarks/originality.py` measures.
TELLING_TURNS = 10
FEWEST_BARS = 2.0  # of a telling match whose notes count in `share`


@dataclass(frozen=True)
class Return:
    """A stretch of new music that stands elsewhere, too.

    `notes` counts onsets of the line, `bars` is its length in bars of the new music. `bar` and `source_bar` are those
    in which it begins, counted from 1. `line` is the name of a part, or what all parts play together: their highest
    notes or their harmony. `turns` says how much there is in it to be known again by.
    """

    notes: int
    bars: float
    bar: int
    line: str
    source: str
    source_bar: int
    licence: str
    turns: int

    @property
    def is_telling(self) -> bool:
        """Whether it is more than what much music has in common."""
        return self.turns >= TELLING_TURNS


class Originality:
    """Compares new music with an index of training data, and with the pieces that the model read for it."""

    def __init__(self, corpus: Index | None, *, read: Iterable[tuple[Origin, Piece]] = ()) -> None:
        """`corpus` is None if there is no index of what the model was trained on; `read` are the piece before the cut
        and those that were studied."""
        self.corpus, self.read = corpus, build_index(read)

    def copied(self, piece: Piece, *, begin: int = 0, end: int | None = None) -> Return | None:
        """The longest telling match, in bars, of the notes in [begin, end) with the training data; None if there is
        none."""
        found = [match for match, _, _ in self._copies(piece, begin, end) if match.is_telling]
        return max(found, key=lambda match: match.bars, default=None)

    def account(self, piece: Piece, *, begin: int = 0, end: int | None = None) -> dict[str, Any]:
        """The facts about the notes that begin in [begin, end) ticks, as plain values.

        `longest` is the longest match with the training data, `returns` the one with what was read (see `Return`; None
        if there is none), `share` the share of notes (drums not counted) in telling matches of two bars or more with
        the training data. `pieces` is the number of pieces in the index; None, as are `longest` and `share`, without
        an index.
        """
        copies = self._copies(piece, begin, end)
        own = [match for line in lines_of(piece, begin=begin, end=end) for match, _ in self._own(piece, line)[:1]]
        facts: dict[str, Any] = {"pieces": None, "longest": None, "share": None, "returns": _most(own)}
        if self.corpus is not None:
            facts |= {"pieces": len(self.corpus.origins), "longest": _most([match for match, _, _ in copies])}
            facts["share"] = _share(piece, copies, begin, end)
        return facts

    def _own(self, piece: Piece, line: Line) -> list[tuple[Return, Match]]:
        return [(_told(piece, line, match, self.read), match) for match in matches(self.read, line)]

    def _copies(self, piece: Piece, begin: int, end: int | None) -> list[tuple[Return, Line, Match]]:
        """The matches with the training data that aren't mostly returns of what was read."""
        found: list[tuple[Return, Line, Match]] = []
        if self.corpus is None:
            return found
        for line in lines_of(piece, begin=begin, end=end):
            own = np.zeros(len(line.ticks), bool)
            for match in matches(self.read, line):
                own[match.first : match.last + 1] = True
            for match in matches(self.corpus, line):
                if own[match.first : match.last + 1].mean() <= 0.5:
                    found.append((_told(piece, line, match, self.corpus), line, match))
        return found


def index_of_run(folder: Path | None) -> Index | None:
    """The index of what a run was trained on, if one lies in its folder."""
    return open_index(folder / FOLDER) if folder is not None and (folder / FOLDER).is_dir() else None


def _told(piece: Piece, line: Line, match: Match, index: Index) -> Return:
    origin, source_bar, _ = index.place(match.place)
    first, last = (int(line.ticks[at]) for at in (match.first, match.last))
    numerator, denominator = piece.meter_at(first)
    bar_length = 4 * piece.ticks_per_quarter * numerator / denominator
    # The last note lasts, too: as long as the others in the mean.
    length = (last - first) * match.notes / (match.notes - 1)
    name = (
        {TOP: "highest notes", SETS: "harmony"}.get(line.part)
        or piece.tracks[line.part].name
        or f"part {line.part + 1}"
    )
    return Return(
        notes=match.notes,
        bars=round(length / bar_length, 2),
        bar=int(line.bars[match.first]) + 1,
        line=name,
        source=origin.source,
        source_bar=source_bar + 1,
        licence=origin.licence,
        turns=match.turns,
    )


def _most(found: list[Return]) -> dict[str, Any] | None:
    best = max(found, key=lambda match: (match.turns, match.notes), default=None)
    return None if best is None else asdict(best)


def _share(piece: Piece, copies: list[tuple[Return, Line, Match]], begin: int, end: int | None) -> float:
    spans = [
        (line.part, line.ticks[match.first], line.ticks[match.last])
        for told, line, match in copies
        if told.is_telling and told.bars >= FEWEST_BARS
    ]
    inside = total = 0
    for number, track in enumerate(piece.tracks):
        start = track.notes["start"]
        start = start[(start >= begin) & (start < (piece.end + 1 if end is None else end))]
        if track.is_drum or not len(start):
            continue
        covered = np.zeros(len(start), bool)
        for part, first, last in spans:
            if part in (number, TOP, SETS):
                covered |= (start >= first) & (start <= last)
        inside, total = inside + int(covered.sum()), total + len(start)
    return round(inside / total, 4) if total else 0.0

"""A piece as plain values for the script of a page.

Conventions: times are milliseconds from the start of the piece. A part's notes are one flat list: start, duration,
pitch and velocity of each note, in the order of starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from musicgen.gm import program_name
from musicgen.page.heard import Heard
from musicgen.piece import Piece, Track

__all__ = ["COLOURS", "part_titles", "rolls"]

COLOURS = 12  # the custom properties --part-0 .. of page.css
AROUND = 2  # bars on either side of a seam that its loop plays
Key = tuple[str, int, bool, int]  # name, program, whether drums, how many such parts stand before it


def rolls(heard: Sequence[Heard], *, labels: Sequence[str]) -> dict[str, Any]:
    """The parts of all pieces, `parts`, and each piece in `takes` under its label, its notes by part.

    A part that several pieces have stands there once and keeps its colour.
    """
    parts: dict[Key, dict[str, Any]] = {}
    takes = []
    for each, label in zip(heard, labels, strict=True):
        mine = _parts(each.piece)
        taken = {parts[key]["colour"] for key in mine if key in parts}
        for key in mine:
            if key not in parts:
                free = [c for c in range(COLOURS) if c not in taken]
                colour = free[0] if free else len(parts) % COLOURS
                taken.add(colour)
                parts[key] = {"name": _title(key), "instrument": _instrument(key), "drums": key[2], "colour": colour}
        takes.append({"label": label, **_take(each, mine)})
    order = {key: number for number, key in enumerate(parts)}
    for take in takes:
        take["parts"] = [{**part, "part": order[part["part"]]} for part in take["parts"]]
    return {"parts": list(parts.values()), "takes": takes}


def part_titles(piece: Piece) -> dict[int, str]:
    """What the parts that have notes are called, by their index in the piece."""
    return {index: _title(key) for key, index in _parts(piece).items()}


def _parts(piece: Piece) -> dict[Key, int]:
    """The indices of the parts that have notes; those of one name and program are told apart by their number."""
    count: Counter[tuple[str, int, bool]] = Counter()
    found = {}
    for index, track in enumerate(piece.tracks):
        if len(track.notes):
            kind = (" ".join(track.name.split()), -1 if track.is_drum else track.program, track.is_drum)
            found[(*kind, count[kind])] = index
            count[kind] += 1
    return found


def _title(key: Key) -> str:
    name, _, _, number = key
    title = name or _instrument(key).capitalize()
    return f"{title} {number + 1}" if number else title


def _instrument(key: Key) -> str:
    return program_name(max(key[1], 0), is_drum=key[2])


def _take(heard: Heard, parts: dict[Key, int]) -> dict[str, Any]:
    piece, span = heard.piece, heard.span
    bars, _ = piece.bar_starts(max(piece.end - 1, 0))
    take: dict[str, Any] = {
        "length": _ms(piece, piece.end),
        "bars": _ms(piece, np.rint(bars)),
        "span": None,
        "loop": None,
        "parts": [
            {"part": key, "is_new": _is_new(heard, index), "notes": _notes(piece, piece.tracks[index])}
            for key, index in parts.items()
        ],
    }
    if span is not None and span.begin == 0 and span.is_open:
        take["span"], take["bar"] = [0, None], 1  # new all through, or new parts all through: there is no seam
    elif span is not None:
        last = None if span.is_open else _ms(piece, span.end)
        take["span"] = [_ms(piece, span.begin), last]
        # Around both seams of a hole, for the second tells as much as the first.
        first = int(np.searchsorted(bars, span.begin, side="right")) - 1
        behind = int(np.searchsorted(bars, span.begin if span.is_open else span.end, side="left"))
        begin, end = max(first - AROUND, 0), behind + AROUND
        take["loop"] = [take["bars"][begin], take["bars"][end] if end < len(bars) else take["length"]]
        take["bar"] = first + 1
    return take


def _is_new(heard: Heard, index: int) -> bool:
    """Whether a part's notes within the span are new."""
    return heard.span is not None and (heard.new_parts is None or index in heard.new_parts)


def _notes(piece: Piece, track: Track) -> list[int]:
    begin = piece.to_seconds(track.notes["start"])
    end = piece.to_seconds(track.notes["start"] + track.notes["duration"])
    begin_ms, end_ms = (np.rint(1000 * seconds).astype(np.int64) for seconds in (begin, end))
    columns = (begin_ms, end_ms - begin_ms, track.notes["pitch"], track.notes["velocity"])
    flat: list[int] = np.stack([column.astype(np.int64) for column in columns], axis=1).ravel().tolist()
    return flat


def _ms(piece: Piece, ticks: Any) -> Any:
    """Ticks (a number or an array) as milliseconds (a number or a list)."""
    return np.rint(1000 * piece.to_seconds(ticks)).astype(np.int64).tolist()

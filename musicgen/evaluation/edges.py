"""How new music joins what stays around it: faults at both edges of a hole, and within it.

A hole is a span of ticks in which some parts were written anew; all else stays. What is compared with is music of the
piece itself, up to AROUND bars on either side. The limits are such that true bars hardly ever pass them, as if they had
been written into their hole (`pipelines/benchmarks/edges.py`, with figures in its RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from musicgen.io.controllers import SUSTAIN
from musicgen.piece import NOTE, Piece, Span
from musicgen.words import counted

__all__ = ["Fault", "at_edge", "within"]

AROUND = 16  # bars on either side that new music is compared with
LEGATO = 8  # a note may overlap an edge by an eighth of a quarter
FLAM = 12  # two onsets of a key within a twelfth of a quarter are one stroke, written twice
LEAP = 12, 7  # semitones that every line may leap, and more than elsewhere
FEWEST = 8  # notes of a part around the hole, for it to be compared
LONGER = 2.0  # times the longest rest elsewhere
PHASES = 24  # places of a quarter
RARE = 0.01  # share of the onsets around; a place with less isn't used
OFF = 0.5  # share of onsets at such places that have lost the pulse
FEWEST_ONSETS = 4, 32  # in the bar at the edge, and around


@dataclass(frozen=True)
class Fault:
    """Something amiss: its `kind` ("spilling", "pedal", "doubled",
    "leap", "rest", "silence", "pulse", "missing"), the number of
    its part counted from 1 (None: of the music as a whole), and the same in words."""

    kind: str
    part: int | None
    said: str


def at_edge(piece: Piece, span: Span, *, written: Collection[int], behind: bool) -> list[Fault]:
    """The faults where the parts `written` (indices) in a hole meet what stays: at its beginning, or with `behind` at
    its end."""
    hole = _Hole(piece, span)
    edge, found = (span.end if behind else span.begin), []
    for n in sorted(written):
        track = piece.tracks[n]
        new, before, after = hole.split(track.notes)
        if behind and (count := _spilling(new, edge + hole.quarter // LEGATO)):
            found.append(
                Fault(
                    "spilling", n + 1, f"{_part(piece, n)}: {counted(count, 'note')} sounding on past the last new bar"
                )
            )
        if behind and not len(before) and not len(after) and _is_held(track.controls, edge):
            found.append(Fault("pedal", n + 1, f"{_part(piece, n)}: its pedal is down behind the last new bar"))
        left, right = (new, after) if behind else (before, new)
        if track.is_drum or not len(left) or not len(right):
            continue
        if count := _doubled(left, right, hole.quarter):
            found.append(
                Fault("doubled", n + 1, f"{_part(piece, n)}: {counted(count, 'note')} struck twice at the edge")
            )
        far = _leap(left, right, most=hole.bar)
        most = max(LEAP[0], _largest_leap(hole.near(before)), _largest_leap(hole.near(after))) + LEAP[1]
        if far > most:
            found.append(Fault("leap", n + 1, f"{_part(piece, n)}: a leap of {far} semitones"))
        enough = min(len(hole.near(before)), len(hole.near(after))) >= FEWEST
        if enough and (rest := hole.odd_rest(left, right, hole.near(before), hole.near(after))):
            found.append(
                Fault("rest", n + 1, f"{_part(piece, n)}: a rest of {rest / hole.bar:.1f} bars, as nowhere around")
            )
    return [*found, *_silence(hole, edge), *_off_pulse(hole, written, behind=behind)]


def within(piece: Piece, span: Span, *, written: Collection[int], asked: bool) -> list[Fault]:
    """The faults of the new music as a whole: parts `written` (indices) that are missing.

    Those that were `asked` for by name must play; others may rest, but not all.
    """
    hole = _Hole(piece, span)
    silent = [n for n in sorted(written) if not len(hole.split(piece.tracks[n].notes)[0])]
    if len(silent) == len(written):
        return [Fault("missing", None, "no new notes")]
    return [Fault("missing", n + 1, f"{_part(piece, n)}: no new notes") for n in silent] if asked else []


class _Hole:
    """A hole in a piece, with the lengths in ticks that go with it."""

    def __init__(self, piece: Piece, span: Span) -> None:
        numerator, denominator = piece.meter_at(span.begin)
        self.piece, self.span, self.quarter = piece, span, piece.ticks_per_quarter
        self.bar = 4 * piece.ticks_per_quarter * numerator / denominator

    def split(self, notes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Notes (NOTE) that begin in the hole, before it and behind it."""
        start = notes["start"]
        before, after = start < self.span.begin, start >= self.span.end
        return notes[~before & ~after], notes[before], notes[after]

    def near(self, notes: np.ndarray) -> np.ndarray:
        """Notes that begin at most AROUND bars from the hole."""
        reach = AROUND * self.bar
        start = notes["start"]
        near: np.ndarray = notes[(start >= self.span.begin - reach) & (start < self.span.end + reach)]
        return near

    def odd_rest(self, left: np.ndarray, right: np.ndarray, before: np.ndarray, after: np.ndarray) -> int:
        """The ticks between the last note on the left of an edge and the first on its right, if a bar or more of them
        lies in the hole and at most half a bar outside, and they are more than LONGER times as many as anywhere in the
        notes before and after it; else 0."""
        begin, end = int((left["start"] + left["duration"]).max()), int(right["start"].min())
        inside = min(end, self.span.end) - max(begin, self.span.begin)
        longest = max(_longest_rest(before), _longest_rest(after))
        is_inside = inside >= self.bar and end - begin - inside <= self.bar / 2
        return end - begin if is_inside and end - begin > LONGER * longest else 0

    def everything(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The notes of all parts in the hole, before and behind it, near it."""
        tables = [np.empty(0, NOTE), *(track.notes for track in self.piece.tracks)]
        notes = np.concatenate(tables)
        new, before, after = map(self.near, self.split(notes[np.argsort(notes["start"], kind="stable")]))
        return new, before, after


# ---- at the edge -------------------------------------------------------------------------------------


def _spilling(new: np.ndarray, latest: int) -> int:
    return int((new["start"] + new["duration"] > latest).sum())


def _is_held(controls: np.ndarray, edge: int) -> bool:
    """Whether the sustain pedal is down behind the edge."""
    mine = controls[(controls["number"] == SUSTAIN) & (controls["tick"] <= edge)]
    return len(mine) > 0 and bool(mine["value"][-1] >= 64)


def _doubled(left: np.ndarray, right: np.ndarray, quarter: int) -> int:
    """The keys that are struck on both sides of the edge at nearly one time, or again while they are down."""
    count = 0
    for first in right[right["start"] < right["start"].min() + quarter / FLAM + 1]:
        same = left[left["pitch"] == first["pitch"]]
        ends = same["start"] + same["duration"]
        near = first["start"] - same["start"] < quarter / FLAM
        count += bool((near | (ends > first["start"] + quarter / LEGATO)).any())
    return count


def _leap(left: np.ndarray, right: np.ndarray, *, most: float) -> int:
    """Semitones from the last onset to the first, of the nearest notes; 0 if more than `most` ticks lie between."""
    last, first = int(left["start"].max()), int(right["start"].min())
    if first - last > most:
        return 0
    a, b = left["pitch"][left["start"] == last].astype(int), right["pitch"][right["start"] == first].astype(int)
    return int(np.abs(a[:, None] - b).min())


def _largest_leap(notes: np.ndarray) -> int:
    """The largest leap between successive onsets, of the nearest notes."""
    order = np.argsort(notes["start"], kind="stable")
    _, first = np.unique(notes["start"][order], return_index=True)
    onsets = np.split(notes["pitch"][order].astype(int), first[1:])
    return max((int(np.abs(a[:, None] - b).min()) for a, b in pairwise(onsets)), default=0)


def _longest_rest(notes: np.ndarray) -> int:
    """The longest time in ticks between notes of which none sounds."""
    order = np.argsort(notes["start"], kind="stable")
    start = notes["start"][order]
    ends = np.maximum.accumulate(start + notes["duration"][order])
    return int(np.maximum(0, start[1:] - ends[:-1]).max()) if len(notes) > 1 else 0


def _silence(hole: _Hole, edge: int) -> list[Fault]:
    """A bar at the edge in which nobody plays, where such a rest is nowhere around."""
    new, before, after = hole.everything()
    left, right = (
        (np.concatenate([before, new]), after) if edge == hole.span.end else (before, np.concatenate([new, after]))
    )
    if not len(left) or not len(right):
        return []
    rest = hole.odd_rest(left, right, before, after)
    return [Fault("silence", None, f"silence for {rest / hole.bar:.1f} bars, as nowhere around")] if rest else []


def _off_pulse(hole: _Hole, written: Collection[int], *, behind: bool) -> list[Fault]:
    """Onsets of the new bar at the edge that fall between the places of the beat that music around it uses."""
    tables = [np.empty(0, NOTE), *(hole.piece.tracks[n].notes for n in written)]
    new = hole.split(np.concatenate(tables))[0]["start"]
    bar = new[new >= hole.span.end - hole.bar] if behind else new[new < hole.span.begin + hole.bar]
    _, before, after = hole.everything()
    around = np.concatenate([before, after])["start"]
    if len(bar) < FEWEST_ONSETS[0] or len(around) < FEWEST_ONSETS[1]:
        return []
    used = np.bincount(_phase(around, hole), minlength=PHASES)
    used = used + np.roll(used, 1) + np.roll(used, -1)  # what is a little early or late is still there
    off = float((used[_phase(bar, hole)] < RARE * len(around)).mean())
    return [Fault("pulse", None, f"{100 * off:.0f} % of the onsets are off the beat of what is around")] * (off > OFF)


def _phase(starts: np.ndarray, hole: _Hole) -> np.ndarray:
    """The places of onsets in their quarter, from the hole's beginning on."""
    into = (starts - hole.span.begin) * PHASES / hole.quarter
    phase: np.ndarray = np.rint(into).astype(np.int64) % PHASES
    return phase


def _part(piece: Piece, number: int) -> str:
    name = piece.tracks[number].name.strip()
    return f"part {number + 1}{f' ({name})' if name else ''}"

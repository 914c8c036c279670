"""Who plays the last chord of music that comes to a close: the parts that sounded of late, in their register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from musicgen.piece import NOTE, Piece
from musicgen.sampling.plan import Plan

__all__ = ["Closers", "closers"]

PLAYING_BARS = 8  # parts that sounded in the last bars play the last chord, in the register of these
WIDER = 5  # semitones that it may exceed that by
MOST_NOTES = 4  # that the last chord of a single part needs


@dataclass(frozen=True)
class Closers:
    """The parts of a last chord by number: `ranges` are the lowest and highest pitch that each may have; `bass` is the
    lowest part, `deep` the range of its lowest note, `fewest` how many notes it begins, and `bass_line` holds it where
    it has one note at a time and others above it."""

    bass: int
    bass_line: frozenset[int]
    ranges: Mapping[int, tuple[int, int]]
    deep: tuple[int, int]
    fewest: int


def closers(before: Piece, plan: Plan, melodic: Sequence[int]) -> Closers:
    """Who closes the music of a plan, whose `melodic` parts are given by number, the lowest first; `before` is the
    music up to its cut."""
    parts, bass = plan.constraints.players.parts or frozenset(melodic), melodic[0]
    ranges = _ranges(before, plan, parts)
    if not set(ranges) & set(melodic):
        ranges = dict.fromkeys(parts, (0, 127))
    is_line = len(melodic) > 1 and bass in plan.ensemble.melodic
    fewest = _fullness(before, plan, bass) if len(melodic) == 1 else 1
    return Closers(bass, frozenset({bass} if is_line else ()), ranges, _deep(before, plan, bass), fewest)


def _ranges(before: Piece, plan: Plan, parts: frozenset[int]) -> dict[int, tuple[int, int]]:
    """(lowest, highest) pitch in the last bars of each part that sounded in them, and of new parts, which may have any
    pitch."""
    begin, found = plan.cut - PLAYING_BARS * plan.anchor.bar_length, {}
    for number in sorted(parts):
        tracks = [before.tracks[t].notes for t in plan.ensemble.voices[number].tracks]
        notes = np.concatenate([np.empty(0, NOTE), *tracks])
        late = notes["pitch"][notes["start"] + notes["duration"] > begin]
        if len(late):
            found[number] = max(0, int(late.min()) - WIDER), min(127, int(late.max()) + WIDER)
        elif not len(notes):
            found[number] = 0, 127
    return found


def _deep(before: Piece, plan: Plan, bass: int) -> tuple[int, int]:
    """(lowest, highest) pitch of the last chord's lowest note: about as low as the part's lowest notes of late."""
    tracks = [before.tracks[t].notes for t in plan.ensemble.voices[bass].tracks]
    notes = np.concatenate([np.empty(0, NOTE), *tracks])
    bar = np.floor((notes["start"] - plan.cut) / plan.anchor.bar_length).astype(np.int64)
    late = notes["pitch"][bar >= -PLAYING_BARS], bar[bar >= -PLAYING_BARS]
    lowest = [int(late[0][late[1] == number].min()) for number in np.unique(late[1]).tolist()]
    if not lowest:
        return 0, 127
    return max(0, min(lowest) - WIDER), min(127, round(float(np.mean(lowest))) + 6)


def _fullness(before: Piece, plan: Plan, part: int) -> int:
    """How many notes of a part sound at once as a rule in its last bars, at most MOST_NOTES."""
    begin = plan.cut - PLAYING_BARS * plan.anchor.bar_length
    tracks = [before.tracks[t].notes for t in plan.ensemble.voices[part].tracks]
    notes = np.concatenate([np.empty(0, NOTE), *tracks])
    start, end = notes["start"], notes["start"] + notes["duration"]
    onsets = np.unique(start[start >= begin])
    sounding = [int(((start <= onset) & (onset < end)).sum()) for onset in onsets.tolist()]
    return max(1, min(MOST_NOTES, int(np.median(sounding)))) if sounding else 1

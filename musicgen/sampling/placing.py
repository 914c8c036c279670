"""Converts sampled ids to notes, assigns them to the piece's parts, and prepares them for comparison with the piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from musicgen.piece import NOTE, Piece, Track
from musicgen.sampling.faults import Stretch
from musicgen.sampling.plan import RECENT_BARS, Plan, recent_pitch
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["assign_parts", "new_notes", "stretches"]


def new_notes(plan: Plan, ids: np.ndarray, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Decode the ids drawn after the plan's prompt: (NOTE array in the piece's ticks, program or part of each note).

    Notes are clipped to the plan's end, so that the new music is exactly as long as requested. In monophonic programs
    or parts (`plan.ensemble.melodic`) a note ends at the latest at the next onset.
    """
    notes, program = tokenizer.new_notes(plan.reading.whole, ids, plan.anchor)
    if not tokenizer.has_programs and plan.ensemble.centres:
        programs, centres = (np.array(column) for column in zip(*plan.ensemble.centres, strict=True))
        distance = np.abs(notes["pitch"].astype(float)[:, None] - centres)
        program = programs[distance.argmin(axis=1)]
    notes["duration"] = np.minimum(notes["duration"], plan.end - notes["start"])
    for value in plan.ensemble.melodic:
        line = np.flatnonzero(program == value)
        gap = notes["start"][line[1:]] - notes["start"][line[:-1]]
        notes["duration"][line[:-1]] = np.minimum(notes["duration"][line[:-1]], gap)
    keep = notes["duration"] > 0
    return notes[keep], program[keep]


def assign_parts(
    tracks: Sequence[Track], allowed: Sequence[int], *, notes: np.ndarray, program: np.ndarray, cut: int
) -> np.ndarray:
    """The index of the part that each new note goes to, -1 if no part in `allowed` has its program.

    If several parts share a program (two hands, two violins), a note goes to the one whose mean pitch of late is
    nearest.
    """
    home = np.full(len(notes), -1)
    for value in np.unique(program).tolist():
        mine = [i for i in allowed if (DRUMS if tracks[i].is_drum else tracks[i].program) == value]
        if not mine:
            continue
        centre = np.array([recent_pitch(tracks[i].notes, cut) for i in mine])
        for k in np.flatnonzero(program == value).tolist():
            pitch = float(notes["pitch"][k])
            nearest = int(np.argmin(np.abs(centre - pitch)))
            home[k] = mine[nearest]
            centre[nearest] += 0.1 * (pitch - centre[nearest])  # follows the part's pitch slowly
    return home


def stretches(
    piece: Piece, plan: Plan, *, notes: np.ndarray, home: np.ndarray, drum: np.ndarray
) -> tuple[Stretch, Stretch]:
    """(the new notes, the notes of the last bars before the cut) as stretches to be compared (`faults.py`).

    `home` is the part of each new note, and `drum` says which are drums. A bar that the cut divides belongs to the new
    stretch, with its old notes.
    """
    anchor, begin = plan.anchor, plan.anchor.bar_start
    bars = max(1, plan.bars + int(anchor.fills))
    per_quarter = anchor.ticks_per_quarter
    new = Stretch(notes, home, drum, begin, bars, anchor.bar_length, per_quarter)
    count = min(RECENT_BARS, int(begin // anchor.bar_length + 0.01))
    first = begin - count * anchor.bar_length
    tables, parts, drums = [np.empty(0, NOTE)], [np.empty(0, np.int64)], [np.empty(0, bool)]
    for number, track in enumerate(piece.tracks):
        mine = track.notes[(track.notes["start"] >= first) & (track.notes["start"] < anchor.tick)]
        tables.append(mine)
        parts.append(np.full(len(mine), number))
        drums.append(np.full(len(mine), track.is_drum))
    if anchor.fills:  # the bar that the cut divides: its old and new notes together
        open_bar = [(t["start"] >= begin) for t in tables]
        held = [np.concatenate([x[m] for x, m in zip(each, open_bar, strict=True)]) for each in (tables, parts, drums)]
        new = Stretch(
            np.concatenate([held[0], notes]),
            np.concatenate([held[1], home]),
            np.concatenate([held[2], drum]),
            begin,
            bars,
            anchor.bar_length,
            per_quarter,
        )
        tables, parts, drums = ([x[~m] for x, m in zip(each, open_bar, strict=True)] for each in (tables, parts, drums))
    old = [np.concatenate(each) for each in (tables, parts, drums)]
    return new, Stretch(old[0], old[1], old[2], first, count, anchor.bar_length, per_quarter)

"""Pairs of source and target in a piece: a melody and its chords, a soprano and the voices below it.

Time is in grid steps, PER_QUARTER a quarter, so that sixteenths and triplets of eighths lie on it. The source is a line
of notes. The target is cut into steps that follow each other without gaps, at each change and at each bar line, so that
the lengths of a bar's steps add up to the bar and nothing has to say where the end is.

Shapes: N notes, M target steps, B bars, K voices of the target (1 where it is chords).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from musicgen.models.tasks.translate_layout import ATB, CHORDS, LONGEST_BAR
from musicgen.piece import Piece, Track
from musicgen.tasks.translate.harmony import NO_CHORD, chords_of_part, chords_of_symbols, fifths_of, is_chordal, shifted
from musicgen.tasks.translate.hearing import heard_chords
from musicgen.tokenizers.abc.spelling import highest_line

__all__ = ["PAIRS", "PER_QUARTER", "REST", "Pair", "in_c", "line_of", "pair_of", "source_pair"]

PER_QUARTER = 12
REST = -1
MONOPHONIC = 0.05  # share of a voice's notes that may begin before the one before has ended


@dataclass(frozen=True)
class Pair:
    """A source and its target, in the bars that begin at edges_B1[:-1]; the last edge is the end.

    notes_N3 are onset, end and pitch of the source. steps_M2 are begin and end of the target's steps; values_MK what
    sounds in each: a chord (`harmony`), or the pitches of alto, tenor and bass, REST for none. struck_MK is true where
    it begins with the step and doesn't go on from the one before. compound_B says which bars are counted in eighths.
    `fifths` is the signature that is written, -7 (flats) .. 7 (sharps), None for none.
    """

    notes_N3: np.ndarray
    edges_B1: np.ndarray
    compound_B: np.ndarray
    steps_M2: np.ndarray
    values_MK: np.ndarray
    struck_MK: np.ndarray
    fifths: int | None = None

    @property
    def bars(self) -> int:
        return len(self.compound_B)

    def excerpt(self, begin: int, count: int) -> Pair:
        """The bars `begin` .. `begin` + `count` - 1 alone, from time 0: notes that begin in them, cut at their end."""
        low, high = int(self.edges_B1[begin]), int(self.edges_B1[min(begin + count, self.bars)])
        notes = self.notes_N3[(self.notes_N3[:, 0] >= low) & (self.notes_N3[:, 0] < high)].copy()
        notes[:, 1] = np.minimum(notes[:, 1], high)
        notes[:, :2] -= low
        inside = (self.steps_M2[:, 0] >= low) & (self.steps_M2[:, 0] < high)
        struck = self.struck_MK[inside].copy()
        struck[:1] = True
        return Pair(
            notes,
            self.edges_B1[begin : begin + count + 1] - low,
            self.compound_B[begin : begin + count],
            self.steps_M2[inside] - low,
            self.values_MK[inside],
            struck,
            self.fifths,
        )

    def transposed(self, semitones: int, *, kind: str) -> Pair:
        """Source and target of a pair of that kind so many semitones higher."""
        notes = self.notes_N3 + np.array([0, 0, semitones])
        if kind == CHORDS:
            values = shifted(self.values_MK, semitones)
        else:
            values = np.where(self.values_MK == REST, REST, self.values_MK + semitones)
        fifths = None if self.fifths is None else (self.fifths + 7 * semitones + 5) % 12 - 5
        return replace(self, notes_N3=notes, values_MK=values, fifths=fifths)


def in_c(pair: Pair, *, kind: str, moves: bool = True) -> tuple[Pair, int]:
    """The pair moved by -6 to 5 semitones, so that the key that its source's notes fit best has no sharps and flats;
    and by how many it was moved. With `moves` false it stays."""
    if not moves:
        return pair, 0
    semitones = (6 - 7 * fifths_of(pair.notes_N3, written=pair.fifths)) % 12 - 6
    return pair.transposed(semitones, kind=kind), semitones


# ---- pieces --------------------------------------------------------------------------------------------


def line_of(piece: Piece, part: Track | None = None) -> np.ndarray:
    """(N, 3): onset, end and pitch of the highest line of a part, or of all parts."""
    return highest_line(piece if part is None else replace(piece, tracks=(part,)), per_quarter=PER_QUARTER)


def source_pair(piece: Piece, line: np.ndarray, *, voices: int) -> Pair:
    """A pair of which only the source is there: a line in the bars of its piece."""
    edges, compound = _bars(piece, int(line[:, 1].max(initial=1)))
    empty = np.zeros((0, voices), np.int64)
    return Pair(line, edges, compound, np.zeros((0, 2), np.int64), empty, empty.astype(bool), _written(piece))


def pair_of(piece: Piece, kind: str) -> Pair | None:
    """The pair of that kind in a piece; None where it has none."""
    found = PAIRS[kind](piece)
    return found and replace(found, fifths=_written(piece))


def _written(piece: Piece) -> int | None:
    return int(piece.keys["fifths"][0]) if len(piece.keys) else None


def _melody_and_chords(piece: Piece) -> Pair | None:
    """The melody of a piece with chord symbols, or with one part beside it that plays chords; or a first part of single
    notes with the chords that are heard in all parts."""
    parts = [track for track in piece.tracks if len(track.notes) and not track.is_drum]
    if len(piece.chords):
        melody = max(parts, key=lambda part: float(part.notes["pitch"].mean()), default=None)
        rows = chords_of_symbols(piece, per_quarter=PER_QUARTER)
    else:
        chordal = [part for part in parts if is_chordal(part.notes)]
        if len(parts) != 2 or len(chordal) != 1:
            return _melody_over_others(piece, parts)
        melody = next(part for part in parts if part is not chordal[0])
        rows = chords_of_part(piece, chordal[0], per_quarter=PER_QUARTER)
    if melody is None or not len(rows) or not (rows[:, 2] != NO_CHORD).any():
        return None
    line = line_of(piece, melody)
    edges, compound = _bars(piece, int(line[:, 1].max()))
    return _cut(line, edges, compound, [rows])


def _melody_over_others(piece: Piece, parts: list[Track]) -> Pair | None:
    """The first of two parts or more, if it is a line, and the chords that are heard in all of them."""
    if len(parts) < 2 or not _is_line(parts[0]):
        return None
    line = line_of(piece, parts[0])
    edges, compound = _bars(piece, int(line[:, 1].max()))
    notes = np.concatenate([part.notes for part in parts])
    ticks = np.stack([notes["start"], notes["start"] + notes["duration"]], axis=1)
    times = np.floor(ticks * PER_QUARTER / piece.ticks_per_quarter + 0.5).astype(np.int64)
    rows = heard_chords(np.concatenate([times, notes["pitch"][:, None].astype(np.int64)], axis=1), edges)
    return _cut(line, edges, compound, [rows])


def _soprano_and_others(piece: Piece) -> Pair | None:
    """The highest of exactly four single lines, and the three below it: alto, tenor and bass."""
    parts = [track for track in piece.tracks if len(track.notes) and not track.is_drum]
    if len(parts) != 4 or not all(_is_line(part) for part in parts):
        return None
    parts.sort(key=lambda part: -float(part.notes["pitch"].mean()))
    lines = [line_of(piece, part) for part in parts]
    edges, compound = _bars(piece, max(int(line[:, 1].max()) for line in lines))
    return _cut(lines[0], edges, compound, lines[1:])


PAIRS: dict[str, Callable[[Piece], Pair | None]] = {CHORDS: _melody_and_chords, ATB: _soprano_and_others}


def _is_line(part: Track) -> bool:
    notes = part.notes
    overlaps = notes["start"][1:] < notes["start"][:-1] + notes["duration"][:-1]
    return float(overlaps.sum()) <= MONOPHONIC * len(notes)


def _bars(piece: Piece, end: int) -> tuple[np.ndarray, np.ndarray]:
    """(edges_B1, compound_B) of the bars up to the grid step `end`."""
    scale = PER_QUARTER / piece.ticks_per_quarter
    starts, meter = piece.bar_starts(max(0, int((end - 1) / scale)))
    _, numerators, denominators = piece.meter_segments()
    # The end of the last bar, by its meter.
    stop = starts[-1] + 4.0 * piece.ticks_per_quarter * numerators[meter[-1]] / denominators[meter[-1]]
    ticks = np.append(starts, stop)
    grid = np.floor(ticks * scale + 0.5).astype(np.int64)
    grid[-1] = max(int(grid[-1]), end)
    is_compound = (denominators >= 8) & (numerators % 3 == 0)
    edges, compound = [int(grid[0])], []
    for low, high, which in zip(grid[:-1].tolist(), grid[1:].tolist(), meter.tolist(), strict=True):
        if high == low:  # two bars within half a grid step
            continue
        pieces = -(-(high - low) // LONGEST_BAR)  # a longer bar is cut into equal parts
        edges += [low + (high - low) * k // pieces for k in range(1, pieces + 1)]
        compound += [bool(is_compound[which])] * pieces
    return np.array(edges, np.int64), np.array(compound, bool)


def _cut(line: np.ndarray, edges: np.ndarray, compound: np.ndarray, voices: list[np.ndarray]) -> Pair:
    """A pair whose target is lines of (begin, end, value) each, cut at each of their changes and at each bar line."""
    end = int(edges[-1])
    times = [edges, *(voice[:, :2].ravel() for voice in voices)]
    cuts = np.unique(np.concatenate(times))
    cuts = cuts[(cuts >= 0) & (cuts <= end)]
    begin, stop = cuts[:-1], cuts[1:]
    values, struck = [], []
    for voice in voices:
        which = np.searchsorted(voice[:, 0], begin, side="right") - 1
        sounds = (which >= 0) & (begin < voice[np.maximum(which, 0), 1])
        nothing = NO_CHORD if len(voices) == 1 else REST
        values.append(np.where(sounds, voice[np.maximum(which, 0), 2], nothing))
        struck.append(np.isin(begin, voice[:, 0]))
    steps = np.stack([begin, stop], axis=1)
    return Pair(line, edges, compound, steps, np.stack(values, axis=1), np.stack(struck, axis=1))

"""The players of a piece: which notes belong to one pair of hands or one drummer, and what a network is told of them.

A kit spread over several tracks is one drummer. Keyboard parts of the same program are one pianist, whose hands
stand on a track each. Every other part is a player of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from musicgen.expression.drums import GRID, KINDS, Strokes, drum_features, instrument_of, on_grid
from musicgen.expression.pitched import PitchedNotes, pitched_features, struck_together
from musicgen.piece import Piece

__all__ = ["SAME_S", "TOGETHER_S", "Player", "players_of"]

KEYBOARDS = range(8)  # General MIDI's pianos, harpsichord and clavi
TOGETHER_S = 0.03  # performers spread chords by this much from note to note
SAME_S = 0.004  # in a score, what is written on one place


@dataclass(frozen=True)
class Player:
    """One player's notes, sorted as the network reads them.

    `part` and `index` say where each note (NOTE) stands in the piece's tracks; `onset_s` and `length_s` are in seconds.
    `features` is (N, F) float32; `chord` numbers what is struck together, `chord_s` has its times. `pitched` or
    `strokes` has what the features were made of.
    """

    part: np.ndarray
    index: np.ndarray
    notes: np.ndarray
    onset_s: np.ndarray
    length_s: np.ndarray
    chord: np.ndarray
    chord_s: np.ndarray
    features: np.ndarray
    pitched: PitchedNotes | None = None
    strokes: Strokes | None = None

    @property
    def is_drummer(self) -> bool:
        return self.strokes is not None

    @property
    def place(self) -> np.ndarray | None:
        """For a drummer a number for each instrument and place in the bar; None for others."""
        if self.strokes is None:
            return None
        within = np.rint(self.strokes.in_bar * GRID).astype(np.int64)
        place: np.ndarray = within * KINDS + instrument_of(self.strokes.pitch)
        return place

    @property
    def parts(self) -> tuple[int, ...]:
        """The parts, from 0, that the player plays."""
        return tuple(np.unique(self.part).tolist())


def players_of(piece: Piece, *, together_s: float = SAME_S, parts: Collection[int] | None = None) -> list[Player]:
    """The players of a piece, in the order of their first parts; of `parts` alone, from 0, if they are given.

    Notes no further apart than `together_s` seconds are struck together: SAME_S in scores, TOGETHER_S in performances.
    """
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, track in enumerate(piece.tracks):
        if len(track.notes) and (parts is None or number in parts):
            alone = (number,) if track.program not in KEYBOARDS else ("keyboard", track.program)
            groups[("drums",) if track.is_drum else alone].append(number)
    return [
        (_drummer if key == ("drums",) else _pianist)(piece, numbers, together_s) for key, numbers in groups.items()
    ]


def _gathered(piece: Piece, numbers: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(part, index, notes) of all notes of these parts, by onset and pitch."""
    part = np.repeat(numbers, [len(piece.tracks[n].notes) for n in numbers])
    index = np.concatenate([np.arange(len(piece.tracks[n].notes)) for n in numbers])
    notes = np.concatenate([piece.tracks[n].notes for n in numbers])
    order = np.lexsort((notes["pitch"], notes["start"]))
    return part[order], index[order], notes[order]


def _seconds(piece: Piece, notes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(onset, length) of the notes in seconds."""
    onset = piece.to_seconds(notes["start"])
    return onset, piece.to_seconds(notes["start"] + notes["duration"]) - onset


def _pianist(piece: Piece, numbers: list[int], together_s: float) -> Player:
    part, index, notes = _gathered(piece, numbers)
    onset, length = _seconds(piece, notes)
    chord = struck_together(onset, within_s=together_s)
    order = np.lexsort((notes["pitch"], chord))
    part, index, notes, onset, length, chord = (a[order] for a in (part, index, notes, onset, length, chord))
    chord_s = np.bincount(chord, onset) / np.bincount(chord)
    pitched = PitchedNotes(notes["pitch"], chord, chord_s)
    return Player(part, index, notes, onset, length, chord, chord_s, pitched_features(pitched), pitched=pitched)


def _drummer(piece: Piece, numbers: list[int], together_s: float) -> Player:
    part, index, notes = _gathered(piece, numbers)
    onset, length = _seconds(piece, notes)
    beats = notes["start"] / piece.ticks_per_quarter
    place = on_grid(beats)
    order = np.lexsort((notes["pitch"], place))
    part, index, notes, onset, length, place = (a[order] for a in (part, index, notes, onset, length, place))
    quarters = place / GRID
    bar_ticks, _ = piece.bar_starts(until=int(notes["start"].max()) + piece.ticks_per_quarter)
    bar_beats = bar_ticks / piece.ticks_per_quarter
    bar = np.clip(np.searchsorted(bar_beats, quarters + 1e-6, side="right") - 1, 0, None)
    numerator, denominator = piece.meter_at(0)
    lengths = np.append(np.diff(bar_beats), 4 * numerator / denominator)
    tick = np.rint(quarters * piece.ticks_per_quarter).astype(np.int64)
    beat_s = piece.to_seconds(tick + piece.ticks_per_quarter) - piece.to_seconds(tick)
    strokes = Strokes(notes["pitch"], place, quarters - bar_beats[bar], bar, lengths[bar], beat_s)
    _, chord = np.unique(place, return_inverse=True)
    chord_s = np.bincount(chord, piece.to_seconds(tick)) / np.bincount(chord)
    features = drum_features(strokes)
    return Player(part, index, notes, onset, length, chord, chord_s, features, strokes=strokes)

"""Chords of a piece as a few kinds on each root: from the symbols of a lead sheet, or from a part that plays chords.

A chord is a number: 0 for no chord, else 1 + 12 * kind + root, with the kinds of KINDS and roots in semitones above C.
Lead sheets say more (ninths, added notes, basses); `chords.plain_symbol` says which of these a symbol is nearest to.

Shapes: N chords or notes, (N, 3) rows of begin, end (grid steps) and chord.
"""

from __future__ import annotations

import numpy as np

from musicgen.chords import chord_of, plain_symbol, spelled
from musicgen.models.tasks.translate_layout import N_CHORDS
from musicgen.piece import Piece, Track
from musicgen.tonality import signature_of_notes

__all__ = ["KINDS", "NO_CHORD", "chord_number", "chords_of_part", "chords_of_symbols",
           "fifths_of", "is_chordal", "pitch_classes", "shifted", "symbol_of"]  # fmt: skip

KINDS: dict[str, tuple[int, ...]] = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "m7": (0, 3, 7, 10),
                                     "dim": (0, 3, 6)}  # fmt: skip
NO_CHORD = 0
LEAST_TONES = 2  # different pitch classes that make a chord


def chord_number(symbol: str) -> int:
    """The nearest of our chords to a symbol; NO_CHORD for "N.C." and for text that is no chord.

    >>> chord_number("Bbmaj7/D"), chord_number("N.C.")
    (11, 0)
    """
    plain = plain_symbol(symbol)
    found = chord_of(plain) if plain else None
    if plain is None or found is None:
        return NO_CHORD
    return 1 + 12 * list(KINDS).index(plain.lstrip("ABCDEFG").lstrip("#b")) + found[0]


def symbol_of(chord: int, *, fifths: int = 0) -> str:
    """The symbol of a chord, such as "F#m7" or "N.C.", spelled as in the key with that signature.

    >>> symbol_of(11), symbol_of(9, fifths=4), symbol_of(0)
    ('Bb', 'G#', 'N.C.')
    """
    if chord == NO_CHORD:
        return "N.C."
    kind, root = divmod(chord - 1, 12)
    return spelled(root, fifths=fifths) + list(KINDS)[kind]


def pitch_classes(chord: int) -> frozenset[int]:
    """The pitch classes of a chord, empty for no chord."""
    if chord == NO_CHORD:
        return frozenset()
    kind, root = divmod(chord - 1, 12)
    return frozenset((root + interval) % 12 for interval in list(KINDS.values())[kind])


def shifted(chords: np.ndarray, semitones: int) -> np.ndarray:
    """The chords (any shape) so many semitones higher."""
    kind, root = np.divmod(chords - 1, 12)
    return np.where(chords == NO_CHORD, NO_CHORD, 1 + 12 * kind + (root + semitones) % 12)


def chords_of_symbols(piece: Piece, *, per_quarter: int) -> np.ndarray:
    """(N, 3): begin, end and chord of the piece's symbols; the last one lasts until the last note ends."""
    at = _grid(piece, piece.chords["tick"], per_quarter)
    named = np.array([chord_number(symbol) for symbol in piece.chords["symbol"].tolist()], np.int64)
    return _until_next(at, named, end=int(_grid(piece, np.array(piece.end), per_quarter)))


def chords_of_part(piece: Piece, part: Track, *, per_quarter: int) -> np.ndarray:
    """(N, 3): begin, end and chord of what a part plays, from onset to onset.

    Notes that begin together, with those that still sound, are the chord whose tones they are: of chords with as many
    of them, and as few others, the one on the lowest note. An onset with fewer than two pitch classes goes on with the
    chord before.
    """
    notes = part.notes
    begin = _grid(piece, notes["start"], per_quarter)
    end = np.maximum(begin + 1, _grid(piece, notes["start"] + notes["duration"], per_quarter))
    pitch = notes["pitch"].astype(np.int64)
    onsets = np.unique(np.concatenate([begin, end]))
    found, last = [], NO_CHORD
    for onset in onsets.tolist():
        sounding = np.sort(pitch[(begin <= onset) & (onset < end)])
        if not len(sounding):
            last = NO_CHORD
        elif len(np.unique(sounding % 12)) >= LEAST_TONES:
            last = _nearest(sounding)
        found.append(last)
    return _until_next(onsets, np.array(found, np.int64), end=int(end.max(initial=0)))


def fifths_of(line: np.ndarray, *, written: int | None = None) -> int:
    """The signature, -5 (flats) .. 6 (sharps), of the key that a line (onset, end, pitch) fits best, where there is one
    with that which is `written`; 0 without either.

    >>> fifths_of(np.array([[0, 24, 62], [24, 36, 66], [36, 48, 69], [48, 72, 62]]))
    2
    """
    return signature_of_notes(line[:, 2], line[:, 1] - line[:, 0], written=written)


def _nearest(pitches: np.ndarray) -> int:
    """The chord that sounding pitches, in ascending order, are nearest to."""
    heard, bass = {int(pitch) % 12 for pitch in pitches}, int(pitches[0]) % 12
    scores = []
    for chord in range(1, N_CHORDS):
        tones = pitch_classes(chord)
        fit = 2 * len(heard & tones) - len(heard - tones) - len(tones - heard)
        scores.append((fit, (chord - 1) % 12 == bass, -chord))
    return -max(scores)[2]


def _until_next(at: np.ndarray, chords: np.ndarray, *, end: int) -> np.ndarray:
    """Rows of begin, end, chord in order of time; of chords that begin together the last holds, equal ones are one."""
    order = np.argsort(at, kind="stable")
    at, chords = at[order], chords[order]
    last = np.append(at[1:] != at[:-1], True)[: len(at)]
    at, chords = at[last], chords[last]
    changes = np.append(True, chords[1:] != chords[:-1])[: len(at)]
    at, chords = at[changes], chords[changes]
    stop = np.append(at[1:], max(end, int(at[-1]) + 1 if len(at) else 0))[: len(at)]
    return np.stack([at, stop, chords], axis=1).reshape(-1, 3)


def _grid(piece: Piece, ticks: np.ndarray, per_quarter: int) -> np.ndarray:
    return np.floor(ticks * per_quarter / piece.ticks_per_quarter + 0.5).astype(np.int64)


def is_chordal(notes: np.ndarray) -> bool:
    """Whether most notes (NOTE) of a part begin together with two others or more."""
    if not len(notes):
        return False
    _, count = np.unique(notes["start"], return_counts=True)
    return float(count[count >= 3].sum()) > 0.5 * len(notes)

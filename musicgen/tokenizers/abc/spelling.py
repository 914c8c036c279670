"""Write a piece's highest line as a plain monophonic ABC tune: bar lines, chord symbols, the first K: and M:.

The grid is the 32nd note, the unit length the eighth. Of notes that begin together the highest is kept, and a note ends
where the next one begins; notes across bar lines are tied. Accidentals are written where a note differs from what the
key or an earlier accidental of its letter in the bar says, naturals included. A chord symbol stands before the note or
rest that begins with it, as the triad or seventh chord that the grammar knows; a note that goes on under it is tied.
"""

from __future__ import annotations

import numpy as np

from musicgen.chords import key_name, plain_symbol
from musicgen.melody import skyline
from musicgen.piece import NOTE, Piece
from musicgen.tokenizers.abc.fields import meter_value
from musicgen.words import counted, was

__all__ = ["highest_line", "losses", "spell_tune"]

PER_QUARTER = 8
PER_UNIT = PER_QUARTER // 2
LOWEST, HIGHEST = 36, 107  # C,, to b''': pitches outside are moved by octaves
SHARPS, FLATS = "FCGDAEB", "BEADGCF"
NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
BARS_A_LINE = 4


def spell_tune(piece: Piece, *, until: int | None = None, title: str = "Untitled") -> str:
    """The text of a tune under a title of one line. With `until`, rests continue to that tick and an unfinished last
    bar gets no bar line."""
    starts, _ = piece.bar_starts(max(piece.end, until or 0))
    line = highest_line(piece)
    stop = max(int(line[:, 1].max(initial=0)), int(_grid(piece, np.array(until or 0))))
    numerator, denominator = piece.meter_at(0)
    fifths, minor = _key(piece)
    meter = meter_value(numerator, denominator) or "4/4"
    head = f"X:1\nT:{title}\nM:{meter}\nL:1/8\nK:{key_name(fifths, minor=minor).title()}\n"
    # Cut time at all onsets, note ends and bar lines; each segment is one note or one rest.
    edges = _grid(piece, np.rint(starts).astype(np.int64))
    symbols = _symbols(piece, stop)
    cuts = np.unique(np.concatenate([[0, stop], line[:, 0], line[:, 1], edges, list(symbols)])).astype(np.int64)
    cuts = cuts[cuts <= stop]
    begin, end = cuts[:-1], cuts[1:]
    note = np.searchsorted(line[:, 0], begin, side="right") - 1
    inside = note >= 0
    inside[inside] = begin[inside] < line[note[inside], 1]
    pitch, tied = np.full(len(begin), -1), np.zeros(len(begin), bool)
    pitch[inside] = line[note[inside], 2]
    tied[inside] = end[inside] < line[note[inside], 1]
    letter, shift, texts = _names(fifths)
    signed = np.zeros(len(begin), bool)
    signed[inside] = _signed(
        np.searchsorted(edges, begin[inside], side="right"), pitch[inside], letter=letter, shift=shift, fifths=fifths
    )
    kinds, which = np.unique(((end - begin) << 8 | pitch + 1) << 2 | tied << 1 | signed, return_inverse=True)
    words = []
    for kind in kinds.tolist():
        pitch_of, length, is_tied, has_sign = (kind >> 2 & 255) - 1, kind >> 10, kind & 2, kind & 1
        sign = {0: "=", 1: "^", -1: "_"}[int(shift[pitch_of])] if has_sign else ""
        name = "z" if pitch_of < 0 else sign + texts[pitch_of]
        words.append(name + _length(length) + ("-" if is_tied else ""))
    is_bar = np.isin(end, edges)
    signs = np.where(is_bar, np.where(np.cumsum(is_bar) % BARS_A_LINE == 0, 2, 1), 0)
    out = [
        symbols.get(at, "") + words[w] + ("", "|", "|\n")[sign]
        for at, w, sign in zip(begin.tolist(), which.tolist(), signs.tolist(), strict=True)
    ]
    if until is None and out and not is_bar[-1]:
        out.append("|")
    return head + "".join(out)


def losses(piece: Piece) -> list[str]:
    """What `spell_tune` leaves out, besides timing."""
    melodic = [t for t in piece.tracks if not t.is_drum]
    total, kept = sum(len(t.notes) for t in melodic), len(highest_line(piece))
    lines = []
    if drums := sum(len(t.notes) for t in piece.tracks if t.is_drum):
        lines.append(f"drums: {counted(drums, 'note')} {was(drums)} left out")
    if total > kept:
        lost = total - kept
        lines.append(f"voices: only the highest is written; {lost} of {counted(total, 'note')} {was(lost)} left out")
    if len(piece.meter_segments()[0]) > 1:
        lines.append("meters: only the first is written; bar lines stand where they were")
    pitches = np.concatenate([t.notes["pitch"] for t in melodic]) if melodic else np.empty(0, np.uint8)
    if folded := int(((pitches < LOWEST) | (pitches > HIGHEST)).sum()):
        lines.append(f"pitches: {counted(folded, 'note')} {was(folded)} moved by octaves")
    return lines


def _grid(piece: Piece, ticks: np.ndarray) -> np.ndarray:
    return np.floor(ticks * PER_QUARTER / piece.ticks_per_quarter + 0.5).astype(np.int64)


def highest_line(piece: Piece, *, per_quarter: int = PER_QUARTER) -> np.ndarray:
    """(n, 3): onset, end and pitch of the highest line, on a grid of `per_quarter` steps."""
    tables = [t.notes for t in piece.tracks if not t.is_drum]
    notes = np.concatenate(tables) if tables else np.empty(0, NOTE)
    if not len(notes):
        return np.empty((0, 3), np.int64)
    scale = per_quarter / piece.ticks_per_quarter
    start = np.floor(notes["start"] * scale + 0.5).astype(np.int64)
    end = np.maximum(start + 1, np.floor((notes["start"] + notes["duration"]) * scale + 0.5).astype(np.int64))
    pitch = notes["pitch"].astype(np.int64)
    keep = skyline(start, end, pitch)
    start, end, pitch = start[keep], end[keep], pitch[keep]
    end = np.minimum(end, np.append(start[1:], 2**40))
    low, high = pitch < LOWEST, pitch > HIGHEST
    pitch[low] += 12 * -((pitch[low] - LOWEST) // 12)
    pitch[high] -= 12 * -(-(pitch[high] - HIGHEST) // 12)
    return np.stack([start, end, pitch], axis=1)


def _symbols(piece: Piece, stop: int) -> dict[int, str]:
    """{grid step before `stop`: the chord symbol there, in its quotes}; the last one where several begin together."""
    at = _grid(piece, piece.chords["tick"]).tolist()
    plain = [plain_symbol(symbol) for symbol in piece.chords["symbol"].tolist()]
    return {step: f'"{symbol}"' for step, symbol in zip(at, plain, strict=True) if symbol and 0 <= step < stop}


def _key(piece: Piece) -> tuple[int, bool]:
    """(fifths, whether minor): what the piece says, else C major."""
    keys = piece.keys
    return (int(keys["fifths"][0]), bool(keys["minor"][0])) if len(keys) and keys["tick"][0] == 0 else (0, False)


def _names(fifths: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """For each pitch 0..127: (index of its letter in NATURAL, alteration in semitones, letter with octave marks).

    A pitch is spelled as in the key signature if possible, else as a natural, else as a sharp (a flat in flat keys).
    """
    altered = _altered(fifths)
    letter, shift, texts = np.zeros(128, np.int64), np.zeros(128, np.int64), []
    for pitch in range(128):
        options = [
            (number, name, altered[number] if alter is None else alter)
            for alter in ((None, 0, 1, -1) if fifths >= 0 else (None, 0, -1, 1))
            for number, name in enumerate(NATURAL)
        ]
        number, name, by = next(o for o in options if (NATURAL[o[1]] + o[2] - pitch) % 12 == 0)
        octave = (pitch - by - NATURAL[name]) // 12 - 1
        letter[pitch], shift[pitch] = number, by
        texts.append(name + "," * (4 - octave) if octave <= 4 else name.lower() + "'" * (octave - 5))
    return letter, shift, texts


def _altered(fifths: int) -> list[int]:
    """The alteration of each letter by the key signature, -1, 0 or 1, in the order of NATURAL."""
    flats, sharps = FLATS[: max(0, -fifths)], SHARPS[: max(0, fifths)]
    return [(name in sharps) - (name in flats) for name in NATURAL]


def _signed(bar: np.ndarray, pitch: np.ndarray, *, letter: np.ndarray, shift: np.ndarray, fifths: int) -> np.ndarray:
    """Boolean mask of the notes that need an accidental; one applies to its letter up to the bar line.

    `bar` is the number of each note's bar.
    """
    key = bar * len(NATURAL) + letter[pitch]
    order = np.argsort(key, kind="stable")
    by = shift[pitch[order]]
    fresh = np.append(True, key[order][1:] != key[order][:-1])[: len(order)]
    before = np.where(fresh, np.array(_altered(fifths))[letter[pitch[order]]], np.append(0, by[:-1])[: len(order)])
    result = np.zeros(len(order), bool)
    result[order] = by != before
    return result


def _length(steps: int) -> str:
    """A length in grid steps as an ABC length, a multiple of the unit."""
    whole, rest = divmod(steps, PER_UNIT)
    if not rest:
        return str(whole) if whole > 1 else ""
    over = 2 if rest == 2 else 4
    count = steps * over // PER_UNIT
    return f"{count}/{over}" if count > 1 else f"/{over}"

"""A piece's highest line as a plain ABC tune: one note at a time, a bar line at every bar, K: and M: of its beginning.

The grid is the 32nd note, the unit the eighth. Of notes that begin together the highest stays, and a note ends where
the next one begins; notes across bar lines are tied. Accidentals are written at every note that the key doesn't
give, naturals included, and hold for that note alone, which is how music21 reads text without a version.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import NOTE, Piece
from musicgen.tokenizers.abc_fields import meter_value
from musicgen.words import counted, was

__all__ = ["losses", "spell_tune"]

PER_QUARTER = 8
PER_UNIT = PER_QUARTER // 2
LOWEST, HIGHEST = 36, 107  # C,, to b''': further off the line is folded by octaves
CIRCLE = [letter + sign for sign in ("b", "", "#") for letter in "FCGDAEB"]
MAJOR = dict(zip(range(-7, 8), CIRCLE[1:16], strict=True))  # Cb to C#, by their sharps
MINOR = dict(zip(range(-7, 8), CIRCLE[4:19], strict=True))  # Ab to A#
SHARPS, FLATS = "FCGDAEB", "BEADGCF"
NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
BARS_A_LINE = 4


def spell_tune(piece: Piece, *, until: int | None = None) -> str:
    """The tune's text. It ends in mid-bar where tick `until` or, without one, nothing says that the bar is full."""
    line = _line(piece)
    stop = max(int(line[:, 1].max(initial=0)), _grid(piece, until or 0))
    numerator, denominator = piece.meter_at(0)
    starts, _ = piece.bar_starts(max(piece.end, until or 0))
    edges = sorted({_grid(piece, round(s)) for s in starts.tolist()} | {0})
    fifths, minor = _key(piece)
    meter = meter_value(numerator, denominator) or "4/4"
    head = f"X:1\nT:Untitled\nM:{meter}\nL:1/8\nK:{MINOR[fifths] + ' Minor' if minor else MAJOR[fifths] + ' Major'}\n"
    out, at, bars, waiting = [head], 0, 0, set(edges[1:])
    pieces = [(int(a), int(b), int(p)) for a, b, p in line] + [(stop, stop, -1)]
    lines = np.array([*edges, 2**40])
    held: dict[str, int] = {}  # letters that an accidental of this bar has altered
    for begin, end, pitch in pieces:
        for start, finish, is_rest in ((at, begin, True), (begin, end, False)):
            while start < finish:
                upto = min(finish, int(lines[np.searchsorted(lines, start, side="right")]))
                name = "z" if is_rest else _note(pitch, fifths, held)
                out.append(name + _length(upto - start) + ("-" if upto < finish and not is_rest else ""))
                start = upto
                if start in waiting:
                    waiting.discard(start)
                    held.clear()
                    bars += 1
                    out.append("|" if bars % BARS_A_LINE else "|\n")
            at = max(at, finish)
    if until is None and not out[-1].endswith(("|", "|\n", head)):
        out.append("|")
    return "".join(out)


def losses(piece: Piece) -> list[str]:
    """What `spell_tune` leaves out, beside timing."""
    melodic = [t for t in piece.tracks if not t.is_drum]
    total, kept = sum(len(t.notes) for t in melodic), len(_line(piece))
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


def _grid(piece: Piece, ticks: int) -> int:
    return int(np.floor(ticks * PER_QUARTER / piece.ticks_per_quarter + 0.5))


def _line(piece: Piece) -> np.ndarray:
    """(n, 3): onset, end and pitch of the highest line, on the grid."""
    tables = [t.notes for t in piece.tracks if not t.is_drum]
    notes = np.concatenate(tables) if tables else np.empty(0, NOTE)
    if not len(notes):
        return np.empty((0, 3), np.int64)
    scale = PER_QUARTER / piece.ticks_per_quarter
    start = np.floor(notes["start"] * scale + 0.5).astype(np.int64)
    end = np.maximum(start + 1, np.floor((notes["start"] + notes["duration"]) * scale + 0.5).astype(np.int64))
    pitch = notes["pitch"].astype(np.int64)
    order = np.lexsort((end, pitch, start))
    start, end, pitch = start[order], end[order], pitch[order]
    top = np.append(start[1:] != start[:-1], True)
    start, end, pitch = start[top], end[top], pitch[top]
    # An accompaniment's note below one that still sounds is not the melody.
    keep, reach, height = [], 0, -1
    for i, (a, b, p) in enumerate(zip(start.tolist(), end.tolist(), pitch.tolist(), strict=True)):
        if a < reach and p < height:
            continue
        keep.append(i)
        reach, height = b, p
    start, end, pitch = start[keep], end[keep], pitch[keep]
    end = np.minimum(end, np.append(start[1:], 2**40))
    low, high = pitch < LOWEST, pitch > HIGHEST
    pitch[low] += 12 * -((pitch[low] - LOWEST) // 12)
    pitch[high] -= 12 * -(-(pitch[high] - HIGHEST) // 12)
    return np.stack([start, end, pitch], axis=1)


def _key(piece: Piece) -> tuple[int, bool]:
    """(fifths, whether minor): what the piece says, else C major."""
    keys = piece.keys
    return (int(keys["fifths"][0]), bool(keys["minor"][0])) if len(keys) and keys["tick"][0] == 0 else (0, False)


def _note(pitch: int, fifths: int, held: dict[str, int]) -> str:
    """A pitch in a key: as the key has it, else natural, else a sharp (a flat in flat keys).

    Letters in `held` are altered so for the rest of the bar; the note is added to it where it needs a sign.
    """
    altered = dict.fromkeys(SHARPS[:fifths], 1) if fifths > 0 else dict.fromkeys(FLATS[: max(0, -fifths)], -1)
    for alter in (None, 0, 1, -1) if fifths >= 0 else (None, 0, -1, 1):
        for name, step in NATURAL.items():
            shift = altered.get(name, 0) if alter is None else alter
            if (step + shift) % 12 != pitch % 12:
                continue
            octave = (pitch - shift - step) // 12 - 1
            sign = ""
            if held.get(name, altered.get(name, 0)) != shift:
                sign, held[name] = {0: "=", 1: "^", -1: "_"}[shift], shift
            letter = name + "," * (4 - octave) if octave <= 4 else name.lower() + "'" * (octave - 5)
            return sign + letter
    return "z"


def _length(steps: int) -> str:
    """A length in steps as digits of the unit."""
    whole, rest = divmod(steps, PER_UNIT)
    if not rest:
        return str(whole) if whole > 1 else ""
    over = 2 if rest == 2 else 4
    count = steps * over // PER_UNIT
    return f"{count}/{over}" if count > 1 else f"/{over}"

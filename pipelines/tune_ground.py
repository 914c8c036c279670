"""A piece on the grid of ABC tunes: its tune, all that sounds, its bar lines and its chord symbols.

Which music may hold a tune is told by the names of files and by the instruments; where files don't tell pickups, bar
lines are found in the music.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tune_chords import Heard

from musicgen.chords import chord_of, plain_symbol
from musicgen.piece import Piece
from musicgen.tokenizers.abc.spelling import PER_QUARTER, highest_line

__all__ = ["MOST_BARS", "Ground", "ground_of", "kind_and_title", "plain_chord"]

MOST_BARS = 40  # of a tune
MOST_OFF_GRID = 0.1  # of onsets
# By how much other bar lines must fit better, for files that don't tell pickups, to be better, and to be taken.
BETTER, CLEARLY_BETTER = 0.12, 0.25
VOICES = (52, 53, 54)  # programs
DANCES = {
    "mazur": "Mazurka", "oberek": "Oberek", "kujawiak": "Kujawiak", "krakowiak": "Krakowiak", "polonez": "Polonaise",
    "polonais": "Polonaise", "polska": "Polska", "polka": "Polka", "walc": "Waltz", "valc": "Waltz", "valse": "Waltz",
    "waltz": "Waltz", "walzer": "Waltz", "landler": "Landler", "menuet": "Minuet",
    "minuet": "Minuet", "marsz": "March", "march": "March", "anglai": "Country dance", "anglez": "Country dance",
    "contredans": "Country dance", "kontredans": "Country dance", "galop": "Galop", "ecoss": "Ecossaise",
    "gavot": "Gavotte", "bourre": "Bourree", "gigue": "Jig", "folk_dansar": "Dance", "danc": "Dance", "taniec": "Dance",
    "tance": "Dance", "tanz": "Dance", "polon": "Polonaise", "kozak": "Kozak", "dumk": "Dumka", "koled": "Carol",
    "pastor": "Carol", "quadril": "Quadrille", "rondo": "Rondo", "hymn": "Hymn", "tunebook": "Hymn",
}  # fmt: skip
OF_THE_PEOPLE = "ludu"  # folk songs, set for piano
SONGS = ("piesn", "piosenk", "ludu", "spiew", "song", "lied", "koled", "dumk", "krakowiak", "mazur", "polonez")


@dataclass(frozen=True)
class Ground:
    """A piece on the grid: all notes and those of the tune, (n, 3): begin, end, pitch; bar lines; chord symbols."""

    notes: np.ndarray
    line: np.ndarray
    bars: np.ndarray
    symbols: tuple[Heard, ...]
    fifths: int | None
    meters: tuple[tuple[int, int], ...]  # of each bar


def kind_and_title(entry: dict[str, Any]) -> tuple[str, str]:
    """The kind of the tunes of a piece (song, dance, piano, chorale, folk, lead sheet), and a title for them."""
    source = entry["source"].lower()
    name = next((title for word, title in DANCES.items() if word in source.rpartition("/")[2]), "")
    if entry["source"].startswith("openewld"):
        return "lead sheet", "Song"
    if entry["kind"] == "chorale":
        return "chorale", "Chorale"
    if entry["kind"] == "song":
        return "song", name or "Song"
    if entry["kind"] == "ensemble":
        return "song", name or "Song"
    if entry["kind"] == "folk" or OF_THE_PEOPLE in source:
        return "folk", name or "Tune"
    return ("dance" if name else "piano"), name or "Tune"


def _is_song(entry: dict[str, Any]) -> bool:
    return any(word in entry["source"].lower() for word in SONGS)


def ground_of(piece: Piece, entry: dict[str, Any], kind: str) -> Ground | None:
    """The piece on the grid; None where it holds no tune that can be told from the rest. `kind` is that of tunes."""
    played = [track for track in piece.tracks if len(track.notes) and not track.is_drum]
    if not played or (kind == "piano" and entry["bars"] > MOST_BARS):
        return None
    voices = sum(track.program in VOICES for track in played)
    if entry["kind"] == "ensemble" and (played[0].program not in VOICES or (voices > 1 and not _is_song(entry))):
        return None
    scale = PER_QUARTER / piece.ticks_per_quarter
    onsets = played[0].notes["start"] * scale
    if np.mean(np.abs(onsets - np.rint(onsets)) > 0.02) > MOST_OFF_GRID:
        return None
    line = highest_line(replace(piece, tracks=(played[0],)))
    notes = np.concatenate([_rows(track.notes, scale) for track in played])
    starts, segments = piece.bar_starts(max(0, piece.end - 1))
    _, numerators, denominators = piece.meter_segments()
    meters = list(zip(numerators[segments].tolist(), denominators[segments].tolist(), strict=True))
    length = max(1, meters[-1][0] * 4 * PER_QUARTER // meters[-1][1])
    bars = np.append(np.rint(starts * scale), np.rint(starts[-1] * scale) + length).astype(np.int64)
    if kind in ("dance", "piano") and len(set(meters)) == 1:
        shift = _pickup(notes, bars, length)
        if shift is None:
            return None
        if shift:
            bars = np.concatenate([[0], bars[:-1] + shift])
            meters = [meters[0], *meters][: len(bars) - 1]
            if bars[-1] < notes[:, 1].max():
                bars, meters = np.append(bars, bars[-1] + length), [*meters, meters[0]]
    symbols = tuple(
        Heard(round(int(tick) * scale), *plain_chord(str(symbol)))
        for tick, symbol in zip(piece.chords["tick"], piece.chords["symbol"], strict=True)
        if plain_symbol(str(symbol))
    )
    fifths = int(piece.keys["fifths"][0]) if len(piece.keys) and piece.keys["tick"][0] == 0 else None
    return Ground(notes, line, bars, symbols, fifths, tuple(meters))


def _rows(notes: np.ndarray, scale: float) -> np.ndarray:
    begin = np.rint(notes["start"] * scale).astype(np.int64)
    end = np.maximum(begin + 1, np.rint((notes["start"] + notes["duration"]) * scale).astype(np.int64))
    return np.stack([begin, end, notes["pitch"].astype(np.int64)], axis=1)


def plain_chord(symbol: str) -> tuple[int, str]:
    """(root as a pitch class, quality) of a chord symbol that `plain_symbol` knows."""
    plain = plain_symbol(symbol)
    assert plain is not None
    chord = chord_of(plain)
    assert chord is not None
    return chord[0], plain.lstrip("ABCDEFG").lstrip("#b")


def _pickup(notes: np.ndarray, bars: np.ndarray, length: int) -> int | None:
    """How far bar lines must move, as the files don't tell a pickup: 0 or more grid steps; None if it isn't clear.

    On the first of a bar few notes are held over, many begin, and the lowest lie.
    """
    unit = PER_QUARTER // 2 if length % (PER_QUARTER // 2) == 0 else 1
    low = np.quantile(notes[:, 2], 0.25)
    found = []
    for shift in range(0, length, unit):
        lines = np.arange(shift if shift else length, notes[:, 1].max(), length)
        if len(lines) < 4:
            return 0
        held = np.mean([np.any((notes[:, 0] < at) & (notes[:, 1] > at)) for at in lines])
        begins = np.mean([np.any(notes[:, 0] == at) for at in lines])
        deep = np.mean([np.any((notes[:, 0] == at) & (notes[:, 2] <= low)) for at in lines])
        found.append((begins + deep - 1.5 * held, shift))
    best, shift = max(found)
    if found[0][0] >= best - BETTER:
        return 0
    return shift if best - found[0][0] > CLEARLY_BETTER else None

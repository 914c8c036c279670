"""What comes back of a piece: the rhythm of a bar in all new bars, the melody of a bar in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import NOTE, notes_array
from musicgen.sampling.keeps import Bars, Keeps
from musicgen.tokenizers.constraints import DRUMS, Mask
from musicgen.tokenizers.constraints.mask import AllOf
from musicgen.tokenizers.constraints.patterns import Pattern, Stroke
from musicgen.tokenizers.place import BarPlace
from musicgen.words import counted

if TYPE_CHECKING:
    from musicgen.sampling.kept import Ground

__all__ = ["Reprise", "motif", "rhythms"]

FARTHEST = 7  # scale degrees or semitones that a motif is transposed by at most


@dataclass(frozen=True)
class Reprise:
    """A pattern, and the ticks from the bar line at which each of its steps began in the piece."""

    pattern: Pattern
    exact: Mapping[int, int]


def rhythms(keeps: Keeps, ground: Ground) -> dict[tuple[int, int], Reprise]:
    """(player, new bar) -> the rhythm that is borrowed. A player that rests in its bar may play on the onsets of all.

    Raises UsageError for a bar that isn't there, or has no notes.
    """
    asked = keeps.rhythm_bars
    if asked is None:
        return {}
    found: dict[tuple[int, int], Reprise] = {}
    players = list(ground.players) if asked.part is None else ground.named(asked.part, "`rhythm`")
    everyone = _notes_of_bar(ground, asked, "`rhythm`", [t for t, _ in enumerate(ground.piece.tracks)])
    for player in players:
        mine = _notes_of_bar(ground, asked, "`rhythm`", ground.players[player].tracks)
        if not len(mine) and (asked.part is not None or not len(everyone)):
            raise UsageError(
                f"`rhythm`: bar {asked.bar + 1} has no notes{f' of {asked.part}' if asked.part else ''}",
                hint="name a bar with notes",
            )
        for bar, steps in enumerate(ground.steps):
            source = mine if len(mine) else everyone
            reprise = _reprise(source, steps, ground)
            strokes = tuple(replace(stroke, pitch=None) for stroke in reprise.pattern.strokes)
            found[player, bar] = replace(reprise, pattern=Pattern(strokes, is_free=not len(mine)))
    return found


def motif(
    keeps: Keeps, ground: Ground, *, masks: tuple[Mask, ...], scale: frozenset[int] | None
) -> dict[tuple[int, int], Reprise]:
    """(player, new bar) -> the melody that comes back there, transposed as little as the masks ask for, by steps of the
    scale where there is one.

    Raises UsageError for a bar that isn't there or has no melody, and where the melody fits nowhere.
    """
    asked = keeps.motif_bars
    if asked is None:
        return {}
    at = ground.bars // 2 if asked.goes_to is None else asked.goes_to - ground.first_bar
    if not 0 <= at < ground.bars:
        first = ground.first_bar + 1
        what = f"`motif`: bar {ground.first_bar + at + 1} is no new bar"
        raise UsageError(what, hint=f"new bars are {first} to {first + ground.bars - 1}")
    player, line = _melody(asked, ground)
    steps = ground.steps[at]
    own = _reprise(line, steps, ground)
    places = [_place(ground, at, stroke.position, player) for stroke in own.pattern.strokes]
    pitches = [stroke.pitch or 0 for stroke in own.pattern.strokes]
    held = AllOf(masks)
    for moved in _transposed(pitches, scale):
        if all(
            0 <= pitch <= 127 and held.pitches(place, player, kit=False)[pitch]
            for place, pitch in zip(places, moved, strict=True)
        ):
            strokes = tuple(replace(s, pitch=p) for s, p in zip(own.pattern.strokes, moved, strict=True))
            return {(player, at): replace(own, pattern=Pattern(strokes))}
    what = f"`motif`: the melody of bar {asked.bar + 1} doesn't fit bar {ground.first_bar + at + 1}, however transposed"
    raise UsageError(what, hint="loosen key, chords or range, or name another place: BAR@PLACE")


def _melody(asked: Bars, ground: Ground) -> tuple[int, np.ndarray]:
    """(the player, the highest note of each of its onsets in the bar) of the part that is named, or the highest."""
    players = list(ground.players) if asked.part is None else ground.named(asked.part, "`motif`")
    found = []
    for player in players:
        if ground.players[player].program != DRUMS:
            notes = _notes_of_bar(ground, asked, "`motif`", ground.players[player].tracks)
            if len(notes):
                found.append((float(notes["pitch"].mean()), player, notes))
    if not found:
        what = f"`motif`: bar {asked.bar + 1} has no melody"
        raise UsageError(what, hint="name a bar in which a melodic part plays that gets new notes")
    _, player, notes = max(found, key=lambda each: each[:2])
    order = np.lexsort((-notes["pitch"].astype(np.int64), notes["start"]))
    notes = notes[order]
    return player, notes[np.unique(notes["start"], return_index=True)[1]]


def _notes_of_bar(ground: Ground, asked: Bars, option: str, tracks: tuple[int, ...] | list[int]) -> np.ndarray:
    """The notes that begin in the bar, with onsets counted from its line."""
    piece = ground.piece
    lines, _ = piece.bar_starts(max(0, piece.end - 1))
    if asked.bar >= len(lines) or not piece.n_notes:
        count = counted(len(lines) if piece.n_notes else 0, "bar")
        raise UsageError(f"{option}: there is no bar {asked.bar + 1}", hint=f"the piece has {count}")
    per_step = ground.per_step
    begin = round(float(lines[asked.bar]))
    end = round(float(lines[asked.bar + 1])) if asked.bar + 1 < len(lines) else np.iinfo(np.int64).max
    tables = [np.empty(0, NOTE), *(piece.tracks[t].notes for t in tracks)]
    notes = np.concatenate(tables)
    # What is played slightly before the bar line belongs to the bar.
    mine = (notes["start"] >= begin - per_step / 2) & (notes["start"] < end - per_step / 2)
    found = notes_array(notes[mine])
    found["start"] = np.maximum(0, found["start"] - begin)
    return found


def _reprise(notes: np.ndarray, steps: int, ground: Ground) -> Reprise:
    """The onsets, lengths and highest pitches of a bar's notes, on the grid of a bar of `steps`."""
    at = np.rint(notes["start"] / ground.per_step).astype(int)
    lengths = np.maximum(1, np.rint(notes["duration"] / ground.per_step)).astype(int)
    strokes, exact = [], {}
    for position in np.unique(at[at < steps]).tolist():
        mine = at == position
        ends = tuple(sorted({min(length, steps - position) for length in lengths[mine].tolist()}))
        strokes.append(Stroke(position, ends, int(notes["pitch"][mine].max())))
        exact[position] = int(notes["start"][mine].min())
    return Reprise(Pattern(tuple(strokes)), exact)


def _place(ground: Ground, bar: int, position: int, player: int) -> BarPlace:
    """The place of an onset in a new bar, for masks to be asked."""
    place = BarPlace(ground.tokenizer.steps, window_steps=1)
    place.bars, place.bar_steps, place.position, place.player = bar + 1, ground.steps[bar], position, player
    return place


def _transposed(pitches: list[int], scale: frozenset[int] | None) -> list[list[int]]:
    """The melody and its transpositions, the nearest first: by degrees of the scale, then by semitones."""
    out = [pitches]
    ladder = [pitch for pitch in range(-24, 152) if scale and pitch % 12 in scale]
    for far in range(1, FARTHEST + 1):
        for move in (far, -far):
            if ladder:
                out.append([_by_degrees(pitch, move, ladder) for pitch in pitches])
    for far in range(1, 13):
        out += [[pitch + move for pitch in pitches] for move in (far, -far)]
    return out


def _by_degrees(pitch: int, move: int, ladder: list[int]) -> int:
    """A pitch moved by degrees of the scale; one between two degrees becomes the lower."""
    below = max(n for n, each in enumerate(ladder) if each <= pitch)
    return ladder[below + move]

"""Which model is to continue a piece, by looking at the piece and at what is asked.

A model says in its card what it is for: `"for": "folk"`, tunes with chords, or `"piano"`, played piano. One is only
picked where it is here and can do all that is asked; else it is `default`, which continues any music.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import MusicgenError
from musicgen.io.bounded import read_json
from musicgen.piece import Piece
from musicgen.resources import known_models
from musicgen.tokenizers.bars.voices import is_played

__all__ = [
    "ANY_MUSIC",
    "AUTO",
    "DEFAULT",
    "HONOURED",
    "NAMED",
    "Picked",
    "kind_of_music",
    "known_cards",
    "picked",
    "writes_text",
]

AUTO, DEFAULT = "auto", "default"
ANY_MUSIC, NAMED = "any music", "named"  # reasons: the music is of no special kind; somebody asked for this model
PIANOS = range(8)  # General MIDI programs
PEDAL = 64
ONE_AT_A_TIME = 0.95  # the least share of onsets that have one note, of a tune
# What can be asked of a model of a kind, beside bars and how boldly it draws, by the names of parameters.
HONOURED: dict[str, frozenset[str]] = {
    "folk": frozenset({"`max_polyphony`"}),
    "piano": frozenset({"`seconds`", "`start`", "`keep_rest`", "`played`"}),
}
MOST_CARD = 8_000_000  # bytes


@dataclass(frozen=True)
class Picked:
    """The name of a model, and why it is that one, in words."""

    model: str
    reason: str

    @property
    def is_default(self) -> bool:
        return self.model == DEFAULT


def kind_of_music(piece: Piece, *, as_text: bool = False) -> tuple[str | None, str]:
    """(kind of model that a piece is for, or None for `default`; why, in words). `as_text`: ABC is asked for.

    A tune whose ABC nobody asks for is for `default` too, which goes on nearer to how people do (RESULTS.md).

    >>> kind_of_music(Piece())
    (None, 'any music')
    """
    parts = [track for track in piece.tracks if len(track.notes)]
    if not parts or any(track.is_drum for track in parts):
        return None, ANY_MUSIC
    if as_text and len(parts) == 1 and _is_line(parts[0].notes):
        return "folk", f"one line of melody{' with chord symbols' * bool(len(piece.chords))}, to be written as ABC"
    if all(track.program in PIANOS for track in parts) and is_played(piece):
        pedal = any((track.controls["number"] == PEDAL).any() for track in parts)
        return "piano", "piano alone, onsets off the grid" + ", with pedal" * pedal
    return None, ANY_MUSIC


def picked(
    piece: Piece, *, cards: Mapping[str, Mapping[str, Any]], asked: Iterable[str] = (), as_text: bool = False
) -> Picked:
    """The model for a piece: one of `cards`, {name: card} of the models that are here, or `default`.

    `asked` are the parameters that are set and that not every model can honour, such as "`tracks`".
    """
    kind, why = kind_of_music(piece, as_text=as_text)
    if kind is None:
        return Picked(DEFAULT, why)
    beyond = [option for option in asked if option not in HONOURED[kind]]
    if beyond:
        return Picked(DEFAULT, f"{why}, but {beyond[0]} is asked for, which models for {kind} can't honour")
    fitting = [name for name, card in cards.items() if card.get("for") == kind]
    if not fitting:
        return Picked(DEFAULT, f"{why}, but no model for {kind} is here")
    return Picked(fitting[0], why)


def known_cards() -> dict[str, dict[str, Any]]:
    """{name: card} of the models that come along, then of those that were fetched; a card that can't be read is left
    out."""
    found = {}
    for name, folder in reversed(known_models().items()):
        try:
            found[name] = read_json(folder / "card.json", most=MOST_CARD)
        except MusicgenError:
            continue
    return found


def writes_text(model: str | os.PathLike[str]) -> bool:
    """Whether a run folder, or a known model, writes ABC text; False where that can't be read."""
    folder = Path(model)
    if not folder.exists():
        folder = known_models().get(os.fspath(model), folder)
    try:
        return bool(read_json(folder / "tokenizer.json").get("name") == "abc")
    except MusicgenError:
        return False


def _is_line(notes: np.ndarray) -> bool:
    """Whether nearly all notes begin alone."""
    return len(np.unique(notes["start"])) >= ONE_AT_A_TIME * len(notes)

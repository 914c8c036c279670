"""How surprising each note of a piece is to a model: its nats, by what is told of it (pitch, duration, onset, ...).

A note's nats are those of all that tells of it: its onset and its player, then pitch, duration and velocity. Bars,
meters, tempi and the end of the piece are told too, and counted apart, so that all together are the nats of the piece
as `evaluate` gives them. What a tokenizer merges is read as one note.

Wrong notes stand out by the nats of their pitch: a note that moves in the pitch alone makes its rhythm and loudness no
less likely (`pipelines/benchmarks/surprise.py`).

Shapes: N notes, ordered by (tick, track, pitch); T steps, F fields, K what is told of a note.

Source: Pearce and Wiggins 2006, "Expectation in melody: the influence of context and learning" (information content of
notes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.errors import UsageError
from musicgen.evaluation.likelihood import field_nats
from musicgen.models import SequenceModel
from musicgen.piece import Piece
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.bars.grid import BarGrid
from musicgen.tokenizers.base import Spelled
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["KINDS", "Surprise", "surprise"]

KINDS = ("pitch", "duration", "velocity", "onset", "part")
_TOKENS = {"position": "onset", "program": "part"}  # kinds of tokens that bear another name


@dataclass(frozen=True)
class Surprise:
    """The notes that a model reads of a piece, and the nats of each.

    `tick`, `duration` (ticks of the piece), `track` (its index in the piece) and `pitch` are (N,) int64; `nats_NK` is
    (N, 5) float64 in the order of KINDS. `other` are the nats of all that is no note, `merged` the number of notes that
    were merged with others. `at` (N,) are the steps of the model's ids at which it predicts the pitches.
    """

    tick: np.ndarray
    duration: np.ndarray
    track: np.ndarray
    pitch: np.ndarray
    nats_NK: np.ndarray
    other: float
    merged: int
    at: np.ndarray

    @property
    def nats(self) -> np.ndarray:
        """(N,): the nats of each note."""
        result: np.ndarray = self.nats_NK.sum(axis=1)
        return result

    @property
    def ranked(self) -> np.ndarray:
        """(N,): the notes' indices, those with the most surprising pitches first; of equals the earlier one."""
        return np.argsort(-self.nats_NK[:, 0], kind="stable")


def surprise(model: SequenceModel, piece: Piece, *, tokenizer: Tokenizer) -> Surprise:
    """The surprise of each note of a piece, read from its beginning; a long piece in windows, as `step_nats` does.

    Raises UsageError for a piece without notes, and for a tokenizer that places no notes in bars (frames, text,
    performances).
    """
    if not tokenizer.steps or "pitch" not in tokenizer.vocabulary.sizes:
        what = f"the tokenizer {tokenizer.name} doesn't tell notes one by one in bars, so they have no surprise each"
        raise UsageError(what, hint="use a model with the tokenizer parts, notes or remi")
    if not piece.n_notes:
        raise UsageError("the piece has no notes")
    ids = tokenizer.encode(piece).astype(np.int64)
    spelled = tokenizer.notes(ids)
    if spelled is None:
        raise UsageError(f"the tokenizer {tokenizer.name} places no notes", hint="use one with bars, such as parts")
    model.eval()
    nats_TF = field_nats(model, ids, Scoring.of(tokenizer, next(model.parameters()).device))
    nats_NK = _of_rows(nats_TF, spelled) if len(tokenizer.fields) > 1 else _of_tokens(nats_TF[:, 0], ids, tokenizer)
    table = _aligned(piece, tokenizer, spelled)
    order = np.lexsort((table[:, 3], table[:, 2], table[:, 0]))
    tick, duration, track, pitch = table[order].T
    other = float(nats_TF.sum() - nats_NK.sum())
    merged = piece.n_notes - len(table)
    return Surprise(tick, duration, track, pitch, nats_NK[order], other, merged, spelled.at[order])


def _of_rows(nats_TF: np.ndarray, spelled: Spelled) -> np.ndarray:
    """(N, K) where steps have fields: a row has the onset and the player of the note in the next row."""
    return np.concatenate([nats_TF[spelled.at, :3], nats_TF[spelled.at - 1, 3:5]], axis=1)


def _of_tokens(nats_T: np.ndarray, ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """(N, K) of single ids: what stands before a pitch (position, program) is of that note, as is what follows it."""
    v = tokenizer.vocabulary
    told = ids[1:]
    is_pitch = v.is_kind(told, "pitch") | (v.is_kind(told, "drum") if "drum" in v.sizes else False)
    result = np.zeros((int(is_pitch.sum()), len(KINDS)))
    before, upto = np.cumsum(is_pitch) - is_pitch, np.cumsum(is_pitch) - 1
    for kind in ("pitch", "duration", "velocity", "position", "program"):
        mine = is_pitch if kind == "pitch" else v.is_kind(told, kind)
        note = before if kind in ("position", "program") else upto
        mine = mine & (note < len(result))  # a tempo's position behind the last note is of none
        np.add.at(result[:, KINDS.index(_TOKENS.get(kind, kind))], note[mine], nats_T[mine])
    return result


def _aligned(piece: Piece, tokenizer: Tokenizer, spelled: Spelled) -> np.ndarray:
    """(N, 4): tick, duration, track, pitch of the piece's note behind each spelled one; of merged ones the longest."""
    parts = tokenizer.as_parts
    players = {n: DRUMS if t.is_drum else t.program for n, t in enumerate(piece.tracks)}
    if parts is not None:
        players = {n: number for number, voice in enumerate(parts.voices(piece)) for n in voice.tracks}
    grid = BarGrid(piece, max(int(t.notes["start"].max(initial=0)) for t in piece.tracks) + 1, tokenizer.steps)
    found: dict[tuple[int, int, int, int], tuple[int, int, int, int]] = {}
    for number, track in enumerate(piece.tracks):
        bar, position = grid.place(track.notes["start"])
        pitch = track.notes["pitch"].astype(np.int64)
        keys = zip(bar.tolist(), position.tolist(), pitch.tolist(), strict=True)
        for (at, where, key), note in zip(keys, track.notes.tolist(), strict=True):
            mine = at, where, players[number], key
            if mine not in found or found[mine][1] < note[1]:
                found[mine] = (note[0], note[1], number, note[2])
    read = np.stack([spelled.bar, spelled.position, spelled.program, spelled.pitch], axis=1).tolist()
    return np.array([found[bar, position, player, pitch] for bar, position, player, pitch in read], np.int64)

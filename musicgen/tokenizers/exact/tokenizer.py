"""The `exact` tokenizer: a step a note, with its times in milliseconds and its velocity as it is.

A step has the fields pitch (or drum), inter-onset time since the note before it, velocity, and length. Notes of all
parts stand in one row, by onset, then drums behind the others, then by pitch; those of a chord have an inter-onset time
of 0 or some milliseconds. The performance begins with its first note: silence before it is left out.

Nothing is on a grid, and times are numbers more than tokens. So it is for models that give them a density
(`train --task perform`), and none that draws steps one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import NOTE, Piece, Track
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.grammar import Grammar
from musicgen.words import counted

__all__ = ["LONGEST_MS", "Exact", "ExactSettings"]

LONGEST_MS = 16_000  # of an inter-onset time or a length: longer ones are cut
TICKS_PER_QUARTER = 500  # of decoded pieces: at 120 quarters a minute, where no tempo is given, a tick is 1 ms


@dataclass(frozen=True)
class ExactSettings:
    """There is nothing to set."""


class Exact(Tokenizer):
    """Piece <-> ids, (T, 4): pitch or drum, inter-onset time, velocity, length."""

    name = "exact"
    steps_of = (("pitch", "bos"), ("ioi", "ioi"), ("velocity", "velocity"), ("length", "length"))
    Settings = ExactSettings
    settings: ExactSettings

    def _kinds(self) -> dict[str, int]:
        keys = {"pad": 1, "bos": 1, "eos": 1, "pitch": 128, "drum": 128}
        return {**keys, "ioi": LONGEST_MS + 1, "velocity": 128, "length": LONGEST_MS + 1}

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids, (T, 4) uint16, from BOS to EOS; `until` changes nothing, as silence has no step."""
        onset, length, notes, is_drum = _played(piece)
        v = self.vocabulary
        rows = np.zeros((len(notes) + 2, 4), np.int64)
        rows[0, 0], rows[-1, 0] = v.id("bos"), v.id("eos")
        inside = rows[1:-1]
        inside[:, 0] = notes["pitch"] + np.where(is_drum, v.base["drum"], v.base["pitch"])
        inside[:, 1] = v.base["ioi"] + np.minimum(np.diff(onset, prepend=onset[:1]), LONGEST_MS)
        inside[:, 2] = notes["velocity"].astype(np.int64) + v.base["velocity"]
        inside[:, 3] = v.base["length"] + np.clip(length, 1, LONGEST_MS)
        return rows.astype(np.uint16)

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode: a piano, and drums where there are some; a tick is a millisecond."""
        v = self.vocabulary
        rows = np.asarray(ids).astype(np.int64).reshape(-1, 4)
        rows = rows[rows[:, 0] >= v.base["pitch"]]
        onset = np.cumsum(np.maximum(rows[:, 1] - v.base["ioi"], 0))
        is_drum = rows[:, 0] >= v.base["drum"]
        notes = np.zeros(len(rows), NOTE)
        notes["start"] = onset
        notes["pitch"] = (rows[:, 0] - v.base["pitch"]) % 128
        notes["velocity"] = np.clip(rows[:, 2] - v.base["velocity"], 1, 127)
        notes["duration"] = np.maximum(rows[:, 3] - v.base["length"], 1)
        # Notes of a part are sorted by (start, pitch), as the steps are.
        tracks = tuple(
            Track("", 0, drums, notes[is_drum == drums]) for drums in (False, True) if (is_drum == drums).any()
        )
        return Piece(TICKS_PER_QUARTER, tracks)

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` leaves out or clips, besides what is shorter than a millisecond."""
        onset, length, _, _ = _played(piece)
        lines = []
        programs = {t.program for t in piece.tracks if len(t.notes) and not t.is_drum}
        if programs - {0}:
            lines.append(f"programs: {counted(len(programs), 'instrument')} became one piano")
        if long := int((length > LONGEST_MS).sum()):
            lines.append(f"durations: {counted(long, 'note')} longer than {LONGEST_MS // 1000} s shortened")
        if long := int((np.diff(onset) > LONGEST_MS).sum()):
            lines.append(f"silences: {counted(long, 'silence')} longer than {LONGEST_MS // 1000} s shortened")
        return lines

    def count_notes(self, ids: np.ndarray) -> int:
        return int((np.asarray(ids)[:, 0] >= self.vocabulary.base["pitch"]).sum())

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """None: performances have no bars."""
        return np.zeros(0, np.int64)

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        return ids[max(0, len(ids) - room) :]

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` with all times divided by 2 ** (steps / 12)."""
        if not steps:
            return ids
        v, out = self.vocabulary, np.array(ids)
        is_note = out[:, 0] >= v.base["pitch"]
        for column, kind, least in ((1, "ioi", 0), (3, "length", 1)):
            times = np.rint((out[is_note, column].astype(np.int64) - v.base[kind]) * 2 ** (-steps / 12))
            out[is_note, column] = v.base[kind] + np.clip(times, least, LONGEST_MS).astype(np.int64)
        return out

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """Raises UsageError: no steps are drawn."""
        raise self._refusal()

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> Grammar:
        """Raises UsageError: no steps are drawn."""
        raise self._refusal()

    def _refusal(self) -> UsageError:
        what = "the tokenizer exact is for models of how notes are played, and none that writes notes"
        return UsageError(what, hint="choose another, such as performance")


def _played(piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(onset, length, notes, whether they are drums) of all notes in the order of steps; times are milliseconds."""
    tracks = [track for track in piece.tracks if len(track.notes)]
    notes = np.concatenate([track.notes for track in tracks]) if tracks else np.empty(0, NOTE)
    is_drum = np.repeat([track.is_drum for track in tracks], [len(track.notes) for track in tracks]).astype(bool)
    ends = notes["start"].astype(np.int64) + notes["duration"]
    onset, end = (np.floor(1000 * piece.to_seconds(ticks) + 0.5).astype(np.int64) for ticks in (notes["start"], ends))
    order = np.lexsort((notes["pitch"], is_drum, onset))
    return onset[order], (end - onset)[order], notes[order], is_drum[order]

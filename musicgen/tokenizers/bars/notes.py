"""The `notes` tokenizer: one step for each note, a row of five fields: a note, then the next one's onset and program.

| pitch | duration | velocity | onset | part |
|---|---|---|---|---|
| - | - | - | bos | - |
| - | - | - | bar | meter |
| - | - | - | position in the bar | tempo |
| - | - | - | position in the bar | program of the first note |
| its pitch, or drum | its duration | its velocity | position of the second note | program of the second |
| the second's pitch | ... | ... | bar | meter |

A model reads one step at a time. Rows end with onset and part, so that before a model predicts a pitch it has read the
note's onset and player, and can attend to what was played there before. Onset and part depend on the rhythm and
the current note, which a small output head can predict. A note with the same onset as the one before repeats its
position. All fields share one vocabulary with a range of ids for each field, so a row is five ids, and an empty field
is `pad`, 0. The order of notes, the grid and the ranges are those of `music.py`: what `remi` encodes in four or five
tokens is one row here.

Sources: Hsiao et al. 2021, "Compound Word Transformer" (fields in one step); Dong et al. 2023, "Multitrack Music
Transformer", section 3 (a note a step); Ryu et al. 2024, "Nested Music Transformer" (fields one after another).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from musicgen.piece import Piece
from musicgen.tokenizers.bars.grid import DENOMINATORS
from musicgen.tokenizers.bars.music import N_TEMPOS, SPAN_QUARTERS, BarMusic
from musicgen.tokenizers.bars.notes_grammar import NotesGrammar
from musicgen.tokenizers.base import Spelled
from musicgen.tokenizers.constraints import DRUMS, Constraints

__all__ = ["Notes"]

PITCH, DURATION, VELOCITY, ONSET, PART = range(5)


class Notes(BarMusic):
    """Piece <-> rows of five ids."""

    name = "notes"
    steps_of: ClassVar[tuple[tuple[str, str], ...]] = (
        ("pitch", "pitch"), ("duration", "duration"), ("velocity", "velocity"), ("onset", "bos"), ("part", "meter"),
    )  # fmt: skip
    player = "program"  # the kind of token that names the player
    shuffles = True

    def _kinds(self) -> dict[str, int]:
        return {
            "pad": 1,
            "pitch": 128,
            "drum": 128,
            "duration": len(self.durations),
            "velocity": 32,
            "bos": 1,
            "eos": 1,
            "bar": 1,
            "span": 1,
            "position": SPAN_QUARTERS * self.steps,
            "meter": 64 * len(DENOMINATORS),
            "tempo": N_TEMPOS,
            "program": 129,
        }

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as rows, (T, 5) uint16, from BOS to EOS. `until`: see `items`."""
        v = self.vocabulary
        i = self.items(piece, until)
        at = np.arange(1, len(i.slot) + 1) + np.cumsum(i.spans)  # span rows precede the onset they lead to
        rows = np.zeros((len(i.slot) + int(i.spans.sum()) + 2, 5), np.uint16)
        rows[0, ONSET], rows[-1, ONSET] = v.id("bos"), v.id("eos")
        for back in range(1, int(i.spans.max(initial=0)) + 1):
            rows[at[i.spans >= back] - back, ONSET] = v.id("span")
        rows[at, ONSET] = np.where(
            i.is_bar, v.id("bar"), v.base["position"] + i.position % (SPAN_QUARTERS * self.steps)
        )
        rows[at[i.is_bar], PART] = v.base["meter"] + i.meter
        rows[at[i.is_tempo], PART] = v.base["tempo"] + i.tempo
        leading, program = at[i.is_note], i.program[i.is_note]  # the rows with each note's position and program
        rows[leading, PART] = v.base["program"] + program
        rows[leading + 1, PITCH] = np.where(program == DRUMS, v.base["drum"], v.base["pitch"]) + i.pitch
        rows[leading + 1, DURATION] = v.base["duration"] + i.duration
        rows[leading + 1, VELOCITY] = v.base["velocity"] + i.velocity
        return rows

    def notes(self, ids: np.ndarray) -> Spelled:
        """The notes in any slice of ids. Notes before the first bar token are left out."""
        v = self.vocabulary
        rows = np.asarray(ids).astype(np.int64)
        bar, position = self._places(rows)
        # The position of a note in the first row would be in the row before it.
        at = np.flatnonzero(v.is_kind(rows[1:, DURATION], "duration") & (bar[:-1] >= 0)) + 1
        pitch = rows[at, PITCH]
        return Spelled(
            at - 1,
            bar[at - 1],
            position[at - 1],
            rows[at - 1, PART] - v.base[self.player],
            pitch - np.where(v.is_kind(pitch, "drum"), v.base["drum"], v.base["pitch"]),
            self.velocity_of(rows[at, VELOCITY] - v.base["velocity"]),
            self.durations[rows[at, DURATION] - v.base["duration"]],
        )

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode; see `piece_of`."""
        v = self.vocabulary
        rows = np.asarray(ids).astype(np.int64)
        bar, position = self._places(rows)
        meter = rows[rows[:, ONSET] == v.id("bar"), PART] - v.base["meter"]
        at = np.flatnonzero(v.is_kind(rows[:, PART], "tempo") & (bar >= 0))
        tempo = (bar[at], position[at], rows[at, PART] - v.base["tempo"])
        return self.piece_of(self.notes(rows), meter=meter, tempo=tempo)

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bar, grid position) of every row; bars are numbered from 0, -1 before the first."""
        v = self.vocabulary
        is_bar = rows[:, ONSET] == v.id("bar")
        span = np.cumsum(rows[:, ONSET] == v.id("span"))
        bar_at = np.maximum.accumulate(np.where(is_bar, np.arange(len(rows)), 0))
        window = (span - span[bar_at]) * (SPAN_QUARTERS * self.steps)
        return np.cumsum(is_bar) - 1, rows[:, ONSET] - v.base["position"] + window

    def with_notes_shuffled(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with the notes dealt anew to the onsets: bars and onsets stay, and which note begins there is random.

        A note takes its pitch, duration, velocity and player along. One in the first row stays: its player is said
        before it.
        """
        at = np.flatnonzero(ids[1:, DURATION]) + 1
        dealt = rng.permutation(at)
        out = ids.copy()
        out[at, : VELOCITY + 1] = ids[dealt, : VELOCITY + 1]
        out[at - 1, PART] = ids[dealt - 1, PART]
        return out

    def count_notes(self, ids: np.ndarray) -> int:
        return int((np.asarray(ids)[:, DURATION] != 0).sum())

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.asarray(ids)[:, ONSET] == self.vocabulary.id("bar"))

    def _tail_of_bar(self, ids: np.ndarray, bar: int, room: int) -> np.ndarray:
        left_out, kept = ids[bar : len(ids) - room + 1], ids[len(ids) - room + 1 :].copy()
        head = left_out[np.isin(left_out[:, ONSET], [self.vocabulary.id("bar"), self.vocabulary.id("span")])]
        for rows in (head, kept[:1]):
            rows[:, :ONSET] = 0  # their notes belong to rows that are left out
        return np.concatenate([head, kept])

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> NotesGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a piece (after BOS)."""
        walker = NotesGrammar(self.vocabulary, self.steps, self.durations, constraints)
        if inside:
            for token in (0, 0, 0, self.vocabulary.id("bos"), 0):
                walker.advance(token)
        return walker

"""The `remi` tokenizer: bar, meter, position, tempo, program, pitch, velocity, duration.

A bar is `bar meter`, then its onsets in order: `position`, an optional `tempo`, then the notes that begin there,
each `[program] pitch velocity duration`. A program token is written only where the program differs from that of the
note before in the bar. Notes on one onset ascend by (program, pitch); drums come last, with their own pitch tokens.
Grid and ranges are those of `music.py`.

Source: Huang and Yang 2020, "Pop Music Transformer", section 3 (REMI); meter, program and span are additions.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import Piece
from musicgen.tokenizers.bars.grid import DENOMINATORS
from musicgen.tokenizers.bars.music import N_TEMPOS, SPAN_QUARTERS, BarMusic, changes
from musicgen.tokenizers.bars.remi_grammar import RemiGrammar
from musicgen.tokenizers.base import Spelled
from musicgen.tokenizers.constraints import DRUMS, Constraints

__all__ = ["Remi"]


class Remi(BarMusic):
    """Piece <-> ids with the tokens of `remi`."""

    name = "remi"

    def _kinds(self) -> dict[str, int]:
        return {
            "pad": 1,
            "bos": 1,
            "eos": 1,
            "bar": 1,
            "span": 1,
            "meter": 64 * len(DENOMINATORS),
            "tempo": N_TEMPOS,
            "position": SPAN_QUARTERS * self.steps,
            "program": 129,
            "pitch": 128,
            "drum": 128,
            "velocity": 32,
            "duration": len(self.durations),
        }

    # ---- piece -> ids ----------------------------------------------------------------------------

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids, (T,) uint16, from BOS to EOS. `until`: see `items`."""
        v = self.vocabulary
        i = self.items(piece, until)
        new_slot = changes(i.slot) & ~i.is_bar
        # The program of the note before in the bar, looking past tempi (whose program is -1); bars reset it.
        running = _last_note_program(i.program, i.is_note, i.is_bar)
        new_program = i.is_note & (i.program != running)

        width = np.where(i.is_bar, 2, i.spans + new_slot + np.where(i.is_tempo, 1, 3 + new_program))
        begin = 1 + np.cumsum(width) - width
        ids = np.empty(int(width.sum()) + 2, np.uint16)
        ids[0], ids[-1] = v.id("bos"), v.id("eos")
        ids[begin[i.is_bar]] = v.id("bar")
        ids[begin[i.is_bar] + 1] = v.base["meter"] + i.meter
        for extra in range(1, int(i.spans.max(initial=0)) + 1):
            ids[begin[i.spans >= extra] + extra - 1] = v.id("span")
        cursor = begin + i.spans
        ids[cursor[new_slot]] = v.base["position"] + i.position[new_slot] % (SPAN_QUARTERS * self.steps)
        cursor = cursor + new_slot
        ids[cursor[i.is_tempo]] = v.base["tempo"] + i.tempo
        ids[cursor[new_program]] = v.base["program"] + i.program[new_program]
        cursor = (cursor + new_program)[i.is_note]
        ids[cursor] = np.where(i.program[i.is_note] == DRUMS, v.base["drum"], v.base["pitch"]) + i.pitch
        ids[cursor + 1] = v.base["velocity"] + i.velocity
        ids[cursor + 2] = v.base["duration"] + i.duration
        return ids

    # ---- ids -> piece ----------------------------------------------------------------------------

    def notes(self, ids: np.ndarray) -> Spelled:
        """The notes in any slice of ids. Notes before the first bar token are left out."""
        v = self.vocabulary
        ids = np.asarray(ids).astype(np.int64)
        kind, number = v.kind_of_id[ids], v.kind_number  # one look-up for each token
        bar_at = np.flatnonzero(kind == number["bar"])
        # A complete note is a pitch followed by its velocity and duration.
        complete = (kind[1:-1] == number["velocity"]) & (kind[2:] == number["duration"])
        complete &= (kind[:-2] == number["pitch"]) | (kind[:-2] == number["drum"])
        index = np.flatnonzero(complete)
        index = index[np.searchsorted(index, bar_at[0]) :] if len(bar_at) else index[:0]
        bar = np.searchsorted(bar_at, index) - 1
        begin = bar_at[bar]  # of each note's bar
        position_at = _latest(np.flatnonzero(kind == number["position"]), index)
        program_at = _latest(np.flatnonzero(kind == number["program"]), index)
        position = np.where(position_at > begin, ids[position_at] - v.base["position"], 0)
        span_at = np.flatnonzero(kind == number["span"])
        if len(span_at):
            window = np.searchsorted(span_at, index) - np.searchsorted(span_at, begin)
            position += window * SPAN_QUARTERS * self.steps
        program = np.where(program_at >= 0, ids[program_at] - v.base["program"], 0)
        is_drum = kind[index] == number["drum"]
        # A slice may begin between a program token and its notes; drums are recognised by their own pitch tokens.
        program = np.where(is_drum, DRUMS, np.where(program == DRUMS, 0, program))
        return Spelled(
            index,
            bar,
            position,
            program,
            ids[index] - np.where(is_drum, v.base["drum"], v.base["pitch"]),
            self.velocity_of(ids[index + 1] - v.base["velocity"]),
            self.durations[ids[index + 2] - v.base["duration"]],
        )

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode; see `piece_of`."""
        v = self.vocabulary
        ids = np.asarray(ids).astype(np.int64)
        bar_at = np.flatnonzero(ids == v.id("bar"))
        following = ids[np.minimum(bar_at + 1, len(ids) - 1)]
        meter = np.where(v.is_kind(following, "meter"), following - v.base["meter"], -1)

        at = np.flatnonzero(v.is_kind(ids, "tempo"))
        here = np.arange(len(ids))
        bar = np.cumsum(ids == v.id("bar")) - 1
        at = at[bar[at] >= 0]
        last_bar = np.maximum.accumulate(np.where(ids == v.id("bar"), here, 0))[at]
        position_at = np.maximum.accumulate(np.where(v.is_kind(ids, "position"), here, 0))[at]
        position = np.where(position_at > last_bar, ids[position_at] - v.base["position"], 0)
        span = np.cumsum(ids == v.id("span"))
        position = position + (span[at] - span[last_bar]) * SPAN_QUARTERS * self.steps
        return self.piece_of(self.notes(ids), meter=meter, tempo=(bar[at], position, ids[at] - v.base["tempo"]))

    # ---- on ids ----------------------------------------------------------------------------------

    def count_notes(self, ids: np.ndarray) -> int:
        return int(self.vocabulary.is_kind(np.asarray(ids), "duration").sum())

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.asarray(ids) == self.vocabulary.id("bar"))

    def _tail_of_bar(self, ids: np.ndarray, bar: int, room: int) -> np.ndarray:
        head = ids[bar : bar + 2]
        onsets = np.flatnonzero(self.vocabulary.is_kind(ids, "position"))
        onsets = onsets[onsets >= len(ids) - room + 2]
        return np.concatenate([head, ids[onsets[0] :]]) if len(onsets) else ids[bar:]

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> RemiGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a piece (after BOS)."""
        walker = RemiGrammar(self.vocabulary, self.steps, self.durations, constraints)
        if inside:
            walker.advance(self.vocabulary.id("bos"))
        return walker


def _latest(places: np.ndarray, index: np.ndarray) -> np.ndarray:
    """For each index the last of the (ascending) `places` before it, -1 if there is none."""
    return np.append(-1, places)[np.searchsorted(places, index)]


def _last_note_program(program: np.ndarray, is_note: np.ndarray, is_bar: np.ndarray) -> np.ndarray:
    """For each item, the program of the last note before it in its bar; -1 if there is none."""
    here = np.arange(len(program))
    marks = np.where(is_note | is_bar, here, 0)  # item 0 is always a bar
    before = np.maximum.accumulate(np.concatenate([[0], marks[:-1]]))
    return np.where(is_bar[before], -1, program[before])

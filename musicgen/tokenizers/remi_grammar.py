"""The grammar of `remi` as a walker: which token may follow, and what a request forbids on top.

After `bos` come bars: `bar meter`, then onsets with growing positions, each with a tempo, notes, or both; notes
on one onset strictly ascend by (program, pitch), so no onset goes on for ever. Every sequence it lets through
decodes to a valid piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["Constraints", "RemiGrammar"]

DRUMS = 128


@dataclass(frozen=True)
class Constraints:
    """What a request asks of new music. None and 0 mean no limit.

    `meter`: (numerator, denominator) of every new bar. `programs`: allowed program values, 128 for drums.
    `bars`: end at the bar line after this many new bars. `max_polyphony`: notes sounding at
    once. `pitch_classes`: allowed pitch classes 0..11 of melodic parts. `max_empty_bars`: bars without an onset
    in a row. `max_notes_a_bar` bounds the work. `chord_sizes`: (program, most notes on one onset), so that a
    melody instrument stays one.
    """

    meter: tuple[int, int] | None = None
    programs: frozenset[int] | None = None
    pitch_low: int = 0
    pitch_high: int = 127
    pitch_classes: frozenset[int] | None = None
    tempo_changes: bool = True
    bars: int | None = None
    may_end: bool = True
    max_polyphony: int = 0
    max_notes_a_bar: int = 0
    max_empty_bars: int | None = None
    chord_sizes: tuple[tuple[int, int], ...] = ()


class RemiGrammar:
    """Walks one sequence. `advance` takes every token in order, `allowed` says which may come next.

    Constraints hold from the beginning, or from `constrain` on when a prompt is walked first.
    """

    def __init__(
        self, vocabulary: Vocabulary, steps: int, durations: np.ndarray, constraints: Constraints | None = None
    ) -> None:
        self.v, self.steps = vocabulary, steps
        self.durations = durations.tolist()  # in grid steps, by duration value
        self.v_kinds = list(vocabulary.sizes)
        self.state = "start"
        self.bar_steps = 4 * steps
        self.position = -1  # last position in this bar, in steps from its start
        self.window = 0
        self.program: int | None = None  # running program in this bar
        self.pitch = -1  # last pitch of the running program on this onset
        self.fresh = True  # no note on this onset yet
        self.bars = 0
        self.notes_in_bar = 0
        self.empty_bars = 0
        self.time = 0  # steps from the first bar to the start of this one
        self.sounding: list[int] = []  # ends of notes, for polyphony
        self.chord = 0  # notes of the running program on this onset
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, from_position: int | None = None) -> None:
        """Follow `constraints` from here on; bars count anew. New onsets of this bar begin at `from_position`."""
        self.constraints = constraints
        self.bars = self.empty_bars = self.notes_in_bar = 0
        if from_position is not None:
            self.position = max(self.position, from_position - 1)
            self.fresh = True
        c, v = constraints, self.v
        self._chord_sizes = dict(c.chord_sizes)
        self._pitches = np.zeros(128, bool)
        self._pitches[c.pitch_low : c.pitch_high + 1] = True
        if c.pitch_classes is not None:
            classes = np.isin(np.arange(128) % 12, list(c.pitch_classes))
            self._pitches &= classes
        self._programs = np.ones(v.sizes["program"], bool)
        if c.programs is not None:
            self._programs[:] = False
            self._programs[list(c.programs)] = True
        if not self._pitches.any():
            self._programs[:DRUMS] = False
        self._meters = np.zeros(v.sizes["meter"], bool)
        if c.meter is None:
            self._meters[:] = True
        else:
            self._meters[(c.meter[0] - 1) * 7 + c.meter[1].bit_length() - 1] = True

    def copy(self) -> RemiGrammar:
        other = object.__new__(RemiGrammar)
        other.__dict__.update(self.__dict__)
        other.sounding = list(self.sounding)
        return other

    def advance(self, token: int) -> None:
        v = self.v
        kind = self.v_kinds[v.kind_of_id[token]]
        value = token - v.base[kind]
        if kind == "bar":
            if self.bars:
                self.empty_bars = 0 if self.notes_in_bar else self.empty_bars + 1
            self.time += self.bar_steps if self.state != "bos" else 0
            self.bars += 1
            self.position, self.window, self.program, self.notes_in_bar = -1, 0, None, 0
        elif kind == "meter":
            # Rounded up: in a bar of odd 64ths the last step begins inside the bar.
            self.bar_steps = -(-(value // 7 + 1) * 4 * self.steps // (1 << value % 7))
        elif kind == "span":
            self.window += 1
        elif kind == "position":
            self.position = self.window * 8 * self.steps + value
            self.pitch, self.fresh, self.chord = -1, True, 0
        elif kind == "program":
            self.program, self.pitch, self.chord = value, -1, 0
        elif kind in ("pitch", "drum"):
            self.pitch, self.fresh = value, False
            self.chord += 1
            self.notes_in_bar += 1
            if self.program is None:  # a window that begins in mid-bar
                self.program = DRUMS if kind == "drum" else 0
        elif kind == "duration" and self.constraints.max_polyphony:
            self.sounding.append(self.time + self.position + self.durations[value])
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state, c = self.v, self.state, self.constraints
        mask = np.zeros(len(v), bool)
        if state == "start":
            mask[v.base["bos"]] = True
        elif state == "bos":
            mask[v.base["bar"]] = True
        elif state == "bar":
            mask[v.slice("meter")] = self._meters
        elif state in ("pitch", "drum"):
            mask[v.slice("velocity")] = True
        elif state == "velocity":
            mask[v.slice("duration")] = True
        elif state == "program":
            self._allow_pitches(mask)
        elif state == "span":
            self._allow_positions(mask)
        elif state in ("eos", "pad"):
            mask[v.base["eos"]] = True
        else:  # meter, position, tempo, duration
            if state == "position" and c.tempo_changes:
                mask[v.slice("tempo")] = True
            if state != "meter" and self._room_for_note():
                self._allow_notes(mask)
            if state != "position" or not mask.any():
                self._allow_onwards(mask)
        return mask

    def ends(self, token: int) -> bool:
        """Whether taking `token` now ends the sequence: EOS, or the bar line after the last bar asked for.

        A bar line rather than EOS, because the model knows well when a bar is full and has hardly met an end in
        mid-piece: were only EOS allowed, it would pile up notes on the last onset.
        """
        return token == self.v.base["eos"] or (token == self.v.base["bar"] and self._full())

    def _full(self) -> bool:
        return self.constraints.bars is not None and self.bars >= self.constraints.bars

    def _room_for_note(self) -> bool:
        c = self.constraints
        if c.max_notes_a_bar and self.notes_in_bar >= c.max_notes_a_bar:
            return False
        if not c.max_polyphony:
            return True
        now = self.time + self.position
        self.sounding = [end for end in self.sounding if end > now]
        return len(self.sounding) < c.max_polyphony

    def _allow_notes(self, mask: np.ndarray) -> None:
        """A note on this onset: of the running program, above the last one, or of another program."""
        v = self.v
        running = self.program
        if running is not None and self._programs[running] and self.chord < self._chord_sizes.get(running, 128):
            self._allow_pitches(mask)
        programs = v.slice("program")
        mask[programs] = self._programs
        if self.program is not None:
            # On one onset programs ascend; on a new one every other program may begin.
            low = 0 if self.fresh else self.program
            mask[programs.start : programs.start + low] = False
            mask[programs.start + self.program] = False

    def _allow_pitches(self, mask: np.ndarray) -> None:
        v = self.v
        if self.program == DRUMS:
            mask[v.slice("drum", self.pitch + 1)] = True
        else:
            mask[v.slice("pitch", self.pitch + 1)] = self._pitches[self.pitch + 1 :]

    def _allow_positions(self, mask: np.ndarray) -> None:
        v, per_window = self.v, 8 * self.steps
        base = self.window * per_window
        mask[v.slice("position", self.position + 1 - base, self.bar_steps - base)] = True
        if self.bar_steps > max(base + per_window, self.position + 1):
            mask[v.base["span"]] = True

    def _allow_onwards(self, mask: np.ndarray) -> None:
        """A later onset in this bar, the next bar, or the end."""
        v, c = self.v, self.constraints
        full = bool(c.max_notes_a_bar and self.notes_in_bar >= c.max_notes_a_bar)
        if not full:
            self._allow_positions(mask)
        silent = c.max_empty_bars is not None and not self.notes_in_bar and self.empty_bars >= c.max_empty_bars
        if silent and mask.any():
            return
        mask[v.base["bar"]] = True
        if self._full():
            return
        if c.may_end and self.bars:
            mask[v.base["eos"]] = True

"""What the grammars of bar tokenizers share: where a walk stands in its bar, and what a request forbids.

A bar has a meter and then onsets with growing positions, each with a tempo, notes, or both; notes on one onset
strictly ascend by (program, pitch), so no onset goes on for ever.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.bars.music import SPAN_QUARTERS
from musicgen.tokenizers.constraints import DRUMS, Anchor, Constraints, pitch_mask
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["BarGrammar"]


class BarGrammar(Grammar):
    """Walks one sequence; the subclasses say how items are spelled.

    Constraints hold from the beginning, or from `constrain` on when a prompt is walked first.
    """

    def __init__(
        self, vocabulary: Vocabulary, steps: int, durations: np.ndarray, constraints: Constraints | None = None
    ) -> None:
        self.v, self.steps = vocabulary, steps
        self.durations = durations.tolist()  # in grid steps, by duration value
        names = list(vocabulary.sizes)
        # Plain lists: a walk asks for one token at a time, and indexing an array costs ten times as much.
        self._kind_of_id = [names[k] for k in vocabulary.kind_of_id.tolist()]
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
        self.closed = False  # whether the last onset lies before the anchor, so that no note may join it
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; bars count anew. With an anchor, no onset before it comes in this bar."""
        self.constraints = constraints
        self.bars = self.empty_bars = self.notes_in_bar = 0
        if anchor is not None and anchor.tick:
            per_tick = self.steps / anchor.ticks_per_quarter
            # A cut at a bar line closes the prompt's last bar.
            from_position = (
                round((anchor.tick - anchor.bar_start) * per_tick)
                if anchor.fills
                else round(anchor.bar_length * per_tick) + 1
            )
            self.position = max(self.position, from_position - 1)
            self.closed = True
        c, v = constraints, self.v
        self._chord_sizes = dict(c.chord_sizes)
        self._pitches = pitch_mask(c)
        self._highest_pitch = int(np.flatnonzero(self._pitches).max(initial=-1))
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

    @property
    def bars_done(self) -> int:
        return max(0, self.bars - 1)

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.sounding = list(self.sounding)
        return other

    def ends(self, token: int) -> bool:
        """Whether taking `token` now ends the sequence: EOS, or the bar line after the last bar asked for.

        A bar line rather than EOS, because the model knows well when a bar is full and has hardly met an end in
        mid-piece: were only EOS allowed, it would pile up notes on the last onset.
        """
        return token == self.v.base["eos"] or (token == self.v.base["bar"] and self._full())

    # ---- what happens on the way -----------------------------------------------------------------

    def _take(self, kind: str, value: int) -> None:
        """A value of a kind that means the same however it is spelled; other kinds pass."""
        if kind == "bar":
            self._enter_bar(first=self.state == "bos")
        elif kind == "meter":
            self._take_meter(value)
        elif kind == "span":
            self.window += 1
        elif kind in ("pitch", "drum"):
            self._take_pitch(value)
        elif kind == "duration":
            self._take_duration(value)

    def _enter_bar(self, *, first: bool) -> None:
        if self.bars:
            self.empty_bars = 0 if self.notes_in_bar else self.empty_bars + 1
        self.time += 0 if first else self.bar_steps
        self.bars += 1
        self.position, self.window, self.program, self.notes_in_bar = -1, 0, None, 0
        self.closed = False

    def _take_meter(self, value: int) -> None:
        # Rounded up: in a bar of odd 64ths the last step begins inside the bar.
        self.bar_steps = -(-(value // 7 + 1) * 4 * self.steps // (1 << value % 7))

    def _enter_onset(self, value: int) -> None:
        self.position = self.window * SPAN_QUARTERS * self.steps + value
        self.pitch, self.fresh, self.chord, self.closed = -1, True, 0, False

    def _take_program(self, value: int) -> None:
        self.program, self.pitch, self.chord = value, -1, 0

    def _take_pitch(self, value: int) -> None:
        self.pitch, self.fresh = value, False
        self.chord += 1
        self.notes_in_bar += 1

    def _take_duration(self, value: int) -> None:
        if self.constraints.max_polyphony:
            self.sounding.append(self.time + self.position + self.durations[value])

    # ---- what is allowed -------------------------------------------------------------------------

    def _full(self) -> bool:
        return self.constraints.bars is not None and self.bars >= self.constraints.bars

    def _crowded(self) -> bool:
        """Whether this bar holds as many notes as a bar may."""
        most = self.constraints.max_notes_a_bar
        return bool(most and self.notes_in_bar >= most)

    def _room_for_note(self) -> bool:
        if self.closed or self._crowded():
            return False
        most = self.constraints.max_polyphony
        if not most:
            return True
        now = self.time + self.position
        self.sounding = [end for end in self.sounding if end > now]
        return len(self.sounding) < most

    def _chord_has_room(self) -> bool:
        """Whether the running program may play one more note on this onset, by the size of its chords."""
        return self.program is not None and self.chord < self._chord_sizes.get(self.program, 128)

    def _allow_pitches(self, mask: np.ndarray) -> None:
        v = self.v
        if self.program == DRUMS:
            mask[v.slice("drum", self.pitch + 1)] = True
        else:
            mask[v.slice("pitch", self.pitch + 1)] = self._pitches[self.pitch + 1 :]

    def _allow_positions(self, mask: np.ndarray, *, begin: int) -> None:
        """Positions of this bar from `begin` on, within the window; and a span where the bar reaches past it."""
        v, per_window = self.v, SPAN_QUARTERS * self.steps
        base = self.window * per_window
        mask[v.slice("position", begin - base, self.bar_steps - base)] = True
        if self.bar_steps > max(base + per_window, begin):
            mask[v.base["span"]] = True

    def _must_sound(self) -> bool:
        """Whether this bar may not stay empty: as many empty bars as are allowed lie behind it."""
        most = self.constraints.max_empty_bars
        return most is not None and not self.notes_in_bar and self.empty_bars >= most

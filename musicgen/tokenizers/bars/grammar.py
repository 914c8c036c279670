"""Common code of the grammars of tokenizers with bars: the position after each token, and the constraints.

A bar has a meter and then onsets at ascending positions, each with a tempo, notes, or both; notes on one onset
strictly ascend by (program, pitch), so that every onset is finite.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.bars.grid import bar_steps
from musicgen.tokenizers.bars.music import SPAN_QUARTERS
from musicgen.tokenizers.constraints import DRUMS, Anchor, Constraints
from musicgen.tokenizers.constraints.length import Length, Presence, allowed_meters
from musicgen.tokenizers.constraints.mask import AllOf
from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.constraints.players import Players
from musicgen.tokenizers.constraints.room import Density, Line, Polyphony
from musicgen.tokenizers.grammar import PlacedGrammar
from musicgen.tokenizers.place import BarPlace
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["BarGrammar"]


class BarGrammar(PlacedGrammar):
    """Grammar state for one sequence; subclasses define how items are encoded as tokens.

    Constraints apply from the beginning, or from `constrain` on where a prompt is fed first.
    """

    place: BarPlace

    def __init__(
        self, vocabulary: Vocabulary, steps: int, durations: np.ndarray, constraints: Constraints | None = None
    ) -> None:
        super().__init__(vocabulary, BarPlace(steps, window_steps=SPAN_QUARTERS * steps))
        self._lengths = durations
        self._durations = durations.tolist()  # in grid steps, by duration value
        # The shortest note that each stands for: lengths and onsets are rounded to the nearest.
        self._least = [0, *((durations[:-1] + durations[1:] + 1) // 2 - 1).tolist()]
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Apply `constraints` from here on and restart the bar count; with an anchor, rule out onsets before it."""
        c, parts = constraints, self.v.sizes.get("part", 0)
        self.place.begin(anchor)
        self.place.bars_before = c.bars_before
        self.pitches = Pitches(c.pitches, by_part=parts > 0)
        self.players = Players(c.players, self.pitches, parts=parts)
        self.density, self.polyphony, self.line = Density(c.room), Polyphony(c.room), Line(c.room)
        self.masks = AllOf((self.pitches, self.density, self.polyphony, *c.further))
        self.place.remembers = any(mask.needs_history for mask in c.further)
        self.meters = allowed_meters(c.length, self.v.sizes["meter"])
        self.tempo_changes = c.length.tempo_changes
        self.is_hole = bool(c.given)
        self.length, self.presence = Length(c.length, self.place), Presence(c.length, self.place)

    @property
    def bars_done(self) -> int:
        return max(0, self.place.bars - 1)

    def ends(self, token: int) -> bool:
        """Whether `token` ends the sequence: EOS, or the bar token after the last requested bar.

        A bar token and not only EOS, because models predict bar lines well but have rarely seen EOS in mid-piece: if
        only EOS were allowed, they would pile up notes on the last onset.
        """
        return token == self.v.base["eos"] or (token == self.v.base["bar"] and self.length.is_full(self.place))

    def _take(self, kind: str, value: int) -> None:
        """Update the position for a token of a kind that means the same in all subclasses; ignore other kinds."""
        place = self.place
        if kind == "bar":
            place.enter_bar(first=self.state == "bos")
        elif kind == "meter":
            place.bar_steps = bar_steps(value, place.steps)
        elif kind == "span":
            place.take_span()
        elif kind in ("pitch", "drum"):
            place.take_pitch(value)
        elif kind == "duration":
            place.take_duration(self._durations[value], least=self._least[value])

    # ---- allowed tokens --------------------------------------------------------------------------

    def _players_due(self) -> bool:
        """Whether a part must still begin a note in this bar."""
        return False

    def _playing(self) -> np.ndarray:
        """Boolean mask of the players that may play at all: programs (129,)."""
        return self.players.programs

    def bias(self) -> np.ndarray | None:
        player = self.place.player
        if not self.masks.is_biased or player is None:
            return None
        kit = self._is_kit(player)
        mine = self.masks.bias(self.place, player, kit=kit)
        if mine is None:
            return None
        found = np.zeros(len(self.v))
        found[self.v.slice("drum" if kit else "pitch")] = mine
        return found

    def _is_kit(self, player: int) -> bool:
        """Whether this player plays drums."""
        return player == DRUMS

    def _bar_is_full(self) -> bool:
        return self.density.is_full(self.place)

    def _room_for_note(self) -> bool:
        """Whether one more note of any player may begin on this onset."""
        return not (self.place.closed or self.masks.is_full(self.place))

    def _allow_pitches(self, mask: np.ndarray, player: int) -> None:
        """Allow the player's pitches or drums above its last note on this onset."""
        kit, low = self._is_kit(player), self.place.pitch + 1
        mask[self.v.slice("drum" if kit else "pitch", low)] = self.masks.pitches(self.place, player, kit=kit)[low:]

    def _is_exhausted(self, player: int) -> bool:
        """Whether no pitch or drum above the last one on this onset is left for this player."""
        left = self.masks.pitches(self.place, player, kit=self._is_kit(player))[self.place.pitch + 1 :]
        return not left.any()

    def _allow_durations(self, mask: np.ndarray) -> None:
        """Allow lengths that leave room for the notes that begin later in this bar."""
        place = self.place
        longest = self.polyphony.longest(place)
        free = np.ones(len(self._lengths), bool) if longest is None else self._lengths <= longest
        kept = self.masks.lengths(place, self._lengths, kit=place.player is not None and self._is_kit(place.player))
        if kept is not None and (free & kept).any():
            free &= kept
        mask[self.v.slice("duration")] = free

    def _allow_velocities(self, mask: np.ndarray) -> None:
        kept = self.masks.velocities(self.place)
        mask[self.v.slice("velocity")] = True if kept is None else kept

    def _allow_positions(self, mask: np.ndarray) -> None:
        """Allow later positions of this bar where a note may begin, within the window; a span if some lie beyond."""
        v, place = self.v, self.place
        free = self._free()
        begin, beyond = max(place.position + 1, place.window), place.window + place.window_steps
        here = v.slice("position", begin - place.window, place.bar_steps - place.window)
        mask[here] = free[begin : begin + here.stop - here.start]
        if free[max(begin, beyond) :].any():
            mask[v.base["span"]] = True

    def _free(self) -> np.ndarray:
        """Boolean (bar_steps,): the positions of this bar at which a note may begin. Those are left out behind which
        there would be no room for notes that must come."""
        place, masks = self.place, self.masks
        onsets = masks.onsets(place)
        free = np.ones(place.bar_steps, bool) if onsets is None else onsets
        if not masks.per_player:
            return free
        some = np.zeros(place.bar_steps, bool)
        for player in np.flatnonzero(self._playing()).tolist():
            mine = masks.begins(place, player)
            some |= True if mine is None else mine
        free = free & some
        later = max(place.position + 1, 0)
        due = self._due_later()
        if (next_due := np.flatnonzero(due)).size:
            free[next_due[0] + 1 :] = False
            if self.density.leaves(place) <= int(due.sum()):
                free &= due > 0
        missing = masks.least(place) - place.notes_in_bar
        if missing > 0 and len(left := later + np.flatnonzero(free[later:])):
            free[left[max(0, len(left) - missing)] + 1 :] = False
        return free

    def _due_here(self) -> list[int]:
        """The players that must begin a note on this onset and haven't yet."""
        place = self.place
        if not self.masks.per_player or place.closed or not 0 <= place.position < place.bar_steps:
            return []
        found = []
        for player in np.flatnonzero(self._playing()).tolist():
            must = None if player in place.struck else self.masks.must(place, player)
            if must is not None and must[place.position] and self._may_begin(player):
                found.append(player)
        return found

    def _due_later(self) -> np.ndarray:
        """(bar_steps,): how many players must begin a note at each later position of this bar."""
        place = self.place
        count = np.zeros(place.bar_steps, np.int64)
        for player in np.flatnonzero(self._playing()).tolist():
            if (must := self.masks.must(place, player)) is not None:
                count += must
        count[: max(place.position + 1, 0)] = 0
        return count

    def _may_begin(self, player: int) -> bool:
        """Whether this player may begin a note on this onset, above its last one there."""
        place = self.place
        begins = self.masks.begins(place, player)
        if begins is not None and not begins[min(place.position, place.bar_steps - 1)]:
            return False
        low = place.pitch + 1 if player == place.player and not place.fresh else 0
        return bool(self.masks.pitches(place, player, kit=self._is_kit(player))[low:].any())

    def _keeping(self, players: np.ndarray) -> np.ndarray:
        """Of these players (bool) those whom the masks let begin a note here; all, where they let nobody begin an
        onset. Players on an onset ascend, so none goes before one that must play."""
        if not self.masks.per_player:
            return players
        kept = np.zeros(len(players), bool)
        kept[[player for player in np.flatnonzero(players).tolist() if self._may_begin(player)]] = True
        due, later = self._due_here(), self._due_later().sum()
        if due:
            kept[min(due) + 1 :] = False
        if (due or later) and self.density.leaves(self.place) <= len(due) + later:  # none is left for others
            kept[[n for n in range(len(kept)) if n not in due]] = False
        return kept if kept.any() or not self.place.fresh else players

    def _has_to_go_on(self) -> bool:
        """Whether this bar still needs a note, of somebody or of a certain player."""
        place = self.place
        if not self.masks.per_player:
            return False
        if self.masks.least(place) > place.notes_in_bar:
            return True
        return bool(self._due_later().any())

    def _allow_end(self, mask: np.ndarray) -> None:
        """Allow the next bar or the end, unless this bar needs a note and `mask`, the allowed onsets, isn't empty."""
        if mask.any() and (self.presence.is_due(self.place) or self._players_due() or self._has_to_go_on()):
            return
        mask[self.v.base["bar"]] = True
        full = self.length.is_full(self.place)
        if (self.is_hole and full) or (self.length.may_end and self.place.bars and not full):
            mask[self.v.base["eos"]] = True

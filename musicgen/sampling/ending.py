"""How new music comes to a close: with a last chord on the tonic, which all parts begin together and hold.

The last bar begins with that chord and has nothing else; masks see to it while the bar is drawn. The bass, the lowest
part, takes the root; the others take notes of the tonic triad. How the music gets there is the model's choice, and of
several candidates those that close well are preferred (`looseness`). The key is that of the last bars before the cut,
found by the profiles of Krumhansl and Kessler (Krumhansl 1990, "Cognitive Foundations of Musical Pitch", ch. 4), of the
whole piece where these leave it open. Times are ticks of the piece.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicgen.errors import UsageError
from musicgen.gm import find_key
from musicgen.piece import NOTE, Piece
from musicgen.sampling.plan import RECENT_BARS, Plan
from musicgen.tokenizers.constraints import DRUMS, Mask
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Ending", "closes", "held_to_the_end", "key_of", "looseness", "with_ending"]

MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
SIGNED = 0.1  # correlation that a key signature is worth
WHOLE = 0.5  # weight of the whole piece beside its last bars
PLAYING_BARS = 8  # parts that sounded in the last bars play the last chord
DOMINANT = (7, 11, 2, 5)  # semitones above the tonic: degrees of the bass that lead to it


@dataclass(frozen=True)
class Ending:
    """The last chord: its tonic (0..11), its third in semitones above that, the number of the `bass` part, and the new
    bar in which it stands, counted from 0."""

    tonic: int
    third: int
    bass: int
    bar: int

    @property
    def chord(self) -> tuple[int, ...]:
        """The pitch classes of the tonic triad, from the root."""
        return self.tonic, (self.tonic + self.third) % 12, (self.tonic + 7) % 12


class _LastChord(Mask):
    """In the last bar notes begin on its first position only, and belong to the tonic triad."""

    def __init__(self, ending: Ending) -> None:
        self._bar, self._bass = ending.bar, ending.bass
        classes = np.arange(128) % 12
        self._chord, self._root = np.isin(classes, ending.chord), classes == ending.tonic

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        if kit or place.new_bar != self._bar:
            return None
        # A part's notes on an onset ascend, so that its first one is its lowest.
        lowest = player == self._bass and isinstance(place, BarPlace) and place.pitch < 0
        return self._root if lowest else self._chord

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        if place.new_bar != self._bar:
            return None
        first = np.zeros(place.bar_steps, bool)
        first[0] = True
        return first


def with_ending(plan: Plan, piece: Piece, *, key: str | None) -> tuple[Plan, Ending]:
    """(the plan with the constraints of an ending in its last bar, that ending); `key`, such as "F#m", as requested.

    Raises UsageError for a tokenizer that doesn't number parts, and if no melodic part plays.
    """
    parts = plan.constraints.players.parts
    if not plan.ensemble.voices or parts is None:
        what = "a model without numbered parts can't plan an ending"
        raise UsageError(what, hint="use one with the tokenizer `parts`, such as `default`")
    melodic = [n for n in sorted(parts) if plan.ensemble.voices[n].program != DRUMS]
    if not melodic or plan.bars < 1:
        raise UsageError("an ending needs a melodic part and a whole bar", hint="name other tracks, or more bars")
    tonic, minor = _asked(key) or key_of(piece, plan)
    ending = Ending(tonic, 3 if minor else 4, melodic[0], plan.bars - 1)
    before, begin = piece.until(plan.cut), plan.cut - PLAYING_BARS * plan.anchor.bar_length
    last = frozenset(
        n
        for n in parts
        if not (tracks := plan.ensemble.voices[n].tracks) or any(before.tracks[t].end > begin for t in tracks)
    )
    limits = plan.constraints
    players = replace(limits.players, due_in=(ending.bar, last or parts))
    return replace(
        plan, constraints=replace(limits, players=players, further=(*limits.further, _LastChord(ending)))
    ), ending


def _asked(key: str | None) -> tuple[int, bool] | None:
    """The tonic of a requested key, and whether it is minor; None for a scale that is neither, for "auto" and None."""
    try:
        return None if key is None else find_key(key)
    except UsageError:
        return None


def key_of(piece: Piece, plan: Plan) -> tuple[int, bool]:
    """(tonic 0..11, whether minor) of the music before the cut; C major for a piece without melodic notes."""
    tables = [track.notes for track in piece.tracks if not track.is_drum]
    notes = np.concatenate([np.empty(0, NOTE), *tables])
    notes = notes[notes["start"] < plan.cut]
    if not len(notes):
        return 0, False
    recent = notes[notes["start"] >= plan.cut - RECENT_BARS * plan.anchor.bar_length]
    weights = sum(
        (share * _classes(each) for share, each in ((1.0, recent), (WHOLE, notes)) if len(each)), start=np.zeros(12)
    )
    scores = np.array([[np.corrcoef(weights, np.roll(p, k))[0, 1] for k in range(12)] for p in (MAJOR, MINOR)])
    scores = np.nan_to_num(scores)
    signed = piece.keys[piece.keys["tick"] <= plan.cut]
    if len(signed) and signed["fifths"][-1]:
        major = 7 * int(signed["fifths"][-1]) % 12
        scores[0, major] += SIGNED
        scores[1, (major + 9) % 12] += SIGNED
    mode, tonic = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(tonic), bool(mode)


def held_to_the_end(notes: np.ndarray, plan: Plan, *, last: np.ndarray) -> np.ndarray:
    """A copy of the new melodic notes (NOTE), of which those of the last chord (`last`, bool) last to the end, and
    others only to it."""
    notes = notes.copy()
    notes["duration"][last] = plan.end - notes["start"][last]
    begin = plan.end - round(plan.anchor.bar_length)
    notes["duration"][~last] = np.minimum(notes["duration"][~last], np.maximum(1, begin - notes["start"][~last]))
    return notes


def closes(notes: np.ndarray, ending: Ending, *, last: np.ndarray) -> bool:
    """Whether there is a last chord, with the tonic as its lowest note; `last` (bool) tells which notes it has."""
    return bool(last.any()) and int(notes["pitch"][last].min()) % 12 == ending.tonic


def looseness(notes: np.ndarray, ending: Ending, *, part: np.ndarray, last: np.ndarray) -> float:
    """How little the new melodic notes (NOTE) lead to their last chord, from 0 to 1. The bass should come from a degree
    that leads to it, and the highest part to the tonic, by a step. `part` tells whose notes they are, `last` (bool)
    which are those of the chord."""
    if not last.any() or last.all():
        return 1.0
    top = part[last][notes["pitch"][last].argmax()]
    low = part[last][notes["pitch"][last].argmin()]
    bass = notes[~last & (part == low)]
    melody = notes[~last & (part == top)]
    total = 0.0
    if len(bass):
        final_onset = bass[bass["start"] == bass["start"].max()]
        total += 0.4 * ((int(final_onset["pitch"].min()) - ending.tonic) % 12 not in DOMINANT)
    if len(melody):
        highest = int(notes["pitch"][last].max())
        final_onset = melody[melody["start"] == melody["start"].max()]
        total += 0.4 * (highest % 12 != ending.tonic)
        total += 0.2 * (abs(int(final_onset["pitch"].max()) - highest) > 2)
    return total


def _classes(notes: np.ndarray) -> np.ndarray:
    """The share of each pitch class in the sounding time."""
    counts: np.ndarray = np.bincount(notes["pitch"] % 12, weights=notes["duration"].astype(float), minlength=12)
    return counts / max(1.0, float(counts.sum()))

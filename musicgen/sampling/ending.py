"""How new music comes to a close: a cadence, and a last chord in the last bar that all parts begin together.

Which cadence, at which place of the bar the last chord stands and for how long it sounds is drawn by the take's seed,
from what is usual and from how the piece's phrases end (`cadences.py`). Masks see to it while the music is drawn: on
beats before the last chord stand tones of the cadence, then all parts begin tones of the tonic triad, the lowest part
its root, drums strike with them, and nobody plays after it. Which tones, how many and in which register is the model's
choice, and of several candidates those that close well are preferred (`looseness`).

The key is that of the last bars before the cut, found by the profiles of Krumhansl and Kessler (Krumhansl 1990,
"Cognitive Foundations of Musical Pitch", ch. 4), of the whole piece where these leave it open. Music that fits no key
gets no cadence. Times are ticks of the piece, steps those of the tokenizer's grid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musicgen.chords import chord_of, note_name
from musicgen.errors import UsageError
from musicgen.gm import find_key
from musicgen.piece import NOTE, Piece
from musicgen.sampling.cadences import Cadence, Rest, beat_of, cadences, places
from musicgen.sampling.closers import Closers, closers
from musicgen.sampling.plan import RECENT_BARS, Plan
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS, Constraints
from musicgen.tokenizers.constraints.close import LastChord
from musicgen.tokenizers.constraints.harmony import Chord, ChordBar, Chords
from musicgen.tokenizers.constraints.patterns import Patterns
from musicgen.tokenizers.constraints.tones import Scale
from musicgen.tonality import MAJOR, MINOR, scale_pitch_classes

__all__ = ["Ending", "Endings", "closes", "endings", "key_of", "looseness"]

SIGNED = 0.1  # correlation that a key signature is worth
WHOLE = 0.5  # weight of the whole piece beside its last bars
TONAL = 0.6  # correlation with a key from which music gets a cadence
DOMINANT = (7, 11, 2, 5)  # semitones above the tonic: degrees of the bass that lead to it
STREAM = 5  # of random numbers of a take's seed
FREE = Chord(0, frozenset(), -1, frozenset())


@dataclass(frozen=True)
class Ending:
    """One ending: its key, the last chord with its root, its place in the last bar and its length in steps, and the
    chords that lead to it, each with the step at which it begins, counted from the first new bar line."""

    tonic: int
    minor: bool
    last: Chord
    begin: int
    length: int
    chords: tuple[tuple[int, Chord], ...] = ()

    def listed(self, *, steps: int) -> dict[str, Any]:
        """The ending as plain values, for a sidecar; `steps` are those of a quarter."""
        return {
            "key": note_name(self.tonic) + "m" * self.minor,
            "chords": [chord.name for _, chord in self.chords] + [self.last.name],
            "from_bar_line_quarters": round(self.begin / steps, 3),
            "length_quarters": round(self.length / steps, 3),
        }


@dataclass(frozen=True)
class Endings:
    """The endings that a plan may have, of which each take draws one: their key, who closes, where the last chord may
    stand, the cadences that may lead to it, and the chords that are asked for instead. `bar` is the new bar of the last
    chord, counted from 0, of `bar_steps` steps with beats of `beat` steps; `steps` are those of a quarter."""

    tonic: int
    minor: bool
    closers: Closers
    bar: int
    bar_steps: int
    beat: int
    steps: int
    places: tuple[Rest, ...]
    cadences: tuple[Cadence, ...]
    asked: Chords | None = None

    def drawn(self, seed: int) -> Ending:
        """The ending of a take."""
        rng = np.random.default_rng((seed, STREAM))
        place = self.places[_drawn([each.weight for each in self.places], rng)]
        begin, length = round(place.begin * self.steps), round(place.length * self.steps)
        asked = self.asked.at(self.bar, begin) if self.asked is not None else None
        if asked is not None and asked.tones:
            return Ending(self.tonic, self.minor, asked, begin, length)
        third = 3 if self.minor else 4
        tones = frozenset((self.tonic + step) % 12 for step in (0, third, 7))
        last = Chord(begin, tones, self.tonic, tones, note_name(self.tonic) + "m" * self.minor)
        if not self.cadences:
            return Ending(self.tonic, self.minor, last, begin, length)
        chosen = self.cadences[_drawn([each.weight for each in self.cadences], rng)].chords
        spans = [(self.bar_steps, 2.0), (self.beat, 1.0)]
        if self.bar_steps % (2 * self.beat) == 0:
            spans.append((self.bar_steps // 2, 3.0))
        span = spans[_drawn([weight for _, weight in spans], rng)][0]
        at = self.bar * self.bar_steps + begin
        chords = [(at - (k + 1) * span, chord) for k, chord in enumerate(reversed(chosen))]
        return Ending(self.tonic, self.minor, last, begin, length, tuple((x, c) for x, c in chords[::-1] if x >= 0))

    def constrained(self, limits: Constraints, ending: Ending) -> Constraints:
        """The limits of a plan with those of an ending."""
        tones, root = ending.last.tones, ending.last.bass
        close = LastChord(
            self.bar,
            ending.begin,
            length=ending.length,
            tones=tones,
            root=root,
            bass=self.closers.bass,
            ranges=self.closers.ranges,
            deep=self.closers.deep,
            fewest=self.closers.fewest,
        )
        if not ending.chords:
            return replace(limits, further=(*limits.further, close))
        bars = [ChordBar(self.bar_steps, self.beat, (FREE,))] * limits.bars_before
        told = [(0, FREE), *ending.chords, (self.bar * self.bar_steps + ending.begin, FREE)]
        for bar in range(self.bar + 1):
            line = bar * self.bar_steps
            running = [chord for at, chord in told if at <= line][-1]
            inside = [replace(chord, begin=at - line) for at, chord in told if line < at < line + self.bar_steps]
            bars.append(ChordBar(self.bar_steps, self.beat, (replace(running, begin=0), *inside)))
        chords = Chords(tuple(bars), steps=self.steps, basses=self.closers.bass_line)
        return replace(limits, further=(*limits.further, chords, close))


def endings(plan: Plan, piece: Piece, tokenizer: Tokenizer, *, key: str | None) -> Endings:
    """The endings of a plan for what follows the music of `piece` before its cut; `key`, such as "F#m", as requested.

    Raises UsageError for a tokenizer that doesn't number parts, if no melodic part plays, and where the last bar has a
    rhythm or motif of its own.
    """
    limits, parts = plan.constraints, plan.constraints.players.parts
    if not plan.ensemble.voices or parts is None:
        what = "a model without numbered parts can't plan an ending"
        raise UsageError(what, hint="use one with the tokenizer `parts`, such as `default`")
    melodic = [n for n in sorted(parts) if plan.ensemble.voices[n].program != DRUMS]
    if not melodic or plan.bars < 1:
        raise UsageError("an ending needs a melodic part and a whole bar", hint="name other tracks, or more bars")
    if any(isinstance(mask, Patterns) and mask.binds(limits.bars_before + plan.bars - 1) for mask in limits.further):
        what = "the last bar can't have both a last chord and a borrowed rhythm or motif"
        raise UsageError(what, hint="leave one of them out, or put the motif in another bar")
    tonic, minor, fit, weights = _key(piece, plan)
    if (asked := _asked(key)) is not None:
        (tonic, minor), fit = asked, 1.0
    chords = next((mask for mask in limits.further if isinstance(mask, Chords)), None)
    scales = [mask.classes for mask in limits.further if isinstance(mask, Scale)]
    found = cadences(tonic, minor=minor, weights=weights) if fit >= TONAL and chords is None else []
    before = piece.until(plan.cut)
    meter, steps = piece.meter_at(plan.cut), tokenizer.steps
    # Music of so many seconds may end within its last bar.
    room = (plan.end - plan.last_line) / piece.ticks_per_quarter
    return Endings(
        tonic,
        minor,
        closers(before, plan, melodic),
        plan.bars - 1,
        round(4 * steps * meter[0] / meter[1]),
        max(1, round(beat_of(*meter) * steps)),
        steps,
        tuple(each for each in places(before, cut=plan.cut, last=plan.bars - 1) if each.begin < room or not each.begin),
        tuple(each for each in found if all(c.tones <= scale for c in each.chords for scale in scales)),
        chords,
    )


def _drawn(weights: list[float], rng: np.random.Generator) -> int:
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))


def _asked(key: str | None) -> tuple[int, bool] | None:
    """The tonic of a requested key or scale, and whether its third is minor; None for "auto" and None."""
    try:
        return None if key is None else find_key(key)
    except UsageError:
        root = chord_of(re.split(r"[\s_-]+", str(key).strip())[0])
        if root is None:
            return None
        return root[0], (root[0] + 4) % 12 not in scale_pitch_classes(str(key))


def key_of(piece: Piece, plan: Plan) -> tuple[int, bool]:
    """(tonic 0..11, whether minor) of the music before the cut; C major for a piece without melodic notes."""
    return _key(piece, plan)[:2]


def _key(piece: Piece, plan: Plan) -> tuple[int, bool, float, np.ndarray]:
    """(tonic, whether minor, correlation with that key, share of each pitch class) of the music before the cut."""
    tables = [track.notes for track in piece.tracks if not track.is_drum]
    notes = np.concatenate([np.empty(0, NOTE), *tables])
    notes = notes[notes["start"] < plan.cut]
    if not len(notes):
        return 0, False, 0.0, np.zeros(12)
    recent = notes[notes["start"] >= plan.cut - RECENT_BARS * plan.anchor.bar_length]
    weights = sum(
        (share * _classes(each) for share, each in ((1.0, recent), (WHOLE, notes)) if len(each)), start=np.zeros(12)
    )
    scores = np.array([[np.corrcoef(weights, np.roll(p, k))[0, 1] for k in range(12)] for p in (MAJOR, MINOR)])
    scores = np.nan_to_num(scores)
    fits = scores.copy()
    signed = piece.keys[piece.keys["tick"] <= plan.cut]
    if len(signed) and signed["fifths"][-1]:
        major = 7 * int(signed["fifths"][-1]) % 12
        scores[0, major] += SIGNED
        scores[1, (major + 9) % 12] += SIGNED
    mode, tonic = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(tonic), bool(mode), float(fits[mode, tonic]), weights


def closes(notes: np.ndarray, ending: Ending, *, last: np.ndarray) -> bool:
    """Whether there is a last chord, with its root as the lowest note; `last` (bool) tells which notes it has."""
    return bool(last.any()) and int(notes["pitch"][last].min()) % 12 == ending.last.bass


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
        total += 0.4 * ((int(final_onset["pitch"].min()) - ending.last.bass) % 12 not in DOMINANT)
    if len(melody):
        highest = int(notes["pitch"][last].max())
        final_onset = melody[melody["start"] == melody["start"].max()]
        total += 0.4 * (highest % 12 != ending.last.bass)
        total += 0.2 * (abs(int(final_onset["pitch"].max()) - highest) > 2)
    return total


def _classes(notes: np.ndarray) -> np.ndarray:
    """The share of each pitch class in the sounding time."""
    counts: np.ndarray = np.bincount(notes["pitch"] % 12, weights=notes["duration"].astype(float), minlength=12)
    return counts / max(1.0, float(counts.sum()))

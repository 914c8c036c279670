"""The plan for a hole: bars of a piece in which some parts are to be written, with the music around them as it is.

An infill's hole is some bars, of all parts or of some; an accompaniment's is the whole piece, in which parts are added
or written anew. Ticks are the piece's own; bars are counted from 0. Nothing here uses tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

from musicgen.errors import UsageError
from musicgen.gm import program_name, usual_pitch
from musicgen.piece import NOTE, Piece, Span, notes_array
from musicgen.sampling.asked import find_parts, program_of
from musicgen.sampling.kept import Ground, Player, keep
from musicgen.sampling.plan import (
    FULLER,
    LONGEST_PROMPT,
    MAX_NEW_TOKENS,
    RECENT_BARS,
    TOKENS_A_NOTE,
    Ensemble,
    Plan,
    Reading,
)
from musicgen.sampling.request import Request
from musicgen.sampling.roles import Role, foreseen
from musicgen.sampling.voices import part_pitches, voice_polyphony
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.bars.filling import LONGEST_TOLD, Hole, read_hole, told_around, with_drawn
from musicgen.tokenizers.bars.voices import MOST_PARTS, Voice, is_played, voices_of
from musicgen.tokenizers.constraints import (
    DRUMS,
    Anchor,
    Constraints,
    LengthLimits,
    PitchLimits,
    PlayerLimits,
    RoomLimits,
)
from musicgen.tokenizers.constraints.given import GivenBar
from musicgen.words import counted

__all__ = ["Stage", "Stages", "make_hole_plan"]

FEWEST_NOTES_A_BAR = 24  # of a part that hasn't played, and of all together
NEARLY_ALWAYS = 0.85  # share of bars in which a part plays that then may rest for one bar at most
REST = 2  # bars that another part which was named may rest
ENOUGH = 16  # notes of a part before a hole that show how it plays


@dataclass(frozen=True)
class _Place:
    """Where the hole lies: its bars, the ticks of its bar lines (the last one ends it) and of the piece's."""

    begin: int
    end: int
    lines: np.ndarray

    @property
    def bars(self) -> int:
        return self.end - self.begin


def make_hole_plan(piece: Piece, tokenizer: Tokenizer, *, request: Request, context: int | None) -> Plan:
    """Choose who plays what in the hole that `request.until` or `request.add` ask for, and what the model reads.

    Raises UsageError for bars or parts that the piece hasn't got, and where nothing is left to go by.
    """
    place = _place(piece, request)
    span = Span(int(place.lines[0]), int(place.lines[-1]), is_open=False)
    rewritten = _rewritten(piece, request)
    around = _without(piece, rewritten, span)
    if not around.n_notes:
        raise UsageError("no music is left around what is to be written", hint="name fewer bars or parts, or generate")
    role_of = _roles(around, rewritten, place)
    voices, chosen = _voices(piece, around, request, rewritten, role_of=role_of)
    if request.keeps.drums == frozenset():
        chosen = frozenset(n for n in chosen if voices[n].program != DRUMS)
        if not chosen:
            raise UsageError("no drums may play, and drums are all that is to be written", hint="name other parts")
    quarter = piece.ticks_per_quarter
    played = is_played(around) if request.played is None else request.played

    numerator, denominator = piece.meter_at(span.begin)
    bar_length = 4 * quarter * numerator / denominator
    anchor = Anchor(span.begin, float(span.begin), bar_length, quarter, piece.tempo_at(span.begin), False)

    until = max(span.end, around.end)  # bars that are empty but for what is left out are told, too
    assert tokenizer.as_parts is not None
    rows = tokenizer.as_parts.encode(piece, until=until, voices=voices, played=played).astype(np.int64)
    hole = Hole(place.begin, place.end, chosen)
    room = LONGEST_PROMPT if context is None else context * 3 // 4
    unheard = {n: role_of(voices[n].program) for n in sorted(chosen) if not len(_notes_of(around, voices[n]))}
    roles = {n: role for n, role in unheard.items() if role is not None}
    stages = Stages(rows, tokenizer, hole, room, place.lines, around, _before_instead(around, span), roles)
    first = stages.first
    keeps = request.keeps
    # What is asked for goes first.
    held = {} if keeps.density or keeps.polyphony or keeps.rhythm or keeps.motif else roles
    polyphony = {n: most for n, most in voice_polyphony(around, voices).items() if n in chosen}
    polyphony |= {n: min(r.chord_size, polyphony.get(n, r.chord_size)) for n, r in held.items() if not r.drum}
    ranged = request.keeps.pitch_range != (0, 127)
    players = {n: Player(voices[n].program, voices[n].tracks) for n in sorted(chosen)}
    kept = keep(
        request.keeps,
        Ground(
            piece, around, place.lines, place.begin, players, tokenizer, adds=bool(request.add or request.everywhere)
        ),
    )
    cap = kept.cap(_most_notes_a_bar(around, voices, chosen, held))
    new_notes = _expected(around, voices, chosen, place)
    given_steps = sum(len(bar.steps) for bar in first.given) // 6
    return Plan(
        span=span,
        anchor=anchor,
        bars=place.bars,
        reading=first.reading,
        constraints=Constraints(
            pitches=PitchLimits(
                *request.keeps.pitch_range,
                by_part=part_pitches(around, voices, reach=not ranged),
            ),
            players=PlayerLimits(
                frozenset(voices[n].program for n in chosen),
                parts=chosen,
                part_count=len(voices),
                longest_rests=tuple(
                    (n, min(most, place.bars - 1))
                    for n, most in _rests(around, voices, chosen, held, named=bool(request.tracks or request.add))
                ),
            ),
            room=RoomLimits(
                max_polyphony=request.keeps.max_polyphony,
                max_notes_a_bar=cap,
                chord_sizes=tuple(sorted(polyphony.items())),
            ),
            length=LengthLimits(place.bars, may_end=False, tempo_changes=False),
            further=kept.masks,
        ),
        ensemble=Ensemble(
            voices, frozenset(n for n, most in polyphony.items() if most == 1 and voices[n].program != DRUMS), (), kept
        ),
        max_steps=place.bars * (cap * (TOKENS_A_NOTE + 1) + 16) + given_steps + 64,
        expected_notes=given_steps + new_notes,
        from_nothing=False,
        warnings=kept.warnings,
        played=played,
        stages=stages,
    )


# ---- where -----------------------------------------------------------------------------------------------


def _place(piece: Piece, request: Request) -> _Place:
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    count = len(starts)
    begin = 0 if request.start is None else request.start
    end = count if request.until is None else request.until
    if begin >= end:
        raise UsageError(f"bars {begin + 1} to {end} are no bars", hint="give the first bar, then the last: 9-12")
    if begin >= count:
        raise UsageError(f"there is no bar {begin + 1}", hint=f"the piece has {counted(count, 'bar')}")
    if end > count:
        what = f"the piece ends with bar {count}, and bar {end} is beyond it"
        raise UsageError(what, hint="name bars that are there; continuing it writes what comes after")
    more, _ = piece.bar_starts(math.ceil(starts[-1]) + 4 * 64 * piece.ticks_per_quarter)
    return _Place(begin, end, np.rint(more[begin : end + 1]).astype(np.int64))


# ---- who -------------------------------------------------------------------------------------------------


def _rewritten(piece: Piece, request: Request) -> frozenset[int]:
    """The indices of the tracks whose notes in the hole are written anew: those named, all without a name if no part is
    added, else none."""
    if request.tracks:
        return frozenset(_named(piece, request.tracks))
    if request.add:
        return frozenset()
    return frozenset(n for n, track in enumerate(piece.tracks) if len(track.notes))


def _named(piece: Piece, names: Sequence[str]) -> list[int]:
    found: list[int] = []
    for name in names:
        parts = find_parts(name, piece.tracks)
        if not parts:
            what = f"no part plays {program_name(program_of(name))!r}"
            raise UsageError(what, hint="name a part that is there, or add it with `musicgen accompany --add`")
        found += parts
    return found


def _roles(around: Piece, rewritten: frozenset[int], place: _Place) -> Callable[[int], Role | None]:
    """What a part for a program that is heard nowhere is foreseen to be like beside the parts that stay."""
    given = [
        (DRUMS if track.is_drum else track.program, track.notes)
        for number, track in enumerate(around.tracks)
        if number not in rewritten
    ]
    return cache(lambda program: foreseen(program, given, lines=place.lines, quarter=around.ticks_per_quarter))


def _voices(
    piece: Piece,
    around: Piece,
    request: Request,
    rewritten: frozenset[int],
    *,
    role_of: Callable[[int], Role | None],
) -> tuple[tuple[Voice, ...], frozenset[int]]:
    """(all parts in the order of their numbers, from below with drums last; the numbers of those to be written).

    Raises UsageError for drums that are added to drums.
    """

    def pitch(value: int) -> float:
        role = role_of(value)
        return usual_pitch(value) if role is None or role.drum else role["pitch"]

    found = []
    for voice in voices_of(piece):
        mine = [around.tracks[t].notes["pitch"] for t in voice.tracks]
        theirs = [piece.tracks[t].notes["pitch"] for t in voice.tracks]
        pitches = np.concatenate(mine if any(map(len, mine)) else theirs)
        found.append((voice.program == DRUMS, float(pitches.mean()), voice, bool(set(voice.tracks) & rewritten)))
    # A part that was silent so far but is named has no notes, and voices_of leaves it out.
    there = {t for *_, voice, _ in found for t in voice.tracks}
    for track in sorted(rewritten - there):
        value = DRUMS if piece.tracks[track].is_drum else piece.tracks[track].program
        found.append((value == DRUMS, pitch(value), Voice(value, (track,)), True))
    for name in request.add:
        value = program_of(name)
        if value == DRUMS and any(voice.program == DRUMS for _, _, voice, _ in found):
            what = "drums are there already, and all drums share one channel"
            raise UsageError(
                what, where="`add`", hint="write them anew: `rewrite` drums, in some bars only if you like"
            )
        found.append((value == DRUMS, pitch(value), Voice(value), True))
    if len(found) > MOST_PARTS:
        raise UsageError(f"{len(found)} parts would be too many", hint=f"{MOST_PARTS} are the most")
    found.sort(key=lambda each: each[:2])
    return tuple(voice for _, _, voice, _ in found), frozenset(n for n, each in enumerate(found) if each[3])


def _without(piece: Piece, tracks: frozenset[int], span: Span) -> Piece:
    """The piece without the notes of `tracks` that begin in the span."""
    kept = []
    for number, track in enumerate(piece.tracks):
        if number in tracks:
            start = track.notes["start"]
            track = replace(track, notes=track.notes[span.is_before(start) | span.is_after(start)])
        kept.append(track)
    return replace(piece, tracks=tuple(kept))


def _before_instead(around: Piece, span: Span) -> Piece:
    """The music before the hole, for new music to be like it. What parts with fewer than ENOUGH notes there play behind
    the hole is added, moved by whole bars so that it ends at the hole."""
    numerator, denominator = around.meter_at(span.begin)
    bar = 4 * around.ticks_per_quarter * numerator / denominator
    back = math.ceil((min(around.end, span.end + RECENT_BARS * bar) - span.begin) / bar)
    moved = []
    for track in around.tracks:
        before = track.notes[span.is_before(track.notes["start"])]
        if len(before) < ENOUGH:
            after = track.notes[span.is_after(track.notes["start"])].copy()
            after["start"] -= round(back * bar)
            before = notes_array(np.concatenate([after[after["start"] < span.begin], before]))
        moved.append(replace(track, notes=before))
    return replace(around, tracks=tuple(moved))


def _rests(
    around: Piece, voices: tuple[Voice, ...], chosen: frozenset[int], roles: Mapping[int, Role], *, named: bool
) -> tuple[tuple[int, int], ...]:
    """(part, the most bars that it may rest) of the parts to be written: all if they were `named`, else those that play
    nearly always, or are foreseen to."""
    found = []
    for number in sorted(chosen):
        notes = _notes_of(around, voices[number])
        starts, _ = around.bar_starts(int(notes["start"].max(initial=0)))
        bars = np.unique(np.searchsorted(starts, notes["start"] + 0.5, side="right"))
        if len(bars) / len(starts) >= NEARLY_ALWAYS:
            found.append((number, 1))
        elif named:
            found.append((number, roles[number].longest_rest if number in roles else REST))
    return tuple(found)


def _notes_of(piece: Piece, voice: Voice) -> np.ndarray:
    return np.concatenate([np.empty(0, NOTE), *(piece.tracks[t].notes for t in voice.tracks)])


def _most_notes_a_bar(
    around: Piece, voices: tuple[Voice, ...], chosen: frozenset[int], roles: Mapping[int, Role]
) -> int:
    """The most notes that the parts to be written may have in a bar: somewhat more than they have elsewhere, or than
    they are foreseen to have."""
    total = sum(roles[number].most_notes_a_bar for number in roles)
    for number in chosen - roles.keys():
        notes = _notes_of(around, voices[number])
        if len(notes) < FEWEST_NOTES_A_BAR:
            total += FEWEST_NOTES_A_BAR
            continue
        starts, _ = around.bar_starts(int(notes["start"].max()))
        bar = np.searchsorted(starts, notes["start"] + 0.5, side="right")
        total += math.ceil(FULLER * int(np.bincount(bar).max())) + 2
    return min(total if chosen <= roles.keys() else max(FEWEST_NOTES_A_BAR, total), MAX_NEW_TOKENS)


def _expected(around: Piece, voices: tuple[Voice, ...], chosen: frozenset[int], place: _Place) -> int:
    """About how many notes will be written."""
    starts, _ = around.bar_starts(max(0, around.end - 1))
    others = max(1, len(starts) - place.bars)
    total = 0.0
    for number in chosen:
        notes = len(_notes_of(around, voices[number]))
        total += place.bars * (notes / others if notes else 6)
    return max(1, round(total))


# ---- what is read ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stage:
    """A part of a hole that is drawn in one go: what is read before it, and its bars with what is given in them."""

    reading: Reading
    given: tuple[GivenBar, ...]


@dataclass(frozen=True, eq=False)
class Stages:
    """How a hole is filled, as it lies in a piece with these `rows`.

    A long hole with music behind it takes two stages: first as music goes on, then its last bars towards what follows,
    for models learn to fill few bars. `lines` are the ticks of the hole's bar lines. `around` is the piece without what
    is to be written, and `reference` the music that new notes should be like, all of it before the hole. `roles` are
    those of the parts (numbers) that are heard nowhere.
    """

    rows: np.ndarray
    tokenizer: Tokenizer
    hole: Hole
    room: int
    lines: np.ndarray
    around: Piece
    reference: Piece
    roles: Mapping[int, Role] = field(default_factory=dict)

    @property
    def _first(self) -> Hole:
        """The hole, or its bars before the last ones."""
        count = len(self.tokenizer.bar_positions(self.rows))
        if self.hole.bars <= LONGEST_TOLD or self.hole.end >= count:
            return self.hole
        return replace(self.hole, end=self.hole.end - LONGEST_TOLD)

    @property
    def in_two(self) -> bool:
        return self._first.end < self.hole.end

    @cached_property
    def first(self) -> Stage:
        """The first stage, or the only one."""
        return _stage(self.rows, self.tokenizer, self._first, room=self.room, towards=not self.in_two)

    def second(self, drawn: np.ndarray) -> Stage:
        """The stage after `drawn`, the ids of the first one, (T, 6)."""
        rows = with_drawn(self.rows, self.tokenizer, self._first, drawn)
        last = replace(self.hole, begin=self._first.end)
        return _stage(rows, self.tokenizer, last, room=self.room, towards=True)

    def known(self) -> np.ndarray:
        """The music around the hole as ids, (N, 6), for a model to learn from; no steps if the parts to be written play
        nowhere else."""
        return told_around(self.rows, self.tokenizer, self.hole)


def _stage(rows: np.ndarray, tokenizer: Tokenizer, hole: Hole, *, room: int, towards: bool) -> Stage:
    told = read_hole(rows, tokenizer, hole, room=room, towards=towards)
    return Stage(Reading(told.past, told.prompt, told.begun), told.given)

"""The plan for new music: the span it fills, the model's prompt and the sampling constraints.

Ticks are the piece's own. Bars are counted from 0 here, and from 1 on the command line. Nothing here uses tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from musicgen.errors import UsageError
from musicgen.gm import program_name
from musicgen.piece import Piece, Span
from musicgen.sampling.asked import find_parts, program_of, value_of
from musicgen.sampling.cuts import plain_cut
from musicgen.sampling.kept import Ground, Kept, Player, keep
from musicgen.sampling.request import Request
from musicgen.sampling.voices import open_voices, part_pitches, voice_polyphony
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.bars.voices import Voice, is_played
from musicgen.tokenizers.constraints import (
    DRUMS,
    Anchor,
    Constraints,
    LengthLimits,
    PitchLimits,
    PlayerLimits,
    RoomLimits,
)
from musicgen.words import counted

if TYPE_CHECKING:
    from musicgen.sampling.holes import Stages

__all__ = [
    "FULLER",
    "LONGEST_PROMPT",
    "MAX_NEW_TOKENS",
    "RECENT_BARS",
    "TOKENS_A_NOTE",
    "Ensemble",
    "Plan",
    "Reading",
    "make_plan",
    "reading_of",
    "recent_pitch",
]

RECENT_BARS = 16  # a part that has been silent for longer is not continued unless requested
TOKENS_A_NOTE = 4
MAX_NEW_TOKENS = 4000  # bounds the time of a request; determines the most notes per bar
FEWEST_NOTES_A_BAR = 24  # that limit is never lower than this
LONGEST_PROMPT = 2048  # steps
FULLER = 1.25  # a new bar may have so many times the notes of the fullest of the last bars
FEWEST_BARS = 4  # bars with notes that are needed for that limit
NEW_REST = 2  # bars that a new part which was asked for may rest


@dataclass(frozen=True)
class Reading:
    """The ids that the model reads before it samples, in whole steps."""

    past: np.ndarray  # the ids before the prompt, for a model that recalls them
    prompt: np.ndarray
    begun: tuple[int, ...]  # the first fields of the next step if the prompt ends inside it

    @property
    def whole(self) -> np.ndarray:
        """The ids of the past followed by the prompt."""
        return np.concatenate([self.past, self.prompt])


@dataclass(frozen=True)
class Ensemble:
    """Who plays the new music, and what it keeps to."""

    voices: tuple[Voice, ...]  # the numbered parts, if the tokenizer numbers parts
    melodic: frozenset[int]  # monophonic programs; part numbers if the tokenizer numbers parts
    centres: tuple[tuple[int, float], ...]  # (program, its recent mean pitch), for a tokenizer without programs
    kept: Kept
    asked: frozenset[int] = frozenset()  # programs of new parts that were asked for, and must be heard


@dataclass(frozen=True)
class Plan:
    """How a piece is continued: the span to fill, what the model reads, and the constraints on sampling."""

    span: Span
    anchor: Anchor
    bars: int  # whole new bars
    reading: Reading
    constraints: Constraints
    ensemble: Ensemble
    max_steps: int
    expected_notes: int  # number of new notes at the note density of the last bars
    from_nothing: bool  # whether there are no notes before the span
    warnings: tuple[str, ...]
    played: bool | None = None  # whether the model reads that this is a performance; None: it reads nothing of that
    stages: Stages | None = None  # how a hole is filled; None for an open span

    @property
    def cut(self) -> int:
        """The tick at which the new music begins."""
        return self.span.begin

    @property
    def end(self) -> int:
        """The tick at which the new music ends."""
        return self.span.end

    @property
    def last_line(self) -> float:
        """The tick of the bar line at which its last bar begins."""
        return self.anchor.bar_start + (self.bars + int(self.anchor.fills) - 1) * self.anchor.bar_length


def make_plan(piece: Piece, tokenizer: Tokenizer, *, request: Request, context: int | None) -> Plan:
    """Choose the span, prompt and constraints. `context` is the model's context length in steps; None: unlimited.

    Raises UsageError for a bar or track that doesn't exist, and for an invalid key.
    """
    warnings: list[str] = []
    bar_line, anchor, bars, span = _place(piece, request)
    before = piece.until(span.begin)
    recent = span.begin - RECENT_BARS * anchor.bar_length
    voices: tuple[Voice, ...] = ()
    chosen: frozenset[int] | None = None
    new: list[int] = []
    if tokenizer.as_parts is not None:
        voices, chosen = open_voices(piece, before, request.tracks, recent=recent, warnings=warnings)
        programs = frozenset(voices[number].program for number in chosen)
        new = [n for n in sorted(chosen) if not any(len(before.tracks[t].notes) for t in voices[n].tracks)]
        asked = frozenset(voices[n].program for n in new if request.tracks)
        polyphony = {n: most for n, most in voice_polyphony(before, voices).items() if n in chosen}
    else:
        programs = _programs(piece, before, request=request, recent=recent, warnings=warnings)
        polyphony = {p: most for p, most in _polyphony(before).items() if p in programs}
        asked = programs - {value_of(track) for track in before.tracks if len(track.notes)}
        asked = asked if request.tracks and tokenizer.has_programs else frozenset()
    if request.keeps.drums == frozenset():
        if programs == {DRUMS}:
            raise UsageError("no drums may play, and drums are all that is to play", hint="name other tracks")
        programs, asked = programs - {DRUMS}, asked - {DRUMS}
        chosen = None if chosen is None else frozenset(n for n in chosen if voices[n].program != DRUMS)
        polyphony = {n: most for n, most in polyphony.items() if n in (programs if chosen is None else chosen)}
    if DRUMS in programs and not tokenizer.has_programs:
        if programs == {DRUMS}:
            raise UsageError(
                "this model plays no drums, and drums are all there is to continue", hint="name other tracks"
            )
        warnings.append("drums: this model plays none, so they are not continued")
    played = None
    if voices:
        played = is_played(before) if request.played is None else request.played
    elif request.played is not None:
        warnings.append("played: this model isn't told whether hands play or a score")

    total = bars + int(anchor.fills)
    kept = keep(
        request.keeps, _ground(piece, before, tokenizer, anchor=anchor, bars=bars, who=(voices, chosen, programs))
    )
    warnings += kept.warnings
    cap = max(FEWEST_NOTES_A_BAR, MAX_NEW_TOKENS // (TOKENS_A_NOTE * max(1, total)))
    cap = kept.cap(min(cap, _most_notes_a_bar(before, anchor)))
    meter = piece.meter_at(span.begin)
    ranged = request.keeps.pitch_range != (0, 127)
    held = round(4 * meter[0] / meter[1] * tokenizer.held_steps_a_quarter)
    return Plan(
        span=span,
        anchor=anchor,
        bars=bars,
        reading=reading_of(
            before, tokenizer, context=context, cut=span.begin, bar_line=bar_line, voices=voices, played=played
        ),
        constraints=Constraints(
            pitches=PitchLimits(
                *request.keeps.pitch_range,
                by_part=part_pitches(before, voices, reach=not ranged) if voices else (),
            ),
            players=PlayerLimits(
                programs,
                parts=chosen,
                part_count=len(voices) if voices else None,
                longest_rests=tuple((n, min(NEW_REST, max(0, bars - 1))) for n in new if request.tracks),
            ),
            room=RoomLimits(
                max_polyphony=request.keeps.max_polyphony,
                max_notes_a_bar=cap,
                chord_sizes=tuple(sorted(polyphony.items())),
            ),
            length=LengthLimits(bars, may_end=False, max_empty_bars=1, meter=meter, tempo_changes=False),
            further=kept.masks,
        ),
        ensemble=Ensemble(
            voices,
            melodic=frozenset(
                n for n, most in polyphony.items() if most == 1 and (voices[n].program if voices else n) != DRUMS
            ),
            centres=_centres(before, programs, span.begin),
            kept=kept,
            asked=asked,
        ),
        max_steps=total * (cap * (TOKENS_A_NOTE + 1) + held + 8) + 64,
        expected_notes=round(total * _notes_a_bar(before, anchor)),
        from_nothing=not before.n_notes,
        warnings=tuple(warnings),
        played=played,
    )


def _ground(
    piece: Piece,
    before: Piece,
    tokenizer: Tokenizer,
    *,
    anchor: Anchor,
    bars: int,
    who: tuple[tuple[Voice, ...], frozenset[int] | None, frozenset[int]],
) -> Ground:
    """What the request is held against; `who` are the parts, the numbers of those that play, and the programs."""
    voices, chosen, programs = who
    if chosen is not None:
        players = {n: Player(voices[n].program, voices[n].tracks) for n in sorted(chosen)}
    else:
        homes = {p: tuple(n for n, track in enumerate(piece.tracks) if value_of(track) == p) for p in programs}
        players = {program: Player(program, homes[program]) for program in sorted(programs)}
    first = anchor.bar_start + anchor.bar_length * anchor.fills
    lines = np.rint(first + anchor.bar_length * np.arange(bars + 1)).astype(np.int64)
    starts, _ = piece.bar_starts(max(0, int(lines[0])))
    late = int(lines[0] - RECENT_BARS * anchor.bar_length)
    like = replace(before, tracks=tuple(replace(t, notes=t.notes[t.notes["start"] >= late]) for t in before.tracks))
    return Ground(piece, like, lines, int(np.searchsorted(starts, lines[0] + 0.5)) - 1, players, tokenizer)


def _place(piece: Piece, request: Request) -> tuple[float | None, Anchor, int, Span]:
    """Where new music goes: (the bar line at which it begins, None if within a bar; its anchor in time; the number of
    whole new bars; its span in ticks)."""
    cut = plain_cut(piece) if request.start is None else _bar_tick(piece, request.start)
    numerator, denominator = piece.meter_at(cut)
    bar_length = 4 * piece.ticks_per_quarter * numerator / denominator
    starts, _ = piece.bar_starts(max(cut, 0))
    at = max(0, int(np.searchsorted(starts, cut + 0.5, side="right")) - 1)
    bar_start = float(starts[at])
    # Up to half a step of the usual grid of 24 per quarter, the cut counts as being on the bar line.
    fills = cut - bar_start > piece.ticks_per_quarter / 48
    us = piece.tempo_at(cut)
    first_bar = bar_start if fills else cut
    if request.seconds is not None:
        ticks = request.seconds * 1e6 / us * piece.ticks_per_quarter
        bars = max(0 if fills else 1, math.ceil((cut + ticks - first_bar) / bar_length) - int(fills))
        if bars > 1000:
            raise UsageError("that is more than 1000 bars at this tempo", hint="ask for fewer seconds")
        end = cut + round(ticks)
    elif request.bars is None:
        raise UsageError("notes are asked for without a number of bars", hint="say how many")
    else:
        bars = request.bars
        end = round(first_bar + (bars + int(fills)) * bar_length)
    anchor = Anchor(cut, float(first_bar), bar_length, piece.ticks_per_quarter, us, fills)
    return None if fills else bar_start, anchor, bars, Span(cut, end)


def reading_of(
    before: Piece,
    tokenizer: Tokenizer,
    *,
    context: int | None,
    cut: int,
    bar_line: float | None,
    voices: tuple[Voice, ...],
    played: bool | None,
) -> Reading:
    """What the model reads of the music before the cut. The cut is at `bar_line`, or within a bar if that is None."""
    numbered = tokenizer.as_parts
    read = before
    if bar_line is not None and tokenizer.steps:
        # Notes played slightly before the bar line belong to the bar after it, which is to be generated.
        read = before.until(math.ceil(bar_line - before.ticks_per_quarter / (2 * tokenizer.steps)))
    until = max(cut, 1) if before.n_notes or cut else None
    if numbered is None:
        ids = tokenizer.encode(read, until=until).astype(np.int64)
    else:
        ids = numbered.encode(read, until=until, voices=voices, played=played).astype(np.int64)
    last = ids[-1:].ravel().tolist()  # the fields before EOS in its step belong to the prompt
    ids, begun = ids[:-1], last[: last.index(tokenizer.vocabulary.id("eos"))]
    if not cut:
        return Reading(ids[:0], ids[: 1 + len(voices)] if voices else ids[:1], ())
    # A recurrent model could read everything, but that would take too long.
    room = LONGEST_PROMPT if context is None else context * 3 // 4
    if numbered is not None:
        return Reading(*numbered.past_and_prompt(ids, room), tuple(begun))
    return Reading(ids[:0], tokenizer.tail(ids, room), tuple(begun))


# ---- small steps ---------------------------------------------------------------------------------------


def _most_notes_a_bar(before: Piece, anchor: Anchor) -> int:
    """The limit on notes in a new bar: slightly more than in the fullest of the last RECENT_BARS bars before the cut;
    MAX_NEW_TOKENS, which is no limit, if fewer than FEWEST_BARS of these have notes."""
    starts = np.concatenate([np.empty(0, np.int64), *(track.notes["start"] for track in before.tracks)])
    back = np.floor((anchor.tick - 1 - starts) / anchor.bar_length).astype(np.int64)
    count = np.bincount(back[(back >= 0) & (back < RECENT_BARS)], minlength=1)
    return math.ceil(FULLER * int(count.max())) + 2 if (count > 0).sum() >= FEWEST_BARS else MAX_NEW_TOKENS


def _notes_a_bar(before: Piece, anchor: Anchor) -> float:
    """The mean number of notes per bar in the last RECENT_BARS bars before the cut."""
    bars = max(1.0, min(RECENT_BARS, anchor.tick / anchor.bar_length))
    first = anchor.tick - bars * anchor.bar_length
    recent = sum(int((track.notes["start"] >= first).sum()) for track in before.tracks)
    return recent / bars


def _bar_tick(piece: Piece, bar: int) -> int:
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    if not 0 <= bar <= len(starts):
        raise UsageError(f"there is no bar {bar + 1}", hint=f"the piece has {counted(len(starts), 'bar')}")
    if bar == len(starts):  # right after the last bar
        more, _ = piece.bar_starts(int(np.ceil(starts[-1])) + 4 * 64 * piece.ticks_per_quarter)
        return int(np.rint(more[bar]))
    return int(np.rint(starts[bar]))


def _programs(piece: Piece, before: Piece, *, request: Request, recent: float, warnings: list[str]) -> frozenset[int]:
    """The programs (128 for drums) that may play: those requested, or those that have sounded since tick `recent`."""
    if request.tracks:
        found = [(name, find_parts(name, piece.tracks)) for name in request.tracks]
        new = frozenset(program_of(name) for name, parts in found if not parts)
        return new | {value_of(piece.tracks[n]) for _, parts in found for n in parts}
    playing = [t for t in before.tracks if len(t.notes) and t.end >= recent]
    playing = playing or [t for t in before.tracks if len(t.notes)]
    if not playing:
        playing = [t for t in piece.tracks if len(t.notes)]
    chosen = frozenset(DRUMS if t.is_drum else t.program for t in playing)
    silent = frozenset(DRUMS if t.is_drum else t.program for t in before.tracks if len(t.notes)) - chosen
    if silent:
        names = ", ".join(program_name(p) for p in sorted(silent))
        warnings.append(f"silent_parts: not continued, silent for {RECENT_BARS} bars: {names}")
    return chosen or frozenset({0})


def _centres(before: Piece, programs: frozenset[int], cut: int) -> tuple[tuple[int, float], ...]:
    """(program, its recent mean pitch) of `programs` without drums; 60 for a program that hasn't played."""
    tracks = [t for t in before.tracks if not t.is_drum and len(t.notes)]
    centres = []
    for value in sorted(programs - {DRUMS}):
        means = [recent_pitch(t.notes, cut) for t in tracks if t.program == value]
        centres.append((value, float(np.mean(means)) if means else 60.0))
    return tuple(centres)


def _polyphony(piece: Piece) -> dict[int, int]:
    """The greatest number of notes that sound at once, by program. Overlaps up to 1/8 of a quarter count as legato."""
    most: dict[int, int] = {}
    slack = piece.ticks_per_quarter // 8
    for value in {DRUMS if t.is_drum else t.program for t in piece.tracks if len(t.notes)}:
        mine = [t.notes for t in piece.tracks if (DRUMS if t.is_drum else t.program) == value]
        notes = np.concatenate(mine)
        ends = notes["start"] + np.maximum(1, notes["duration"] - slack)
        edges = np.concatenate([notes["start"], ends])
        steps = np.repeat([1, -1], len(notes))
        order = np.lexsort((steps, edges))  # ends before starts
        most[value] = int(np.cumsum(steps[order]).max(initial=1))
    return most


def recent_pitch(notes: np.ndarray, cut: int) -> float:
    """The mean pitch of the last 16 notes before the cut; 60 (middle C) if there are none."""
    notes = notes[notes["start"] < cut]
    return float(notes["pitch"][-16:].mean()) if len(notes) else 60.0

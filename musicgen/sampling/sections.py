"""The plan for a section of a long continuation."""

from __future__ import annotations

import math
from dataclasses import replace

from musicgen.piece import Piece, Span
from musicgen.sampling.plan import Plan, reading_of
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.bars.voices import Voice

__all__ = ["plan_of_section"]


def plan_of_section(
    first: Plan,
    piece: Piece,
    tokenizer: Tokenizer,
    *,
    voices: tuple[Voice, ...],
    done: int,
    bars: int,
    end: int | None,
    context: int | None,
) -> Plan:
    """The plan for the section of `bars` bars that follows the first `done` whole new ones, within the limits of the
    `first` section's plan. `piece` is the music up to it, with its parts in `voices`; it ends at tick `end`, None: with
    its last bar."""
    anchor = first.anchor
    begin = anchor.bar_start + (done + int(anchor.fills)) * anchor.bar_length
    if done:
        anchor = replace(anchor, tick=round(begin), bar_start=begin, fills=False)
    total = bars + int(anchor.fills)
    share = total / (first.bars + int(first.anchor.fills))
    last = round(anchor.bar_start + total * anchor.bar_length) if end is None else end
    reading = first.reading
    if done:
        reading = reading_of(
            piece, tokenizer, context=context, cut=anchor.tick, bar_line=begin, voices=voices, played=first.played
        )
    limits = first.constraints
    return replace(
        first,
        span=Span(anchor.tick, last),
        anchor=anchor,
        bars=bars,
        reading=reading,
        constraints=replace(limits, length=replace(limits.length, bars=bars), bars_before=done),
        max_steps=math.ceil(first.max_steps * max(1, share)),
        expected_notes=round(first.expected_notes * share),
        warnings=(),
    )

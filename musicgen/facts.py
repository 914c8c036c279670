"""The facts about a take that its writer doesn't know, and the order in which a sidecar lists all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from musicgen.evaluation.reference import kind_of, reference
from musicgen.evaluation.statistics import statistics
from musicgen.licences import Shipping, shipping_of
from musicgen.page.heard import written_parts
from musicgen.piece import Piece
from musicgen.sampling.notes import NoteWriter
from musicgen.sampling.take import Take
from musicgen.words import counted

__all__ = ["FACTS", "note_facts", "shipping_facts"]

# Keys of a sidecar, in this order. `characters_added` is only for takes of text, `statistics`, `study`, `candidates`
# and `originality` only for takes of notes. For takes in a hole, `parts_written` are the names of the parts that were
# written in it, which several parts may share, and `part_numbers` which parts of the file these are, counted from 1 as
# `--tracks` and `inspect` count them; one that got no note and has none elsewhere isn't in the file.
FACTS = (
    "model", "model_sha256", "model_reason", "seed", "settings", "source", "source_sha256", "ticks_per_quarter",
    "cut_tick", "end_tick", "parts_written", "part_numbers", "notes_kept", "notes_removed", "notes_added", "bars_added",
    "seconds_added", "characters_added", "warnings", "statistics", "played", "study", "candidates", "ending", "rest",
    "ranked",
    "originality", "licence", "shipping",
)  # fmt: skip


def note_facts(writer: NoteWriter, take: Take) -> dict[str, Any]:
    """Statistics of the new notes of a take, beside those before the cut and of its kind, and how original they are. In
    a hole, both are of the parts that were written."""
    plan = writer.plan
    before = max(0, round(plan.cut - 16 * plan.anchor.bar_length))
    own = written_parts(take.piece, take.facts)
    piece, earlier = take.piece, writer.source.piece
    if own is not None:
        kept = (t if n in own else replace(t, notes=t.notes[:0]) for n, t in enumerate(piece.tracks))
        piece = earlier = replace(piece, tracks=tuple(kept))
    return {
        "statistics": {
            "before": statistics(earlier, begin=before, end=plan.cut),
            "new": statistics(piece, begin=plan.cut, end=plan.end),
            "reference": reference(kind_of(piece)),
        },
        "originality": writer.originality.account(piece, begin=plan.cut, end=plan.end),
    }


def shipping_facts(card: Mapping[str, Any], learned: Mapping[str, Any], *, also: Sequence[Piece]) -> dict[str, Any]:
    """Whether a take may be passed on, as far as the data of the model and the pieces that it studied decide it."""
    may = shipping_of(card)
    if learned["updates"] and also:
        said = f"{counted(len(also), 'piece')} studied: what their licences allow isn't known here"
        may = may & Shipping(None, (said,))
    return may.to_dict()

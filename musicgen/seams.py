"""How new music joins what was there: the tests of `check` on seams, on holes and on what goes beside given parts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen.errors import MusicgenError
from musicgen.evaluation.edges import Fault, at_edge, within
from musicgen.page.heard import written_parts
from musicgen.piece import NOTE, Piece, Span
from musicgen.sampling.asked import find_parts
from musicgen.sampling.faults import Stretch, faults
from musicgen.sampling.fitting import clashes, off_scale
from musicgen.words import counted

__all__ = ["Finding", "key_faults", "seams"]

BARS_BEFORE = 16  # that new music is compared with
# Shares of the new notes that clash with given ones, and of their time outside the scale: more is a fault where it is
# also more than OFTENER times as much as in the bars around. How rarely true bars have more is told in RESULTS.md.
HARSH, OUTSIDE, OFTENER = 0.3, 0.5, 3.0


@dataclass(frozen=True)
class Finding:
    """The result of one test in words; `passed` is None if it is no test, or couldn't be made.

    Tests of holes tell their `faults` one by one, too.
    """

    name: str
    passed: bool | None
    said: str
    faults: tuple[Fault, ...] = ()


def seams(piece: Piece, facts: Mapping[str, Any], span: Span) -> list[Finding]:
    """How the new music joins on: where it begins and, if music follows it, where it ends; in a hole also how it goes
    with what is given."""
    parts = written_parts(piece, facts)
    written = range(len(piece.tracks)) if parts is None else sorted(parts)
    if span.is_open:
        return [_seam(piece, facts, span)]
    behind = _edge(piece, span, written, behind=True)
    if "end_tick" not in facts:
        return [_seam(piece, facts, span), behind]
    return [_edge(piece, span, written, behind=False), behind, _fit(piece, facts, span, written)]


def _edge(piece: Piece, span: Span, written: Collection[int], *, behind: bool) -> Finding:
    name, edge, side = ("seam behind", span.end, "follows") if behind else ("seam", span.begin, "comes before")
    starts = [track.notes["start"] for track in piece.tracks]
    if not any((start >= edge).any() if behind else (start < edge).any() for start in starts):
        return Finding(name, None, f"no music {side}, so there is no seam")
    found = tuple(at_edge(piece, span, written=written, behind=behind))
    how = "leads into what follows" if behind else "goes on from what comes before"
    said = "; ".join(fault.said for fault in found) or f"at tick {edge} the new music {how}, without a known fault"
    return Finding(name, not found, said, found)


def _fit(piece: Piece, facts: Mapping[str, Any], span: Span, written: Collection[int]) -> Finding:
    """Whether the parts that were asked for play, and in the key of what is around and beside them."""
    settings = facts["settings"]
    asked = bool(settings.get("tracks") or settings.get("add"))
    found = within(piece, span, written=written, asked=asked)
    if asked and (gone := len(facts.get("parts_written", ())) - len(written)) > 0:
        found.append(Fault("missing", None, f"{counted(gone, 'part')} asked for without a note"))
    new, given = (
        [t.notes for n, t in enumerate(piece.tracks) if not t.is_drum and (n in written) is mine]
        for mine in (True, False)
    )
    numerator, denominator = piece.meter_at(span.begin)
    reach = BARS_BEFORE * 4 * piece.ticks_per_quarter * numerator / denominator
    found += key_faults(_joined(new), _joined(given), span, reach=reach, ticks_per_quarter=piece.ticks_per_quarter)
    said = "; ".join(fault.said for fault in found) or "the new notes go with what is around and beside them"
    return Finding("fit", not found, said, tuple(found))


def _seam(piece: Piece, facts: Mapping[str, Any], span: Span) -> Finding:
    cut = span.begin
    held = sum(int(_held(track.notes, cut).sum()) for track in piece.tracks)
    found = [f"{counted(held, 'note')} from before the cut {'sounds' if held == 1 else 'sound'} on"] if held else []
    numerator, denominator = piece.meter_at(cut)
    bar = 4 * piece.ticks_per_quarter * numerator / denominator
    before = _stretch(piece, max(0.0, cut - BARS_BEFORE * bar), cut, bar)
    new = _stretch(piece, cut, span.end, bar, bars=max(1, int(facts["bars_added"])))
    asked = None
    if names := facts["settings"].get("tracks"):
        asked = frozenset(number for name in names for number in _parts(str(name), piece))
    found += faults(new, before, asked=asked)
    if found:
        return Finding("seam", False, "; ".join(found))
    return Finding("seam", True, f"from tick {cut} on the music goes on without a fault that is known")


def _parts(name: str, piece: Piece) -> tuple[int, ...]:
    try:
        return find_parts(name, piece.tracks)
    except MusicgenError:
        return ()


def _held(notes: np.ndarray, cut: int) -> np.ndarray:
    held: np.ndarray = (notes["start"] < cut) & (notes["start"] + notes["duration"] > cut)
    return held


def _stretch(piece: Piece, begin: float, end: float, bar: float, *, bars: int | None = None) -> Stretch:
    chosen = [track.notes[(track.notes["start"] >= begin) & (track.notes["start"] < end)] for track in piece.tracks]
    sizes = [len(notes) for notes in chosen]
    return Stretch(
        np.concatenate(chosen) if chosen else np.empty(0, NOTE),
        np.repeat(np.arange(len(chosen)), sizes),
        np.repeat([track.is_drum for track in piece.tracks], sizes).astype(bool),
        begin,
        round((end - begin) / bar) if bars is None else bars,
        bar,
        piece.ticks_per_quarter,
    )


def key_faults(new: np.ndarray, given: np.ndarray, span: Span, *, reach: float, ticks_per_quarter: int) -> list[Fault]:
    """The faults in harmony of the notes (NOTE, no drums) of written parts that begin in `span`: those that clash with
    `given` parts, and those in another key than the music up to `reach` ticks around, and than the given parts."""

    def split(notes: np.ndarray) -> list[np.ndarray]:
        """Notes that begin in the span, before and behind it."""
        start = notes["start"]
        before, after = start < span.begin, start >= span.end
        near = (start >= span.begin - reach) & (start < span.end + reach)
        return [notes[~before & ~after], notes[before & near], notes[after & near]]

    inside, *around = split(new)
    beside, *others = split(given)
    found = []
    harsh = clashes(inside, given, ticks_per_quarter=ticks_per_quarter)
    usual = max(clashes(each, given, ticks_per_quarter=ticks_per_quarter) for each in around)
    if harsh > max(HARSH, OFTENER * usual):
        found.append(Fault("clash", None, f"{100 * harsh:.0f} % of the new notes clash with given ones"))
    sides = [np.concatenate(each) for each in zip(around, others, strict=True)]
    scale = np.concatenate([*sides, beside])
    outside = off_scale(inside, scale)
    if outside > max(OUTSIDE, OFTENER * max(off_scale(each, scale) for each in sides)):
        found.append(
            Fault("key", None, f"{100 * outside:.0f} % of the new notes lie outside the key of what is around")
        )
    return found


def _joined(tables: Sequence[np.ndarray]) -> np.ndarray:
    notes = np.concatenate([np.empty(0, NOTE), *tables])
    return notes[np.argsort(notes["start"], kind="stable")]

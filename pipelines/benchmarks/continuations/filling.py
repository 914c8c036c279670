"""Infilling and accompanying beside the truth: sixteen bars of a piece with a hole of four, or without one part.

The takes come from the library (`Composer.infill`, `Composer.accompany`), which sees the sixteen bars and nothing of
what is missing. Every take is also held against its file: no event outside the hole, or of the given parts, may change.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musicgen.composer import Composer, Source
from musicgen.errors import MusicgenError
from musicgen.gm import program_name
from musicgen.io.smf import END_OF_TRACK, META, MidiFile
from musicgen.piece import Piece
from musicgen.scoring import Scoring
from musicgen.tokenizers.bars.filling import Hole, read_hole
from musicgen.tokenizers.bars.voices import voices_of

from .passage import Case, Passage, bar_lines, join, rows_of
from .rivals import Rival, markov, strangers

__all__ = ["TASKS", "Task"]

HOLE, BEFORE, WHOLE = 4, 6, 16  # bars
STEADY = 10  # of the sixteen bars, in which a part plays that is hidden
DOUBLED, AGAIN, CHAIN = "a given part doubled", "repeat of the last four", "Markov of order 2"


@dataclass(frozen=True)
class Task:
    """What is missing in each case, takes that write it, and what else could stand there."""

    cases: list[Case]
    take: Callable[[Composer, Case, int], Passage | None]
    rivals: dict[str, Rival]
    nats: Callable[[Composer, Case], dict[str, tuple[float, int]]]
    changed: Counter[str]  # events that a take changed outside, by case; and the takes that were looked at


def infilling(music: Sequence[Case]) -> Task:
    """Four bars of sixteen are missing, in all parts."""
    cases = []
    for case in music:
        whole = _excerpt(case.piece, case.bar - BEFORE, case.bar - BEFORE + WHOLE)
        if whole is None:
            continue
        lines = bar_lines(whole, until_bar=WHOLE)
        rows = rows_of(whole)
        before, truth = join(rows, lines[: BEFORE + 1]), join(rows, lines[BEFORE : BEFORE + HOLE + 1])
        if len(truth.notes) < HOLE or len(before.notes) < HOLE:
            continue
        cut = int(np.rint(lines[BEFORE] * whole.ticks_per_quarter))
        cases.append(replace(case, piece=whole, bar=BEFORE, cut=cut, before=before, truth=truth))
    changed: Counter[str] = Counter()

    def take(composer: Composer, case: Case, seed: int) -> Passage | None:
        source = Source.of_piece(_emptied(case.piece, case))
        (made,) = composer.infill(source, begin=BEFORE, end=BEFORE + HOLE, seed=seed)
        changed["takes"] += 1
        changed[case.name] += _changes(source.midi, made.midi, case)
        return join(rows_of(made.piece, numbers=_numbers(case, made.piece)), case.truth.bars)

    rivals: dict[str, Rival] = {
        AGAIN: lambda case, n: None if n else case.before.last(HOLE).onto(case.truth.bars),
        CHAIN: markov,
    }
    return Task(cases, take, rivals, lambda composer, case: _hole_nats(composer, case, parts=None), changed)


def accompanying(music: Sequence[Case]) -> Task:
    """One part of sixteen bars is missing."""
    cases, hidden = [], {}
    for case in music:
        whole = _excerpt(case.piece, case.bar - WHOLE // 2, case.bar + WHOLE // 2)
        part = None if whole is None else _to_hide(whole, case.name)
        if whole is None or part is None:
            continue
        lines, rows = bar_lines(whole, until_bar=WHOLE), rows_of(whole)
        given, truth = (join(rows[of], lines) for of in (rows["part"] != part, rows["part"] == part))
        hidden[case.name] = part
        cases.append(replace(case, piece=whole, bar=0, cut=0, before=given, truth=truth))
    changed: Counter[str] = Counter()

    def take(composer: Composer, case: Case, seed: int) -> Passage | None:
        part = hidden[case.name]
        track = case.piece.tracks[part]
        kept = tuple(t for n, t in enumerate(case.piece.tracks) if n != part)
        source = Source.of_piece(replace(case.piece, tracks=kept))
        add = "drums" if track.is_drum else program_name(track.program)
        (made,) = composer.accompany(source, add=[add], begin=0, end=None, seed=seed)
        changed["takes"] += 1
        changed[case.name] += _changes(source.midi, made.midi, None)
        new = rows_of(made.piece, numbers=[part] * len(made.piece.tracks))
        count = sum(len(t.notes) for t in made.piece.tracks[: len(kept)])
        return join(new[count:], case.truth.bars)

    guests = {drum: strangers([c for c in cases if c.truth.notes["drum"].any() == drum]) for drum in (False, True)}

    def stranger(case: Case, n: int) -> Passage | None:
        found = guests[bool(case.truth.notes["drum"].any())](case, n)
        if found is None:
            return None
        notes = found.notes.copy()
        notes["part"] = hidden[case.name]
        return Passage(notes, found.bars)

    def doubled(case: Case, n: int) -> Passage | None:
        given = case.before
        drum = bool(case.truth.notes["drum"].any())
        level = {p: given.part(p)["pitch"].mean() for p in np.unique(given.notes["part"]).tolist()}
        if n or not level:
            return None
        nearest = min(level, key=lambda p: abs(level[p] - case.truth.notes["pitch"].mean()))
        notes = given.part(nearest).copy()
        notes["part"], notes["drum"] = hidden[case.name], drum
        return Passage(notes, given.bars)

    def chain(case: Case, n: int) -> Passage | None:
        visitor = stranger(case, n)
        if visitor is None or len(visitor.notes) < 3:
            return None
        notes = visitor.notes.copy()
        notes["start"] -= case.truth.bars[-1] - case.truth.bars[0]
        return markov(replace(case, before=Passage(notes, visitor.bars)), n)

    rivals: dict[str, Rival] = {DOUBLED: doubled, CHAIN: chain, "stranger": stranger}
    return Task(
        cases, take, rivals, lambda composer, case: _hole_nats(composer, case, parts=hidden[case.name]), changed
    )


def rewriting(music: Sequence[Case]) -> Task:
    """One part of the second eight of sixteen bars is missing; what it plays before is known."""
    cases, hidden, half = [], {}, WHOLE // 2
    for case in music:
        whole = _excerpt(case.piece, case.bar - half, case.bar + half)
        part = None if whole is None else _to_hide(whole, case.name)
        if whole is None or part is None:
            continue
        lines, rows = bar_lines(whole, until_bar=WHOLE), rows_of(whole)
        before, truth = (join(rows[rows["part"] == part], lines[a : a + half + 1]) for a in (0, half))
        if len(truth.notes) < HOLE or len(before.notes) < HOLE:
            continue
        hidden[case.name] = part
        cut = int(np.rint(lines[half] * whole.ticks_per_quarter))
        cases.append(replace(case, piece=whole, bar=half, cut=cut, before=before, truth=truth))
    changed: Counter[str] = Counter()

    def take(composer: Composer, case: Case, seed: int) -> Passage | None:
        part = hidden[case.name]
        track = case.piece.tracks[part]
        kept = replace(track, notes=track.notes[track.notes["start"] < case.cut])
        source = Source.of_piece(
            replace(case.piece, tracks=tuple(kept if n == part else t for n, t in enumerate(case.piece.tracks)))
        )
        (made,) = composer.accompany(
            source, rewrite=[part + 1], begin=half, end=len(bar_lines(source.piece)) - 1, seed=seed
        )
        changed["takes"] += 1
        changed[case.name] += _changes(source.midi, made.midi, case)
        rows = rows_of(made.piece)
        return join(rows[rows["part"] == part], case.truth.bars)

    rivals: dict[str, Rival] = {
        "repeat of the last eight": lambda case, n: None if n else case.before.last(half).onto(case.truth.bars),
        CHAIN: markov,
    }
    return Task(
        cases, take, rivals, lambda composer, case: _hole_nats(composer, case, parts=hidden[case.name]), changed
    )


TASKS: dict[str, Callable[[Sequence[Case]], Task]] = {
    "infill": infilling,
    "accompany": accompanying,
    "rewrite": rewriting,
}


# ---- pieces --------------------------------------------------------------------------------------------------------


def _excerpt(piece: Piece, first: int, last: int) -> Piece | None:
    """Bars `first` to `last` (not with it) as a piece; None where there are fewer or no steady meter in them."""
    lines = bar_lines(piece)
    if first < 0 or last > len(lines) - 1:
        return None
    begin, end = (int(np.rint(lines[n] * piece.ticks_per_quarter)) for n in (first, last))
    inside = piece.meters["tick"][(piece.meters["tick"] > begin) & (piece.meters["tick"] < end)]
    if len(inside):
        return None
    tracks = []
    for track in piece.tracks:
        notes = track.notes[(track.notes["start"] >= begin) & (track.notes["start"] < end)].copy()
        notes["duration"] = np.minimum(notes["duration"], end - notes["start"])
        notes["start"] -= begin
        if len(notes):
            tracks.append(replace(track, notes=notes, controls=track.controls[:0], bends=track.bends[:0]))
    maps: dict[str, Any] = {}
    for name in ("tempos", "meters", "keys"):
        rows = getattr(piece, name)
        rows = rows[rows["tick"] < end].copy()
        before = np.flatnonzero(rows["tick"] <= begin)
        rows = rows[before[-1] if len(before) else 0 :]
        rows["tick"] = np.maximum(0, rows["tick"] - begin)
        maps[name] = rows
    return replace(piece, tracks=tuple(tracks), chords=piece.chords[:0], **maps) if tracks else None


def _emptied(piece: Piece, case: Case) -> Piece:
    """The piece without the notes that begin where the truth stands."""
    quarter = piece.ticks_per_quarter
    begin, end = (int(np.rint(case.truth.bars[n] * quarter)) for n in (0, -1))
    emptied = []
    for track in piece.tracks:
        start = track.notes["start"]
        emptied.append(replace(track, notes=track.notes[(start < begin) | (start >= end)]))
    return replace(piece, tracks=tuple(emptied))


def _to_hide(piece: Piece, name: str) -> int | None:
    """A part that plays in most bars, chosen by lot; None where there are no two parts."""
    lines = bar_lines(piece, until_bar=WHOLE) * piece.ticks_per_quarter
    steady = []
    for number, track in enumerate(piece.tracks):
        bars = np.unique(np.searchsorted(lines, track.notes["start"] + 0.5, side="right"))
        if len(bars) >= STEADY:
            steady.append(number)
    if len(piece.tracks) < 2 or not steady:
        return None
    return steady[zlib.crc32(name.encode()) % len(steady)]


def _numbers(case: Case, piece: Piece) -> list[int]:
    """The part of each track of a take: takes keep a file's parts in order, and those without a note are left out."""
    names = [n for n, t in enumerate(case.piece.tracks)]
    return [names[n] if n < len(names) else n for n in range(len(piece.tracks))]


def _changes(old: MidiFile, new: MidiFile, case: Case | None) -> int:
    """How many events of the old file are gone, or stand where nothing new may."""
    begin = end = -1
    if case is not None:
        begin, end = (int(np.rint(case.truth.bars[n] * case.piece.ticks_per_quarter)) for n in (0, -1))
    count = 0
    for a, b in zip(old.tracks, new.tracks, strict=False):
        was, now = _listed(a), _listed(b)
        for event in ((was - now) + (now - was)).elements():
            inside = begin <= event[0] <= end and 0x80 <= event[1] < 0xA0
            count += not inside
    return count


def _listed(track: Any) -> Counter:
    return Counter(
        (int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), track.payload(r))
        for r in track.rows
        if (r["status"], r["data1"]) != (META, END_OF_TRACK)
    )


# ---- likelihood ----------------------------------------------------------------------------------------------------


def _hole_nats(composer: Composer, case: Case, *, parts: int | None) -> dict[str, tuple[float, int]]:
    """{way: (nats of the missing notes, how many)}: as music goes on, or with all that is given."""
    tokenizer, piece = composer.tokenizer, case.piece
    assert tokenizer.as_parts is not None
    voices = voices_of(piece)
    everyone = frozenset(range(len(voices)))
    mine = everyone if parts is None else frozenset(n for n, v in enumerate(voices) if parts in v.tracks)
    begin, end = (BEFORE, BEFORE + HOLE) if parts is None else (case.bar, WHOLE)
    ways = {"as music goes on": (everyone if parts is None else mine, False), "with what is given": (mine, True)}
    found = {}
    for way, (chosen, given) in ways.items():
        used = piece
        if parts is not None and not given:  # the part alone
            used = replace(
                piece,
                tracks=tuple(t if n == parts else replace(t, notes=t.notes[:0]) for n, t in enumerate(piece.tracks)),
            )
        try:
            rows = tokenizer.as_parts.encode(used, voices=voices).astype(np.int64)
        except MusicgenError:
            continue
        found[way] = _nats(composer, rows, Hole(begin, end, chosen), towards=given)
    return found


def _nats(composer: Composer, rows: np.ndarray, hole: Hole, *, towards: bool) -> tuple[float, int]:
    import torch

    tokenizer, model, v = composer.tokenizer, composer.model, composer.tokenizer.vocabulary
    reading = read_hole(rows, tokenizer, hole, room=model.context or 2048, towards=towards)
    whole = read_hole(rows, tokenizer, replace(hole, begin=hole.end, end=hole.end), room=10**6, towards=False)
    before = read_hole(rows, tokenizer, replace(hole, end=hole.begin), room=10**6, towards=False)
    told = np.concatenate([whole.past, whole.prompt])[len(before.past) + len(before.prompt) :]
    told = np.concatenate([told, np.zeros((1, 6), np.int64)])
    told[0, : len(reading.begun)] = reading.begun
    told[-1, : len(whole.begun)], told[-1, 3] = whole.begun, v.id("eos")
    split = v.id("again") in told[:, 3]
    free, mask = not split, np.zeros(len(told), bool)
    for n, onset in enumerate(told[:, 3].tolist()):
        mask[n] = free  # a bar line ends a part and carries its last note, so it counts
        free = onset == v.id("again") or (free and not (split and onset == v.id("bar")))
    ids = torch.from_numpy(np.concatenate([reading.prompt, told]))[None]
    with torch.inference_mode():
        state = model.recalling([torch.from_numpy(reading.past)]) if len(reading.past) and model.recalls else None
        nats, _ = Scoring.of(tokenizer).nats(model, ids[:, :-1], ids[:, 1:], state)
    each = nats[0].numpy()
    each = each.sum(-1) if each.ndim == 2 else each
    notes = int((told[1:, 0][mask[1:]] != 0).sum())
    return float(each[len(reading.prompt) - 1 :][mask].sum()), notes

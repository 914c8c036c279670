"""Assemble a piece from the parts of a score: write out repeats, join ties, choose the resolution in ticks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.layout import FINE, Layout, PartRows, Score, joined
from musicgen.io.scores.names import is_high_voice, program_for
from musicgen.piece import NOTE, Piece, Track
from musicgen.words import agreed

__all__ = ["assemble"]

PLAIN = 480  # ticks a quarter, if every onset and duration is exact in it
WARNINGS = {
    "pitches": "pitches: {} [note|notes] outside MIDI's pitches [was|were] left out",
    "chords": "chord_symbols: {} chord [symbol is|symbols are] kept with the piece, not played",
    "unisons": "unisons: {} [note|notes] that another voice plays too [was|were] merged",
}
VELOCITY = 72  # before the first dynamic mark


def assemble(score: Score, *, where: str | Path, limits: Limits) -> Piece:
    """The piece that a score notates. Raises UnreadableError if it has no notes or exceeds `limits`.

    A part without notes becomes an empty track. Time is 480 ticks a quarter if that represents every onset and
    duration exactly, else 10080.
    """
    parts, warnings = score.parts, list(score.warnings)
    count = sum(len(p.notes) for p in parts)
    if not count:
        raise UnreadableError("has no notes", where=where, hint="check that it is a score with music in it")
    layout = Layout(parts, warnings, order=score.order)
    if layout.count(parts) > limits.notes:
        if count > limits.notes:
            what = f"has {count:,} notes, the limit is {limits.notes:,}"
            raise UnreadableError(what, where=where, hint="raise the limit with `Limits.notes`")
        warnings.append("repeats: with them the score would pass the limit of notes; left as written")
        layout = Layout(parts, warnings, repeats=False)
    bass_sings = any(is_high_voice(p.name) for p in parts)
    counts = {"pitches": 0, "unisons": 0}
    tracks = [_track(p, layout, counts, bass_sings=bass_sings) for p in parts]
    warnings += [agreed(WARNINGS[name], number) for name, number in counts.items() if number]
    tempos, meters, keys = layout.maps(parts)
    chords = layout.chords(parts)
    written = sum(len(p.chords) for p in parts)
    if written:
        warnings.append(agreed(WARNINGS["chords"], written))
    tables, maps = [t.notes for t in tracks], (tempos, meters, keys, chords)
    times = [table[k] for table in tables for k in ("start", "duration")] + [meters["tick"]]
    resolution = FINE
    if all(not (t % (FINE // PLAIN)).any() for t in times):
        resolution = PLAIN
        for table in tables:
            table["start"] //= FINE // PLAIN
            table["duration"] //= FINE // PLAIN
        for table in maps:
            table["tick"] //= FINE // PLAIN
    piece = Piece(resolution, tuple(tracks), tempos, meters, keys, tuple(dict.fromkeys(warnings)), chords)
    if piece.seconds > limits.hours * 3600:
        what = f"lasts {piece.seconds / 3600:.1f} hours, the limit is {limits.hours:g}"
        raise UnreadableError(what, where=where, hint="raise the limit with `Limits.hours`")
    piece.validate()
    return piece


def _track(part: PartRows, layout: Layout, counts: dict[str, int], *, bass_sings: bool) -> Track:
    names = (part.name, part.instrument)
    program = 0 if part.is_drum else program_for(names, part.program, bass_sings=bass_sings)
    rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
    good = (rows[:, 3] >= 0) & (rows[:, 3] <= 127)
    counts["pitches"] += int((~good).sum())
    places = np.flatnonzero(good)
    bar, onset, duration, pitch, tie = rows[good].T
    instance, index = layout.expand(bar)
    if part.only:
        nths = zip(places[index].tolist(), layout.passes[instance].tolist(), strict=True)
        sounds = np.array([nth in part.only.get(row, (nth,)) for row, nth in nths], dtype=bool)
        instance, index = instance[sounds], index[sounds]
    start, duration, pitch, kept, doubled = joined(
        layout.start[instance] + onset[index], duration[index], pitch[index], tie[index]
    )
    sources = places[index[kept]].tolist()
    counts["unisons"] += doubled
    notes = np.zeros(len(start), NOTE)
    notes["start"], notes["duration"], notes["pitch"], notes["velocity"] = start, duration, pitch, VELOCITY
    if part.levels:
        levels = np.array(part.levels, dtype=np.int64)
        instance, index = layout.expand(levels[:, 0])
        when = layout.start[instance] + levels[index, 1]
        order = np.argsort(when, kind="stable")
        when, value = when[order], levels[index, 2][order]
        last = np.searchsorted(when, start, side="right")
        notes["velocity"] = np.concatenate([[VELOCITY], value])[last]
    if part.velocities:
        own = np.array([part.velocities.get(row, 0) for row in sources], dtype=np.uint8)
        notes["velocity"] = np.where(own > 0, own, notes["velocity"])
    return Track(part.name, program, part.is_drum, notes)

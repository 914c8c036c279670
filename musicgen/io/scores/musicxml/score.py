"""Combine the parts of a MusicXML score: measures of the same length in all parts, merged signs, sorted tempi."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.layout import FINE, PartRows, Score, nominal_meters
from musicgen.io.scores.musicxml.cursor import HINT
from musicgen.io.scores.musicxml.part import Part
from musicgen.io.scores.musicxml.signs import Cuts, bars_of, movements, settled
from musicgen.piece import DEFAULT_TEMPO, MAX_MICROSECONDS, MIN_MICROSECONDS
from musicgen.words import agreed

__all__ = ["finished"]

WARNINGS = {
    "graces": "graces: {} [grace note was|grace notes were] left out",
    "cues": "cues: {} [cue note was|cue notes were] left out",
    "unpitched": "unpitched: {} [note|notes] without a General MIDI drum [was|were] left out",
    "slashes": "slashes: {} [note with a slash for a head, which has no pitch, was|"
    "notes with slashes for heads, which have no pitch, were] left out",
    "no_duration": "no_duration: {} [note|notes] without a duration [was|were] left out",
    "bad_pitches": "bad_pitches: {} [note|notes] whose pitch can't be read [was|were] left out",
    "microtones": "microtones: {} [pitch|pitches] between two half steps [was|were] rounded",
    "divisions": "divisions: {} [part doesn't|parts don't] say what a duration is of; a quarter was taken",
    "backups": "backups: {} [step back leads|steps back lead] to before [its|their] measure; its begin was taken",
    "meters": "bad_meter: {} time [signature|signatures] that no bar can have [was|were] left out",
    "tempos": "bad_tempo: {} tempo [mark|marks] that can't be read [was|were] left out",
    "clamped": "bad_tempo: {} [tempo|tempi] outside 4..1000 quarters a minute [was|were] clamped",
    "swing": "swing: {} [sign|signs] to swing [was|were] left out; the rhythm is as written",
    "instruments": "instruments: {} [change|changes] of instrument within a part [was|were] left out",
    "rootless": "chord_symbols: {} without a root [was|were] left out",
    "after_jump": "repeats: {} that [holds|hold] after a jump, too, [isn't|aren't] taken then",
    "stretched": "meters: {} [measure|"
    "measures] of parts whose meter isn't that of the first part [was|were] stretched to its length",
    "repeated": "measure_repeats: {} [measure written as a repeat sign sounds as what it repeats|"
    "measures written as repeat signs sound as what they repeat]",
}


def finished(
    parts: list[Part], counts: Counter[str], *, warnings: list[str], where: str | Path, limits: Limits
) -> Score:
    """The score of parts that are read to their end."""
    n = max((len(part.rows.lengths) for part in parts), default=0)
    if not n:
        raise UnreadableError("has no measures", where=where, hint=HINT)
    for part in parts:
        counts["repeated"] += _repeat_measures(part, limits.notes)
        if sum(len(p.rows.notes) + len(p.drums.notes) for p in parts) > limits.notes:
            what = f"has more than {limits.notes:,} notes"
            raise UnreadableError(what, where=where, hint="raise the limit with `Limits.notes`")
        counts["instruments"] += len([p for p in part.used if p is not None]) > 1
    counts["stretched"] += _stretch_meters(parts)
    lengths = _lengths(parts, n)
    for part in parts:
        own = part.rows.lengths
        for bar, length in enumerate(own):
            if part.rests[bar] or not length:  # whole-measure rests and empty measures last as long as the others
                own[bar] = lengths[bar]
    signs = []
    for part in parts:
        onsets: dict[int, int] = {}
        for row in (*part.rows.notes, *part.drums.notes) if part.signs else ():
            onsets[row[0]] = max(row[1], onsets.get(row[0], 0))
        signs.append(settled(part.signs, lengths, onsets, warnings))
    signs.append(settled(movements(parts[0].numbers), lengths, {}, warnings))
    cuts = Cuts(lengths, (sign for by_kind in signs for kind in by_kind.values() for sign in kind))
    rows = [row for part in parts for row in _rows_of(part)]
    rows[0].tempos = _tempos(parts, counts)
    for part_rows in rows:
        cuts.cut(part_rows)
    if any(kinds for by_kind in signs for kinds in by_kind.values()):
        rows[0].bars = bars_of(cuts, signs)
    warnings += [agreed(WARNINGS[name], counts[name]) for name in WARNINGS if counts[name]]
    return Score(rows, warnings)


def _stretch_meters(parts: Sequence[Part]) -> int:
    """Scale simultaneous measures of different meters, such as 2/4 and 6/8, to the same length.

    Only measures that fill their own meter are scaled; the first part that does so sets the length. Returns how many
    measures were scaled.
    """
    metered = [part for part in parts if part.rows.meters]
    if len({tuple(sorted(part.rows.meters.items())) for part in metered}) < 2:
        return 0
    factors: list[dict[int, Fraction]] = [{} for _ in metered]
    full = [[4 * FINE * n // d for n, d in nominal_meters([part.rows], len(part.lengths))] for part in metered]
    for bar in range(max(len(part.lengths) for part in metered)):
        exact = [k for k, part in enumerate(metered) if bar < len(part.lengths) and part.lengths[bar] == full[k][bar]]
        for k in exact[1:]:
            if full[k][bar] != full[exact[0]][bar]:
                factors[k][bar] = Fraction(full[exact[0]][bar], full[k][bar])
    for part, by_bar in zip(metered, factors, strict=True):
        if by_bar:
            part.stretch(by_bar)
    return sum(map(len, factors))


def _lengths(parts: Sequence[Part], n: int) -> list[int]:
    """The length of each measure in FINE ticks.

    It is what notes and rests fill; whole-measure rests count if they aren't longer than the meter, or if nothing else
    is in the measure. A measure that is empty in all parts is as long as its meter.
    """
    nominal = nominal_meters([part.rows for part in parts], n)
    lengths = []
    for bar in range(n):
        here = [part for part in parts if bar < len(part.rows.lengths)]
        filled = max(part.rows.lengths[bar] for part in here)
        resting = max(part.rests[bar] for part in here)
        is_implicit = any(part.implicit[bar] for part in here)
        full = 4 * FINE * nominal[bar][0] // nominal[bar][1]
        if not filled and not resting:
            filled = 0 if is_implicit else full
        elif not filled or (resting <= full and not is_implicit):
            filled = max(filled, resting)
        lengths.append(filled)
    return lengths


def _rows_of(part: Part) -> list[PartRows]:
    """The rows of a part; if it has both melodic notes and drums, the drums become rows of their own."""
    rows, drums = part.rows, part.drums
    programs = [program for program, _ in part.used.most_common() if program is not None]
    given = [i.program for i in part.info.instruments.values() if i.program is not None]
    rows.program = next(iter([*programs, *given]), None)
    if not drums.notes:
        return [rows]
    drums.levels = sorted([*rows.levels, *drums.levels], key=lambda row: row[:2])
    if rows.notes:
        drums.name, drums.lengths = rows.name, list(rows.lengths)
        return [rows, drums]
    rows.notes, rows.levels, rows.is_drum = drums.notes, drums.levels, True
    rows.velocities, rows.only = drums.velocities, drums.only
    return [rows]


def _repeat_measures(part: Part, most: int) -> int:
    """Fill measures that are written as measure repeats with the notes they repeat; returns how many were filled.

    Measures with notes of their own are left alone. Stops past `most` notes.
    """
    if not any(count for _, count in part.repeats):
        return 0
    filled = 0
    notes: dict[int, list[tuple[int, int, int, int, int]]] = defaultdict(list)
    drums: dict[int, list[tuple[int, int, int, int, int]]] = defaultdict(list)
    for by_bar, rows in ((notes, part.rows), (drums, part.drums)):
        for row in rows.notes:
            by_bar[row[0]].append(row)
    n = len(part.rows.lengths)
    for i, (first, count) in enumerate(part.repeats):
        if not count:
            continue
        stop = next((bar for bar, _ in part.repeats[i + 1 :] if bar > first), n)
        is_stopped = any(bar == stop and not other for bar, other in part.repeats[i + 1 :])
        for bar in range(first, stop):
            if notes[bar] or drums[bar]:
                if is_stopped:
                    continue
                break
            for by_bar, rows in ((notes, part.rows), (drums, part.drums)):
                by_bar[bar] = [(bar, *row[1:]) for row in by_bar[bar - count]]
                rows.notes += by_bar[bar]
                if len(rows.notes) > most:
                    return filled
            filled += bool(notes[bar] or drums[bar])
    return filled


def _tempos(parts: Sequence[Part], counts: Counter[str]) -> list[tuple[int, int, int]]:
    """The tempi of all parts in order; at the same place, a `<sound>` overrides a printed mark."""
    tempos = sorted((tempo for part in parts for tempo in part.tempos), key=lambda t: (t.bar, t.onset, t.rank))
    rows: list[tuple[int, int, int]] = []
    current = Fraction(60_000_000, DEFAULT_TEMPO)
    before, at = current, (-1, -1)
    for tempo in tempos:
        if (tempo.bar, tempo.onset) != at:
            before, at = current, (tempo.bar, tempo.onset)
        # The same change of tempo written in several parts counts once.
        quarters = tempo.quarters or before * (tempo.factor or 1)
        current = min(max(quarters, Fraction(60_000_000, MAX_MICROSECONDS)), Fraction(60_000_000, MIN_MICROSECONDS))
        counts["clamped"] += current != quarters
        rows.append((tempo.bar, tempo.onset, round(60_000_000 / current)))
    return rows

"""Turn the voices of an ABC tune into the parts of a score, with sections in the order of P: (ABC 2.1, 3.1.9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise, zip_longest
from typing import Any

from musicgen.io.scores.abc.bars import Lines, bars_of, fine, lines_of
from musicgen.io.scores.abc.fields import Key
from musicgen.io.scores.abc.voice import MAX_BARS, VoiceState
from musicgen.io.scores.layout import PartRows
from musicgen.io.scores.order import Bar
from musicgen.piece import MAX_MICROSECONDS, MIN_MICROSECONDS

__all__ = ["parts_of_voices"]


def parts_of_voices(
    voices: Mapping[str, VoiceState], order: list[str] | None, warnings: list[str], *, most_notes: int
) -> list[PartRows]:
    """The parts of `voices`, which are read to their end; `order` lists the labels of sections in playing order.

    An order that would give more than MAX_BARS bars or `most_notes` notes is ignored, with a warning.
    """
    signs = [voice.signs for voice in voices.values()]
    labelled = any(s.labels for s in signs)
    lines = lines_of([(v.lengths, v.signs) for v in voices.values()], labelled=labelled)
    parts = []
    for (name, voice), line, bars in zip(voices.items(), lines, bars_of(lines, signs, warnings), strict=True):
        part = _part(voice, line, warnings)
        part.name = voice.setup.name or (name if len(voices) > 1 and not name.isdecimal() else "")
        part.bars = bars
        parts.append(part)
    for k, lengths in enumerate(zip_longest(*(part.lengths for part in parts), fillvalue=0)):
        for part in parts:  # an empty bar of a silent voice gets the length that others have
            if k < len(part.lengths) and not part.lengths[k]:
                part.lengths[k] = max(lengths)
    if order is None:
        return parts
    if not labelled:
        warnings.append("parts: the header orders parts that the music doesn't name; played as written")
        return parts
    k = max(range(len(signs)), key=lambda i: len(signs[i].labels))
    sections = [(lines[k].first[bar], label) for bar, label in signs[k].labels]
    notes = Counter(note[0] for part in parts for note in part.notes)
    sequence = _sequence(max(len(p.lengths) for p in parts), sections, order=order, notes=notes, most_notes=most_notes)
    if sequence is None:
        warnings.append("parts: in the order of P: the tune would pass a limit; played as written")
        return parts
    missing = sorted(set(order) - {label for _, label in sections})
    if missing:
        warnings.append(f"parts: the order asks for {', '.join(missing[:8])}, which the music doesn't have")
    twice = sorted(label for label, n in Counter(label for _, label in sections).items() if n > 1 and label in order)
    if twice:
        warnings.append(f"parts: {', '.join(twice[:8])} names more than one section; the first one is meant")
    begins = {0, *(bar for bar, _ in sections)}
    return [_rewritten(part, sequence, begins) for part in parts]


def _part(voice: VoiceState, line: Lines, warnings: list[str]) -> PartRows:
    """The rows of a voice, moved to the aligned bars of `line`."""
    part = PartRows(program=voice.program, is_drum=voice.drum)
    edges = line.edges
    part.lengths = [fine(b - a) for a, b in pairwise(edges)]
    plain = line.own == edges
    for bar, onset, duration, pitch, tie in voice.notes:
        if not plain:
            bar, onset = line.place(bar, onset)
        start = fine(onset)
        part.notes.append((bar, start, max(1, fine(onset + duration) - start), pitch, (0, 1, 3, 2)[tie]))

    def at(bar: int, onset: int) -> tuple[int, int]:
        bar, onset = (bar, onset) if plain else line.place(bar, onset)
        return min(bar, len(part.lengths) - 1), fine(onset)

    part.levels = [(*at(bar, onset), level) for bar, onset, level in voice.levels]
    part.chords = [(*at(bar, onset), symbol) for bar, onset, symbol in voice.chords]
    part.meters = {line.first[bar]: meter for bar, meter in voice.meters.items() if bar < len(line.own) - 1}
    part.keys = [(*at(bar, onset), *_concert(key, shift)) for bar, onset, key, shift in voice.keys]
    for bar, onset, bpm in voice.tempos:
        kept = min(max(round(60e6 / bpm), MIN_MICROSECONDS), MAX_MICROSECONDS)
        part.tempos.append((*at(bar, onset), kept))
        if not 4 <= bpm <= 1000:
            warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
    return part


def _concert(key: Key, shift: int) -> tuple[int, bool]:
    """(fifths, minor) of a key transposed by `shift` semitones."""
    fifths = key.fifths or 0
    return (fifths if shift % 12 == 0 else (fifths + 7 * shift + 5) % 12 - 5), key.minor


# ---- the order of parts ------------------------------------------------------------------------------------


def _sequence(
    n: int, sections: list[tuple[int, str]], *, order: list[str], notes: Counter[int], most_notes: int
) -> list[int] | None:
    """The bars of the labelled `sections` (first bar, label) in the given order; None past the limits.

    Music before the first label comes first; of two sections with the same label the first counts. `notes` holds the
    number of notes in each of the `n` bars.
    """
    bounds = [*(bar for bar, _ in sections), n]
    known: dict[str, range] = {}
    for (_, label), begin, end in zip(sections, bounds[:-1], bounds[1:], strict=True):
        known.setdefault(label, range(begin, end))
    count = {label: sum(notes[bar] for bar in bars) for label, bars in known.items()}
    if sum(count.get(label, 0) for label in order) > most_notes:
        return None
    if sum(len(known.get(label, ())) for label in order) > MAX_BARS:
        return None
    return [*range(bounds[0]), *(bar for label in order for bar in known.get(label, ()))]


def _rewritten(part: PartRows, bars: list[int], begins: set[int]) -> PartRows:
    """The part with its bars in the order `bars`; sections, which begin at `begins`, state their meter and key anew."""
    new = PartRows(part.name, part.instrument, part.program, part.is_drum)
    rows: dict[str, dict[int, list[Any]]] = {}
    for table in ("notes", "levels", "keys", "tempos", "chords"):
        rows[table] = {}
        for row in getattr(part, table):
            rows[table].setdefault(row[0], []).append(row)
    meters, keys = _in_force(part)
    for now, bar in enumerate(bars):
        if bar >= len(part.lengths):
            continue
        while len(new.lengths) < now:  # bars that this part lacks
            new.lengths.append(0)
            new.bars.append(Bar())
        sign = part.bars[bar]
        new.bars.append(Bar(sign.start or bar in begins, sign.times, sign.passes, sign.marks))
        new.lengths.append(part.lengths[bar])
        if bar in meters and (bar in part.meters or bar in begins):
            new.meters[now] = meters[bar]
        if bar in begins and bar in keys:
            new.keys.append((now, *keys[bar][1:]))
        for table, by_bar in rows.items():
            getattr(new, table).extend((now, *row[1:]) for row in by_bar.get(bar, ()))
    return new


def _in_force(part: PartRows) -> tuple[dict[int, tuple[int, int]], dict[int, Any]]:
    """The meter and the key in force at the begin of each bar."""
    meters: dict[int, tuple[int, int]] = {}
    keys: dict[int, Any] = {}
    waiting = sorted(part.keys, reverse=True)
    meter, key = None, None
    for bar in range(len(part.lengths)):
        meter = part.meters.get(bar, meter)
        while waiting and waiting[-1][:2] <= (bar, 0):
            key = waiting.pop()
        if meter is not None:
            meters[bar] = meter
        if key is not None:
            keys[bar] = (bar, 0, *key[2:])
    return meters, keys

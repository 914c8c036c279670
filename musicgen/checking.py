"""Check a take: what can be told of a file that this program made, from the file, its sidecar and its source.

Each test is recomputed on the file itself: whether it can be read without a warning, how the new music joins what was
there (`seams.py`), whether the source is in it event for event, and whether it copies the training data.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.controllers import SUSTAIN
from musicgen.io.midi import UNLIMITED, Limits, piece_and_homes, read_bytes
from musicgen.io.midi_writing import SET_TEMPO
from musicgen.io.smf import END_OF_TRACK, META, Events, MidiFile, parse_smf
from musicgen.licences import Shipping
from musicgen.originality import PROMPT, Originality, index_of_run
from musicgen.page.account import asked_for
from musicgen.page.heard import written_parts
from musicgen.piece import Piece, Span, Track
from musicgen.resources import bundled_models, bundled_pieces
from musicgen.sampling.source import Source
from musicgen.seams import Finding, seams
from musicgen.words import counted

__all__ = ["Finding", "Report", "check"]

MOST_FACTS = 10_000_000  # bytes of a sidecar
Event = tuple[int, int, int, int, bytes]  # tick, status, two data bytes, payload


@dataclass(frozen=True)
class Report:
    """All that is told of a take. `facts` is the content of its sidecar, empty without one."""

    file: Path
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return all(finding.passed is not False for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = ("model", "model_sha256", "seed", "settings", "originality", "statistics", "licence", "shipping")
        return {
            "file": str(self.file),
            "passed": self.passed,
            "findings": [asdict(finding) for finding in self.findings],
            **{key: self.facts[key] for key in told if key in self.facts},
        }


def check(
    path: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None, limits: Limits | None = None
) -> Report:
    """Check a MIDI file and the sidecar beside it, NAME.json.

    `source` is the file that was continued; by default the one that the sidecar names, if it lies beside the take or
    comes with the package. Raises UnreadableError for a file that can't be read at all, for a sidecar that is none, and
    for a `source` that can't be read.
    """
    path = Path(path)
    limits = limits or Limits()
    midi = parse_smf(read_bytes(path, max_megabytes=limits.megabytes), where=path, max_tracks=limits.tracks)
    piece, _ = piece_and_homes(midi, where=path, limits=limits)
    facts = _sidecar(path)
    findings = [_validity(piece, facts)]
    if not facts:
        findings.append(Finding("sidecar", None, f"there is no {path.with_suffix('.json').name} beside it"))
        return Report(path, tuple(findings), facts)
    if "notes_changed" in facts:  # the notes of the source, played by a model
        findings.append(_preservation(midi, facts, Span(0, 0), beside=path.parent, named=source))
        return Report(path, (*findings, *_told(facts)), facts)
    cut, whole = int(facts["cut_tick"]), piece.n_notes != facts["notes_added"] or not facts["notes_kept"]
    span = _new_music(piece, facts) if whole else Span(0, piece.end + 1)
    if whole:
        findings += seams(piece, facts, span)
        findings.append(_preservation(midi, facts, span, beside=path.parent, named=source))
    else:
        findings.append(Finding("seam", None, "the file has the new music alone, so there is no seam in it"))
    findings.append(_originality(_written(piece, facts, span), facts, cut if whole else 0))
    return Report(path, (*findings, *_told(facts)), facts)


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        facts = json.loads(read_bytes(beside, max_megabytes=MOST_FACTS / 1e6))
        needed = {"notes_kept": int, "settings": dict, "source": str, "source_sha256": str, "warnings": list}
        if "notes_changed" not in facts:
            needed |= {"cut_tick": int, "notes_added": int, "bars_added": int}
        if not all(isinstance(facts[key], kind) for key, kind in needed.items()) or facts.get("cut_tick", 0) < 0:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnreadableError(
            "isn't the sidecar of a take", where=beside, hint="move it away to check the file alone"
        ) from None
    return dict(facts)


def _new_music(piece: Piece, facts: dict[str, Any]) -> Span:
    """The ticks of the new music; closed where music that was there follows it."""
    cut, until = int(facts["cut_tick"]), facts.get("end_tick")
    if until is None and facts["settings"].get("keep_rest"):
        numerator, denominator = piece.meter_at(cut)
        until = cut + round(facts["bars_added"] * 4 * piece.ticks_per_quarter * numerator / denominator)
    return Span(cut, max(cut, piece.end + 1)) if until is None else Span(cut, max(cut, int(until)), is_open=False)


def _written(piece: Piece, facts: dict[str, Any], span: Span) -> Piece:
    """The piece up to the end of the new music, and in that the parts alone that were written."""
    if span.is_open:
        return piece
    tracks, written = [], written_parts(piece, facts)
    for number, track in enumerate(piece.tracks):
        start = track.notes["start"]
        mine = written is None or number in written
        stays = (start < span.begin) if mine else np.zeros(len(start), bool)
        new = ~span.is_before(start) & ~span.is_after(start) & mine
        tracks.append(replace(track, notes=track.notes[stays | new]))
    return replace(piece, tracks=tuple(tracks))


# ---- the tests -----------------------------------------------------------------------------------------


def _validity(piece: Piece, facts: dict[str, Any]) -> Finding:
    new = [warning for warning in piece.warnings if warning not in facts.get("warnings", [])]
    size = f"{counted(len(piece.tracks), 'part')}, {counted(piece.n_notes, 'note')}, {piece.seconds:.1f} s"
    if new:
        return Finding("validity", False, f"read with {counted(len(new), 'warning')}: {'; '.join(new)}")
    return Finding("validity", True, f"a valid MIDI file: {size}")


def _preservation(
    midi: MidiFile, facts: dict[str, Any], span: Span, *, beside: Path, named: str | os.PathLike[str] | None
) -> Finding:
    if not facts["source_sha256"]:
        return Finding("preservation", None, "made from nothing")
    places = [Path(named)] if named is not None else [beside / facts["source"], Path(facts["source"])]
    places += [] if named is not None else [p for p in bundled_pieces().values() if p.name == facts["source"]]
    found = next((place for place in places if place.is_file()), None)
    if found is None and named is None:
        return Finding("preservation", None, f"{facts['source']} isn't here: name it with --source")
    source = Source.read(places[0] if found is None else found)
    if source.sha256 != facts["source_sha256"]:
        said = f"{source.name} is another file than the one that was continued"
        return Finding("preservation", None if named is None else False, said)
    total, changed = _differences(midi, source, facts, span)
    where = "before the cut" if "end_tick" not in facts else "outside the new music"
    if "notes_changed" in facts:
        where = f"but loudness, timing{', tempo' if facts['settings'].get('rubato') else ''} and pedal"
    if changed:
        return Finding("preservation", False, f"{changed} of {total} events {where} aren't as in {source.name}")
    return Finding("preservation", True, f"all {total} events {where} are as in {source.name}")


def _differences(midi: MidiFile, source: Source, facts: dict[str, Any], span: Span) -> tuple[int, int]:
    """(events that must be as in the source, how many of them aren't): all before the cut; where notes were only
    played, all but notes, pedal and a tempo that was bent, and the notes by their pitch; for a hole see `_around`."""
    changed = total = 0
    if "end_tick" in facts:
        return _around(midi, source, facts, span)
    for number, track in enumerate(source.midi.tracks):
        rows = midi.tracks[number] if number < len(midi.tracks) else Events(track.rows[:0])
        both = [_events(each, 0, span.begin) for each in (track, rows)]
        if "notes_changed" in facts:
            bent = bool(facts["settings"].get("rubato"))
            both = [_as_written(_events(each, 0, None), bent=bent) for each in (track, rows)]
        old, new = both
        total += len(old)
        changed += max(len(old), len(new)) - sum(a == b for a, b in zip(old, new, strict=False))
    return total, changed


def _as_written(events: list[Event], *, bent: bool) -> list[Event]:
    """The keys that are struck, and all other events but those of the sustain pedal and, where it is `bent`, of the
    tempo."""
    notes = sorted((0, 0x90, key, 0, b"") for _, kind, key, hit, _ in events if kind & 0xF0 == 0x90 and hit)
    events = [e for e in events if not (bent and e[1:3] == (META, SET_TEMPO))]
    return notes + [e for e in events if not _is_of_note(e) and (e[1] & 0xF0 != 0xB0 or e[2] != SUSTAIN)]


def _around(midi: MidiFile, source: Source, facts: dict[str, Any], span: Span) -> tuple[int, int]:
    """As `_differences` for a hole: events that aren't of notes, all notes of the parts that stay, and those of written
    parts that begin outside the hole; the end of one that is held into the hole may lie at its beginning."""
    changed = total = 0
    used = source.channels.used() if source.channels.ports == 1 else set()
    for number, track in enumerate(source.midi.tracks):
        rows = midi.tracks[number] if number < len(midi.tracks) else Events(track.rows[:0])
        old, new = (Counter(e for e in _events(each, 0, None) if not _is_of_note(e)) for each in (track, rows))
        # What new channels need stands in the one track of a file of format 0; on those of the source nothing is new.
        moved = sum(times for event, times in (new - old).items() if event[1] < 0xF0 and event[1] & 15 in used)
        total, changed = total + old.total(), changed + (old - new).total() + moved
    made, homes = piece_and_homes(midi, limits=UNLIMITED)
    there = {home: number for number, home in enumerate(homes)}
    # A part that is gone from the file has no number there.
    written, by_name = written_parts(made, facts), written_parts(source.piece, {**facts, "part_numbers": None})
    for index, (part, its_home) in enumerate(zip(source.piece.tracks, source.homes, strict=True)):
        found = there.get(its_home)
        mine = written is None or by_name is None or (index in by_name if found is None else found in written)
        stayed = replace(part, notes=part.notes[:0]) if found is None else made.tracks[found]
        was, now = (Counter(_notes_that_stay(each, span, written=mine)) for each in (part, stayed))
        # A new part of drums may stand with those that are there: only what is gone counts.
        total, changed = total + was.total(), changed + (was - now).total()
    return total, changed


def _notes_that_stay(track: Track, span: Span, *, written: bool) -> list[tuple[int, ...]]:
    """(start, end, pitch, velocity) of a part's notes that must stay; the end at most that of the hole's beginning for
    those held into it."""
    notes = track.notes
    start, end = notes["start"], notes["start"] + notes["duration"]
    if written:
        keep = span.is_before(start) | span.is_after(start)
        end = np.where(span.is_before(start), np.minimum(end, span.begin), end)
        notes, start, end = notes[keep], start[keep], end[keep]
    return list(zip(*(each.tolist() for each in (start, end, notes["pitch"], notes["velocity"])), strict=True))


def _is_of_note(event: Event) -> bool:
    return event[1] & 0xF0 in (0x80, 0x90, 0xA0)


def _events(track: Events, begin: int, end: int | None) -> list[Event]:
    rows = track.rows[track.rows["tick"] >= begin]
    rows = rows if end is None else rows[rows["tick"] < end]
    rows = rows[(rows["status"] != META) | (rows["data1"] != END_OF_TRACK)]
    plain = zip(*(rows[key].tolist() for key in ("tick", "status", "data1", "data2")), strict=True)
    return [(*each, track.payload(row)) for each, row in zip(plain, rows, strict=True)]


def _originality(piece: Piece, facts: dict[str, Any], begin: int) -> Finding:
    model = bundled_models().get(str(facts.get("model")), Path(str(facts.get("model"))))
    index = index_of_run(model)
    if index is None:
        return Finding("originality", None, "no index of what the model was trained on is here")
    read = [(PROMPT, piece.until(begin))] if begin else []
    compare = Originality(index, read=read)
    most = facts["settings"].get("max_copy")
    longest, copied = compare.account(piece, begin=begin)["longest"], compare.copied(piece, begin=begin)
    if longest is None:
        return Finding(
            "originality", True, f"nothing of note in common with {counted(len(index.origins), 'piece')} of training"
        )
    said = (
        f"longest match {longest['notes']} notes ({longest['bars']:g} bars) in bar {longest['bar']}, "
        f"{longest['line']}: {longest['source']}, bar {longest['source_bar']} ({longest['licence']})"
    )
    if copied is None:
        said += "; as much as most music has in common"
    limit = isinstance(most, int | float) and copied is not None and copied.bars > most
    return Finding("originality", not limit, said + (f"; more than the {most:g} bars asked for" if limit else ""))


def _told(facts: dict[str, Any]) -> Iterator[Finding]:
    yield Finding("settings", None, asked_for(facts["settings"]))
    yield Finding(
        "seed", None, f"{facts.get('seed')}, model {facts.get('model')} ({str(facts.get('model_sha256'))[:12]})"
    )
    table = facts.get("shipping")
    may = (
        Shipping(table.get("may_ship"), tuple(table.get("reasons", ()))) if isinstance(table, dict) else Shipping(None)
    )
    allowed = {True: "may be passed on", False: "may not be passed on", None: "not known whether it may be passed on"}
    said = f" ({'; '.join(map(str, may.reasons))})" if may.reasons else ""
    yield Finding("licence", None, f"{facts.get('licence')}: {allowed[may.may_ship]}{said}")

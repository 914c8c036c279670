"""What a page tells of one piece: its music, its MIDI file, and what its sidecar says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from musicgen.errors import UnreadableError
from musicgen.gm import program_name
from musicgen.io import SCORE_SUFFIXES, read_score
from musicgen.io.bounded import read_json
from musicgen.io.midi import Limits, midi_bytes, piece_from_midi, read_bytes
from musicgen.io.smf import parse_smf
from musicgen.piece import Piece, Span, Track
from musicgen.resources import piece_path

__all__ = ["Heard", "Playable", "heard_of", "read_heard", "stem_of", "written_parts"]

SIDECAR_MEGABYTES = 4


@dataclass(frozen=True)
class Heard:
    """A piece on a page: `name` without suffix, `midi` (the bytes of its MIDI file), and `facts`, those of its sidecar,
    empty if there is none.

    `span` is the stretch of new music, None if nothing tells it; `new_parts` are the indices of the parts that are new
    in it, None if all are.
    """

    name: str
    piece: Piece
    midi: bytes
    facts: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    new_parts: frozenset[int] | None = None


class Playable(Protocol):
    """What else a page can be made of: takes."""

    def heard(self, *, name: str = "", only_new: bool = False) -> Heard:
        """This music as a page tells it."""


def heard_of(piece: Piece, *, name: str, midi: bytes | None = None, facts: Mapping[str, Any] | None = None) -> Heard:
    """A piece with what its facts say of the new music in it. Without `midi` the piece is written as MIDI."""
    facts = facts or {}
    span = _span(piece, facts)
    written = written_parts(piece, facts) if span else None
    if written is not None and all(n in written for n, track in enumerate(piece.tracks) if len(track.notes)):
        written = None
    return Heard(name, piece, midi_bytes(piece) if midi is None else midi, facts, span, written)


def written_parts(piece: Piece, facts: Mapping[str, Any]) -> frozenset[int] | None:
    """The indices of the parts of a take that its facts say were written; None where these tell of no parts.

    Facts without `part_numbers` tell names alone: then all parts that share one count.
    """
    names, numbers = facts.get("parts_written"), facts.get("part_numbers")
    if not isinstance(names, list | tuple):
        return None
    if isinstance(numbers, list | tuple) and all(type(n) is int and 1 <= n <= len(piece.tracks) for n in numbers):
        return frozenset(n - 1 for n in numbers)
    return frozenset(n for n, track in enumerate(piece.tracks) if _name(track) in names)


def _name(track: Track) -> str:
    """What facts call a part: its name, or its instrument."""
    return track.name.strip() or program_name(track.program, is_drum=track.is_drum).title()


def read_heard(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Heard:
    """Read a MIDI file or score, or a bundled piece by its name, with the sidecar NAME.json if that lies beside it.

    A .json file that isn't a sidecar is passed over, a damaged one gives the piece a warning. Raises UnreadableError
    for the piece.
    """
    path = piece_path(path)
    limits = limits or Limits()
    if path.suffix.lower() in SCORE_SUFFIXES:
        piece = read_score(path, limits=limits)
        data = midi_bytes(piece)
    else:
        data = read_bytes(path, max_megabytes=limits.megabytes)
        midi = parse_smf(data, where=os.fspath(path), max_tracks=limits.tracks)
        piece = piece_from_midi(midi, where=os.fspath(path), limits=limits)
    facts, doubts = _sidecar(path)
    return heard_of(replace(piece, warnings=(*piece.warnings, *doubts)), name=stem_of(path), midi=data, facts=facts)


def stem_of(path: str | os.PathLike[str]) -> str:
    """A file's name without its suffix, as text, whatever its encoding.

    >>> stem_of("songs/blues.continued.mid")
    'blues.continued'
    """
    return os.fsencode(Path(path).stem).decode("utf-8", "replace")


def _sidecar(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(the facts beside a file, warnings)."""
    beside = path.with_suffix(".json")
    if beside == path or not beside.is_file():
        return {}, ()
    try:
        facts = read_json(beside, most=SIDECAR_MEGABYTES * 1_000_000)
    except UnreadableError as error:
        return {}, (f"no_account: the facts beside it were left out: {error}",)
    # Other programs also put a .json beside a .mid: ours names the files that it tells of.
    files = facts.get("files")
    return (facts, ()) if isinstance(files, list) and "settings" in facts else ({}, ())


def _span(piece: Piece, facts: Mapping[str, Any]) -> Span | None:
    """The new music in a piece by its facts: from `cut_tick` to `end_tick`, or to the end; None if they don't say."""
    cut, end = _tick(piece, facts, "cut_tick"), _tick(piece, facts, "end_tick")
    kept = facts.get("notes_kept")
    is_alone = isinstance(kept, int) and kept > 0 and facts.get("notes_added") == piece.n_notes
    if cut is None or cut >= piece.end or is_alone:
        return None
    if end is None or not cut < end:
        return Span(cut, piece.end)
    return Span(cut, end, is_open=end >= piece.end)


def _tick(piece: Piece, facts: Mapping[str, Any], key: str) -> int | None:
    """A tick that the facts name, in ticks of the piece."""
    tick, per_quarter = facts.get(key), facts.get("ticks_per_quarter", piece.ticks_per_quarter)
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**62 for n in (tick, per_quarter)):
        return None
    return round(int(tick) * piece.ticks_per_quarter / per_quarter) if tick is not None and per_quarter else None

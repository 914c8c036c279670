"""Which parts of a piece are continued, and each part's polyphony and pitch set; for tokenizers that number parts."""

from __future__ import annotations

import numpy as np

from musicgen.errors import UsageError
from musicgen.gm import SOLO, program_name, sounding_range
from musicgen.piece import Piece
from musicgen.sampling.asked import find_parts, program_of, value_of
from musicgen.tokenizers.bars.voices import MOST_PARTS, Voice, voices_of
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["open_voices", "part_pitches", "voice_polyphony"]

# Largest share of onsets during another note in a part that still counts as monophonic: slurs, a rare double stop.
LINE_OVERLAP = 0.03
KIT_NOTES = 24  # drum notes needed to know which drums a kit uses
REACH = 5  # semitones that a part may exceed its previous pitch range


def open_voices(
    piece: Piece, before: Piece, tracks: tuple[str, ...], *, recent: float, warnings: list[str]
) -> tuple[tuple[Voice, ...], frozenset[int]]:
    """(the parts of the piece before the cut followed by requested new ones, the numbers of those to be continued).

    The parts requested by `tracks` are continued, or without a request those that have sounded since tick `recent`.
    Raises UsageError for an unknown part, and for a new one beyond MOST_PARTS.
    """
    voices = list(voices_of(before) or voices_of(piece))
    if tracks:
        chosen = set()
        for name in tracks:
            parts = find_parts(name, piece.tracks)
            found = [n for n, voice in enumerate(voices) if set(voice.tracks) & set(parts)]
            if not found:
                # A part that hasn't played before the cut, or that the piece doesn't have.
                value = value_of(piece.tracks[parts[0]]) if parts else program_of(name)
                found = [n for n, voice in enumerate(voices) if voice.program == value and not parts]
            if not found:
                if len(voices) >= MOST_PARTS:
                    raise UsageError(f"{MOST_PARTS} parts are there already", hint="name one of them")
                home = tuple(n for n in parts if value == value_of(piece.tracks[n]))
                voices.append(Voice(value, home))
                found = [len(voices) - 1]
            chosen.update(found)
        return tuple(voices), frozenset(chosen)
    if not voices:
        return (Voice(0),), frozenset({0})
    playing = {
        n
        for n, voice in enumerate(voices)
        if any(before.tracks[t].end >= recent for t in voice.tracks if len(before.tracks[t].notes))
    }
    playing = playing or set(range(len(voices)))
    silent = [voice for n, voice in enumerate(voices) if n not in playing]
    if silent:
        names = ", ".join(_name(piece, voice) for voice in silent)
        warnings.append(f"silent_parts: not continued, silent for long: {names}")
    return tuple(voices), frozenset(playing)


def _name(piece: Piece, voice: Voice) -> str:
    named = piece.tracks[voice.tracks[0]].name if voice.tracks else ""
    return named or program_name(voice.program)


def voice_polyphony(piece: Piece, voices: tuple[Voice, ...]) -> dict[int, int]:
    """The greatest number of notes that sound at once, by part number; 1 for a part whose notes rarely overlap, and for
    solo instruments (`gm.SOLO`) that have not played yet. Other parts without notes are left out."""
    most = {}
    slack = piece.ticks_per_quarter // 8  # legato, not chords
    for number, voice in enumerate(voices):
        tables = [piece.tracks[t].notes for t in voice.tracks if len(piece.tracks[t].notes)]
        if not tables:
            if voice.program in SOLO:
                most[number] = 1
            continue
        notes = np.concatenate(tables)
        notes = notes[np.argsort(notes["start"], kind="stable")]
        ends = notes["start"] + np.maximum(1, notes["duration"] - slack)
        edges = np.concatenate([notes["start"], ends])
        steps = np.repeat([1, -1], len(notes))
        order = np.lexsort((steps, edges))  # ends before starts
        sounding = np.cumsum(steps[order])
        overlaps = float((sounding[steps[order] > 0] > 1).mean())
        most[number] = 1 if overlaps <= LINE_OVERLAP else int(sounding.max(initial=1))
    return most


def part_pitches(piece: Piece, voices: tuple[Voice, ...], *, reach: bool = True) -> tuple[tuple[int, np.ndarray], ...]:
    """(part number, mask of allowed pitches (128,)) of each part whose pitches are limited.

    A part may exceed the pitch range it has played by REACH semitones; drums are limited to those played, from
    KIT_NOTES notes on. A part that has not played gets the range of its instrument, or no limit if not `reach`.
    """
    found = []
    for number, voice in enumerate(voices):
        tables = [piece.tracks[t].notes["pitch"] for t in voice.tracks if len(piece.tracks[t].notes)]
        mask = np.zeros(128, bool)
        if not tables:
            if reach:
                low, high = sounding_range(voice.program)
                mask[low : high + 1] = True
                found.append((number, mask))
            continue
        pitch = np.concatenate(tables).astype(np.int64)
        if voice.program == DRUMS:
            if len(pitch) < KIT_NOTES:
                continue
            mask[np.unique(pitch)] = True
        else:
            mask[max(0, pitch.min() - REACH) : pitch.max() + REACH + 1] = True
        found.append((number, mask))
    return tuple(found)

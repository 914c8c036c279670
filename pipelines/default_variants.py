"""Further versions of training pieces, made from them: played as hands play, at another speed, or by
fewer parts.

Human playing that may be passed on is scarce: 45 long recordings and four excerpts. Scores are plenty, and what a
player does to one can be drawn: chords that aren't quite together, a leaning towards the tune, swells over some bars,
notes shorter or longer than written. What is learned from these is notes and rhythm under such playing; how a hand
really moves is learned from the recordings.

Sources: Goebl 2001, "Melody lead in piano performance" (the tune sounds some 20 ms early); Friberg, Bresin and Sundberg
2006, "Overview of the KTH rule system for musical performance" (phrase arcs, accents, articulation; sizes of each).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from musicgen.piece import NOTE, TEMPO, Piece, Track, notes_array

__all__ = ["fewer_parts", "on_sixteenths", "performed", "stretched"]

QUARTER = 480  # ticks


def on_sixteenths(piece: Piece) -> Piece:
    """The piece with every onset and end on the nearest sixteenth or triplet eighth, whichever fits it better."""
    tracks = []
    for track in piece.tracks:
        notes = track.notes.copy()
        quarter = piece.ticks_per_quarter
        grids = [np.rint(np.rint(notes["start"] * n / quarter) * quarter / n).astype(np.int64) for n in (4, 3)]
        off = [np.abs(g - notes["start"]) for g in grids]
        start = grids[0] if off[0].sum() <= 1.25 * off[1].sum() else grids[1]
        notes["start"] = start
        order = np.lexsort((notes["pitch"], notes["start"]))
        tracks.append(replace(track, notes=notes[order]))
    return replace(piece, tracks=tuple(tracks))


def fewer_parts(piece: Piece, rng: np.random.Generator) -> Piece | None:
    """The piece without a random third to half of its parts, drums seldom among them; None where it has but two."""
    playing = [n for n, track in enumerate(piece.tracks) if len(track.notes)]
    if len(playing) < 3:
        return None
    count = max(1, int(rng.uniform(0.33, 0.5) * len(playing)))
    chance = np.array([0.2 if piece.tracks[n].is_drum else 1.0 for n in playing])
    away = set(rng.choice(playing, count, replace=False, p=chance / chance.sum()).tolist())
    return replace(piece, tracks=tuple(track for n, track in enumerate(piece.tracks) if n not in away))


def stretched(piece: Piece, factor: float) -> Piece:
    """Music without bars, slower by `factor`: all times are longer, and the tempo that the file names stays."""
    tracks = []
    for track in piece.tracks:
        notes, controls = track.notes.copy(), track.controls.copy()
        ends = np.rint((notes["start"] + notes["duration"]) * factor).astype(np.int64)
        notes["start"] = np.rint(notes["start"] * factor)
        notes["duration"] = np.maximum(1, ends - notes["start"])
        controls["tick"] = np.rint(controls["tick"] * factor)
        tracks.append(replace(track, notes=notes_array(notes), controls=controls))
    return replace(piece, tracks=tuple(tracks))


def performed(piece: Piece, rng: np.random.Generator, *, free: bool) -> Piece:
    """A score as hands might play it: on its beats, or `free`, in seconds on a clock and without bars, as a recording.

    Half of those on the beat are played by pianos, a part each; a free one is one piano, without drums.
    """
    quarter = piece.tempo_at(0) / 1e6  # seconds
    melodic = [track for track in piece.tracks if len(track.notes) and not track.is_drum]
    if free:
        quarter = float(np.clip(quarter, 60 / 160, 1.0))
        melodic = [Track(notes=notes_array(np.concatenate([track.notes for track in melodic])))]
    elif rng.random() < 0.5:
        melodic = [replace(track, program=0) for track in melodic]
    hands = _Hands(piece, rng, quarter=quarter, free=free)
    tracks = [Track(track.name, track.program, notes=hands.play(track.notes)) for track in melodic]
    if free:
        clock = np.zeros(1, TEMPO)
        clock["microseconds"] = 500_000
        return stretched(Piece(QUARTER, tuple(tracks), clock), quarter / 0.5)
    scale = QUARTER / piece.ticks_per_quarter
    drums = [stretched(Piece(QUARTER, (t,)), scale).tracks[0] for t in piece.tracks if t.is_drum and len(t.notes)]
    meters, tempos = piece.meters.copy(), np.zeros(1, TEMPO)
    meters["tick"] = np.rint(meters["tick"] * scale)
    tempos["microseconds"] = piece.tempo_at(0)
    return Piece(QUARTER, (*tracks, *(replace(t, controls=t.controls[:0]) for t in drums)), tempos, meters)


class _Hands:
    """How one performance departs from its score, as drawn: for all parts alike, or part by part."""

    def __init__(self, piece: Piece, rng: np.random.Generator, *, quarter: float, free: bool) -> None:
        self.piece, self.rng, self.quarter = piece, rng, quarter
        onsets = np.unique(np.concatenate([track.notes["start"] for track in piece.tracks]))
        self.onsets, self.late = onsets, rng.normal(0, rng.uniform(0.004, 0.02), len(onsets))  # seconds
        self.rubato = _rubato(piece, rng) if free else None
        self.apart, self.lead = rng.uniform(0.003, 0.012), rng.uniform(0.0, 0.025)
        self.level = rng.uniform(48, 88)

    def play(self, notes: np.ndarray) -> np.ndarray:
        """Notes at QUARTER ticks a quarter."""
        rng, per_quarter = self.rng, self.piece.ticks_per_quarter
        beat, ends = notes["start"] / per_quarter, (notes["start"] + notes["duration"]) / per_quarter
        if self.rubato is not None:
            beat, ends = self.rubato(beat), self.rubato(ends)
        top = _on_top(notes)
        shift = self.late[np.searchsorted(self.onsets, notes["start"])] + rng.normal(0, self.apart, len(notes))
        held = (ends - beat) * rng.uniform(0.6, 1.05) * np.exp(rng.normal(0, 0.15, len(notes)))
        out = np.zeros(len(notes), NOTE)
        out["start"] = np.maximum(0, np.rint((beat + (shift - self.lead * top) / self.quarter) * QUARTER))
        out["duration"] = np.maximum(20, np.rint(held * QUARTER))
        out["pitch"], out["velocity"] = notes["pitch"], self._loudness(notes, top)
        return notes_array(out)

    def _loudness(self, notes: np.ndarray, top: np.ndarray) -> np.ndarray:
        """Velocities: what the score says of them, swells over some bars, accents on beats, the tune above the rest."""
        rng = self.rng
        beat = notes["start"] / self.piece.ticks_per_quarter
        written = notes["velocity"].astype(np.float64)
        value = self.level + rng.uniform(-8, 8) + rng.uniform(0.4, 1.0) * (written - written.mean())
        value += rng.uniform(2, 10) * np.sin(2 * np.pi * (beat / rng.choice([8.0, 16.0, 32.0]) + rng.random()))
        value += rng.uniform(0, 5) * (np.abs(beat - np.rint(beat)) < 0.02) + rng.uniform(3, 14) * top
        value += rng.normal(0, rng.uniform(2, 6), len(notes))
        return np.clip(np.rint(value), 8, 124).astype(np.uint8)


def _rubato(piece: Piece, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Quarters of the score to quarters of the clock: slow swells, a drift, and a broadening at the end."""
    last = piece.end / piece.ticks_per_quarter + 8
    at = np.arange(0, last, 0.5)
    phrase, depth = rng.choice([4.0, 8.0, 16.0]), rng.uniform(0.02, 0.1)
    slow = 1 + depth * np.cos(2 * np.pi * at / phrase) + 0.03 * np.cumsum(rng.normal(0, 1, len(at))) / np.sqrt(len(at))
    slow = slow + rng.uniform(0, 0.3) * np.clip(1 - (last - 8 - at) / 6, 0, 1)
    clock = np.concatenate([[0.0], np.cumsum(np.clip(slow, 0.5, 2.0)) * 0.5])
    grid = np.append(at, at[-1] + 0.5)
    return lambda quarters: np.interp(quarters, grid, clock)


def _on_top(notes: np.ndarray) -> np.ndarray:
    """1.0 for the highest note of each onset, where it stands at middle C or above."""
    top = np.zeros(len(notes))
    last = np.append(notes["start"][1:] != notes["start"][:-1], True)
    top[last & (notes["pitch"] >= 60)] = 1.0
    return top

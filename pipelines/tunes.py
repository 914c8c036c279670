"""Tunes with chords, made from music of several parts: the voice of a song, the top line of a dance for piano.

Time is counted on the grid of ABC tunes, in 32nd notes. A piece is cut into stretches that are tunes on their own: of
songs where the voice rests, of dances after some phrases of eight bars, the last of which closes on the tonic. What no
one would sing or fiddle (too dense, too wide, leaping) is left out. Chords are those of the music around
(`tune_chords.py`), or the symbols of a lead sheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tune_chords import Heard, heard_chords
from tune_ground import MOST_BARS, Ground, ground_of, kind_and_title, plain_chord

from musicgen.chords import chord_of
from musicgen.piece import CHORD, KEY, METER, NOTE, Piece, Track
from musicgen.tokenizers.abc.spelling import PER_QUARTER
from musicgen.tonality import MAJOR, MINOR

__all__ = ["Tune", "in_key", "tunes_of"]

PHRASE = 8  # bars
FEWEST_BARS = 8
LONG_REST = 2  # bars: a rest of so many parts two stretches of a song
SHORT_REST = PER_QUARTER  # shorter ones of a dance are filled
MOST_RESTS, FEWEST_SUNG = 0.3, 0.45  # of a tune's time; of the bars of a song in which the voice sings
FEWEST_A_QUARTER, MOST_A_QUARTER = 0.5, 2.6  # onsets
WIDEST, MOST_STEP, LEAPS = 24, 3.8, 0.03  # semitones; mean interval; share of intervals beyond an octave
MOST_OFF_GRID = 0.03  # of onsets, on odd 32nds
KEYS_TRIED, WORSE_KEY = 4, 0.15  # of 24 by how well they fit, and correlations: the last chord is on the tonic of one
METERS = ((2, 4), (3, 4), (4, 4), (2, 2), (3, 8), (6, 8), (9, 8), (12, 8))


@dataclass(frozen=True)
class Tune:
    """`piece` has one part, its chords and its key, at PER_QUARTER ticks a quarter; a first meter that is shorter than
    the second is a pickup. `phrases` are bars with which a section ends, counted without the pickup."""

    piece: Piece
    title: str
    kind: str  # song, dance, chorale, lead sheet, folk
    phrases: tuple[int, ...] = ()

    @property
    def meter(self) -> tuple[int, int]:
        return self.piece.meter_at(self.piece.end - 1)


def tunes_of(piece: Piece, entry: dict[str, Any]) -> Iterator[Tune]:
    """The tunes of a piece; none where nothing of it is one. `entry` is its line in `pieces.jsonl`."""
    kind, title = kind_and_title(entry)
    ground = ground_of(piece, entry, kind)
    if ground is None:
        return
    stretches = _sung(ground) if kind in ("song", "lead sheet", "chorale") else _danced(ground)
    seen = set()
    for first, last in stretches:
        tune = _tune(ground, first, last, kind)
        if tune is None:
            continue
        # The same verse again teaches nothing new.
        text = tune.piece.tracks[0].notes.tobytes()
        if text not in seen:
            seen.add(text)
            yield replace(tune, title=title)


def in_key(tune: Tune, fifths: int) -> Tune:
    """The tune in the key with that signature, by the nearest way, its chords spelled anew."""
    piece = tune.piece
    old, minor = int(piece.keys["fifths"][0]), bool(piece.keys["minor"][0])
    semitones = (7 * (fifths - old) + 5) % 12 - 5
    moved = piece.transposed(semitones)
    chords = [Heard(int(row["tick"]), *plain_chord(str(row["symbol"]))) for row in moved.chords]
    keys = moved.keys.copy()
    keys["fifths"] = fifths
    return replace(tune, piece=replace(moved, keys=keys, chords=_symbols(chords, (fifths, minor))))


# ---- stretches -------------------------------------------------------------------------------------------


def _sung(ground: Ground) -> Iterator[tuple[int, int]]:
    """(first bar, bar behind the last) of the stretches in which the voice sings, cut where it rests for long."""
    bars, line = ground.bars, ground.line
    sung = np.zeros(len(bars) - 1, bool)
    for begin, end in line[:, :2].tolist():
        first, last = np.searchsorted(bars, [begin, end - 1], side="right") - 1
        sung[max(0, first) : last + 1] = True
    if sung.mean() < FEWEST_SUNG:
        return
    stretch: list[int] = []
    for bar in [*np.flatnonzero(sung).tolist(), 10**9]:
        if stretch and (bar - stretch[-1] > LONG_REST or bar - stretch[0] >= MOST_BARS):
            yield stretch[0], stretch[-1] + 1
            stretch = []
        stretch.append(bar)


def _danced(ground: Ground) -> Iterator[tuple[int, int]]:
    """The stretches of a dance: two to four phrases, the last of which closes on the tonic; a short one whole."""
    bars = ground.bars
    first = int(bars[1] - bars[0] < bars[2] - bars[1]) if len(bars) > 2 else 0
    count = len(bars) - 1 - first
    if count <= 3 * PHRASE:
        yield 0, len(bars) - 1
        return
    at = first
    while at + 2 * PHRASE <= len(bars) - 1:
        for phrases in (2, 3, 4):
            end = at + phrases * PHRASE
            if end <= len(bars) - 1 and _tune(ground, at - (at == first and first), end, "dance") is not None:
                yield at - (at == first and first), end
                at = end
                break
        else:
            at += PHRASE


# ---- a tune ----------------------------------------------------------------------------------------------


def _tune(ground: Ground, first: int, last: int, kind: str) -> Tune | None:
    bars = ground.bars[first : last + 1]
    begin, end = int(bars[0]), int(bars[-1])
    meters = ground.meters[first:last]
    lengths = np.diff(bars)
    full = int(np.bincount(lengths).argmax())
    has_pickup = bool(len(lengths) > 1 and lengths[0] < full)
    whole = lengths[1:] if has_pickup else lengths
    # A voice in mid-song begins before the bar line too: a first bar with little in it is a pickup.
    line = ground.line[(ground.line[:, 0] >= begin) & (ground.line[:, 0] < end)].copy()
    if len(line) < 16 or line[0, 0] >= bars[1] or len(whole) < FEWEST_BARS or len(whole) > MOST_BARS + 1:
        return None
    if np.any(whole[:-1] != full) or whole[-1] > full or len(set(meters[has_pickup:])) > 1 or meters[-1] not in METERS:
        return None
    line[:, 1] = np.minimum(line[:, 1], end)
    if kind in ("dance", "piano", "folk"):  # short rests are how notes are played, not written
        gap = line[1:, 0] - line[:-1, 1]
        line[:-1, 1] += np.where((gap > 0) & (gap < SHORT_REST), gap, 0)
    if kind in ("dance", "piano"):
        line[:, 2] = _in_one_register(line, bars)
    if not has_pickup and line[0, 0] >= begin + full // 2 and len(whole) > FEWEST_BARS:
        beat = PER_QUARTER // 2
        moved = (int(line[0, 0]) // beat) * beat
        has_pickup, bars, begin = True, np.append(moved, bars[1:]), moved
    if not _is_singable(line, begin, end, dense=meters[-1][1] == 8 or meters[-1][0] == 2):
        return None
    notes = ground.notes[(ground.notes[:, 1] > begin) & (ground.notes[:, 0] < end)]
    edges = list(zip(bars[:-1].tolist(), bars[1:].tolist(), strict=True))
    halves = {full: _half(meters[-1], full)}
    guess = _key(notes, None) if ground.fifths is None else (ground.fifths, False)
    if guess is None:
        return None
    if ground.symbols:
        before = [chord for chord in ground.symbols if chord.at <= begin][-1:]
        inside = [chord for chord in ground.symbols if begin < chord.at < end]
        chords = [replace(chord, at=begin) for chord in before] + inside
    elif len(notes) > 1.3 * len(line):
        chords = heard_chords(notes, line, bars=edges, fifths=guess[0], halves=halves)
    else:
        chords = []
    key = _key(notes, chords[-1] if chords else None)
    if key is None or (chords and (chords[-1].root != _tonic(key) or chords[-1].quality.endswith("7"))):
        return None
    if not chords and line[-1, 2] % 12 != _tonic(key):
        return None
    chords = _on_onsets(chords, line, [edge for edge, _ in edges])
    if chords and chords[-1].root != _tonic(key):
        return None
    shift = 12 * round((71 - float(np.median(line[:, 2]))) / 12)
    track = np.zeros(len(line), NOTE)
    track["start"], track["duration"] = line[:, 0] - begin, line[:, 1] - line[:, 0]
    track["pitch"], track["velocity"] = line[:, 2] + shift, 80
    pickup = int(bars[1] - bars[0]) if has_pickup else 0
    rows = [(pickup, *meters[-1])]
    if pickup:
        rows.insert(0, (0, pickup, 4 * PER_QUARTER))
    piece = Piece(
        PER_QUARTER,
        (Track(notes=track),),
        meters=np.array(rows, METER),
        keys=np.array([(0, *key)], KEY),
        chords=_symbols([replace(chord, at=chord.at - begin) for chord in chords], key),
    )
    return Tune(piece, "", kind, _phrases(line, bars[has_pickup:], full) if kind in ("dance", "folk") else ())


def _half(meter: tuple[int, int], full: int) -> int:
    """The grid steps of the first half of a bar, of three beats the first two; 0 where a bar isn't halved."""
    numerator, denominator = meter
    if numerator % 3 == 0 and denominator == 8:
        return full // 2 if numerator in (6, 12) else 0
    return full * 2 // 3 if numerator == 3 else full // 2 if numerator in (2, 4) and denominator < 8 else 0


def _is_singable(line: np.ndarray, begin: int, end: int, *, dense: bool) -> bool:
    quarters = (end - begin) / PER_QUARTER
    rests = 1 - (line[:, 1] - line[:, 0]).sum() / (end - begin)
    steps = np.abs(np.diff(line[:, 2]))
    most = MOST_A_QUARTER * (1.25 if dense else 1.0)
    return bool(
        rests <= MOST_RESTS
        and FEWEST_A_QUARTER <= len(line) / quarters <= most
        and np.ptp(line[:, 2]) <= WIDEST
        and 0.8 <= steps.mean() <= MOST_STEP
        and np.mean(steps > 12) <= LEAPS
        and np.mean(line[:, 0] % 2) <= MOST_OFF_GRID
    )


def _in_one_register(line: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """The pitches of a tune, those of four bars together moved by octaves: pianists repeat one an octave higher."""
    pitch, middle = line[:, 2].copy(), np.median(line[:, 2])
    group = (np.searchsorted(bars, line[:, 0], side="right") - 1 - (bars[1] - bars[0] < bars[2] - bars[1])) // 4
    for number in np.unique(group):
        here = group == number
        pitch[here] -= 12 * int(np.rint((np.median(pitch[here]) - middle) / 12))
    return pitch


def _key(notes: np.ndarray, last: Heard | None) -> tuple[int, bool] | None:
    """(fifths, whether minor) of the best of 24 keys; with the last chord, of those whose tonic it is on."""
    weights = np.bincount(notes[:, 2] % 12, weights=notes[:, 1] - notes[:, 0], minlength=12)
    if weights.std() == 0:
        return None
    profiles = np.stack([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    fits = np.corrcoef(weights, profiles)[0, 1:]
    order = np.argsort(-fits)
    chosen = order[0]
    if last is not None:
        near = [n for n in order[:KEYS_TRIED] if n % 12 == last.root and fits[n] >= fits[order[0]] - WORSE_KEY]
        if not near:
            return None
        chosen = near[0]
    minor = bool(chosen >= 12)
    return (int(chosen) % 12 * 7 + (9 if minor else 0) + 5) % 12 - 5, minor


def _tonic(key: tuple[int, bool]) -> int:
    return (key[0] * 7 + (9 if key[1] else 0)) % 12


def _on_onsets(chords: list[Heard], line: np.ndarray, edges: list[int]) -> list[Heard]:
    """The chords, those in mid-bar only where a note begins: under a held note a symbol would need a tie."""
    onsets, ends = set(line[:, 0].tolist()), set(line[:, 1].tolist())
    kept: list[Heard] = []
    for chord in chords:
        at = chord.at
        if at not in edges and at not in onsets and at not in ends:
            behind = [a for a in sorted(onsets) if at < a <= at + PER_QUARTER // 2]
            if not behind:
                continue
            at = behind[0]
        if kept and (kept[-1].root, kept[-1].quality) == (chord.root, chord.quality):
            continue
        kept.append(replace(chord, at=at))
    return kept


def _symbols(chords: list[Heard], key: tuple[int, bool]) -> np.ndarray:
    rows = []
    for chord in chords:
        symbol = _root_name(chord.root, *key) + chord.quality
        found = chord_of(symbol)
        assert found is not None
        rows.append((chord.at, found[0], found[1], found[2], symbol))
    return np.array(rows, CHORD)


def _root_name(root: int, fifths: int, is_minor: bool) -> str:
    """The name of a chord's root, spelled near the key: from five below to six above it on the circle of fifths, of
    minor from three below to eight above."""
    low = fifths - (3 if is_minor else 5)
    place = (root * 7 - low) % 12 + low
    return "FCGDAEB"[(place + 1) % 7] + ("#" * ((place + 1) // 7) if place >= -1 else "b" * -((place + 1) // 7))


def _phrases(line: np.ndarray, bars: np.ndarray, full: int) -> tuple[int, ...]:
    """The bars with which a section closes: each eighth whose last note is as long as a third of it, if all do."""
    count = len(bars) - 1
    size = PHRASE if count % PHRASE == 0 else PHRASE // 2
    if count % size or (size < PHRASE and count > 20):
        return ()
    closes = []
    for bar in range(size, count + 1, size):
        inside = line[(line[:, 0] >= bars[bar - 1]) & (line[:, 0] < bars[bar])]
        if not len(inside) or 3 * (bars[bar] - inside[-1, 0]) < full:
            return ()
        closes.append(bar - 1)
    return tuple(closes)

"""New notes in the manner of the piece that they continue: as loud, as far off the grid, held as long.

A model chooses steps of a grid and of velocity. What these leave out is taken from the notes before the cut, part by
part. Nothing before the cut is touched, and no new note leaves [cut, end).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from musicgen.piece import NOTE, Piece
from musicgen.sampling.loudness import like_before
from musicgen.sampling.microtiming import Beat, Strokes, deviations, gates, on_the_beat
from musicgen.sampling.plan import Plan
from musicgen.tokenizers import Tokenizer

__all__ = ["in_the_manner_of", "struck_already"]

LOUDNESS_BARS = 8  # whose loudness goes on, where the part has
ENOUGH = 16  # notes in them
TIMING_BARS = 16
NEAR = 24  # of a quarter: what is struck so near to the cut is struck on it
LAST_NOTES = 64  # of a part that has been silent of late
FARTHEST = 12.0  # velocity: as far as the mean of all new notes may be from that of the last bars
ANOTHER = 8.0  # velocity: so far from now, a passage was louder or softer


def in_the_manner_of(
    piece: Piece, plan: Plan, *, notes: np.ndarray, home: np.ndarray, tokenizer: Tokenizer, seed: int
) -> np.ndarray:
    """`notes` (NOTE, one by one as they came) with the loudness, the timing and the lengths of their parts.

    `home` is the part of each, -1 for a new one, which stays as it is. Timing is that of tokenizers which count in
    steps of a beat. The same for the same seed.
    """
    notes = notes.copy()
    step = tokenizer.velocity_step
    steps = tokenizer.steps
    anchor = plan.anchor
    beat = None
    if steps:
        beat = Beat(anchor.bar_start, anchor.bar_length, anchor.ticks_per_quarter, steps, tokenizer.durations)
    old = {
        part: piece.tracks[part].notes[piece.tracks[part].notes["start"] < plan.cut]
        for part in np.unique(home[home >= 0]).tolist()
    }
    for part, before in old.items():
        mine = home == part
        loud = _last(before, plan, LOUDNESS_BARS)
        loud = loud if len(loud) >= ENOUGH else _last(before, plan, 2 * LOUDNESS_BARS)
        notes["velocity"][mine] = like_before(notes["velocity"][mine], _as_of_late(loud, piece, plan), step=step)
    _not_another_loudness(notes, home, piece, plan)
    if beat is not None and old:
        late = {part: _last(before, plan, TIMING_BARS) for part, before in old.items()}
        _retime(notes, plan, home=home, old=late, beat=beat, seed=seed)
    return notes


def struck_already(piece: Piece, plan: Plan, *, notes: np.ndarray, home: np.ndarray) -> np.ndarray:
    """Which new notes a drummer has struck just before the cut, early for its beat; to write them would be a flam."""
    near = plan.anchor.ticks_per_quarter / NEAR
    found = np.zeros(len(notes), bool)
    for part in np.unique(home[home >= 0]).tolist():
        track = piece.tracks[part]
        if track.is_drum:
            struck = track.notes[(track.notes["start"] < plan.cut) & (track.notes["start"] >= plan.cut - near)]
            again = (home == part) & (notes["start"] < plan.cut + near) & np.isin(notes["pitch"], struck["pitch"])
            found |= again
    return found


def _last(notes: np.ndarray, plan: Plan, bars: int) -> np.ndarray:
    """A part's notes of the last bars before the cut, or its last ones where there are none to speak of."""
    recent = notes[notes["start"] >= plan.anchor.bar_start - bars * plan.anchor.bar_length]
    return recent if len(recent) >= ENOUGH else notes[-LAST_NOTES:]


def _as_of_late(notes: np.ndarray, piece: Piece, plan: Plan) -> np.ndarray:
    """The velocities of a part's notes; those that were played longer ago as much louder or softer than their bar, but
    beside the loudness of now: a horn that was last heard in a tutti comes back into a soft passage."""
    velocity, late = notes["velocity"].astype(np.int64), _everyone_of_late(piece, plan)
    old = notes["start"] < plan.anchor.bar_start - LOUDNESS_BARS * plan.anchor.bar_length
    if not old.any() or not len(late):
        return velocity
    now, everyone = float(late["velocity"].mean()), np.concatenate([track.notes for track in piece.tracks])
    bars = {bar: everyone["velocity"][_bar_of(everyone, plan) == bar].mean() for bar in set(_bar_of(notes[old], plan))}
    then = np.array([bars[bar] for bar in _bar_of(notes[old], plan).tolist()])
    shift = np.where(np.abs(now - then) > ANOTHER, now - then, 0)  # else the values that the part uses stay
    velocity[old] = np.clip(np.rint(velocity[old] + shift), 1, 127)
    return velocity


def _everyone_of_late(piece: Piece, plan: Plan) -> np.ndarray:
    """The notes of all parts in the last bars before the cut."""
    recent = plan.anchor.bar_start - LOUDNESS_BARS * plan.anchor.bar_length
    everyone = np.concatenate([np.empty(0, NOTE), *(track.notes for track in piece.tracks)])
    return everyone[(everyone["start"] >= recent) & (everyone["start"] < plan.cut)]


def _not_another_loudness(notes: np.ndarray, home: np.ndarray, piece: Piece, plan: Plan) -> None:
    """Move the loudness of all parts in place, where it is far from that of the last bars, to the end of what is near.

    Each part may be as loud as it was, and yet others than of late may play. Parts that were not asked to don't count.
    """
    mine = home >= 0
    asked = set(np.unique(home[mine]).tolist())
    if plan.voices and plan.constraints.parts is not None:
        asked.update(track for number in plan.constraints.parts for track in plan.voices[number].tracks)
    late = _everyone_of_late(replace(piece, tracks=tuple(piece.tracks[n] for n in sorted(asked))), plan)
    if len(late) < ENOUGH or mine.sum() < ENOUGH:
        return
    off = float(notes["velocity"][mine].mean()) - float(late["velocity"].mean())
    if abs(off) > FARTHEST:
        velocity = notes["velocity"][mine] - np.sign(off) * (abs(off) - FARTHEST)
        notes["velocity"][mine] = np.clip(np.rint(velocity), 1, 127)


def _bar_of(notes: np.ndarray, plan: Plan) -> np.ndarray:
    """The bar of each note, counted from the cut's, as if all were as long."""
    return np.floor((notes["start"] - plan.anchor.bar_start) / plan.anchor.bar_length).astype(np.int64)


def _retime(
    notes: np.ndarray, plan: Plan, *, home: np.ndarray, old: dict[int, np.ndarray], beat: Beat, seed: int
) -> None:
    """Move and lengthen `notes` in place, as each part of `home` has struck and held its `old` notes."""
    everyone = np.concatenate([before["start"] for before in old.values()])
    together = on_the_beat(everyone, beat)
    strokes = {part: Strokes.of(before["start"], beat) for part, before in old.items()}
    bars = np.unique(np.concatenate([each.bar for each in strokes.values()]))
    new_bars = int((plan.end - beat.origin) // beat.bar_length) + 1
    drawn = np.random.default_rng((seed, 0)).integers(0, max(1, len(bars)), new_bars)
    source = {bar: int(bars[k]) for bar, k in enumerate(drawn.tolist())}
    for part, before in old.items():
        mine = np.flatnonzero(home == part)
        start, duration = notes["start"][mine], notes["duration"][mine]
        new = Strokes.of(start, beat)
        played = on_the_beat(before["start"], beat) if len(strokes[part].at) >= ENOUGH else together
        moved = deviations(
            new, strokes[part], beat=beat, played=played, source=source, seed=[seed, 1 + part]
        ) + beat.tick_of(new.at)
        moved = np.clip(_ascending(moved), plan.cut, plan.end - 1)
        held = gates(duration, before["duration"], beat=beat)
        written = beat.tick_of(new.at)
        which = np.searchsorted(new.at, beat.nearest(start))
        notes["start"][mine] = moved[which]
        # What ended where the next one began, or before, still does.
        following = np.searchsorted(written, start + duration - int(beat.step > 2))  # a tick may be one of rounding
        latest = np.append(moved, plan.end)[following]
        ends = np.minimum(np.minimum(moved[which] + held, latest), plan.end)
        notes["duration"][mine] = np.maximum(1, ends - moved[which])


def _ascending(ticks: np.ndarray) -> np.ndarray:
    """Ticks that ascend, each at least one after the one before: two strokes don't become one."""
    count = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - count) + count

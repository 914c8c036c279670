"""Gives new notes the velocities, microtiming and note lengths of the piece that they continue.

A model chooses onsets, durations and velocities on a grid. The deviations from that grid are taken from the notes
before the cut, part by part. Nothing before the cut changes, and new notes stay within [cut, end).
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

LOUDNESS_BARS = 8  # last bars from which a part's velocities are taken, if it has
ENOUGH = 16  # notes in them
TIMING_BARS = 16  # last bars from which a part's timing is taken
NEAR = 24  # an onset within 1/24 of a quarter of the cut counts as on it
LAST_NOTES = 64  # notes that are used of a part with few in the last bars
FARTHEST = 12.0  # velocity: largest allowed difference of the mean of all new notes from that of the last bars
ANOTHER = 8.0  # velocity: an earlier bar whose mean differs by more was a louder or softer passage


def in_the_manner_of(
    piece: Piece, plan: Plan, *, notes: np.ndarray, home: np.ndarray, tokenizer: Tokenizer, seed: int
) -> np.ndarray:
    """A copy of `notes` (NOTE, in the order they were drawn) with the velocities, timing and lengths of their parts.

    `home` is the part of each note; notes of a new part (-1) are left unchanged. Timing and lengths change only for
    tokenizers with a grid of beats. Deterministic for a given seed.
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
    """A mask of new drum notes at the cut that the part has struck already, slightly early, just before the cut.

    Writing them too would sound as a flam.
    """
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
    """A part's notes in the last `bars` bars before the cut, or its last LAST_NOTES notes if these are fewer than
    ENOUGH."""
    recent = notes[notes["start"] >= plan.anchor.bar_start - bars * plan.anchor.bar_length]
    return recent if len(recent) >= ENOUGH else notes[-LAST_NOTES:]


def _as_of_late(notes: np.ndarray, piece: Piece, plan: Plan) -> np.ndarray:
    """The velocities of a part's notes, with old ones transferred to the present loudness of the piece.

    Notes from before the last LOUDNESS_BARS bars keep their difference from the mean velocity of their bar, added to
    the present mean if the two means differ by more than ANOTHER: so a horn that last played in a tutti re-enters a
    soft passage softly.
    """
    velocity, late = notes["velocity"].astype(np.int64), _everyone_of_late(piece, plan)
    old = notes["start"] < plan.anchor.bar_start - LOUDNESS_BARS * plan.anchor.bar_length
    if not old.any() or not len(late):
        return velocity
    now, everyone = float(late["velocity"].mean()), np.concatenate([track.notes for track in piece.tracks])
    bars = {bar: everyone["velocity"][_bar_of(everyone, plan) == bar].mean() for bar in set(_bar_of(notes[old], plan))}
    then = np.array([bars[bar] for bar in _bar_of(notes[old], plan).tolist()])
    shift = np.where(np.abs(now - then) > ANOTHER, now - then, 0)  # otherwise the part's own values are kept
    velocity[old] = np.clip(np.rint(velocity[old] + shift), 1, 127)
    return velocity


def _everyone_of_late(piece: Piece, plan: Plan) -> np.ndarray:
    """The notes of all parts in the last LOUDNESS_BARS bars before the cut."""
    recent = plan.anchor.bar_start - LOUDNESS_BARS * plan.anchor.bar_length
    everyone = np.concatenate([np.empty(0, NOTE), *(track.notes for track in piece.tracks)])
    return everyone[(everyone["start"] >= recent) & (everyone["start"] < plan.cut)]


def _not_another_loudness(notes: np.ndarray, home: np.ndarray, piece: Piece, plan: Plan) -> None:
    """Shift the new velocities in place so that their mean differs by at most FARTHEST from that of the last bars.

    Needed although each part keeps its own loudness, for other parts may play than in the last bars. Only parts that
    are asked to play, or have new notes, are compared.
    """
    mine = home >= 0
    asked = set(np.unique(home[mine]).tolist())
    if plan.ensemble.voices and plan.constraints.players.parts is not None:
        asked.update(
            track for number in plan.constraints.players.parts for track in plan.ensemble.voices[number].tracks
        )
    late = _everyone_of_late(replace(piece, tracks=tuple(piece.tracks[n] for n in sorted(asked))), plan)
    if len(late) < ENOUGH or mine.sum() < ENOUGH:
        return
    off = float(notes["velocity"][mine].mean()) - float(late["velocity"].mean())
    if abs(off) > FARTHEST:
        velocity = notes["velocity"][mine] - np.sign(off) * (abs(off) - FARTHEST)
        notes["velocity"][mine] = np.clip(np.rint(velocity), 1, 127)


def _bar_of(notes: np.ndarray, plan: Plan) -> np.ndarray:
    """The bar index of each note, relative to the cut's bar, as if all bars were as long as that one."""
    return np.floor((notes["start"] - plan.anchor.bar_start) / plan.anchor.bar_length).astype(np.int64)


def _retime(
    notes: np.ndarray, plan: Plan, *, home: np.ndarray, old: dict[int, np.ndarray], beat: Beat, seed: int
) -> None:
    """Give `notes` in place the onset deviations and note lengths of the `old` notes of their part."""
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
        # A note that ended at the next onset, or before it, still does.
        following = np.searchsorted(written, start + duration - int(beat.step > 2))  # 1 tick: rounding
        latest = np.append(moved, plan.end)[following]
        ends = np.minimum(np.minimum(moved[which] + held, latest), plan.end)
        notes["duration"][mine] = np.maximum(1, ends - moved[which])


def _ascending(ticks: np.ndarray) -> np.ndarray:
    """The ticks made strictly ascending, so that two onsets don't become one."""
    count = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - count) + count

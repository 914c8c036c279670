"""How good a target is: the share of the time in which it is right, and how its voices move.

Everything is counted by time, in grid steps: a wrong chord of a bar weighs more than one of a beat. Voices are soprano,
alto, tenor and bass, in this order.

Shapes: N grid steps, K voices of the target, V = K + 1 voices with the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.tasks.translate.harmony import NO_CHORD, pitch_classes
from musicgen.tasks.translate.pairs import REST, Pair
from musicgen.tasks.translate.rules import PERFECT, RANGES

__all__ = ["changes", "rightness", "sounding", "voice_leading"]


def rightness(kind: str, pairs: Sequence[tuple[Pair, Pair]]) -> dict[str, float]:
    """Shares of the time in which a target is right, of pairs (what was made, what was written) over one source.

    Of chords: `exact`, `root` and `overlap`, the mean of common pitch classes over all of both chords; where no chord
    is written there is nothing to hit, and the time isn't counted. Of voices: `pitches`, the mean over voices, `bass`,
    and `pitch_classes`, whether all voices together sound the same pitch classes. Empty without pairs.
    """
    if not pairs:
        return {}
    rows = [_chords(made, written) if kind == CHORDS else _voices(made, written) for made, written in pairs]
    names = rows[0]
    joined = {name: np.concatenate([row[name] for row in rows]) for name in names}
    return {name: float(values.mean()) if len(values) else 0.0 for name, values in joined.items()}


def _chords(made: Pair, written: Pair) -> dict[str, np.ndarray]:
    ours, theirs = _by_time(made)[:, 0], _by_time(written)[:, 0]
    length = min(len(ours), len(theirs))
    ours, theirs = ours[:length], theirs[:length]
    counted = theirs != NO_CHORD
    ours, theirs = ours[counted], theirs[counted]
    kinds, which = np.unique(np.stack([ours, theirs], axis=1), axis=0, return_inverse=True)
    common = [_overlap(pitch_classes(a), pitch_classes(b)) for a, b in kinds.tolist()]
    same_root = (ours != NO_CHORD) & ((ours - 1) % 12 == (theirs - 1) % 12)
    return {"exact": ours == theirs, "root": same_root, "overlap": np.array(common)[which.ravel()]}


def _overlap(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _voices(made: Pair, written: Pair) -> dict[str, np.ndarray]:
    ours, theirs = sounding(made), sounding(written)
    length = min(len(ours), len(theirs))
    ours, theirs = ours[:length], theirs[:length]
    same = ours[:, 1:] == theirs[:, 1:]
    both = np.stack([_class_set(ours), _class_set(theirs)])
    return {"pitches": same.mean(axis=1), "bass": same[:, -1], "pitch_classes": both[0] == both[1]}


def _class_set(pitches_NV: np.ndarray) -> np.ndarray:
    """(N,): the pitch classes that sound, as bit masks."""
    bits = np.where(pitches_NV == REST, 0, 1 << pitches_NV % 12)
    masks: np.ndarray = np.bitwise_or.reduce(bits, axis=1)
    return masks


def _by_time(pair: Pair) -> np.ndarray:
    """(N, K): what sounds in each grid step, from the first bar's beginning."""
    return np.repeat(pair.values_MK, np.diff(pair.steps_M2, axis=1)[:, 0], axis=0)


def sounding(pair: Pair) -> np.ndarray:
    """(N, V): what sounds in each grid step, the source's line first; REST for nothing."""
    below = _by_time(pair)
    line = np.full(len(below), REST)
    begin = int(pair.edges_B1[0])
    for onset, end, pitch in pair.notes_N3.tolist():
        line[max(0, onset - begin) : end - begin] = pitch
    return np.concatenate([line[:, None], below], axis=1)


def changes(pairs: Sequence[Pair]) -> float:
    """How often the target changes, each bar: a harmonic rhythm. A single chord throughout has next to none, however
    often it is right."""
    found = sum(1 + int((pair.values_MK[1:] != pair.values_MK[:-1]).any(axis=1).sum()) for pair in pairs)
    return found / max(1, sum(pair.bars for pair in pairs))


def voice_leading(pairs: Sequence[Pair]) -> dict[str, float]:
    """Facts of how four voices move: `parallels`, consecutive perfect fifths, octaves or unisons in parallel motion,
    each hundred times that two voices move together; `crossings`, the share of the time in which a voice is above one
    over it; `out_of_range`, the share of the notes of alto, tenor and bass."""
    parallel = together = crossed = time = outside = notes = 0
    for pair in pairs:
        pitches_NV = sounding(pair)
        time += len(pitches_NV)
        above, under = pitches_NV[:, :-1], pitches_NV[:, 1:]
        crossed += int(((above < under) & (above != REST) & (under != REST)).any(axis=1).sum())
        changes = np.append(True, (pitches_NV[1:] != pitches_NV[:-1]).any(axis=1))[: len(pitches_NV)]
        chords = pitches_NV[changes]
        for high, low in combinations(range(pitches_NV.shape[1]), 2):
            a, b = chords[:, high], chords[:, low]
            sound = (a != REST) & (b != REST)
            both = sound[1:] & sound[:-1] & (np.diff(a) != 0) & (np.diff(b) != 0)
            interval = np.abs(a - b) % 12
            same_way = np.sign(np.diff(a)) == np.sign(np.diff(b))
            together += int(both.sum())
            parallel += int((both & same_way & (interval[1:] == interval[:-1]) & np.isin(interval[1:], PERFECT)).sum())
        for voice, (lowest, highest) in zip((3, 2, 1), RANGES, strict=True):
            struck = pair.values_MK[pair.struck_MK[:, voice - 1], voice - 1]
            struck = struck[struck != REST]
            notes += len(struck)
            outside += int(((struck < lowest) | (struck > highest)).sum())
    return {
        "parallels": 100 * parallel / max(1, together),
        "crossings": crossed / max(1, time),
        "out_of_range": outside / max(1, notes),
    }

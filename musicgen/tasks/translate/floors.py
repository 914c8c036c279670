"""What every translator should beat: counts.

`Commonest` gives each beat the chord that most often stands under the melody's pitch class there. `ngram_nats` is a
back-off model over the fields of steps, with the melody's pitch class and the position as two of them
(`evaluation/counting.py`), whose conditions are chosen on the training pieces.

Shapes: M steps, N steps of all pairs, F fields of a target step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from musicgen.evaluation.counting import Counted, Table, choose
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.tasks.translate.alphabet import Alphabet, places
from musicgen.tasks.translate.pairs import Pair
from musicgen.tokenizers.vocabulary import Field

__all__ = ["Commonest", "melody_classes", "ngram_nats"]

NOTHING = 12  # the pitch class of a melody that is silent


def melody_classes(pair: Pair) -> np.ndarray:
    """(M,): the melody's pitch class where each target step begins, or of the next note within it; else NOTHING."""
    onset, end, pitch = pair.notes_N3.T
    found = np.full(len(pair.steps_M2), NOTHING)
    for n, (begin, stop) in enumerate(pair.steps_M2.tolist()):
        at = np.flatnonzero((end > begin) & (onset < stop))
        if len(at):
            found[n] = pitch[at[0]] % 12
    return found


class Commonest:
    """For each pitch class of the melody the chord that stands over it for the longest time."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Counts chords; pairs of voices have no single value to count, and raise ValueError."""
        if any(pair.values_MK.shape[1] != 1 for pair in pairs):
            raise ValueError("counted for chords alone")
        size = 1 + max((int(pair.values_MK.max(initial=0)) for pair in pairs), default=0)
        times = np.zeros((NOTHING + 1, size))
        for pair in pairs:
            np.add.at(times, (melody_classes(pair), pair.values_MK[:, 0]), np.diff(pair.steps_M2, axis=1)[:, 0])
        self.best = times.argmax(axis=1)

    def __call__(self, pair: Pair) -> Pair:
        """The pair with the commonest chord at each of its beats, whatever its own target is."""
        cuts = np.unique(np.concatenate([pair.edges_B1, *_beats(pair)]))
        bare = replace(pair, steps_M2=np.stack([cuts[:-1], cuts[1:]], axis=1))
        values = self.best[melody_classes(bare)][:, None]
        return replace(bare, values_MK=values, struck_MK=np.ones_like(values, bool))


def _beats(pair: Pair) -> list[np.ndarray]:
    """The beats of each bar: quarters, or dotted quarters."""
    bars = zip(pair.edges_B1[:-1].tolist(), pair.edges_B1[1:].tolist(), pair.compound_B.tolist(), strict=True)
    return [np.arange(low, high, 18 if compound else 12) for low, high, compound in bars]


def ngram_nats(train: Sequence[Pair], scored: Sequence[Pair], alphabet: Alphabet, *, order: int = 6) -> np.ndarray:
    """(N, F): the nats of each field of the steps of `scored` by counts in `train`; up to `order` - 1 conditions."""
    tables = [_rows(pair, alphabet) for pair in (*train, *scored)]
    fields = _fields(alphabet)
    table, sample = Table(tables, fields), Table(tables[: len(train)], fields)
    nats = []
    for field in range(2, len(fields)):
        at = table.at(field, None)
        counted = table.piece_N[at] < len(train)
        model = Counted(table, field, at_M=at, counted_M=counted)
        for condition in choose(sample, field, most=order - 1):
            model.add(condition)
        nats.append(-np.log(model.p_M[~counted]))
    return np.stack(nats, axis=1)


def _fields(alphabet: Alphabet) -> tuple[Field, ...]:
    """The melody's pitch class, the position in the bar, and those of a target step."""
    sizes = (NOTHING + 1, alphabet.n_place, *alphabet.sizes)
    names = ("melody", "position", *(("chord",) if alphabet.pair == CHORDS else ("bass", "tenor", "alto")), "length")
    firsts = np.cumsum([1, *sizes[:-1]]).tolist()
    return tuple(Field(*row) for row in zip(names, firsts, sizes, strict=True))


def _rows(pair: Pair, alphabet: Alphabet) -> np.ndarray:
    """(1 + M, 2 + F): the steps of a pair behind one that is never scored."""
    firsts = np.array([first for first, _ in alphabet.fields])
    _, position, _ = places(pair, pair.steps_M2[:, 0])
    inside = np.concatenate([melody_classes(pair)[:, None], position[:, None], alphabet.target(pair) - firsts], axis=1)
    return np.concatenate([np.zeros((1, inside.shape[1]), np.int64), inside + [f.first for f in _fields(alphabet)]])

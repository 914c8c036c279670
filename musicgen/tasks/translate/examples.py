"""What a step of training learns from: excerpts of pairs, transposed, as padded ids.

Shapes: B rows, S source steps, T target steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicgen.corpus.split import spread
from musicgen.models.tasks.translate_layout import PAD
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.pairs import Pair

__all__ = ["Batch", "batch_of", "covering", "excerpts", "random_batch"]


@dataclass(frozen=True)
class Batch:
    """Ids of B pairs, int64, padded at their ends: (B, S, .), (B, T, .) and (B, T, F). `n_steps` are the target steps
    that are scored."""

    source: Tensor
    inputs: Tensor
    targets: Tensor
    n_steps: int

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        source, inputs, targets = (ids.to(device, non_blocking=True) for ids in self._ids)
        return Batch(source, inputs, targets, self.n_steps)

    def pin_memory(self) -> Batch:
        """The batch in pinned memory, from which a GPU reads without waiting."""
        source, inputs, targets = (ids.pin_memory() for ids in self._ids)
        return Batch(source, inputs, targets, self.n_steps)

    @property
    def _ids(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.source, self.inputs, self.targets


def batch_of(pairs: Sequence[Pair], alphabet: Alphabet, *, first_bars: Sequence[int] = ()) -> Batch:
    """The pairs as ids; `first_bars` are the numbers of their first bars, 0 by default."""
    rows = list(zip(pairs, first_bars or [0] * len(pairs), strict=True))
    sources = [alphabet.source(pair, first_bar=number) for pair, number in rows]
    inputs = [alphabet.inputs(pair, first_bar=number) for pair, number in rows]
    targets = [alphabet.target(pair) for pair in pairs]
    return Batch(_padded(sources), _padded(inputs), _padded(targets), sum(map(len, targets)))


def random_batch(
    pairs: Sequence[Pair], alphabet: Alphabet, *, rows: int, seed: int, step: int, semitones: tuple[int, int]
) -> Batch:
    """Excerpts at random: a pair by its bars, its first bar, 1 to `alphabet.bars` bars, and a transposition.

    A function of (pairs, seed, step). Where in the numbers of bars an excerpt begins is drawn too, so that all numbers
    are learned equally.
    """
    generator = np.random.default_rng((seed, step))
    bars = np.array([pair.bars for pair in pairs], np.float64)
    chosen, firsts = [], []
    for n in generator.choice(len(pairs), size=rows, p=bars / bars.sum()).tolist():
        pair = pairs[n]
        most = min(alphabet.bars, pair.bars)
        count = int(generator.integers(1, most + 1))
        excerpt = pair.excerpt(int(generator.integers(0, pair.bars - count + 1)), count)
        low, high = _room(excerpt, semitones)
        chosen.append(excerpt.transposed(int(generator.integers(low, high + 1)), kind=alphabet.pair))
        firsts.append(int(generator.integers(0, alphabet.bars - count + 1)))
    return batch_of(chosen, alphabet, first_bars=firsts)


def excerpts(pairs: Sequence[Pair], *, bars: int, most: int | None = None) -> list[Pair]:
    """The pairs cut into excerpts of exactly `bars` bars one after another, from their beginnings; at most so many,
    spread over all of them."""
    found = [pair.excerpt(begin, bars) for pair in pairs for begin in range(0, pair.bars - bars + 1, bars)]
    return _spread([pair for pair in found if len(pair.notes_N3)], most)


def covering(pairs: Sequence[Pair], *, bars: int, most: int) -> list[Pair]:
    """All of the pairs in excerpts of up to `bars` bars; of more than `most` of these so many, spread over them."""
    return _spread([pair.excerpt(begin, bars) for pair in pairs for begin in range(0, pair.bars, bars)], most)


def _spread(pairs: list[Pair], most: int | None) -> list[Pair]:
    return pairs if most is None else [pairs[n] for n in spread(len(pairs), most).tolist()]


def _room(pair: Pair, semitones: tuple[int, int]) -> tuple[int, int]:
    """The transpositions that leave the source within MIDI's pitches."""
    pitches = pair.notes_N3[:, 2]
    low, high = semitones
    if not len(pitches):
        return low, high
    return max(low, -int(pitches.min())), max(max(low, -int(pitches.min())), min(high, 127 - int(pitches.max())))


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    """The rows (N, I) as one tensor, padded at their ends."""
    result = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), PAD, np.int64)
    for n, row in enumerate(rows):
        result[n, : len(row)] = row
    return torch.from_numpy(result)

"""Windows of a corpus as training batches (`batch.py`). Batch number `step` depends only on (seed, step)."""

from __future__ import annotations

import numpy as np

from musicgen.corpus.augment import draw_transposition
from musicgen.corpus.split import spread
from musicgen.corpus.store import TokenSource
from musicgen.errors import UnreadableError, UsageError
from musicgen.recipe import AugmentSettings
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch

__all__ = ["Batches", "augmented", "draw_begin", "validation_windows"]

LONGEST_PAST = 8192  # most ids of a past that a memory model gets
FROM_THE_BEGINNING = 0.1  # share of windows at the beginning of their piece, so that beginnings are learned too


class Batches:
    """Draws augmented windows from the pieces of the training split, in proportion to their length and weight.

    A window begins at the beginning of its piece or, where one is near, at a bar line. It never extends into another
    piece; a short piece is padded. With `pasts` a batch includes the ids before each window in its piece. With
    `shuffle_notes` the notes of a window, and those of its past, are in random order.
    """

    def __init__(
        self,
        source: TokenSource,
        tokenizer: Tokenizer,
        *,
        length: int,
        batch: int,
        seed: int,
        augment: AugmentSettings,
        pasts: bool = False,
        shuffle_notes: bool = False,
    ) -> None:
        self.tokens, self.tokenizer, self.augment = source.tokens, tokenizer, augment
        self.length, self.batch, self.seed, self.pasts = length, batch, seed, pasts
        self.shuffle_notes = shuffle_notes
        self.spans = source.spans("train")
        if not len(self.spans):
            raise UnreadableError("the corpus has no training pieces", hint="build it from more music")
        if (augment.infill or augment.accompany) and not tokenizer.has_tasks:
            raise UsageError(
                f"[augment] asks for tasks, and the tokenizer {tokenizer.name} has none",
                hint="leave infill and accompany out",
            )
        weights = source.weights("train") if hasattr(source, "weights") else np.ones(len(self.spans))
        self.weighted = bool((weights != 1).any())
        self.ends = np.cumsum(self.spans[:, 1] * weights if self.weighted else self.spans[:, 1])
        self.scoring = Scoring.of(tokenizer)

    def __call__(self, step: int) -> Batch:
        """Batch number `step`, on the CPU."""
        rng = np.random.default_rng((self.seed, step))
        shuffling = np.random.default_rng((self.seed, step, 1))  # its own, so that the windows are the same without
        rows = np.full((self.batch, self.length + 1, *self.tokens.shape[1:]), self.scoring.pad, np.int64)
        before = []
        for row in rows:
            past, window = self._window(rng)
            if self.pasts:  # augmented together with the window
                past = self._not_too_long(past)
                both = augmented(np.concatenate([past, window]), self.tokenizer, self.augment, rng)
                if self.augment.infill or self.augment.accompany:
                    past, window = self._as_task(both, len(past), rng)
                else:
                    past, window = both[: len(past)], both[len(past) :]
                before.append(self.tokenizer.with_notes_shuffled(past, shuffling) if self.shuffle_notes else past)
            else:
                window = augmented(window, self.tokenizer, self.augment, rng)
            window = window[: self.length + 1]  # a slower tempo may need more time shifts
            if self.shuffle_notes:
                window = self.tokenizer.with_notes_shuffled(window, shuffling)
            row[: len(window)] = window
        return Batch.of(rows, self.scoring, pasts=tuple(before))

    def _not_too_long(self, past: np.ndarray) -> np.ndarray:
        """A past shortened to the ids before the first bar and the last whole bars, about LONGEST_PAST ids.

        Unchanged if short enough, and for tokenizers without tasks.
        """
        if len(past) <= LONGEST_PAST or not self.tokenizer.has_tasks:
            return past
        bars = self.tokenizer.bar_positions(past)
        first = min(int(np.searchsorted(bars, len(past) - LONGEST_PAST)), len(bars) - 1)
        return np.concatenate([past[: bars[0]], past[bars[first] :]])

    def _as_task(self, ids: np.ndarray, begin: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(past, window) of `ids`, a piece up to the window's end, reordered for a randomly drawn task.

        `begin` is where the window begins; if a task is drawn, the window is the last `length` + 1 steps instead.
        """
        share = {"infill": self.augment.infill, "accompany": self.augment.accompany}
        reordered = self.tokenizer.as_task(ids, rng, length=self.length, **share)
        begin = begin if reordered is ids else max(0, len(reordered) - self.length - 1)
        return reordered[:begin], reordered[begin:]

    def _window(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(the ids before a window of a piece drawn at random, the window)."""
        where = rng.random() * self.ends[-1] if self.weighted else int(rng.integers(self.ends[-1]))
        piece = min(int(np.searchsorted(self.ends, where, side="right")), len(self.ends) - 1)
        offset, size = self.spans[piece].tolist()
        ids = self.tokens[offset : offset + size]
        begin = draw_begin(ids, self.tokenizer, rng, steps=self.length + 1)
        return ids[:begin], np.asarray(ids[begin : begin + self.length + 1])


def draw_begin(ids: np.ndarray, tokenizer: Tokenizer, rng: np.random.Generator, *, steps: int) -> int:
    """Where a window of at most `steps` steps begins in a piece: at its beginning, or at random, moved back to the last
    bar line if there is one within half a window."""
    latest = max(0, len(ids) - steps)
    begin = 0 if rng.random() < FROM_THE_BEGINNING else int(rng.integers(latest + 1))
    if begin:
        low = max(0, begin - (steps - 1) // 2)
        # Frames with a fixed number of ids have no start token: they begin every `period` ids after BOS.
        low -= (low - 1) % tokenizer.period if low else 0
        back = np.asarray(ids[low : begin + 1])
        bars = tokenizer.bar_positions(back)
        begin -= len(back) - 1 - int(bars[-1]) if len(bars) else 0
    return begin


def augmented(ids: np.ndarray, tokenizer: Tokenizer, settings: AugmentSettings, rng: np.random.Generator) -> np.ndarray:
    """`ids` with a randomly drawn transposition, tempo change, change of programs and change of loudness."""
    # These numbers are always drawn, so that one setting doesn't change the effect of another.
    semitones = draw_transposition(rng, low=settings.transpose_low, high=settings.transpose_high)
    tempo = int(rng.integers(-settings.tempo_steps, settings.tempo_steps + 1))
    others = rng.random() < settings.programs
    moves = rng.random() < settings.transposed
    ids = tokenizer.transposed(ids, semitones) if moves else ids
    if tempo:
        ids = tokenizer.with_tempo(ids, tempo)
    ids = tokenizer.with_programs(ids, rng) if others else ids
    louder = settings.loudness > 0 and rng.random() < settings.loudness
    return tokenizer.with_loudness(ids, rng) if louder else ids


def validation_windows(
    source: TokenSource, tokenizer: Tokenizer, *, split: str, length: int, batch: int, max_tokens: int
) -> list[Batch]:
    """Batches of fixed, unaugmented windows of a split, with the ids before each in its piece.

    The windows are spread evenly over the pieces and have about `max_tokens` tokens at most. If frames have a fixed
    number of ids, each window begins with a whole frame.
    """
    scoring = Scoring.of(tokenizer)
    windows = []
    for offset, size in source.spans(split).tolist():
        for begin in range(0, max(1, size - 1), length):
            begin -= (begin - 1) % scoring.period if begin else 0
            windows.append((offset, begin, min(length + 1, size - begin)))
    windows = [windows[i] for i in spread(len(windows), max(1, max_tokens // length))]
    batches = []
    for i in range(0, len(windows), batch):
        rows = np.full((len(windows[i : i + batch]), length + 1, *source.tokens.shape[1:]), scoring.pad, np.int64)
        for row, (offset, begin, size) in zip(rows, windows[i : i + batch], strict=True):
            row[:size] = source.tokens[offset + begin : offset + begin + size]
        pasts = tuple(source.tokens[offset : offset + begin] for offset, begin, _ in windows[i : i + batch])
        batches.append(Batch.of(rows, scoring, pasts=pasts))
    return batches

"""What a translator comes to on the pairs of a split, by how much is translated at once, beside counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus
from musicgen.errors import UsageError
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.models.tasks.translator import Translator
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.examples import batch_of, excerpts
from musicgen.tasks.translate.figures import changes, rightness, voice_leading
from musicgen.tasks.translate.floors import Commonest, ngram_nats
from musicgen.tasks.translate.pairs import Pair, in_c, pair_of

__all__ = ["TranslationEvaluation", "evaluate_translations", "pairs_of"]

LENGTHS = (1, 2, 4, 8, 16, 32)  # bars
EXCERPTS = 24  # of each length


@dataclass(frozen=True)
class TranslationEvaluation:
    """A translator's figures on a split: by bars of an excerpt, a table a row."""

    run: str
    corpus: Path
    split: str
    pair: str
    pieces: int
    rows: dict[int, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        head = {"run": self.run, "corpus": str(self.corpus), "task": "translate", "split": self.split}
        return {**head, "pair": self.pair, "pieces": self.pieces, "by_bars": {str(n): r for n, r in self.rows.items()}}

    def lines(self) -> list[str]:
        """The figures in words: a line for each length of excerpts, the floors in brackets."""
        said = [f"{self.split}: {self.pieces:,} pairs {self.pair}"]
        for bars, row in self.rows.items():
            figures = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name != "excerpts"]
            said.append(f"  {bars:>2} bars, {row['excerpts']:.0f} excerpts: {', '.join(figures)}")
        return said


def pairs_of(corpus: Corpus, split: str, *, kind: str) -> list[Pair]:
    """The pairs of that kind in the pieces of a split (train, valid or test); pieces without one are left out."""
    return [pair for _, piece in pieces_of(corpus, split) if (pair := pair_of(piece, kind)) is not None]


@torch.no_grad()
def evaluate_translations(
    run: TaskRun, corpus: Corpus, *, split: str, baseline: bool, max_tokens: int | None, check: Callable[[], None]
) -> TranslationEvaluation:
    """Nats a step, and shares of the time that greedy translations are right, on excerpts of each length; with
    `baseline` what counts in the training pieces come to (`floors`). Of each length there are EXCERPTS, or fewer that
    hold about `max_tokens` target steps. `check` is called between excerpts and may raise.

    Raises UsageError where the split holds no pair.
    """
    model = run.model.eval()
    assert isinstance(model, Translator)
    kind, alphabet = model.task.pair, Alphabet(model.task.pair, model.task.bars)
    pairs = pairs_of(corpus, split, kind=kind)
    if not pairs:
        raise UsageError(f"the split {split} holds no pair {kind}", where=corpus.folder, hint="name another corpus")
    known = pairs_of(corpus, "train", kind=kind) if baseline else []
    rows = {}
    for bars in LENGTHS:
        most = EXCERPTS if max_tokens is None else max(1, min(EXCERPTS, max_tokens // (2 * bars)))
        held = excerpts(pairs, bars=bars, most=most) if bars <= model.task.bars else []
        if not held:
            continue
        nats, steps, made = 0.0, 0, []
        for pair in held:
            check()
            batch = batch_of([in_c(pair, kind=kind, moves=model.task.key)[0]], alphabet).to(
                next(model.parameters()).device
            )
            nats += model.nats(batch.source, batch.inputs, batch.targets).sum().item()
            steps += batch.n_steps
            made.append(translate(model, pair, search=Search("greedy"))[0])
        row = {"excerpts": float(len(held)), "nats_per_step": nats / max(1, steps)}
        row |= rightness(kind, list(zip(made, held, strict=True)))
        row |= {"changes_per_bar": changes(made), "changes_as_written": changes(held)}
        if kind != CHORDS:
            row |= voice_leading(made)
        if known:
            row["counted_nats_per_step"] = float(ngram_nats(known, held, alphabet).sum(axis=1).mean())
        if known and kind == CHORDS:
            floor = Commonest(known)
            row |= {f"counted_{n}": v for n, v in rightness(kind, [(floor(pair), pair) for pair in held]).items()}
        rows[bars] = row
    return TranslationEvaluation(run.name, corpus.folder, split, kind, len(pairs), rows)

"""The task of translating: excerpts of pairs at random, nats a target step, and the share of the time that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Listener, Warned
from musicgen.models.heads.head import Reading
from musicgen.models.tasks.registry import task_settings
from musicgen.models.tasks.translate_layout import CHORDS, PAD
from musicgen.models.tasks.translator import TranslateSettings, Translator
from musicgen.recipe import Recipe
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.evaluating import TranslationEvaluation, evaluate_translations, pairs_of
from musicgen.tasks.translate.examples import Batch, batch_of, covering, excerpts, random_batch
from musicgen.tasks.translate.figures import changes, rightness
from musicgen.tasks.translate.floors import Commonest
from musicgen.tasks.translate.pairs import Pair, in_c, pair_of
from musicgen.tokenizers import Tokenizer
from musicgen.training.step import Learner, Loss, Setup
from musicgen.training.task import Task, Validation
from musicgen.words import counted

__all__ = ["Translate"]

WIDTHS = {"tiny": 128, "small": 256, "medium": 384, "large": 576}  # of each of three bodies
JUDGED, JUDGED_BARS = 24, 8  # excerpts that are translated for the card, and their bars
HINTS = {
    True: "build the corpus with `tokenizer` abc, which keeps chord symbols, or parts, which keeps parts apart",
    False: "build a corpus of pieces in four parts with `tokenizer` parts, which keeps parts apart",
}


class Translate(Task):
    """Translate a melody into chords, or a soprano into alto, tenor and bass; `[task]` says which (`pair`)."""

    unit: ClassVar[str] = "nats_per_step"
    calibrates: ClassVar[bool] = True
    tokenizer: ClassVar[str | None] = "parts"  # which keeps a part of chords, and voices, apart

    def presets(self, size: str, table: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model.width": WIDTHS[size],
            "train.steps": 1500,
            "train.batch": 16,
            "train.learning_rate": 5e-3,
            "train.evaluate_every": 250,
            "train.evaluate_tokens": 8192,
        }

    def settled(self, recipe: Recipe, corpus: Corpus, *, listener: Listener) -> Recipe:
        kind = task_settings(recipe.task).pair
        if not pairs_of(corpus, "train", kind=kind):
            what = f"no piece of the corpus is a pair {kind}"
            raise UsageError(what, where=corpus.folder, hint=HINTS[kind == CHORDS])
        without = sum(pair_of(piece, kind) is None for _, piece in pieces_of(corpus))
        if without:
            listener(Warned(f"{counted(without, 'piece')} without a pair {kind} left out"))
        return replace(recipe, task={**recipe.task, "pair": kind})

    def evaluate(
        self,
        run: TaskRun,
        corpus: Corpus,
        *,
        split: str,
        baseline: bool,
        max_tokens: int | None,
        check: Callable[[], None],
    ) -> TranslationEvaluation:
        return evaluate_translations(run, corpus, split=split, baseline=baseline, max_tokens=max_tokens, check=check)

    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> TranslateLearner:
        self.check_request(model, setup.recipe, setup.device, taught=False)
        assert isinstance(source, Corpus)
        return TranslateLearner(model, source, setup=setup)


class TranslateLearner(Learner[Translator]):
    """Learns from random excerpts of the training pieces' pairs."""

    def __init__(self, model: Translator, corpus: Corpus, *, setup: Setup) -> None:
        super().__init__(model, setup=setup)
        task: TranslateSettings = model.task
        self.corpus, self.augment = corpus, setup.recipe.augment
        self.alphabet = Alphabet(task.pair, task.bars)
        self.pairs = pairs_of(corpus, "train", kind=task.pair)
        if not self.pairs:
            raise UnreadableError(
                f"no training piece is a pair {task.pair}", where=corpus.folder, hint="build it again"
            )
        self.floor = Commonest(self.pairs) if task.pair == CHORDS else None
        self.pairs = self.moved(self.pairs)

    def moved(self, pairs: list[Pair]) -> list[Pair]:
        """The pairs as the model reads them: all in one signature, if it is so set."""
        return [in_c(pair, kind=self.alphabet.pair, moves=self.model.task.key)[0] for pair in pairs]

    def made(self, step: int) -> Batch:
        semitones = (0, 0) if self.model.task.key else (self.augment.transpose_low, self.augment.transpose_high)
        rows, seed = self.settings.batch, self.settings.seed
        return random_batch(self.pairs, self.alphabet, rows=rows, seed=seed, step=step, semitones=semitones)

    def loss(self, batch: Batch) -> Loss:
        total = self.model.nats(batch.source, batch.inputs, batch.targets).sum()
        steps = max(1, batch.n_steps)
        return Loss(total / (steps * len(self.alphabet.sizes)), total.detach() / steps)

    def places(self, batch: Batch) -> int:
        return batch.source.shape[0] * batch.source.shape[1] + batch.inputs.shape[0] * batch.inputs.shape[1]

    def validation(self, *, check: Callable[[], None]) -> TranslateValidation:
        return TranslateValidation(self, check=check)


class TranslateValidation(Validation):
    """The validation pieces' pairs in excerpts; for the card some of them are translated, too."""

    def __init__(self, learner: TranslateLearner, *, check: Callable[[], None]) -> None:
        self.learner, self._check = learner, check
        alphabet, settings = learner.alphabet, learner.settings
        self.pairs = pairs_of(learner.corpus, "valid", kind=alphabet.pair)
        most = max(1, settings.evaluate_tokens // (2 * alphabet.bars))
        chosen = covering(learner.moved(self.pairs), bars=alphabet.bars, most=most)
        self.batches = [
            batch_of(chosen[n : n + settings.batch], alphabet) for n in range(0, len(chosen), settings.batch)
        ]
        steps = sum(batch.n_steps for batch in self.batches)
        self.counts = {"valid_pieces": len(self.pairs), "valid_steps": steps}

    @torch.no_grad()
    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> Tensor | None:
        """figures_SF: the mean nats a target step, by field, at each of S inverse temperatures."""
        model = self.learner.model.eval()
        total_SF = torch.zeros(len(inverse_temperature), len(self.learner.alphabet.sizes), dtype=torch.float64)
        for batch in self.batches:
            self._check()
            with self.learner.autocast():
                ready = self.learner.ready(batch)
                hidden_BTC, _, _ = model.decode(ready.inputs, model.encode(ready.source))
                nats = model.step_head.nats_at(
                    Reading(hidden_BTC, ready.inputs),
                    ready.targets,
                    pad=PAD,
                    following_VV=None,
                    inverse_temperature=inverse_temperature,
                )
            total_SF += torch.stack([part.double().sum((0, 1)) for part in nats]).cpu()
        return total_SF / self.counts["valid_steps"] if self.counts["valid_steps"] else None

    def figures(self) -> dict[str, Any]:
        """Shares of the time that greedy translations are right, of chords beside the floor's."""
        kind, held = self.learner.alphabet.pair, excerpts(self.pairs, bars=JUDGED_BARS, most=JUDGED)
        if not held:
            return {}
        made = [(translate(self.learner.model, pair, search=Search("greedy"))[0], pair) for pair in held]
        found: dict[str, Any] = {"valid_right": _rounded(rightness(kind, made))}
        rhythm = {"made": changes([pair for pair, _ in made]), "written": changes(held)}
        found["valid_changes_per_bar"] = _rounded(rhythm)
        if (floor := self.learner.floor) is not None:
            found["valid_right_by_counting"] = _rounded(rightness(kind, [(floor(pair), pair) for pair in held]))
        return found


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in shares.items()}

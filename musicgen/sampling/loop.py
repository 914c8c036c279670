"""Drawing sequences from a model (`decoder.py`), one step at a time, inside a grammar.

Takes are drawn in lockstep: one pass of the model serves a step of each. A take is nevertheless the same bit for bit
whether it is drawn alone or beside 63 others: it has its own generator, its own grammar, and a decoder computes each
row on its own. The prompt is read once for all takes.

Shapes: B takes, T time, F fields, K the values of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.sampling.decoder import Decoder, NextStep
from musicgen.sampling.filters import SamplingSettings, choose
from musicgen.tokenizers import Grammar
from musicgen.tokenizers.vocabulary import Field

__all__ = ["Prompt", "per_field", "read_prompt", "sample"]

REPETITION_WINDOW = 64  # steps that the repetition penalty looks back on
PAD = 0


@dataclass(frozen=True)
class Prompt:
    """A prompt that has been read: its ids (T,) or (T, F), where the decoder stands behind them, and the grammar.

    `begun` are the first fields of the step after them, where the prompt breaks off inside a step.
    """

    ids: np.ndarray
    begun: tuple[int, ...]
    row: Any
    grammar: Grammar


def read_prompt(
    decoder: Decoder,
    ids: np.ndarray,
    *,
    grammar: Grammar,
    begun: Sequence[int] = (),
    past: np.ndarray | None = None,
) -> Prompt:
    """Feed the prompt to the decoder, and to `grammar`, which must accept sequences that begin as `ids` does.

    `past` are ids before them, which the grammar walks first, and which a model is told of that asks for them.
    """
    past = ids[:0] if past is None else past
    with decoder.drawing():
        row = decoder.read(ids, past=past)
    for token in (*past.ravel().tolist(), *ids.ravel().tolist(), *begun):
        grammar.advance(token)
    return Prompt(ids, tuple(begun), row, grammar)


class _Take:
    """One sequence on its way: its grammar, its random numbers, its steps."""

    def __init__(self, prompt: Prompt, generator: torch.Generator) -> None:
        self.walker = prompt.grammar.copy()
        self.generator = generator
        self.steps: list[list[int]] = []
        self.past: list[list[int]] = prompt.ids[-REPETITION_WINDOW:].reshape(-1, _width(prompt.ids)).tolist()
        self.begun = list(prompt.begun)  # of the first step; the grammar has taken them
        self.over = False

    def finish(self, step: list[int]) -> None:
        """Keep a step, or what was chosen of the last one before the take was over."""
        if not self.over or any(step):
            self.steps.append(step)
            self.past.append(step)

    def history(self, field: int) -> list[int]:
        """The ids of a field in the last steps."""
        return [step[field] for step in self.past[-REPETITION_WINDOW:] if step[field] != PAD]


def sample(
    decoder: Decoder,
    prompt: Prompt,
    *,
    fields: Sequence[Field],
    settings: SamplingSettings,
    generators: Sequence[torch.Generator],
    max_steps: int,
    on_step: Callable[[int], None] = lambda bars: None,
) -> list[np.ndarray]:
    """For each generator the ids after the prompt: (T,), or (T, F) where `fields` has more than one.

    Where the prompt breaks off inside a step, the first row holds that step, the prompt's fields included.

    A take is over when the grammar says that an id ends it (it is left out), or after `max_steps`. Where the grammar
    leaves one choice, no random number is spent on it. The generators must be on the CPU, so that a seed means the
    same on every device. `on_step` is called at each step with how many new bars all that are not over have behind
    them. Raises UsageError for a temperature of a field that isn't there.
    """
    of_field = per_field(settings, fields)
    takes = [_Take(prompt, generator) for generator in generators]
    alive = takes
    with decoder.drawing():
        rows = decoder.select(prompt.row, [0] * len(takes)) if len(takes) > 1 else prompt.row
        while alive and len(alive[0].steps) < max_steps:
            scores = decoder.next_step(rows)
            steps: list[list[int]] = [[] for _ in alive]
            for number, field in enumerate(fields):
                _fill(alive, steps, number, field, scores, of_field[number])
                if number + 1 < len(fields):
                    scores.take(number, [step[number] for step in steps])
            staying = [row for row, take in enumerate(alive) if not take.over]
            for take, step in zip(alive, steps, strict=True):
                take.finish(step)
            on_step(min(take.walker.bars_done for take in alive))
            if len(staying) < len(alive):
                alive, steps = [alive[row] for row in staying], [steps[row] for row in staying]
                if not alive:
                    break
                rows = decoder.select(rows, staying)
            rows = decoder.step(rows, steps)
    shape = (-1, len(fields)) if len(fields) > 1 else (-1,)
    return [np.array(take.steps, np.int64).reshape(shape) for take in takes]


def _fill(
    takes: list[_Take], steps: list[list[int]], number: int, field: Field, scores: NextStep, settings: SamplingSettings
) -> None:
    """Choose one field of a step of every take; a take that ends is marked, and its place filled with padding."""
    logits_BK: np.ndarray | None = None
    for row, (take, step) in enumerate(zip(takes, steps, strict=True)):
        if take.over or take.begun:
            step.append(take.begun.pop(0) if take.begun else PAD)
            continue
        choices = np.flatnonzero(take.walker.allowed())
        if len(choices) == 1:
            token = int(choices[0])
        else:
            if logits_BK is None:  # once for all takes, and not at all where no take has a choice
                logits_BK = scores.logits_BK(number)
            history = take.history(number) if settings.repetition_penalty != 1 else ()
            best = choose(logits_BK[row, choices - field.first], settings, take.generator, ids=choices, history=history)
            token = int(choices[best])
        if take.walker.ends(token):
            take.over = True
            step.append(PAD)
            continue
        take.walker.advance(token)
        step.append(token)


def per_field(settings: SamplingSettings, fields: Sequence[Field]) -> list[SamplingSettings]:
    """The settings of each field; UsageError for a temperature of one that isn't there.

    The repetition penalty is for pitches, where a step has any: a penalty on meters, programs or durations would only
    unsettle the beat.
    """
    names = [field.name for field in fields]
    for name, _ in settings.field_temperatures:
        if name not in names:
            raise UsageError(f"this model's steps have no field {name!r}", hint=f"fields are {', '.join(names)}")
    return [
        settings.of_field(name, penalised="pitch" not in names or name == "pitch", fields=len(names)) for name in names
    ]


def _width(ids: np.ndarray) -> int:
    return 1 if ids.ndim == 1 else ids.shape[1]

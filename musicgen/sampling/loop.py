"""The sampling loop: draws sequences from a model (`decoder.py`) one step at a time, constrained by a grammar.

Takes are drawn as a batch: each forward pass advances all of them by one step. A take is nevertheless bit-identical
whether it is drawn alone or with 63 others: it has its own random generator and its own grammar state, and a decoder
computes each row independently. The prompt is read once for all takes.

Shapes: B takes, T time steps, F fields of a step, K values of a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.events import Listener, Progress, ignore
from musicgen.sampling.decoder import Decoder, NextStep
from musicgen.sampling.filters import SamplingSettings, choose
from musicgen.tokenizers import Grammar
from musicgen.tokenizers.vocabulary import Field

__all__ = ["Prompt", "per_field", "read_prompt", "sample"]

REPETITION_WINDOW = 64  # number of last steps that the repetition penalty considers
PAD = 0
LARGEST = 1e30  # logit


@dataclass(frozen=True)
class Prompt:
    """A prompt that has been read: its ids (T,) or (T, F), and the decoder's and the grammar's state after them.

    `row` is the decoder's state. `begun` are the first fields of the next step if the prompt ends inside a step.
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
    """Feed the prompt to the decoder and to `grammar`, which must accept sequences that begin with `past` and `ids`.

    `past` are the ids before the prompt; the grammar reads them too, and so do models that recall their whole past.
    """
    past = ids[:0] if past is None else past
    with decoder.drawing():
        row = decoder.read(ids, past=past)
    for token in (*past.ravel().tolist(), *ids.ravel().tolist(), *begun):
        grammar.advance(token)
    return Prompt(ids, tuple(begun), row, grammar)


class _Take:
    """A sequence being drawn: its grammar state, its random generator and its steps so far."""

    def __init__(self, prompt: Prompt, generator: torch.Generator) -> None:
        self.walker = prompt.grammar.copy()
        self.generator = generator
        self.steps: list[list[int]] = []
        self.past: list[list[int]] = prompt.ids[-REPETITION_WINDOW:].reshape(-1, _width(prompt.ids)).tolist()
        self.begun = list(prompt.begun)  # fields of the first step, which the grammar has read already
        self.over = False
        self.nats = 0.0  # of what was chosen, at temperature 1, among what the grammar allowed

    def finish(self, step: list[int]) -> None:
        """Append a step; the last step of an ended take only if any of its fields was chosen."""
        if not self.over or any(step):
            self.steps.append(step)
            self.past.append(step)

    def history(self, field: int) -> list[int]:
        """The ids of a field in the last REPETITION_WINDOW steps, padding left out."""
        return [step[field] for step in self.past[-REPETITION_WINDOW:] if step[field] != PAD]


def sample(
    decoder: Decoder,
    prompt: Prompt,
    *,
    fields: Sequence[Field],
    settings: SamplingSettings,
    generators: Sequence[torch.Generator],
    max_steps: int,
    bars: int | None = None,
    listener: Listener = ignore,
    nats: list[float] | None = None,
) -> list[np.ndarray]:
    """Draw one sequence per generator and return the ids after the prompt: (T,), or (T, F) if there are several fields.

    If the prompt ends inside a step, the first row is that whole step, the prompt's fields included.

    A take ends when it draws an id that ends it according to the grammar (that id is left out), or after `max_steps`.
    If the grammar allows only one id, no random number is used. The generators must be on the CPU, so that a seed gives
    the same result on every device. `listener` gets an event after each step: of `bars` (None: unknown), the smallest
    number of new bars completed by any take that was still being drawn. To `nats` is appended the
    negative log-likelihood of each sequence, at temperature 1, among the ids that the grammar allowed. Raises
    UsageError for a temperature of an unknown field.
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
            done = min(take.walker.bars_done for take in alive)
            listener(Progress(done if bars is None else min(done, bars), bars, "bar"))
            if len(staying) < len(alive):
                alive, steps = [alive[row] for row in staying], [steps[row] for row in staying]
                if not alive:
                    break
                rows = decoder.select(rows, staying)
            rows = decoder.step(rows, steps)
    if nats is not None:
        nats += [take.nats for take in takes]
    shape = (-1, len(fields)) if len(fields) > 1 else (-1,)
    return [np.array(take.steps, np.int64).reshape(shape) for take in takes]


def _fill(
    takes: list[_Take], steps: list[list[int]], number: int, field: Field, scores: NextStep, settings: SamplingSettings
) -> None:
    """Append the chosen id of field `number` to each take's step; a take that ends is marked and gets padding."""
    logits_BK: np.ndarray | None = None
    for row, (take, step) in enumerate(zip(takes, steps, strict=True)):
        if take.over or take.begun:
            step.append(take.begun.pop(0) if take.begun else PAD)
            continue
        choices = np.flatnonzero(take.walker.allowed())
        if len(choices) == 1:
            token = int(choices[0])
        else:
            if logits_BK is None:  # computed once for all takes, and only if one of them has a choice
                logits_BK = scores.logits_BK(number)
            history = take.history(number) if settings.repetition_penalty != 1 else ()
            bias = take.walker.bias()
            best = choose(
                logits_BK[row, choices - field.first],
                settings,
                take.generator,
                ids=choices,
                history=history,
                bias_K=None if bias is None else bias[choices],
            )
            token = int(choices[best])
            take.nats += _nats(logits_BK[row, choices - field.first], best)
        if take.walker.ends(token):
            take.over = True
            step.append(PAD)
            continue
        take.walker.advance(token)
        step.append(token)


def _nats(logits_K: np.ndarray, chosen: int) -> float:
    """The negative logarithm of the probability of the chosen one, finite whatever the logits are."""
    x_K = np.nan_to_num(logits_K.astype(np.float64), nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST)
    x_K -= x_K.max()
    return float(np.log(np.exp(x_K).sum()) - x_K[chosen])


def per_field(settings: SamplingSettings, fields: Sequence[Field]) -> list[SamplingSettings]:
    """The sampling settings of each field. Raises UsageError for a temperature of an unknown field.

    If a step has a pitch field, the repetition penalty applies to it alone: a penalty on meters, programs or durations
    would only disturb the rhythm.
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

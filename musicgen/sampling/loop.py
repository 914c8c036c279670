"""Drawing a sequence from a model, one id at a time, inside a grammar.

Shapes: B batch (always 1 here), T time, V vocabulary. A take is drawn alone, whatever else is asked for beside
it, so that it is the same bit for bit in a batch of one or of 64; the prompt is read once for all takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicgen.models import SequenceModel, State
from musicgen.sampling.filters import SamplingSettings, allow, draw
from musicgen.tokenizers import Grammar

__all__ = ["Prompt", "read_prompt", "sample"]

REPETITION_WINDOW = 64  # ids that the repetition penalty looks back on


@dataclass(frozen=True)
class Prompt:
    """A prompt that a model has read: its ids, the logits after it, and the state to go on from."""

    ids: np.ndarray
    logits_BV: Tensor
    state: State | None
    grammar: Grammar


@torch.inference_mode()
def read_prompt(model: SequenceModel, ids: np.ndarray, *, grammar: Grammar) -> Prompt:
    """Feed the prompt to the model, and to `grammar`, which must accept sequences that begin as `ids` does."""
    device = next(model.parameters()).device
    logits_BTV, state = model(torch.from_numpy(ids.astype(np.int64))[None].to(device))
    for token in ids.tolist():
        grammar.advance(token)
    return Prompt(ids, logits_BTV[:, -1].float(), state, grammar)


@torch.inference_mode()
def sample(
    model: SequenceModel,
    prompt: Prompt,
    *,
    settings: SamplingSettings,
    generator: torch.Generator,
    max_tokens: int,
    grammar: Grammar | None = None,
    on_token: Callable[[int], None] = lambda token: None,
) -> np.ndarray:
    """Ids drawn after the prompt until the grammar says that one ends the sequence (it is left out) or `max_tokens`.

    `grammar` (default: a copy of the prompt's) says what may follow; where it leaves one choice, no random
    number is spent on it. The generator must be on the CPU, so that a seed means the same on every device.
    """
    walker = (grammar or prompt.grammar).copy()
    logits_BV, state = prompt.logits_BV, prompt.state
    history = prompt.ids[-REPETITION_WINDOW:].tolist()
    drawn: list[int] = []
    while len(drawn) < max_tokens:
        allowed = walker.allowed()
        choices = np.flatnonzero(allowed)
        if len(choices) == 1:
            token = int(choices[0])
        else:
            among = torch.from_numpy(choices)
            if settings.repetition_penalty == 1:  # the usual case: work on the few that are left
                few_BV = settings.apply(logits_BV.cpu()[:, among])
                token = int(among[int(draw(few_BV, generator)[0])])
            else:
                masked_BV = allow(logits_BV.cpu(), torch.from_numpy(allowed)[None])
                past_BT = torch.tensor([history[-REPETITION_WINDOW:]])
                token = int(draw(settings.apply(masked_BV, past_BT), generator)[0])
        if walker.ends(token):
            break
        walker.advance(token)
        drawn.append(token)
        history.append(token)
        on_token(token)
        logits_BTV, state = model(torch.tensor([[token]], device=logits_BV.device), state)
        logits_BV = logits_BTV[:, -1].float()
    return np.array(drawn, np.int64)

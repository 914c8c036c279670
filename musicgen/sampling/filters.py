"""Sampling an id from logits: repetition penalty, temperature, top-k, top-p, min-p and typical-p.

NaN logits count as -inf, and +inf rules out every finite logit. If no id is left to draw, CheckError is raised. Among
equal logits the lower id ranks higher.

Written in NumPy: for one step of one take, calling PyTorch costs more than the work. Shapes: K ids to choose from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from musicgen.errors import CheckError, UsageError
from musicgen.schemas import typed

__all__ = ["SamplingSettings", "choose", "shares"]


def choose(
    logits_K: np.ndarray,
    settings: SamplingSettings,
    generator: torch.Generator,
    *,
    ids: np.ndarray | None = None,
    history: Sequence[int] = (),
    bias_K: np.ndarray | None = None,
) -> int:
    """An index 0..K-1, drawn with the probabilities of `shares`.

    By inversion of the cumulative probabilities in float64, with exactly one uniform number from `generator` per draw,
    however many ids are ruled out. Raises CheckError if no id is left to draw.
    """
    sums_K = shares(logits_K, settings, ids=ids, history=history, bias_K=bias_K).cumsum()
    number = torch.rand((), dtype=torch.float64, generator=generator).item()
    # The first cumulative sum above the target belongs to an id of nonzero probability. If rounding raises the target
    # to the total, no sum is above it: take the last id of nonzero probability.
    return int(min(np.searchsorted(sums_K, number * sums_K[-1], side="right"), np.searchsorted(sums_K, sums_K[-1])))


def shares(
    logits_K: np.ndarray,
    settings: SamplingSettings,
    *,
    ids: np.ndarray | None = None,
    history: Sequence[int] = (),
    bias_K: np.ndarray | None = None,
) -> np.ndarray:
    """The unnormalised probability of each id, float64 of shape (K,); 0 for ids that are ruled out.

    The order is: repetition penalty (Keskar et al. 2019, arXiv:1909.05858, section 4.1), temperature (Ackley et al.
    1985), `bias_K` added to the scores, top-k (Fan et al. 2018, arXiv:1805.04833, section 5), top-p of what is left
    (Holtzman et al. 2020, arXiv:1904.09751, section 3.1), min-p (Nguyen et al. 2024, arXiv:2407.01082), typical-p of
    what is left (Meister et al. 2023, "Locally Typical Sampling", section 4). With temperature 0 the bias is added to
    the logits. `ids` are the ids that the K logits
    score (default 0..K-1), `history` those that the repetition penalty applies to. Raises CheckError if no id is left.
    """
    x_K = logits_K.astype(np.float64)
    if settings.repetition_penalty != 1 and len(history):
        seen_K = np.isin(np.arange(len(x_K)) if ids is None else ids, history)
        # Dividing a negative logit would make its id more likely: there the penalty multiplies.
        with np.errstate(over="ignore"):  # by a penalty close to 0; infinite logits are handled below
            punished_K = np.where(x_K > 0, x_K / settings.repetition_penalty, x_K * settings.repetition_penalty)
        x_K = np.where(seen_K, punished_K, x_K)
    if not math.isfinite(x_K.max()):
        x_K = _tidy(x_K)
    if bias_K is not None:  # after the temperature, so that a share means the same at any
        x_K = x_K + bias_K * (min(settings.temperature, 1e30) or 1.0)
    if settings.temperature == 0:
        return np.where(np.arange(len(x_K)) == x_K.argmax(), 1.0, 0.0)
    # Clamped, for with more extreme temperatures the quotient could be NaN.
    shares_K = np.exp((x_K - x_K.max()) / min(max(settings.temperature, 1e-30), 1e30))
    keep_K = _kept(shares_K, settings)
    kept_K: np.ndarray = shares_K if keep_K is None else shares_K * keep_K
    return kept_K if settings.typical_p >= 1 else _typical(kept_K, settings.typical_p)


def _typical(shares_K: np.ndarray, mass: float) -> np.ndarray:
    """The shares of the ids whose information is nearest to the entropy and that together have `mass`; 0 for others."""
    p_K = shares_K / shares_K.sum()
    with np.errstate(divide="ignore"):
        information_K = -np.log(p_K)
    entropy = float((p_K * np.where(p_K > 0, information_K, 0)).sum())
    order = np.argsort(np.abs(information_K - entropy), kind="stable")
    count = int(np.searchsorted(p_K[order].cumsum(), mass * (1 - 1e-12))) + 1
    found = np.zeros_like(shares_K)
    found[order[:count]] = shares_K[order[:count]]
    return found


def _tidy(x_K: np.ndarray) -> np.ndarray:
    """The logits with NaN and +inf replaced, so that the maximum is finite. Raises CheckError if every logit is -inf or
    NaN."""
    x_K = np.where(np.isnan(x_K), -np.inf, x_K)
    if np.isposinf(x_K).any():
        return np.where(np.isposinf(x_K), 0.0, -np.inf)
    if np.isneginf(x_K).all():
        raise CheckError(
            "no id is left to draw from: every logit is -inf or NaN",
            hint="loosen what is allowed; if nothing was forbidden, the model's weights are broken",
        )
    return x_K


def _kept(shares_K: np.ndarray, settings: SamplingSettings) -> np.ndarray | None:
    """The mask of ids kept by top-k, top-p and min-p, from unnormalised probabilities whose maximum is 1; None: all."""
    K = len(shares_K)
    k = settings.top_k if 0 < settings.top_k < K else K
    keep_K = shares_K >= settings.min_p if settings.min_p else None
    if k == K and settings.top_p >= 1:
        return keep_K
    ordered = np.sort(shares_K)[::-1][:k].copy()  # values only: argsort takes ten times as long
    count = k
    if settings.top_p < 1:
        before = ordered.cumsum() - ordered
        count = max(1, int(np.count_nonzero(before < settings.top_p * ordered.sum())))
    best_K = shares_K >= ordered[count - 1]
    if np.count_nonzero(best_K) != count:  # of ids tied at the threshold, the lower ones stay
        equal_K = shares_K == ordered[count - 1]
        better_K = best_K & ~equal_K
        best_K = better_K | (equal_K & (equal_K.cumsum() <= count - np.count_nonzero(better_K)))
    both_K: np.ndarray = best_K if keep_K is None else best_K & keep_K
    return both_K


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How the next id is sampled. By default the temperature is below 1 and the least likely 5 % are left out (top-p).

    `temperature` 0 always takes the most likely id; `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 disable
    these filters, and so do `typical_p` 1 and `figure_penalty` 1. The latter makes it so many times less likely that a
    player's last three notes in a bar equal some of an earlier new bar (`constraints/repeats.py`).
    `field_temperatures` are (field, temperature) pairs that override `temperature` for single fields of a step, for
    example a higher one for pitches than for durations. `max_copy` is the longest stretch, in bars, that may be in the
    training data; takes with a longer one are drawn again (None: any).
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    field_temperatures: tuple[tuple[str, float], ...] = ()
    max_copy: float | None = None
    typical_p: float = 1.0
    figure_penalty: float = 1.0

    def listed(self) -> dict[str, Any]:
        """The settings as plain values, for a sidecar; those of later versions only where they are set."""
        out = dataclasses.asdict(self)
        return {name: value for name, value in out.items() if name not in ("typical_p", "figure_penalty") or value != 1}

    def validate(self) -> SamplingSettings:
        """Return the settings unchanged. Raises UsageError for a value out of its range."""
        _check_range("temperature", self.temperature, low=0.0)
        _check_range("top_k", self.top_k, low=0)
        _check_range("top_p", self.top_p, low=0.0, high=1.0)
        _check_range("min_p", self.min_p, low=0.0, high=1.0)
        _check_range("typical_p", self.typical_p, low=0.0, high=1.0, above=True)
        _check_range("figure_penalty", self.figure_penalty, low=0.0, above=True)
        _check_range("repetition_penalty", self.repetition_penalty, low=0.0, above=True)
        if self.max_copy is not None and not 0 < self.max_copy <= 1000:
            raise UsageError(f"max_copy is {self.max_copy:g}", hint="give a number of bars above 0")
        for pair in self.field_temperatures:
            if isinstance(pair, tuple) and len(pair) == 2:
                _check_range(f"temperature of {pair[0]}", pair[1], low=0.0)
        typed(self, where=None)
        return self

    def of_field(self, name: str, *, penalised: bool = True, fields: int = 1) -> SamplingSettings:
        """The settings for the field `name` of a step that has `fields` of them.

        The field has its own temperature, and a repetition penalty only if `penalised`. Its top-p is the root of order
        `fields`, so that the whole step keeps about the requested probability: 0.95 in each of five fields would keep
        0.77, and the music would repeat itself.
        """
        return dataclasses.replace(
            self,
            temperature=dict(self.field_temperatures).get(name, self.temperature),
            top_p=self.top_p ** (1 / fields),
            typical_p=self.typical_p ** (1 / fields),
            repetition_penalty=self.repetition_penalty if penalised else 1.0,
            field_temperatures=(),
        )


def _check_range(name: str, value: float, *, low: float, high: float = math.inf, above: bool = False) -> None:
    """Raise UsageError unless `value` is finite and low <= value <= high; with `above`, low < value."""
    whole = isinstance(low, int)
    kind = int if whole else int | float
    if not isinstance(value, kind) or isinstance(value, bool) or not math.isfinite(value):
        wrong = True
    else:
        wrong = not low <= value <= high or (above and value == low)
    if wrong:
        number = "a whole number" if whole else "a number"
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{'above' if above else 'of at least'} {low:g}"
        raise UsageError(f"{name} is {value!r}", hint=f"give {number} {span}")

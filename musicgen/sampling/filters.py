"""From logits to an id: what narrows the choice, and the draw.

Odd logits are taken for what they can only mean: NaN is -inf, and +inf rules out all that is finite. Where nothing is
left to draw, CheckError is raised. Of equal logits, the lower id counts as the better.

In NumPy: for one step of one take, calling PyTorch costs more than the work. Shapes: K the ids to choose from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

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
) -> int:
    """An index 0..K-1, drawn with the probabilities that `shares` gives.

    It is where one uniform number from `generator` falls among the summed probabilities, in float64: exactly one number
    a draw, however many ids are ruled out. Raises CheckError where nothing is left to draw.
    """
    sums_K = shares(logits_K, settings, ids=ids, history=history).cumsum()
    number = torch.rand((), dtype=torch.float64, generator=generator).item()
    # The first sum that exceeds the target: its id has a probability above 0, for its sum exceeds the one before. A
    # target rounded up to the whole sum exceeds every id: it means the last one that has a probability.
    return int(min(np.searchsorted(sums_K, number * sums_K[-1], side="right"), np.searchsorted(sums_K, sums_K[-1])))


def shares(
    logits_K: np.ndarray,
    settings: SamplingSettings,
    *,
    ids: np.ndarray | None = None,
    history: Sequence[int] = (),
) -> np.ndarray:
    """What each id is drawn by: probabilities in float64 up to a common factor, 0 for what is ruled out.

    The order is: repetition penalty (Keskar et al. 2019, arXiv:1909.05858, section 4.1), temperature (Ackley et al.
    1985), top-k (Fan et al. 2018, arXiv:1805.04833, section 5), top-p of what is left (Holtzman et al. 2020,
    arXiv:1904.09751, section 3.1), min-p (Nguyen et al. 2024, arXiv:2407.01082). `ids` are the ids that the K logits
    score (default 0..K-1), `history` those that the repetition penalty knows. Raises CheckError where nothing is left.
    """
    x_K = logits_K.astype(np.float64)
    if settings.repetition_penalty != 1 and len(history):
        seen_K = np.isin(np.arange(len(x_K)) if ids is None else ids, history)
        # Dividing a negative logit would make its id more likely: there the penalty multiplies.
        with np.errstate(over="ignore"):  # of a penalty next to 0; infinity is taken for what it means, below
            punished_K = np.where(x_K > 0, x_K / settings.repetition_penalty, x_K * settings.repetition_penalty)
        x_K = np.where(seen_K, punished_K, x_K)
    if not math.isfinite(x_K.max()):
        x_K = _tidy(x_K)
    if settings.temperature == 0:
        return np.where(np.arange(len(x_K)) == x_K.argmax(), 1.0, 0.0)
    # Beyond these temperatures a quotient could be NaN.
    shares_K = np.exp((x_K - x_K.max()) / min(max(settings.temperature, 1e-30), 1e30))
    keep_K = _kept(shares_K, settings)
    kept_K: np.ndarray = shares_K if keep_K is None else shares_K * keep_K
    return kept_K


def _tidy(x_K: np.ndarray) -> np.ndarray:
    """The logits without NaN and +inf and with a finite best, or CheckError."""
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
    """Which of the ids stay, by their unnormalised probabilities, the best of which is 1; None: all of them."""
    K = len(shares_K)
    k = settings.top_k if 0 < settings.top_k < K else K
    keep_K = shares_K >= settings.min_p if settings.min_p else None
    if k == K and settings.top_p >= 1:
        return keep_K
    ordered = np.sort(shares_K)[::-1][:k].copy()  # values alone: carrying their places takes ten times as long
    count = k
    if settings.top_p < 1:
        before = ordered.cumsum() - ordered
        count = max(1, int(np.count_nonzero(before < settings.top_p * ordered.sum())))
    best_K = shares_K >= ordered[count - 1]
    if np.count_nonzero(best_K) != count:  # of equals that straddle the cut the lower ids stay
        equal_K = shares_K == ordered[count - 1]
        better_K = best_K & ~equal_K
        best_K = better_K | (equal_K & (equal_K.cumsum() <= count - np.count_nonzero(better_K)))
    both_K: np.ndarray = best_K if keep_K is None else best_K & keep_K
    return both_K


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How bold the choice of the next id is. The defaults are cooler than the model and leave out its least likely 5 %.

    `temperature` 0 always takes the best id; `top_k` 0, `top_p` 1, `min_p` 0 and `repetition_penalty` 1 are off.
    `field_temperatures` are (field, temperature) where a step's field has one of its own: pitches bolder than
    durations, say.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    field_temperatures: tuple[tuple[str, float], ...] = ()

    def validate(self) -> SamplingSettings:
        """The settings themselves; raises UsageError for a value out of its range."""
        _check_range("temperature", self.temperature, low=0.0)
        _check_range("top_k", self.top_k, low=0)
        _check_range("top_p", self.top_p, low=0.0, high=1.0)
        _check_range("min_p", self.min_p, low=0.0, high=1.0)
        _check_range("repetition_penalty", self.repetition_penalty, low=0.0, above=True)
        for pair in self.field_temperatures:
            if isinstance(pair, tuple) and len(pair) == 2:
                _check_range(f"temperature of {pair[0]}", pair[1], low=0.0)
        typed(self, where=None)
        return self

    def of_field(self, name: str, *, penalised: bool = True, fields: int = 1) -> SamplingSettings:
        """The settings for one field of a step that has `fields` of them.

        Its own temperature, no repetition penalty unless `penalised`, and a top-p of which all fields together
        leave a step about the asked-for share: five times 0.95 would leave 0.77, and music that repeats itself.
        """
        return dataclasses.replace(
            self,
            temperature=dict(self.field_temperatures).get(name, self.temperature),
            top_p=self.top_p ** (1 / fields),
            repetition_penalty=self.repetition_penalty if penalised else 1.0,
            field_temperatures=(),
        )


def _check_range(name: str, value: float, *, low: float, high: float = math.inf, above: bool = False) -> None:
    """Raises UsageError unless low <= value <= high and finite; `above` leaves out `low` itself."""
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

"""From logits to an id: filters that narrow the choice, and the draw.

Each filter is a pure function `logits_BV -> logits_BV` that sets what it rules out to -inf and leaves at least
one id a row. Odd logits are taken for what they can only mean: NaN is -inf, and +inf rules out all that is
finite. A row in which nothing is left raises CheckError. Of equal logits, the lower id counts as the better.

A row's result depends on that row alone, so a take is the same whatever else is in the batch.

Shapes: B batch, T time, V vocabulary, K candidates in order from the best.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from musicgen.errors import CheckError, UsageError
from musicgen.schemas import typed

__all__ = [
    "SamplingSettings",
    "allow",
    "choose",
    "draw",
    "min_p",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
]

_NEVER = -math.inf


def temperature(logits_BV: Tensor, value: float) -> Tensor:
    """Logits divided by `value` (Ackley et al. 1985): below 1 surer, above 1 bolder, 0 keeps only the best id.

    The best logit of each row comes out as 0, which changes no probability and lets no small value overflow.
    """
    _check_range("temperature", value, low=0.0)
    return _temperature(_tidy(logits_BV), value)


def top_k(logits_BV: Tensor, k: int) -> Tensor:
    """Keeps the k best ids (Fan et al. 2018, arXiv:1805.04833, section 5); 0, or k of V and more, keeps all."""
    _check_range("top_k", k, low=0)
    return _keep_best(_tidy(logits_BV), k=k)


def top_p(logits_BV: Tensor, p: float) -> Tensor:
    """Keeps the fewest ids, best first, whose probabilities sum to p or more.

    Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751, section 3.1). 1 keeps all, 0 only the best id.
    """
    _check_range("top_p", p, low=0.0, high=1.0)
    return _keep_best(_tidy(logits_BV), p=p)


def min_p(logits_BV: Tensor, p: float) -> Tensor:
    """Keeps the ids at least p times as probable as the best (Nguyen et al. 2024, arXiv:2407.01082); 0 keeps all."""
    _check_range("min_p", p, low=0.0, high=1.0)
    return _min_p(_tidy(logits_BV), p)


def repetition_penalty(logits_BV: Tensor, history_BT: Tensor, penalty: float) -> Tensor:
    """Makes the ids in `history_BT` less likely (penalty above 1) or more likely (below 1); 1 changes nothing.

    From CTRL (Keskar et al. 2019, arXiv:1909.05858, section 4.1). A negative id in the history is padding.
    Raises UsageError for an id of V or more.
    """
    _check_range("repetition_penalty", penalty, low=0.0, above=True)
    return _repetition_penalty(_tidy(logits_BV), history_BT, penalty)


def allow(logits_BV: Tensor, allowed_BV: Tensor) -> Tensor:
    """Keeps the ids whose `allowed_BV` (bool; (V,) serves all rows) is true. Raises CheckError if that is none."""
    # Forbidden ids go first: an infinite logit among them must not push out the finite ones that are allowed.
    return _tidy(logits_BV.masked_fill(~allowed_BV, _NEVER))


def draw(logits_BV: Tensor, generator: torch.Generator | Sequence[torch.Generator]) -> Tensor:
    """One id a row, ids_B (int64), drawn with the probabilities softmax(logits).

    The id is where a uniform number falls among the summed probabilities, in float64. Each row takes exactly
    one number, from its own generator where a list is given, so a row's ids depend neither on the rest of its
    batch nor on how many ids were ruled out. Raises CheckError where nothing is left to draw.
    """
    logits_BV = _tidy(logits_BV)
    rows = len(logits_BV)
    if isinstance(generator, torch.Generator):
        number_B1 = torch.rand(rows, 1, dtype=torch.float64, generator=generator, device=generator.device)
    else:
        if len(generator) != rows:
            raise UsageError(
                f"{len(generator)} generators were given for {rows} rows", hint="give one a row, or a single one"
            )
        numbers = [torch.rand(1, 1, dtype=torch.float64, generator=one, device=one.device) for one in generator]
        number_B1 = numbers[0] if rows == 1 else torch.cat(numbers)
    sums_BV = logits_BV.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    target_B1 = number_B1.to(sums_BV.device) * sums_BV[:, -1:]
    # The first sum that exceeds the target. Its id has a probability above 0, for its sum exceeds the one before.
    id_B = torch.searchsorted(sums_BV, target_B1, right=True)[:, 0]
    # A target rounded up to the whole sum exceeds every id: it means the last one that has a probability.
    last_B = torch.searchsorted(sums_BV, sums_BV[:, -1:].contiguous())[:, 0]
    return torch.minimum(id_B, last_B)


def choose(
    logits_K: np.ndarray,
    settings: SamplingSettings,
    generator: torch.Generator,
    *,
    ids: np.ndarray | None = None,
    history: Sequence[int] = (),
) -> int:
    """The index that `draw(settings.apply(...))` gives for one row, in NumPy: for a step of a single take, calling
    PyTorch costs more than the work.

    `ids` are the ids that the K logits score (default 0..K-1), `history` those that the repetition penalty knows.
    Raises CheckError where nothing is left to draw.
    """
    x_K = logits_K.astype(np.float64)
    best = x_K.max()
    if not math.isfinite(best):
        x_K = _tidy(torch.from_numpy(x_K)[None])[0].numpy()
    if settings.repetition_penalty != 1 and len(history):
        seen_K = np.isin(np.arange(len(x_K)) if ids is None else ids, history)
        x_K = np.where(
            seen_K, np.where(x_K > 0, x_K / settings.repetition_penalty, x_K * settings.repetition_penalty), x_K
        )
    if settings.temperature == 0:
        shares_K = np.where(np.arange(len(x_K)) == x_K.argmax(), 1.0, 0.0)
    else:
        shares_K = np.exp((x_K - x_K.max()) / min(max(settings.temperature, 1e-30), 1e30))
        keep_K = _kept(shares_K, settings)
        if keep_K is not None:
            shares_K *= keep_K
    sums_K = shares_K.cumsum()
    number = torch.rand((), dtype=torch.float64, generator=generator).item()
    # See `draw`: the first sum that exceeds the target, and never one past the last id that has a probability.
    return int(min(np.searchsorted(sums_K, number * sums_K[-1], side="right"), np.searchsorted(sums_K, sums_K[-1])))


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
    return best_K if keep_K is None else best_K & keep_K


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

    def apply(self, logits_BV: Tensor, history_BT: Tensor | None = None) -> Tensor:
        """The filters in their order: repetition penalty, temperature, top-k, top-p of what is left, min-p.

        Equal to calling them one after another, with one sort for both cuts. `history_BT` is read by the
        repetition penalty alone.
        """
        logits_BV = _tidy(logits_BV)
        if self.repetition_penalty != 1 and history_BT is not None:
            logits_BV = _repetition_penalty(logits_BV, history_BT, self.repetition_penalty)
        if self.temperature != 1:
            logits_BV = _temperature(logits_BV, self.temperature)
        if self.temperature != 0:  # one id is left otherwise
            logits_BV = _keep_best(logits_BV, k=self.top_k, p=self.top_p)
            logits_BV = _min_p(logits_BV, self.min_p)
        return logits_BV


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


def _tidy(logits_BV: Tensor) -> Tensor:
    """The logits in at least float32, without NaN and +inf and with a finite best in every row, or CheckError."""
    if logits_BV.dtype in (torch.float16, torch.bfloat16):
        logits_BV = logits_BV.float()
    # NaN and +inf both survive a maximum, so one number tells that all is well, as it nearly always is.
    best_B = logits_BV.amax(dim=-1)
    if math.isfinite(best_B.item() if best_B.numel() == 1 else best_B.abs().amax().item()):
        return logits_BV
    logits_BV = torch.where(logits_BV.isnan(), _NEVER, logits_BV)
    infinite_BV = logits_BV.isposinf()
    dominated_BV = infinite_BV.any(dim=-1, keepdim=True) & ~infinite_BV
    logits_BV = torch.where(infinite_BV, 0.0, torch.where(dominated_BV, _NEVER, logits_BV))
    empty_B = logits_BV.isneginf().all(dim=-1)
    if empty_B.any():
        row = int(empty_B.nonzero()[0, 0])
        raise CheckError(
            f"no id is left to draw from in row {row}: every logit is -inf or NaN",
            hint="loosen what is allowed; if nothing was forbidden, the model's weights are broken",
        )
    return logits_BV


def _temperature(logits_BV: Tensor, value: float) -> Tensor:
    if value == 1:
        return logits_BV
    if value == 0:
        best_B1 = logits_BV.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits_BV, _NEVER).scatter(1, best_B1, 0.0)
    # In float32 a divisor past these would round to 0 or infinity, and a quotient to NaN.
    return (logits_BV - logits_BV.amax(dim=-1, keepdim=True)) / min(max(value, 1e-30), 1e30)


def _repetition_penalty(logits_BV: Tensor, history_BT: Tensor, penalty: float) -> Tensor:
    B, V = logits_BV.shape
    if penalty == 1 or history_BT.shape[1] == 0:
        return logits_BV
    history_BT = history_BT.to(device=logits_BV.device, dtype=torch.int64)
    if (highest := int(history_BT.max())) >= V:
        raise UsageError(f"the history holds the id {highest}, but there are only {V} ids", hint="pad with -1")
    column_BT = torch.where(history_BT < 0, V, history_BT)  # padding marks a column past the last, cut off again
    seen_BV = torch.zeros(B, V + 1, dtype=torch.bool, device=logits_BV.device).scatter(1, column_BT, True)[:, :V]
    # Dividing a negative logit would make its id more likely: there the penalty multiplies.
    punished_BV = torch.where(logits_BV > 0, logits_BV / penalty, logits_BV * penalty)
    return _tidy(torch.where(seen_BV, punished_BV, logits_BV))


def _keep_best(logits_BV: Tensor, *, k: int = 0, p: float = 1.0) -> Tensor:
    """The k best ids, and of these the fewest whose probabilities sum to p; 0 and 1 switch each off."""
    V = logits_BV.shape[1]
    if not 0 < k < V:
        k = V
    if k == V and p >= 1:
        return logits_BV
    sorted_BK = _sorted(logits_BV)[:, :k]
    if p < 1:
        share_BK = sorted_BK.softmax(dim=-1)
        before_BK = share_BK.cumsum(dim=-1) - share_BK  # what the better ids sum to
        count_B1 = (before_BK < p).sum(dim=-1, keepdim=True).clamp(min=1)
        least_B1 = sorted_BK.gather(1, count_B1 - 1)
    else:
        count_B1 = torch.full_like(sorted_BK[:, :1], k, dtype=torch.int64)
        least_B1 = sorted_BK[:, -1:]
    keep_BV = logits_BV >= least_B1
    if not torch.equal(keep_BV.sum(dim=-1, keepdim=True), count_B1):
        # Equal logits straddle the cut: the lower ids stay.
        better_BV, equal_BV = logits_BV > least_B1, logits_BV == least_B1
        room_B1 = count_B1 - better_BV.sum(dim=-1, keepdim=True)
        keep_BV = better_BV | (equal_BV & (equal_BV.cumsum(dim=-1) <= room_B1))
    return logits_BV.masked_fill(~keep_BV, _NEVER)


def _sorted(logits_BV: Tensor) -> Tensor:
    """Each row's logits from the best to the worst."""
    if logits_BV.device.type != "cpu":
        return logits_BV.sort(dim=-1, descending=True).values
    # NumPy sorts values with vector instructions; PyTorch carries the places along, at some ten times the time.
    return torch.from_numpy(np.sort(logits_BV.detach().numpy(), axis=-1)).flip(-1)


def _min_p(logits_BV: Tensor, p: float) -> Tensor:
    if p == 0:
        return logits_BV
    least_B1 = logits_BV.amax(dim=-1, keepdim=True) + math.log(p)
    return torch.where(logits_BV < least_B1, _NEVER, logits_BV)

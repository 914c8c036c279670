"""Forecasts of numbers: a body reads a series step by step, and a linear layer foresees the steps to come.

Shapes: B batch, T time, C width, F numbers that are read a step, H horizon, K series that are forecast.

Sources: direct and recursive multi-step forecasts: Ben Taieb et al. 2012, "A review and comparison of strategies for
multi-step ahead time series forecasting", Expert Systems with Applications 39(8), sections 2.1 and 2.2.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models.layers.convolution import TAPS
from musicgen.models.settings import ModelSettings, nearest
from musicgen.models.state import State
from musicgen.models.tasks.base import TaskModel, body_of_vectors
from musicgen.schemas import in_range, typed

__all__ = ["COVARIATES", "SERIES", "UNITS", "ForecastSettings", "Forecaster"]

# What of a melody is a series of numbers, and the unit of its errors. Lengths of time are on a logarithmic scale, on
# which an eighth and a quarter are as far apart as a quarter and a half.
UNITS = {
    "pitch": "semitones",
    "velocity": "MIDI velocity",
    "duration": "octaves of time",
    "ioi": "octaves of time",
    "tempo": "quarters a minute",
}
SERIES = tuple(UNITS)
COVARIATES = (*SERIES, "position")
CHOICES = {
    "every": ("note", "eighth", "quarter", "second"),
    "resample": ("previous", "linear", "mean"),
    "missing": ("fill", "mask", "indicator"),
    "strategy": ("direct", "recursive"),
    "relative": ("mean", "last"),
    "loss": ("mse", "mae"),
}


@dataclass(frozen=True)
class ForecastSettings:
    """The table `[task]` of a run that forecasts: what, from what, and how.

    `series`, such as "pitch" or "pitch,ioi", are forecast together, from their own past and that of the `covariates`
    (other series, and the position in the bar). A step is a note of the melody, or a cell of an even grid (`every`), on
    which `resample` says what number a cell has: that of the last note in it (previous), that of the line between the
    notes around its beginning (linear), or the mean of its notes (mean). A cell without a note is missing: it takes the
    value before it (linear: that of the line). It is learned from as if it had been there (`missing` fill), not learned
    from (mask), or that and told to the model (indicator). Errors never count it.

    `lags` is how many past steps a window sees, a Transformer in each layer, and a convolution at least; recurrent
    models see all.
    The `horizon` is how many steps ahead are forecast: all at once (`strategy` direct), or one, which is then read as
    if it had come (recursive). Outputs are `relative` to the mean of the training split or to the last value. The
    `loss` is the mean squared error, whose best forecast is the expected value, or the mean absolute error, whose best
    is the median.

    `scales` has (mean, standard deviation) of each series, then covariate, in the training split, which training fills
    in. Raises UsageError where something doesn't exist or doesn't go together.
    """

    name: str = "forecast"
    series: str = "pitch"
    covariates: str = ""
    every: str = "note"
    resample: str = "previous"
    missing: str = "indicator"
    lags: int = 16
    horizon: int = 8
    strategy: str = "direct"
    relative: str = "mean"
    loss: str = "mse"
    scales: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        for key, names, known in (("series", self.targets, SERIES), ("covariates", self.inputs, COVARIATES)):
            for name in names:
                if name not in known:
                    raise UsageError(f"[task] {key} has no {name!r}", where="recipe", hint=nearest(name, known))
        if not self.targets:
            raise UsageError("[task] series is empty", where="recipe", hint=f"choose from {', '.join(SERIES)}")
        if twice := [name for name in self.inputs if self.inputs.count(name) > 1]:
            raise UsageError(f"[task] {twice[0]!r} is named twice", where="recipe", hint="name each series once")
        for key, kinds in CHOICES.items():
            if (value := getattr(self, key)) not in kinds:
                raise UsageError(f"[task] {key} is {value!r}", where="recipe", hint=nearest(str(value), kinds))
        in_range(self, {"lags": (1, 1024), "horizon": (1, 64)}, where="recipe", prefix="[task] ")
        if self.strategy == "recursive" and self.covariates:
            what = "[task] a recursive forecast reads what it has foreseen, and covariates aren't foreseen"
            raise UsageError(what, where="recipe", hint="name them as series, or choose strategy direct")

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the series, which are forecast."""
        return tuple(name.strip() for name in self.series.split(",") if name.strip())

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what is read: series, then covariates."""
        return (*self.targets, *(name.strip() for name in self.covariates.split(",") if name.strip()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The inputs that are series of numbers: all but the position."""
        return tuple(name for name in self.inputs if name != "position")

    @property
    def tells_missing(self) -> bool:
        """Whether the model also reads which values are missing: on a grid alone, where some may be."""
        return self.every != "note" and self.missing == "indicator"

    @property
    def n_inputs(self) -> int:
        """F: the numbers, which of them are missing, the position as a point on a circle, and 1."""
        return len(self.numbers) * (1 + self.tells_missing) + 2 * ("position" in self.inputs) + 1


class Forecaster(TaskModel):
    """A body that reads vectors, and a linear layer from its hidden state to the next steps, in standard deviations."""

    task_settings: ClassVar[type[Any]] = ForecastSettings
    task: ForecastSettings

    def __init__(self, settings: ModelSettings, task: ForecastSettings) -> None:
        layers = settings.layers
        if settings.family == "cnn":  # each layer doubles what it sees
            layers = max(layers, math.ceil(math.log2(1 + (task.lags - 1) / (TAPS - 1))))
        super().__init__(dataclasses.replace(settings, context=task.lags, layers=layers), task)
        self.steps = task.horizon if task.strategy == "direct" else 1
        self.body = body_of_vectors(self.settings, inputs=task.n_inputs)
        self.head = nn.Linear(settings.width, self.steps * len(task.targets))
        nn.init.zeros_(self.head.weight)  # the first forecasts are the mean, or the last value
        nn.init.zeros_(self.head.bias)

    def forward(self, x_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """forecast_BTHK after each step, where H is 1 for a recursive model, and the state after the last one."""
        K = len(self.task.targets)
        hidden_BTC, state = self.body.read(x_BTF, state)
        forecast_BTHK = self.head(hidden_BTC.float()).unflatten(-1, (self.steps, K))
        if self.task.relative == "last":
            forecast_BTHK = forecast_BTHK + x_BTF[:, :, None, :K]
        return forecast_BTHK, state

    @torch.no_grad()
    def forecast(self, x_BTF: Tensor) -> Tensor:
        """forecast_BTHK of the whole horizon after each step, in evaluation mode.

        A recursive model goes on from every step by itself: its forecast is the next step that it reads.
        """
        self.eval()
        if self.task.strategy == "direct":
            return self(x_BTF)[0]
        result, state = [], None
        for t in range(x_BTF.shape[1]):
            next_B1K, state = self._next(x_BTF[:, t : t + 1], state)
            ahead, branch = [next_B1K], state
            while len(ahead) < self.task.horizon:
                next_B1K, branch = self._next(self._read_next(ahead[-1]), branch)
                ahead.append(next_B1K)
            result.append(torch.cat(ahead, dim=1))
        return torch.stack(result, dim=1)

    def _next(self, x_B1F: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        forecast_B11K, state = self(x_B1F, state)
        return forecast_B11K[:, 0], state

    def _read_next(self, next_B1K: Tensor) -> Tensor:
        """The forecast as a step to read: nothing of it is missing."""
        rest = self.task.n_inputs - next_B1K.shape[-1]
        x_B1F = torch.cat([next_B1K, next_B1K.new_zeros(len(next_B1K), 1, rest)], dim=-1)
        x_B1F[..., -1] = 1
        return x_B1F

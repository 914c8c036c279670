"""What a model of how notes are played says in numbers beside its network: how far performers go, and with what noise.

Measured from the performances that the network learned from; kept with it as plain values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from musicgen.errors import UnreadableError
from musicgen.expression.noise import Noise

__all__ = ["Habits"]


@dataclass(frozen=True)
class Habits:
    """`velocity_spread` and `timing_spread_s`: the standard deviations of a typical performance, from its mean and from
    the chord or the grid. `beat_spread_s`: of whole chords from the beat. `velocity` and `timing`: their noise.
    `press_s` and `lift_s`: when the pedal goes down and up, after the chord that it changes with.

    Of the noise of velocities a take keeps the share `kept` of its standard deviation, so that more of the take is what
    any performer would do; by `dynamics` its dynamics are scaled up, so that its spread is a performer's all the same.
    `foreseen` is the share of the timing foreseen by the network that performers unheard bore out."""

    velocity_spread: float
    timing_spread_s: float
    velocity: Noise
    timing: Noise
    beat_spread_s: float = 0.0
    press_s: float = 0.1
    lift_s: float = 0.0
    kept: float = 1.0
    dynamics: float = 1.0
    foreseen: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: object) -> Self:
        """Habits from plain values. Raises UnreadableError for others than `to_dict` gives."""
        hint = "copy the model again"
        if set(values) != {field.name for field in fields(cls)}:
            raise UnreadableError("the habits of a player lack a number, or have one too many", where=where, hint=hint)
        found: dict[str, Any] = {}
        for name, value in values.items():
            parts = value if name in ("velocity", "timing") else {name: value}
            numbers = isinstance(parts, dict) and all(type(n) in (int, float) and abs(n) < 1000 for n in parts.values())
            if not numbers or (parts is value and set(parts) != {field.name for field in fields(Noise)}):
                raise UnreadableError(f"{name!r} of the habits is {value!r}", where=where, hint=hint)
            found[name] = Noise(**parts) if parts is value else value
        return cls(**found)

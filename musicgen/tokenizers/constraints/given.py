"""Given notes: steps of a bar that are not drawn, because other parts play them already."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GivenBar"]


@dataclass(frozen=True)
class GivenBar:
    """A bar of new music that is partly given: the id of its `meter`, and the ids of its given steps, field by field,
    which follow the bar line before anything is drawn."""

    meter: int
    steps: tuple[int, ...] = ()

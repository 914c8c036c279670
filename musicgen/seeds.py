"""Which seeds there are.

A seed is what a generator is really started with: PyTorch's on a CPU takes 32 bits, so that of two larger ones that
agree in these the takes would be the same. What lies beyond is refused rather than cut off.
"""

from __future__ import annotations

import operator
from typing import Any

from musicgen.errors import UsageError

__all__ = ["MOST_SEED", "checked_seed"]

MOST_SEED = 2**31 - 1


def checked_seed(seed: Any, *, count: int = 1) -> int:
    """The seed as an int, where it and the `count - 1` after it are seeds. Raises UsageError.

    >>> checked_seed(7, count=3)
    7
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"{count!r} takes", hint="ask for a whole number of them, at least 1")
    if isinstance(seed, bool) or not 0 <= number <= MOST_SEED:
        raise UsageError(f"the seed is {seed!r}", hint=f"give a whole number from 0 to {MOST_SEED:,}")
    if number + count - 1 > MOST_SEED:
        what = f"take {count:,} would have the seed {number + count - 1:,}, and seeds go up to {MOST_SEED:,}"
        raise UsageError(what, hint="choose a smaller seed, or fewer takes")
    return number

"""What a request forbids in new music, the same for all tokenizers.

`Constraints` holds the limits in four groups, each beside the masks that are made of it: `pitches.py`, `players.py`,
`room.py`, `length.py`. What no group has a field for is a `Mask` (`mask.py`) of its own in `further`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from musicgen.errors import ResourceError
from musicgen.tokenizers.constraints.given import GivenBar
from musicgen.tokenizers.constraints.length import LengthLimits
from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.constraints.pitches import PitchLimits
from musicgen.tokenizers.constraints.players import PlayerLimits
from musicgen.tokenizers.constraints.room import RoomLimits
from musicgen.tokenizers.place import DRUMS, Anchor

__all__ = [
    "DRUMS",
    "MOST_STEPS",
    "Anchor",
    "Constraints",
    "GivenBar",
    "LengthLimits",
    "Mask",
    "PitchLimits",
    "PlayerLimits",
    "RoomLimits",
    "check_length",
]

MOST_STEPS = 2**22  # in a piece, for any tokenizer: three hours of the densest music have a tenth of it


@dataclass(frozen=True)
class Constraints:
    """The limits on new music; without arguments nothing is forbidden.

    A tokenizer without bars measures bars as lengths of time from its `Anchor`. The masks in `further` are asked after
    the groups; one that isn't strict and would leave a player no pitch at all gives way there. `given` are the new
    bars of a hole in a piece, each with what is given in it, for the tokenizer with parts. `bars_before`: how many new
    bars there are before these already.
    """

    pitches: PitchLimits = field(default_factory=PitchLimits)
    players: PlayerLimits = field(default_factory=PlayerLimits)
    room: RoomLimits = field(default_factory=RoomLimits)
    length: LengthLimits = field(default_factory=LengthLimits)
    further: tuple[Mask, ...] = ()
    given: tuple[GivenBar, ...] = ()
    bars_before: int = 0


def check_length(steps: float, what: str) -> None:
    """Raise ResourceError for a piece of more than MOST_STEPS steps; to be called before memory for them is allocated.

    >>> check_length(10**9, "frames")
    Traceback (most recent call last):
    musicgen.errors.ResourceError: the piece would take 1,000,000,000 frames, and the most are 4,194,304; cut it
    """
    if steps > MOST_STEPS:
        raise ResourceError(f"the piece would take {steps:,.0f} {what}, and the most are {MOST_STEPS:,}", hint="cut it")

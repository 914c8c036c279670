"""The request for new music, in words: where, how much, who plays, and what it keeps to.

Bars are counted from 0 here, and from 1 on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from musicgen.errors import UsageError
from musicgen.gm import pitch_range as pitches_of_range
from musicgen.sampling.keeps import Keeps
from musicgen.schemas import typed

__all__ = ["ADDED_TEMPERATURE", "OPEN", "Finish", "Keeps", "Request", "keeping", "part_names", "pitches_between"]


# At which parts that are added are drawn unless it is asked otherwise. Nothing that they played before varies them, and
# at the usual 0.7 they repeat themselves more than people do (RESULTS.md).
ADDED_TEMPERATURE = 0.85


@dataclass(frozen=True)
class Finish:
    """What becomes of the end of a continuation. `end`: it comes to a close, with a last chord in its last bar.
    `keep_rest`: what lay behind the cut follows the new music, moved by its length; else it is dropped, which is said
    unless it is `redrawn`, an earlier try."""

    end: bool = False
    keep_rest: bool = False
    redrawn: bool = False

    def listed(self) -> dict[str, Any]:
        """What is asked for, as plain values for a sidecar."""
        return {name: True for name, asked in asdict(self).items() if asked}


OPEN = Finish()


@dataclass(frozen=True)
class Request:
    """The request for new music: after a piece, in a hole in it, or beside its parts.

    `bars` is the number of whole new bars after the bar that the cut is in; None, only for models of text, lets the
    model end the tune. `seconds` is the length of the new music, instead of `bars`. `start` is the bar to continue
    from, counted from 0; None: the end. `tracks` are part numbers counted from 1, names of parts, or instruments
    (`asked.py`). `keeps` is what it keeps to. `played` tells the model that the music is a human performance, with
    onsets off the grid, or (False) a score; None: detected from the piece.

    With `until`, `add` or `everywhere` the music behind stays, and `bars` and `seconds` don't count: new notes fill the
    bars from `start` (None: the first) to before `until` (None or `everywhere`: all). There `tracks` are written anew
    (none named: all, but none if there is `add`), and `add` are instruments that are added.

    >>> Request(bars=4, tracks=("1",)).is_hole, Request(start=8, until=12).is_hole
    (False, True)
    """

    bars: int | None = 8
    seconds: float | None = None
    start: int | None = None
    tracks: tuple[str, ...] = ()
    played: bool | None = None
    until: int | None = None
    add: tuple[str, ...] = ()
    everywhere: bool = False
    keeps: Keeps = field(default_factory=Keeps)

    @property
    def is_hole(self) -> bool:
        """Whether the music behind what is written stays."""
        return self.until is not None or bool(self.add) or self.everywhere

    def listed(self) -> dict[str, Any]:
        """The settings as plain values, for a sidecar; of those for its place only the ones that count."""
        own = {name: value for name, value in asdict(self).items() if name != "keeps"}
        for name in ("bars", "seconds") if self.is_hole else ("until", "add", "everywhere"):
            del own[name]
        first = [name for name in ("bars", "seconds", "start", "tracks") if name in own]
        return {name: own.pop(name) for name in first} | self.keeps.listed() | own

    def __post_init__(self) -> None:
        typed(self, where=None)
        if self.bars is not None and not 1 <= self.bars <= 1000:
            raise UsageError(f"bars is {self.bars}", hint="ask for 1 to 1000 bars")
        if self.seconds is not None and not 0 < self.seconds <= 3600:
            raise UsageError(f"seconds is {self.seconds:g}", hint="ask for up to 3600 seconds")
        if self.start is not None and self.start < 0:
            raise UsageError(f"start is {self.start}", hint="give a bar counted from 0, or None for the end")


def part_names(tracks: str | Sequence[str | int]) -> tuple[str, ...]:
    """The names of parts from a sequence of names and numbers, or from one text separated by commas.

    >>> part_names("Bass, Drums"), part_names(["Bass", 3])
    (('Bass', 'Drums'), ('Bass', '3'))
    """
    names = tracks.split(",") if isinstance(tracks, str) else map(str, tracks)
    return tuple(name.strip() for name in names if name.strip())


def keeping(
    keeps: Keeps | None, *, key: str | None, pitch_range: str | tuple[int, int] | None, max_polyphony: int
) -> Keeps:
    """What new music keeps to, with what is given apart from it put in. Raises UsageError for a bad range."""
    kept = keeps or Keeps()
    return replace(
        kept,
        key=kept.key if key is None else key,
        pitch_range=kept.pitch_range if pitch_range is None else pitches_between(pitch_range),
        max_polyphony=max_polyphony or kept.max_polyphony,
    )


def pitches_between(pitch_range: str | tuple[int, int] | None) -> tuple[int, int]:
    """(lowest, highest) pitch of a range such as "C3-C6" or a pair; None: 0..127. Raises UsageError for a bad text."""
    if pitch_range is None:
        return 0, 127
    return pitches_of_range(pitch_range) if isinstance(pitch_range, str) else pitch_range

"""What new music is to keep to, as people write it: key, chords, ranges, how much, how loud, borrowed rhythm and motif.

`Keeps` holds the texts and checks that they mean something; `kept.py` holds them against a piece.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from musicgen.errors import UsageError
from musicgen.gm import find_drums, pitch_name
from musicgen.gm import pitch_range as pitches_of_range
from musicgen.schemas import typed
from musicgen.tonality import progression, scale_pitch_classes

__all__ = ["AUTO", "FROM_FILE", "NONE", "Bars", "Density", "Keeps", "of_parts"]

AUTO, FROM_FILE, NONE = "auto", "file", "none"
ABOUT = 10  # a mean velocity stands for those within 10 of it


@dataclass(frozen=True)
class Keeps:
    """What new music keeps to; without arguments nothing.

    `key` is a key ("Am"), a scale with its root ("D dorian"), or "auto", the key of the music that is there. With
    `key_strength` 1 notes outside are forbidden; below, they are 1 - strength times as likely as without it.
    `chords` are symbols, one a bar ("Am F,G C"), repeated, or "file", those of the piece; with None, parts added to a
    lead sheet keep to its chords; "none": to none. `pitch_range` is of melodic parts in general, and `ranges` of some
    ("Bass=E1-G2"); `max_polyphony` (0: no limit) of all notes together, `polyphony` of some parts ("Piano=3").
    `density` are the fewest and most notes of a new bar ("4-12", "-12"), or times the mean of the last bars
    ("0.5x-1.5x"). `kit` are the drums that play ("kick,snare,42"), or "none". `rhythm` is a bar of the piece, counted
    from 1, whose onsets and lengths come back in all new bars ("5", of one part "Bass=5"); `motif` one whose melody
    comes back once, in the new bar that is named or after half of them ("5@17", "Violin=5"). `velocity` is a range
    ("60-90") or a mean, for those within 10 of it.
    """

    key: str | None = None
    key_strength: float = 1.0
    chords: str | None = None
    pitch_range: tuple[int, int] = (0, 127)
    ranges: tuple[str, ...] = ()
    max_polyphony: int = 0
    polyphony: tuple[str, ...] = ()
    density: str | None = None
    kit: str | None = None
    rhythm: str | None = None
    motif: str | None = None
    velocity: str | None = None

    def __post_init__(self) -> None:
        typed(self, where=None)
        low, high = self.pitch_range
        if not 0 <= low <= high <= 127:
            what = f"the pitch range is {low}-{high}"
            if all(0 <= pitch <= 127 for pitch in self.pitch_range):
                what += f" ({pitch_name(low)} to {pitch_name(high)}), the higher note first"
            raise UsageError(what, hint="give LO-HI within 0-127, as in 48-84 or C3-C6")
        if self.max_polyphony < 0:
            raise UsageError(f"max_polyphony is {self.max_polyphony}", hint="give a number of notes, or 0 for no limit")
        if not 0 <= self.key_strength <= 1:
            raise UsageError(f"key strength is {self.key_strength:g}", hint="give 0 to 1; 1 forbids notes outside")
        if self.key not in (None, AUTO):
            scale_pitch_classes(str(self.key))
        if self.chords not in (None, FROM_FILE, NONE):
            progression(str(self.chords))
        for meaning in ("drums", "densities", "velocities", "rhythm_bars", "motif_bars", "own_ranges", "own_most"):
            getattr(self, meaning)

    def listed(self) -> dict[str, Any]:
        """The settings as plain values, for a sidecar; those of later versions only where they are set."""
        out: dict[str, Any] = {
            "key": self.key,
            "pitch_low": self.pitch_range[0],
            "pitch_high": self.pitch_range[1],
            "max_polyphony": self.max_polyphony,
        }
        values = asdict(self)
        return out | {
            each.name: values[each.name]
            for each in fields(self)
            if each.name not in (*out, "pitch_range") and values[each.name] != each.default
        }

    def asked(self) -> dict[str, Any]:
        """What is asked beyond range and polyphony of all, by the name of its option."""
        names = {
            "`key`": self.key, "`chords`": None if self.chords == NONE else self.chords, "`ranges`": self.ranges,
            "`polyphony`": self.polyphony, "`density`": self.density, "`kit`": self.kit, "`rhythm`": self.rhythm,
            "`motif`": self.motif, "`velocity`": self.velocity,
        }  # fmt: skip
        return {name: value for name, value in names.items() if value}

    # ---- what the texts mean ---------------------------------------------------------------------

    @property
    def own_ranges(self) -> dict[str, tuple[int, int]]:
        """(lowest, highest) pitch by part."""
        found = {part: pitches_of_range(text) for part, text in of_parts(self.ranges, "Bass=E1-G2").items()}
        for part, (low, high) in found.items():
            if low > high:
                what = f"the range of {part} is {pitch_name(low)} to {pitch_name(high)}, the higher note first"
                raise UsageError(what, hint="give LO-HI, as in Bass=E1-G2")
        return found

    @property
    def own_most(self) -> dict[str, int]:
        """The most notes at once, by part."""
        found = {}
        for part, text in of_parts(self.polyphony, "Piano=3").items():
            if not text.isdigit() or not 1 <= int(text) <= 128:
                raise UsageError(f"{text!r} is no number of notes for {part}", hint="give 1 to 128, as in Piano=3")
            found[part] = int(text)
        return found

    @property
    def drums(self) -> frozenset[int] | None:
        """The keys of the drums that may play; none for "none", None for any."""
        if self.kit is None:
            return None
        if self.kit.strip().lower() == NONE:
            return frozenset()
        found = [find_drums(name) for name in self.kit.split(",") if name.strip()]
        if not found:
            raise UsageError("a kit of no drums", hint="name drums, as in `kit` kick,snare, or none")
        return frozenset().union(*found)

    @property
    def densities(self) -> Density | None:
        """Limits of the notes in a bar."""
        return None if self.density is None else Density.read(self.density)

    @property
    def velocities(self) -> tuple[int, int] | None:
        """(lowest, highest) velocity."""
        if self.velocity is None:
            return None
        match = re.fullmatch(r"\s*(\d{1,3})\s*(?:[-–]\s*(\d{1,3})\s*)?", self.velocity, re.ASCII)
        low = int(match[1]) if match else 0
        high = int(match[2] or low) if match else 0
        if not 1 <= low <= high <= 127:
            what = f"velocity {self.velocity!r} is no range"
            raise UsageError(what, hint="give LO-HI within 1-127, as in 60-90, or a mean")
        assert match is not None
        return (low, high) if match[2] else (max(1, low - ABOUT), min(127, low + ABOUT))

    @property
    def rhythm_bars(self) -> Bars | None:
        return None if self.rhythm is None else Bars.read(self.rhythm, "`rhythm`", "5 or Bass=5", goes=False)

    @property
    def motif_bars(self) -> Bars | None:
        return None if self.motif is None else Bars.read(self.motif, "`motif`", "5, 5@17 or Violin=5", goes=True)


@dataclass(frozen=True)
class Density:
    """Limits of the notes in a bar; `is_factor`: times the mean of the last bars."""

    low: float
    high: float
    is_factor: bool

    @classmethod
    def read(cls, text: str) -> Density:
        number = r"(\d{1,4}(?:\.\d{1,3})?)(x?)"
        match = re.fullmatch(rf"\s*(?:{number})?\s*[-–]\s*(?:{number})?\s*", text, re.ASCII)
        hint = "give the fewest and the most notes of a bar, as in 4-12 or -12, or times as many as before: 0.5x-1.5x"
        if not match or not (match[1] or match[3]):
            raise UsageError(f"density {text!r} is no range", hint=hint)
        marks = {match[n + 1] for n in (1, 3) if match[n]}
        low, high = float(match[1] or 0), float(match[3] or math.inf)
        is_factor = marks == {"x"}
        whole = is_factor or all(value == int(value) for value in (low, high) if math.isfinite(value))
        if len(marks) > 1 or not whole or low > high or high < (0.01 if is_factor else 1):
            raise UsageError(f"density {text!r} is no range", hint=hint)
        return cls(low, high, is_factor)


@dataclass(frozen=True)
class Bars:
    """A bar of the piece, the part in it (None: any) and the new bar it goes to (None: open); bars counted from 0."""

    bar: int
    part: str | None
    goes_to: int | None

    @classmethod
    def read(cls, text: str, option: str, example: str, *, goes: bool) -> Bars:
        match = re.fullmatch(r"\s*(?:(.*?)\s*=)?\s*(\d{1,6})\s*(?:@\s*(\d{1,6})\s*)?", text, re.ASCII)
        if not match or int(match[2]) < 1 or (match[3] and (not goes or int(match[3]) < 1)):
            raise UsageError(f"{option} {text!r} is no bar", hint=f"bars count from 1; write it like {example}")
        return cls(int(match[2]) - 1, match[1] or None, int(match[3]) - 1 if match[3] else None)


def of_parts(texts: tuple[str, ...], example: str) -> dict[str, str]:
    """{part: value} of texts such as "Bass=E1-G2". Raises UsageError.

    >>> of_parts(("Bass = E1-G2",), "Bass=E1-G2")
    {'Bass': 'E1-G2'}
    """
    found = {}
    for text in texts:
        part, sign, value = text.rpartition("=")
        if not sign or not part.strip() or not value.strip():
            raise UsageError(f"{text!r} names no part", hint=f"write it like {example}")
        found[part.strip()] = value.strip()
    return found

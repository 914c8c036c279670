"""Find the parts of a piece that a request names by number, name or instrument.

The interpretations are tried in this order: a part number, counted from 1; a part's full name; an instrument, in
several languages, which selects every part that plays it ("guitar" is any guitar); a word in, or the beginning of, one
part's name or instrument name; an instrument that no part plays yet. Matching ignores case.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from musicgen.errors import UsageError
from musicgen.gm import find_program, program_family, program_name
from musicgen.piece import Track
from musicgen.sampling.names import called
from musicgen.tokenizers.constraints import DRUMS
from musicgen.words import is_number

__all__ = ["find_parts", "listed", "program_of", "value_of"]

MOST_LISTED = 12


def find_parts(name: str, tracks: Sequence[Track]) -> tuple[int, ...]:
    """The indices, from 0, of the parts that `name` selects; empty for an instrument that no part plays.

    Raises UsageError, with a list of the parts, if the name is unknown or ambiguous.
    """
    text = name.strip().casefold()
    if is_number(text):
        if 1 <= int(text) <= len(tracks):
            return (int(text) - 1,)
        raise UsageError(f"there is no part {text}", hint=_all_parts(tracks))
    if exact := tuple(n for n, track in enumerate(tracks) if track.name.strip().casefold() == text):
        return exact
    family = program_family(text)
    if family is None and (program := called(text)) is not None:
        family = frozenset({program})
    if family is not None and (playing := _playing(family, tracks)):
        return playing
    if alike := tuple(n for n, track in enumerate(tracks) if _is_in(text, track.name)) or _sounding(text, tracks):
        if len(alike) > 1:
            numbers = ",".join(str(n + 1) for n in alike)
            what = f"{name!r} could be one of several parts"
            raise UsageError(what, hint=f"{_several(alike, tracks)}; for all of them: `tracks` {numbers}")
        return alike
    try:
        return () if family is not None else _playing(frozenset({program_of(text)}), tracks)
    except UsageError as error:
        near = difflib.get_close_matches(text, [track.name.casefold() for track in tracks if track.name], n=1)
        hint = f"did you mean {near[0]!r}?" if near else error.hint
        if not tracks:
            raise
        raise UsageError(f"no part and no instrument {name!r}", hint=f"{hint} {_all_parts(tracks)}") from None


def program_of(name: str) -> int:
    """The program (0..127, 128 for drums) of an instrument, named by the beginning of its General MIDI name or in
    another language. Raises UsageError, with the nearest name as a hint, if it is unknown."""
    try:
        return find_program(name)
    except UsageError:
        if (program := called(name)) is None:
            raise
        return program


def value_of(track: Track) -> int:
    """The program of a part, 128 for drums."""
    return DRUMS if track.is_drum else track.program


def listed(number: int, track: Track) -> str:
    """A part as it is shown in lists: its number counted from 1, its name and its instrument."""
    instrument = program_name(track.program, is_drum=track.is_drum)
    return f"{number + 1} “{track.name}” ({instrument})" if track.name.strip() else f"{number + 1} {instrument}"


def _all_parts(tracks: Sequence[Track]) -> str:
    there = _several(range(len(tracks)), tracks)
    if len(tracks) < 2:
        return f"the only part is {there}" if tracks else "the piece has no parts"
    return f"parts are {there}"


def _several(numbers: Iterable[int], tracks: Sequence[Track]) -> str:
    shown = [listed(n, tracks[n]) for n in numbers]
    more = f" and {len(shown) - MOST_LISTED} more, as `musicgen inspect` tells" if len(shown) > MOST_LISTED else ""
    return ", ".join(shown[:MOST_LISTED]) + more


def _playing(family: frozenset[int], tracks: Sequence[Track]) -> tuple[int, ...]:
    return tuple(n for n, track in enumerate(tracks) if value_of(track) in family)


def _sounding(text: str, tracks: Sequence[Track]) -> tuple[int, ...]:
    """The indices of the parts whose instrument name contains `text`: "lead" matches every synth lead."""
    names = [program_name(track.program, is_drum=track.is_drum) for track in tracks]
    return tuple(n for n, name in enumerate(names) if _is_in(text, name))


def _is_in(text: str, name: str) -> bool:
    """Whether `name` begins with `text` or contains it as whole words, ignoring case."""
    name = name.casefold()
    words = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", name)
    return bool(text) and (name.strip().startswith(text) or words is not None)

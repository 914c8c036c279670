"""Numbers and warnings in words, the same way everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["agreed", "counted", "is_number", "sentence", "spec_in_words", "spell_seconds", "was"]


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what it counts: `many` is the plural where that isn't `one` and an s.

    >>> counted(1, "bar"), counted(8, "bar"), counted(0, "note"), counted(1200, "copy", "copies")
    ('1 bar', '8 bars', '0 notes', '1,200 copies')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def agreed(text: str, number: int) -> str:
    """A sentence with its number, each [one|many] as that number asks for.

    >>> agreed("{} [note was|notes were] left out", 1), agreed("{} [note was|notes were] left out", 2000)
    ('1 note was left out', '2,000 notes were left out')
    """
    chosen = re.sub(r"\[([^|\]]*)\|([^|\]]*)\]", lambda match: match[1 if number == 1 else 2], text)
    return chosen.replace("{}", f"{number:,}")


def is_number(text: str) -> bool:
    """Whether these are digits 0 to 9, of a number that can be meant: others, such as a raised two, make none.

    >>> is_number("12"), is_number("²"), is_number("-1"), is_number("9" * 5000)
    (True, False, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


def sentence(warning: str) -> str:
    """A warning without the word before it by which programs know its kind.

    >>> sentence("bad_key: a key signature out of range was ignored")
    'a key signature out of range was ignored'
    """
    return re.sub(r"^[a-z]+(_[a-z]+)*: (?=.)", "", warning)


def spell_seconds(seconds: float) -> str:
    """A length of time as people say it, in seconds below two minutes, else in minutes.

    >>> spell_seconds(44.6), spell_seconds(400)
    ('45 seconds', '7 minutes')
    """
    return counted(round(seconds), "second") if seconds < 119.5 else counted(round(seconds / 60), "minute")


def was(number: int) -> str:
    """The verb behind `counted`: was, or were."""
    return "was" if number == 1 else "were"


def spec_in_words(spec: Mapping[str, Any]) -> str:
    """A tokenizer's name and settings.

    >>> spec_in_words({"name": "frames", "frames_per_quarter": 4})
    'frames (frames per quarter 4)'
    """
    settings = [f"{key.replace('_', ' ')} {str(value).lower()}" for key, value in spec.items() if key != "name"]
    return f"{spec['name']} ({', '.join(settings) or 'no settings'})"

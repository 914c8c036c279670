"""Tokenizers: pieces to ids and back."""

from __future__ import annotations

import difflib
from typing import Any

from musicgen.errors import UsageError
from musicgen.tokenizers.abc import Abc, AbcSettings
from musicgen.tokenizers.bar_music import BarSettings
from musicgen.tokenizers.base import Grammar, Tokenizer
from musicgen.tokenizers.frames import Frames, FramesSettings
from musicgen.tokenizers.notes import Notes
from musicgen.tokenizers.parts import Parts
from musicgen.tokenizers.performance import Performance, PerformanceSettings
from musicgen.tokenizers.remi import Remi

__all__ = [
    "DEFAULT_TOKENIZER",
    "TOKENIZERS",
    "Abc",
    "AbcSettings",
    "BarSettings",
    "Frames",
    "FramesSettings",
    "Grammar",
    "Notes",
    "Parts",
    "Performance",
    "PerformanceSettings",
    "Remi",
    "Tokenizer",
    "load_tokenizer",
]

DEFAULT_TOKENIZER = "notes"
TOKENIZERS: dict[str, Any] = {
    "abc": Abc,
    "frames": Frames,
    "notes": Notes,
    "parts": Parts,
    "performance": Performance,
    "remi": Remi,
}


def load_tokenizer(spec: dict[str, Any]) -> Any:
    """The tokenizer that `spec` describes: its `name` and settings. Raises UsageError for an unknown one."""
    name = spec.get("name")
    if not isinstance(name, str) or name not in TOKENIZERS:
        near = difflib.get_close_matches(str(name)[:100], TOKENIZERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(TOKENIZERS)}"
        raise UsageError(f"no tokenizer {name!r}", hint=hint)
    return TOKENIZERS[name].from_spec(spec)

"""Tokenizers: pieces to ids and back."""

from __future__ import annotations

import difflib
from typing import Any

from musicgen.errors import UsageError
from musicgen.tokenizers.abc.tokenizer import Abc, AbcSettings
from musicgen.tokenizers.bars.music import BarSettings
from musicgen.tokenizers.bars.notes import Notes
from musicgen.tokenizers.bars.parts import Parts
from musicgen.tokenizers.bars.remi import Remi
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.exact.tokenizer import Exact, ExactSettings
from musicgen.tokenizers.frames.tokenizer import Frames, FramesSettings
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.meanings import bar_offsets, meaning
from musicgen.tokenizers.performance.tokenizer import Performance, PerformanceSettings
from musicgen.tokenizers.windows import one_hot, windows

__all__ = [
    "DEFAULT_TOKENIZER",
    "TOKENIZERS",
    "Abc",
    "AbcSettings",
    "BarSettings",
    "Exact",
    "ExactSettings",
    "Frames",
    "FramesSettings",
    "Grammar",
    "Notes",
    "Parts",
    "Performance",
    "PerformanceSettings",
    "Remi",
    "Tokenizer",
    "bar_offsets",
    "load_tokenizer",
    "meaning",
    "one_hot",
    "windows",
]

DEFAULT_TOKENIZER = "notes"
TOKENIZERS: dict[str, type[Tokenizer]] = {
    "abc": Abc,
    "frames": Frames,
    "notes": Notes,
    "parts": Parts,
    "performance": Performance,
    "remi": Remi,
}
UNSPOKEN: dict[str, type[Tokenizer]] = {"exact": Exact}  # from which no model draws steps


def load_tokenizer(spec: dict[str, Any]) -> Tokenizer:
    """Build a tokenizer from its spec: `name` and settings. Raises UsageError for an unknown name or setting."""
    name = spec.get("name")
    every = {**TOKENIZERS, **UNSPOKEN}
    if not isinstance(name, str) or name not in every:
        near = difflib.get_close_matches(str(name)[:100], TOKENIZERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(TOKENIZERS)}"
        raise UsageError(f"no tokenizer {name!r}", hint=hint)
    return every[name].from_spec(spec)

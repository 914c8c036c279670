"""Tokenizers: pieces to ids and back."""

from __future__ import annotations

import difflib
from typing import Any

from musicgen import plugins
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
    """Build a tokenizer from its spec: `name` and settings; the name is one of TOKENIZERS or of a plug-in
    (`plugins.py`).

    Raises UsageError for an unknown name or setting.

    >>> load_tokenizer({"name": "remi", "positions_per_quarter": 24}).fields[0].name
    'token'
    """
    name = spec.get("name")
    kind = {**TOKENIZERS, **UNSPOKEN}.get(name) if isinstance(name, str) else None
    if kind is None and isinstance(name, str):
        kind = plugins.load_plugin(plugins.TOKENIZERS, name, Tokenizer)
        if kind is not None and kind.name != name:
            what = f"the plug-in {name!r} is a tokenizer that calls itself {kind.name!r}"
            raise UsageError(what, hint="its `name` and that of its entry point must be the same")
    if kind is None:
        known = [*TOKENIZERS, *plugins.installed(plugins.TOKENIZERS)]
        near = difflib.get_close_matches(str(name)[:100], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
        raise UsageError(f"no tokenizer {name!r}", hint=hint)
    return kind.from_spec(spec)

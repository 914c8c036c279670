"""Symbolic music generation: read music, train next-note models, continue unfinished pieces.

The public names load on first use, so that `import musicgen` costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musicgen.composer import Composer
    from musicgen.corpus.store import Corpus
    from musicgen.errors import MusicgenError
    from musicgen.io import read, write
    from musicgen.piece import Piece, Track
    from musicgen.render import render_file
    from musicgen.training.study import Studying

__version__ = "0.1.0"
__all__ = ["Composer", "Corpus", "MusicgenError", "Piece", "Studying", "Track", "read", "render_file", "write"]

_HOMES = {
    "Composer": "musicgen.composer",
    "Corpus": "musicgen.corpus.store",
    "MusicgenError": "musicgen.errors",
    "Piece": "musicgen.piece",
    "Studying": "musicgen.training.study",
    "Track": "musicgen.piece",
    "read": "musicgen.io",
    "render_file": "musicgen.render",
    "write": "musicgen.io",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'musicgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

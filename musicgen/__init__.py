"""Symbolic music generation: read music, train next-note models, continue unfinished pieces.

The public names load on first use, so that `import musicgen` costs almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "Callback",
    "Cancel",
    "Cancelled",
    "Composer",
    "Corpus",
    "EarlyStopping",
    "Evaluation",
    "Listener",
    "MusicgenError",
    "Piece",
    "ProgressBar",
    "Request",
    "Source",
    "Studying",
    "Take",
    "Track",
    "Trained",
    "build_corpus",
    "classify",
    "evaluate",
    "harmonise",
    "humanise",
    "read",
    "render_file",
    "train",
    "write",
    "write_page",
]

_HOMES = {
    "Callback": "musicgen.callbacks",
    "Cancel": "musicgen.stopping",
    "Cancelled": "musicgen.stopping",
    "Composer": "musicgen.composer",
    "Corpus": "musicgen.corpus.store",
    "EarlyStopping": "musicgen.callbacks",
    "Evaluation": "musicgen.api",
    "Listener": "musicgen.events",
    "MusicgenError": "musicgen.errors",
    "Piece": "musicgen.piece",
    "ProgressBar": "musicgen.callbacks",
    "Request": "musicgen.sampling.request",
    "Source": "musicgen.sampling.source",
    "Studying": "musicgen.training.study",
    "Take": "musicgen.sampling.take",
    "Track": "musicgen.piece",
    "Trained": "musicgen.api",
    "build_corpus": "musicgen.api",
    "classify": "musicgen.classifying",
    "evaluate": "musicgen.api",
    "harmonise": "musicgen.harmonising",
    "humanise": "musicgen.humanising",
    "read": "musicgen.io",
    "render_file": "musicgen.render",
    "train": "musicgen.api",
    "write": "musicgen.io",
    "write_page": "musicgen.page.writing",
}

# A type checker sees the imports. Were it shown `__getattr__`, too, it would let every misspelt name pass.
if TYPE_CHECKING:
    from musicgen.api import Evaluation, Trained, build_corpus, evaluate, train
    from musicgen.callbacks import Callback, EarlyStopping, ProgressBar
    from musicgen.classifying import classify
    from musicgen.composer import Composer
    from musicgen.corpus.store import Corpus
    from musicgen.errors import MusicgenError
    from musicgen.events import Listener
    from musicgen.harmonising import harmonise
    from musicgen.humanising import humanise
    from musicgen.io import read, write
    from musicgen.page.writing import write_page
    from musicgen.piece import Piece, Track
    from musicgen.render import render_file
    from musicgen.sampling.request import Request
    from musicgen.sampling.source import Source
    from musicgen.sampling.take import Take
    from musicgen.stopping import Cancel, Cancelled
    from musicgen.training.study import Studying
else:
    from importlib import import_module as _load

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(_load(_HOMES[name]), name)
        raise AttributeError(f"module 'musicgen' has no attribute {name!r}")

    def __dir__() -> list[str]:
        # What a reader completes: no helpers of this file, no rooms that happen to be loaded.
        return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

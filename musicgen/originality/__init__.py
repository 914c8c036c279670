"""How much of new music stands in other music: in what a model was trained on, and in what it read."""

from musicgen.originality.account import PROMPT, Originality, Return, index_of_run
from musicgen.originality.index import FOLDER, Index, Origin, build_index, open_index

__all__ = [
    "FOLDER", "PROMPT", "Index", "Origin", "Originality", "Return", "build_index", "index_of_run", "open_index",
]  # fmt: skip

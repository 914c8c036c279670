"""Builds the pages of the API from the docstrings, as HTML; any warning fails it.

    python docs/build_pages.py FOLDER [MODULE ..]

Needs the extra `docs` (pdoc).
"""

from __future__ import annotations

import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

# In the order in which people need them.
MODULES = (
    "musicgen",
    "musicgen.piece",
    "musicgen.io",
    "musicgen.composer",
    "musicgen.api",
    "musicgen.evaluating",
    "musicgen.classifying",
    "musicgen.callbacks",
    "musicgen.events",
    "musicgen.stopping",
    "musicgen.errors",
    "musicgen.plugins",
    "musicgen.exporting",
    "musicgen.tokenizers",
    "musicgen.tokenizers.base",
    "musicgen.tokenizers.vocabulary",
    "musicgen.models",
    "musicgen.models.settings",
    "musicgen.models.body",
    "musicgen.models.state",
    "musicgen.models.ladder.window",
    "musicgen.models.ladder.cnn",
    "musicgen.models.ladder.rnn",
    "musicgen.models.ladder.cnn_lstm",
    "musicgen.models.ladder.transformer",
    "musicgen.corpus.store",
    "musicgen.recipe",
    "musicgen.checkpoint",
    "musicgen.evaluation.likelihood",
    "musicgen.evaluation.measures",
    "musicgen.render",
    "musicgen.page",
    "musicgen.licences",
)


def build(folder: Path, modules: list[str]) -> None:
    """Write a page for each module, an index and a search into `folder`. Raises any warning as an error."""
    from pdoc import pdoc, render

    warnings.simplefilter("error")
    render.configure(docformat="markdown", footer_text="musicgen", search=len(modules) > 5)
    chosen: list[str] = []
    for name in modules:
        module = import_module(name)
        for public in module.__all__:  # names that load on first use are looked for in the module itself
            thing = getattr(module, public)
            setattr(module, public, thing)
            if hasattr(thing, "_fields"):  # a NamedTuple's call has texts for types, and doesn't say where they hold
                thing.__new__.__annotations__ = get_type_hints(thing)
        # pdoc takes all that is inside a package, too, unless it is left out again.
        chosen += [name, f"!{re.escape(name)}\\..*"]
    pdoc(*chosen, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2:] or list(MODULES))

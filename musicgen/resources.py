"""Files that come along: the catalogue, the examples and the trained models; and which files make a run folder.

In a wheel the top-level folder `corpora/` lies inside the package, as `_corpora`; in a source tree it stands
beside the package.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = [
    "EXPRESSION_FILE",
    "ORIGIN_FILE",
    "RUN_FILES",
    "RUN_FOLDERS",
    "bundled_models",
    "bundled_pieces",
    "is_leftover",
    "known_models",
    "models_folder",
    "piece_path",
    "resource",
    "run_files",
]


PACKAGE = Path(__file__).resolve().parent
# What tells a model of how notes are played (`runs/expression.py`) from one that continues pieces.
EXPRESSION_FILE = "expression.json"
ORIGIN_FILE = "origin.json"  # where a model that was fetched came from
# What training writes into a run folder; whatever else lies there is the user's.
RUN_FILES = (
    "recipe.toml",
    "tokenizer.json",
    "model.safetensors",
    "card.json",
    "manifest.json",
    "log.csv",
    "gradients.csv",
    EXPRESSION_FILE,
    ORIGIN_FILE,
)
RUN_FOLDERS = ("checkpoints", "corpus", "tensorboard", ".export")
# What a killed process may leave in a folder that it writes to: see `io/atomic.py`, `io/beside.py`, `io/locks.py` and
# `corpus/progress.py`.
LEFTOVER = re.compile(r"\..*\.(musicgen-[0-9a-f]{8}(\.[^.]*)?|(new|old)-[0-9a-f]{8}|lock|part)", re.DOTALL)


def resource(*parts: str) -> Path:
    """A path under the source tree's root, such as `resource("corpora", "examples")`; it need not exist."""
    inside = PACKAGE / "_corpora"
    if parts[:1] == ("corpora",) and inside.is_dir():
        return inside.joinpath(*parts[1:])
    return PACKAGE.parent.joinpath(*parts)


def bundled_models() -> dict[str, Path]:
    """The run folders that come with the package, by name."""
    root = PACKAGE / "pretrained"
    return {p.name: p for p in sorted(root.iterdir()) if (p / "manifest.json").is_file()} if root.is_dir() else {}


def models_folder() -> Path:
    """The folder of models that were fetched: $MUSICGEN_MODELS, else one in the user's data folder."""
    named, data = os.environ.get("MUSICGEN_MODELS"), os.environ.get("XDG_DATA_HOME")
    return Path(named) if named else (Path(data) if data else Path.home() / ".local" / "share") / "musicgen" / "models"


def known_models() -> dict[str, Path]:
    """The models that come along, and those that were fetched into `models_folder()`; of one name the former."""
    try:
        fetched = {p.name: p for p in sorted(models_folder().iterdir()) if (p / "manifest.json").is_file()}
    except (OSError, RuntimeError):  # there is none, or no home
        fetched = {}
    fetched = {name: path for name, path in fetched.items() if not name.startswith(".")}
    return {**fetched, **bundled_models()}


def bundled_pieces() -> dict[str, Path]:
    """The pieces that come with the package, by name."""
    return {path.stem: path for path in sorted(resource("corpora", "examples").glob("*.mid"))}


def piece_path(piece: str | os.PathLike[str]) -> Path:
    """Where a piece lies: a path as it is, or by its name one that comes with the package and no file is called."""
    path = Path(piece)
    return path if os.path.lexists(path) else bundled_pieces().get(os.fspath(piece), path)


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is what a killed process of ours may have left.

    >>> is_leftover(".corpus.part"), is_leftover(".corpus.lock"), is_leftover("corpus"), is_leftover(".git")
    (True, True, False, False)
    """
    return LEFTOVER.fullmatch(name) is not None


def run_files(where: str | Path) -> list[Path]:
    """The files of a run folder, or of a known model by its name; none where there is no such folder."""
    folder = Path(where)
    if not folder.exists():
        folder = known_models().get(str(where), folder)
    inside = [path for name in RUN_FOLDERS for path in sorted((folder / name).rglob("*")) if path.is_file()]
    return [path for name in RUN_FILES if (path := folder / name).is_file()] + inside

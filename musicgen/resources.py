"""Files that come along: the catalogue and the examples.

In a wheel the top-level folder `corpora/` lies inside the package, as `_corpora`; in a source tree it stands
beside the package.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["resource"]

PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """The path of a file or folder under `corpora/`; it need not exist."""
    inside = PACKAGE / "_corpora"
    return (inside if inside.is_dir() else PACKAGE.parent / "corpora").joinpath(*parts)

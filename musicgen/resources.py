"""Files that come along: the catalogue, the examples and the trained models.

In a wheel the top-level folder `corpora/` lies inside the package, as `_corpora`; in a source tree it stands
beside the package.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundled_models", "resource"]

PACKAGE = Path(__file__).resolve().parent


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

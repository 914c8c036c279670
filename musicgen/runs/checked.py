"""Checks of the small files of a run folder from an untrusted source, before its model is made.

Each file must be of bounded size (`io/bounded.py`), match the manifest's digest, and follow its schema (`schemas.py`).
Any fault raises an UnreadableError that names the file, the key, and what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.errors import UnreadableError, UsageError
from musicgen.io.bounded import MEGABYTE, read_json
from musicgen.plugins import BUILT_IN, FAMILIES, KINDS, TOKENIZERS, installed, lacking
from musicgen.recipe import Recipe, read_recipe
from musicgen.runs.files import sha256
from musicgen.schemas import COPY, Card, Manifest, check
from musicgen.tokenizers import Tokenizer, load_tokenizer

__all__ = ["FORMAT", "PARTS", "Parts", "as_unreadable", "checked_parts", "read_card"]

FORMAT = 1  # version of the run folder's format; readers refuse others
PARTS = ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json")
MOST_CARD = 8 * MEGABYTE  # a corpus of many sources has a long card


@dataclass(frozen=True)
class Parts:
    """A run without its weights, of which it has the `digest` (sha256)."""

    recipe: Recipe
    tokenizer: Tokenizer
    card: dict[str, Any]
    digest: str


def checked_parts(path: Path) -> Parts:
    """The small files of a run folder. Raises UnreadableError when one is missing, altered, or of an unknown format."""
    for part in (*PARTS, "manifest.json"):
        if not (path / part).is_file():
            raise UnreadableError(
                f"{part} is missing from this run folder",
                where=path,
                hint="train it again, or go on with `musicgen train --resume` where checkpoints are left",
            )
    where = path / "manifest.json"
    manifest = check(Manifest, read_json(where), where=where)
    if manifest["format"] != FORMAT:
        raise UnreadableError(f"unknown run format {manifest['format']}", where=path, hint="update musicgen")
    digests = manifest["sha256"]
    card = read_card(path / "card.json")
    spec = read_json(path / "tokenizer.json")
    with as_unreadable(path / "recipe.toml"):
        recipe = read_recipe(path / "recipe.toml")
    for part in PARTS:  # the weights may be large: their digest is compared once their header has been checked
        if part not in digests or (part != "model.safetensors" and sha256(path / part) != digests[part]):
            raise UnreadableError(f"{part} is not the file that its manifest names", where=path, hint=COPY)
    for group, name in ((FAMILIES, recipe.model.get("family")), (TOKENIZERS, spec.get("name"))):
        known = isinstance(name, str) and (name in BUILT_IN[group] or name in installed(group))
        if not known and (hint := lacking(card.get("plugins"), group, str(name))):
            raise UnreadableError(f"needs the {KINDS[group]} {name!r}, which isn't installed", where=path, hint=hint)
    with as_unreadable(path / "tokenizer.json"):
        tokenizer = load_tokenizer(spec)
    return Parts(recipe, tokenizer, card, digests["model.safetensors"])


def read_card(path: Path) -> dict[str, Any]:
    """The contents of a card.json. Raises UnreadableError."""
    return check(Card, read_json(path, most=MOST_CARD), where=path)


@contextmanager
def as_unreadable(where: Path) -> Iterator[None]:
    """Turn a UsageError about a value read from a file into an UnreadableError, as the fault is the file's."""
    try:
        yield
    except UsageError as error:
        place = error.where if isinstance(error.where, Path) else where
        raise UnreadableError(error.what, where=place, hint=error.hint or COPY) from None

"""Training, validation and test splits by work: two takes of one fugue must not straddle them.

Pieces belong to one work when their paths differ only in a mark of take, version or copy, or when they begin with
the same music at any transposition. Works are ranked by the hash of their name, so that a corpus that grows by a
few files keeps nearly all of its splits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from musicgen.piece import Piece

__all__ = ["assign_splits", "fingerprint", "group_works", "work_key"]

_TAKE = re.compile(
    r"[\s_.-]*(?:\((?:copy|\d+)\)|\b(?:take|version|ver|copy|alt)[\s_.-]*\d*|(?<=[\s_.-])v\d+|(?<=[\s_.-])copy)$", re.I
)
FINGERPRINT_NOTES = 64
FEWEST_FOR_A_FINGERPRINT = 16  # shorter openings coincide by chance


def work_key(name: str, *, by: str = "file") -> str:
    """The work that a file belongs to by its name; `by` is file or folder.

    >>> work_key("bach/fugue take 2.mid"), work_key("bach/fugue (1).mid"), work_key("bach/bwv1.mid")
    ('bach/fugue', 'bach/fugue', 'bach/bwv1')
    """
    path = PurePosixPath(name)
    if by == "folder" and str(path.parent) != ".":
        return str(path.parent)
    stem, shorter = path.stem, _TAKE.sub("", path.stem)
    while shorter and shorter != stem:
        stem, shorter = shorter, _TAKE.sub("", shorter)
    return str(path.parent / stem).casefold()


def fingerprint(piece: Piece) -> str | None:
    """A hash of the first 64 pitches' steps, the same at any transposition, tempo or velocity; None if too short."""
    notes = [t.notes for t in piece.tracks if not t.is_drum and len(t.notes)]
    if not notes:
        return None
    every = np.concatenate(notes)
    every = every[np.lexsort((every["pitch"], every["start"]))][:FINGERPRINT_NOTES]
    if len(every) < FEWEST_FOR_A_FINGERPRINT:
        return None
    return hashlib.sha256(np.diff(every["pitch"].astype(np.int16)).tobytes()).hexdigest()


def group_works(keys: Sequence[str], fingerprints: Sequence[str | None]) -> list[str]:
    """The work of each piece: pieces that share a key or a fingerprint, directly or by way of others, are one.

    A work is named by the first of its keys in alphabetical order.
    """
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for key, mark in zip(keys, fingerprints, strict=True):
        a = find("key " + key)
        if mark is not None:
            b = find("mark " + mark)
            low, high = sorted((a, b))  # "key" sorts before "mark", so a key names the work
            parent[high] = low
    return [find("key " + key).removeprefix("key ") for key in keys]


def assign_splits(works: Sequence[str], *, seed: int = 0, valid: float = 0.05, test: float = 0.05) -> list[str]:
    """train, valid or test for each piece, by its work.

    At least one work is valid where there are two, and one test where there are three.
    """
    names = sorted(set(works), key=lambda w: hashlib.sha256(f"{seed}:{w}".encode()).hexdigest())
    n_valid = max(1, round(valid * len(names))) if len(names) >= 2 and valid else 0
    n_test = max(1, round(test * len(names))) if len(names) >= 3 and test else 0
    split = {w: "valid" if i < n_valid else "test" if i < n_valid + n_test else "train" for i, w in enumerate(names)}
    return [split[w] for w in works]

"""Assign pieces to training, validation and test by whole works.

Two takes of one fugue must not be in different splits, or the measured loss would be on music seen in training.
Pieces belong to one work if their names say so (`fugue take 2`, `fugue_v3`, `fugue (1)`) or if they begin
with the same notes, in any key.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import Piece

__all__ = ["SPLITS", "assign_splits", "fingerprint", "merge_works", "spread", "work_key"]

SPLITS = ("train", "valid", "test")
# The separator is needed: 'bwv1' and 'bwv2' are two works, 'fugue v1' and 'fugue v2' are one.
_VARIANT = re.compile(
    r"(?:\s*[(\[]\s*(?:\d+|(?:take|version|copy|v)\s*\d*)\s*[)\]]"
    r"|\s+(?:take|version|vers|ver|v|copy|kopie|copia|copie|alt|alternate)\s*\d*)$"
)
GRID = 24  # fingerprint onsets are in 24ths of a quarter
OPENING = 64  # most notes in a fingerprint
FEWEST = 16  # notes; shorter pieces are too alike to distinguish works


def work_key(source: str, *, by_folder: bool = False) -> str:
    """The name of the work that a file belongs to; `source` is a POSIX path, optionally with '#tune'.

    `by_folder` takes the folder as the work.

    >>> work_key("bach/Fugue_take 2.mid") == work_key("bach/fugue (1).mxl") == "bach/fugue"
    True
    >>> work_key("bach/bwv1.mid") == work_key("bach/bwv2.mid")
    False
    """
    path, _, tune = source.partition("#")
    folder, _, name = path.rpartition("/")
    if by_folder:
        return folder
    # Remove known suffixes only: 'op.10 no.3' contains dots.
    stem = re.sub(r"\.(?:midi?|kar|smf|mxl|musicxml|xml|krn|abc)$", "", name, flags=re.IGNORECASE)
    parts = [_plain(stem)]
    if tune:
        parts.append(_plain(re.sub(r"^\d+ ", "", tune)) or tune)
    return f"{folder}/{'#'.join(parts)}"


def _plain(stem: str) -> str:
    text = unicodedata.normalize("NFC", stem).lower()
    text = re.sub(r"[\s_\-]+", " ", text).strip()
    while (shorter := _VARIANT.sub("", text).strip()) and shorter != text:
        text = shorter
    return text


def fingerprint(piece: Piece) -> str:
    """A hash of the onsets and intervals of a piece's first OPENING notes by (start, pitch).

    It is the same in every key and at every resolution; empty for pieces of fewer than FEWEST notes.
    """
    tracks = [t for t in piece.tracks if not t.is_drum] or list(piece.tracks)
    notes = np.concatenate([t.notes for t in tracks]) if tracks else np.empty(0, [("start", "i8"), ("pitch", "u1")])
    if len(notes) < FEWEST:
        return ""
    start = (notes["start"] * (2 * GRID) + piece.ticks_per_quarter) // (2 * piece.ticks_per_quarter)
    pitch = notes["pitch"].astype(np.int64)
    order = np.lexsort((pitch, start))[:OPENING]
    start, pitch = start[order], pitch[order]
    line = np.stack([start - start[0], pitch - pitch[0]]).astype("<i8")
    return hashlib.sha256(line.tobytes()).hexdigest()[:16]


def merge_works(keys: Sequence[str], fingerprints: Sequence[str]) -> list[str]:
    """The work of each piece: the smallest of the work keys that are connected by equal fingerprints."""
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first: dict[str, str] = {}
    for key, print_ in zip(keys, fingerprints, strict=True):
        if not print_:
            continue
        low, high = sorted((root(key), root(first.setdefault(print_, key))))
        parent[high] = low
    return [root(key) for key in keys]


def assign_splits(works: Iterable[str], *, seed: int = 0, valid: float = 0.05, test: float = 0.05) -> dict[str, str]:
    """{work: split}. Works are sorted by sha256 of (seed, work); the first share is validation, the next test.

    There is at least one work for validation if there are two, one for test if there are three, and one for training.
    A share of 0 leaves that split empty. Raises UsageError for shares that leave nothing to train on.
    """
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        what = f"the shares of valid ({valid:g}) and test ({test:g}) must be at least 0 and below 1 together"
        raise UsageError(what, hint="for example 0.05 and 0.05")

    def rank(work: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{work}".encode("utf-8", "surrogateescape")).digest()

    ordered = sorted(set(works), key=lambda work: (rank(work), work))
    n = len(ordered)
    n_valid = min(max(int(n * valid + 0.5), 1), n - 1) if valid and n >= 2 else 0
    n_test = min(max(int(n * test + 0.5), 1), n - 1 - n_valid) if test and n >= 3 else 0
    names = ["valid"] * n_valid + ["test"] * n_test + ["train"] * (n - n_valid - n_test)
    return dict(zip(ordered, names, strict=True))


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` indices out of `count`, evenly spaced from the first to the last.

    >>> spread(10, 4).tolist(), spread(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)

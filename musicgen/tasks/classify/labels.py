"""The labels of a corpus's pieces: from folders, from what the corpus knows of each piece, or from an index file.

An index file is CSV with a header, JSON (a list of objects) or JSON Lines. A column `path` (or `source`, or `file`)
names the piece as the corpus does, or by the end of that path; others may name the label. A tune of a file with many is
named like `reels.abc#12 The Wind`; without the `#` all tunes of the file are meant.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from musicgen.corpus.store import Corpus, PieceRecord
from musicgen.errors import UnreadableError, UsageError, printable
from musicgen.io.bounded import MEGABYTE, parse_json, read_small
from musicgen.models.settings import nearest
from musicgen.words import counted

__all__ = ["KINDS", "Labelled", "labelled", "labels_of", "lookup_of"]

MOST_INDEX = 64 * MEGABYTE
PATHS = ("path", "source", "file")  # columns that may name the piece
SHOWN = 5  # classes that a message lists
CHECK = "check the path"


def _folder(record: PieceRecord) -> str:
    return record.source.partition("#")[0].rpartition("/")[0].rpartition("/")[2]


def _top_folder(record: PieceRecord) -> str:
    # Sources begin with the name of the folder that was given.
    folders = record.source.partition("#")[0].split("/")[:-1]
    return folders[1] if len(folders) > 1 else ""


def _said(record: PieceRecord, *, name: str) -> str:
    return record.said.get(name, "")


# Kinds of label that need no index file: how each is told from a piece's record; "" where it isn't.
KINDS: dict[str, Callable[[PieceRecord], str]] = {
    "folder": _folder,
    "top-folder": _top_folder,
    "licence": lambda record: record.licence,
    **{name: partial(_said, name=name) for name in ("key", "mode", "meter", "played")},
}


@dataclass(frozen=True)
class Labelled:
    """The pieces of a corpus with a label that is told: records with the label of each, and what was left out.

    `without` counts pieces without a label, `rare` the pieces of each class that is left out for having too few.
    `digest` is the sha256 of the index file, empty without one.
    """

    pieces: tuple[tuple[PieceRecord, str], ...]
    classes: tuple[str, ...]
    without: int
    rare: Mapping[str, int]
    digest: str

    def of(self, split: str) -> list[tuple[PieceRecord, int]]:
        """The pieces of a split with the number of their class, in the order of the corpus."""
        number = {name: k for k, name in enumerate(self.classes)}
        return [(record, number[label]) for record, label in self.pieces if record.split == split and label in number]

    def left_out(self) -> list[str]:
        """What was left out, in a line each."""
        lines = []
        if self.without:
            lines.append(f"{counted(self.without, 'piece')} without a label left out")
        if self.rare:
            names = [f"{name} ({count})" for name, count in self.rare.items()]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            lines.append(f"{counted(len(names), 'class', 'classes')} with too few pieces left out: "
                         f"{', '.join(names[:SHOWN])}{more}")  # fmt: skip
        return lines


def lookup_of(label: str, labels: str = "") -> tuple[Callable[[PieceRecord], str], str]:
    """(what gives a piece's label, empty for none; the digest of the index file, empty without one).

    `label` is a kind in KINDS or, with an index file `labels`, a column of it. Raises UnreadableError for an index file
    that is missing or isn't one, UsageError for a label that can't be had.
    """
    if labels:
        data = read_small(labels, most=MOST_INDEX, hint=CHECK)
        return _lookup(_rows(data, Path(labels)), label, Path(labels)), hashlib.sha256(data).hexdigest()
    if label in KINDS:
        return KINDS[label], ""
    if not label:
        raise UsageError("a label to classify by is needed", where="`label`", hint=f"choose from {', '.join(KINDS)}")
    hint = f"{nearest(label, KINDS)}; other labels need an index file: give `labels`"
    raise UsageError(f"there is no label {label!r}", where="`label`", hint=hint)


def labels_of(
    corpus: Corpus, *, label: str, labels: str = "", least: int = 1, classes: Iterable[str] | None = None
) -> Labelled:
    """The labelled pieces of a corpus.

    `label` and `labels` are as for `lookup_of`, and so are the errors. The classes are the given ones, or those with at
    least `least` pieces in the training split, most frequent first.
    """
    lookup, digest = lookup_of(label, labels)
    told = [(record, lookup(record).strip()) for record in corpus.pieces()]
    pieces = tuple((record, name) for record, name in told if name)
    counts = Counter(name for record, name in pieces if record.split == "train")
    everywhere = Counter(name for _, name in pieces)
    if classes is None:
        ordered = sorted(everywhere, key=lambda name: (-counts[name], name))
        chosen = tuple(name for name in ordered if counts[name] >= least)
    else:
        chosen = tuple(classes)
    rare = {name: everywhere[name] for name in sorted(everywhere) if name not in chosen}
    return Labelled(pieces, chosen, len(told) - len(pieces), rare, digest)


def labelled(corpus: Corpus, task: Any) -> Labelled:
    """The labelled pieces for a run, whose `[task]` says its classes. Raises UsageError for an index that has changed
    since the run began, and as `labels_of`."""
    found = labels_of(corpus, label=task.label, labels=task.labels, classes=task.classes)
    if task.labels and found.digest != task.labels_sha256:
        hint = "put back the one that the run began with, or train anew"
        raise UsageError("is not the index file of the run", where=task.labels, hint=hint)
    return found


# ---- index files -----------------------------------------------------------------------------------------


def _rows(data: bytes, path: Path) -> list[dict[str, str]]:
    """The rows of an index file. Raises UnreadableError for what is none."""
    kind = path.suffix.lower()
    if kind == ".csv":
        try:
            table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
            return [{key: value or "" for key, value in row.items() if key is not None} for row in table]
        except (ValueError, csv.Error) as error:
            raise UnreadableError(
                f"is no table ({printable(error)[:100]})", where=path, hint="save it as CSV"
            ) from None
    if kind == ".jsonl":
        values = [parse_json(line, where=path, hint="mend it") for line in data.splitlines() if line.strip()]
    elif kind == ".json":
        values = parse_json(data, where=path, hint="mend it")
    else:
        raise UsageError("is no index file of labels", where=path, hint="give one that ends in .csv, .json or .jsonl")
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise UnreadableError("is not a list of objects", where=path, hint='write [{"path": "a.mid", "label": "x"}]')
    return [{key: value if isinstance(value, str) else str(value) for key, value in row.items()} for row in values]


def _lookup(rows: list[dict[str, str]], label: str, path: Path) -> Callable[[PieceRecord], str]:
    """A function from a record to its label in the index, "" without one. Raises UsageError for a missing column."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    named = next((name for name in PATHS if name in columns), None)
    if named is None:
        raise UsageError(f"has no column {' or '.join(map(repr, PATHS))}", where=path, hint="name the pieces in one")
    wanted = label or "label"
    if wanted not in columns:
        others = [name for name in columns if name != named]
        hint = nearest(wanted, others) if others else "add it"
        raise UsageError(f"has no column {wanted!r}", where=path, hint=hint)
    whole: dict[str, str] = {}
    ends: dict[str, str] = {}
    for row in rows:
        name = row.get(named, "").replace("\\", "/").removeprefix("./")
        whole[name] = ends[name] = row.get(wanted, "")
        for end in _ends(name):
            # A shorter name that fits two pieces of different labels fits none.
            ends[end] = row.get(wanted, "") if ends.get(end, row.get(wanted, "")) == row.get(wanted, "") else ""

    def found(record: PieceRecord) -> str:
        for source in dict.fromkeys((record.source, record.source.partition("#")[0])):
            for name in (source, *_ends(source)):
                if name in whole:
                    return whole[name]
            if source in ends:
                return ends[source]
        return ""

    return found


def _ends(name: str) -> list[str]:
    """The path without its first folder, its first two, and so on. Slashes in the name of a tune are no folders."""
    path, mark, tune = name.partition("#")
    parts = path.split("/")
    return ["/".join(parts[n:]) + mark + tune for n in range(1, len(parts))]

"""Build the table of what people's music of each kind is like (`musicgen/evaluation/reference.json`).

    python pipelines/build_reference.py --pieces CACHE --out musicgen/evaluation/reference.json

CACHE is the folder that `default_corpus.py` writes; only pieces of the splits `valid` and `test` are taken. Of each
piece the eight bars in its middle count, and of each work at most one piece.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.evaluation.reference import KINDS, kind_of
from musicgen.evaluation.statistics import statistics
from musicgen.io.midi import UNLIMITED, read_midi

BARS = 8


def middle(path: Path) -> tuple[str, dict[str, Any]] | None:
    """(kind, statistics of the bars in the middle) of a piece; None if it is too short."""
    piece = read_midi(path, limits=UNLIMITED)
    starts, _ = piece.bar_starts()
    if len(starts) <= BARS:
        return None
    first = (len(starts) - BARS) // 2
    return kind_of(piece), statistics(piece, begin=round(starts[first]), end=round(starts[first + BARS]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", required=True, type=Path, metavar="CACHE")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    lines = (options.pieces / "pieces.jsonl").read_text(encoding="utf-8").splitlines()
    records = {record["work"]: record for record in map(json.loads, lines) if record["split"] != "train"}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, record in sorted(records.items()):
        if (told := middle(options.pieces / record["file"])) is not None:
            found[told[0]].append(told[1])
    table: dict[str, Any] = {}
    for kind in KINDS:
        rows = [row for row in found[kind] if row["notes"]]
        keys = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list))
        table[kind] = {"pieces": len(rows)}
        for key in keys:
            values = [row[key] for row in rows if row.get(key) is not None]
            if key not in ("bars", "notes") and values:
                table[kind][key] = [round(float(each), 3) for each in np.percentile(values, [10, 50, 90])]
    rows_of_text = (f"{json.dumps(kind)}: {json.dumps(table[kind])}" for kind in KINDS)
    options.out.write_text("{\n" + ",\n".join(rows_of_text) + "\n}\n", encoding="utf-8")
    print({kind: table[kind]["pieces"] for kind in KINDS})


if __name__ == "__main__":
    main()

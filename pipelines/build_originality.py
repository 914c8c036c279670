"""Build the index of what a model was trained on, by which copies are found (`musicgen/originality/`).

    python pipelines/build_originality.py --pieces CACHE --out musicgen/pretrained/default/originality

CACHE is the folder that `default_corpus.py` writes: its `pieces.jsonl` names the pieces and their split. Only those of
the split `train` are taken; drums have no lines, so pieces of drums alone are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from musicgen.io.midi import UNLIMITED, read_midi
from musicgen.originality import Origin, build_index
from musicgen.piece import Piece


def pieces(cache: Path) -> Iterator[tuple[Origin, Piece]]:
    """The pieces that were trained on, in the order of their sources."""
    with (cache / "pieces.jsonl").open(encoding="utf-8") as lines:
        records = sorted((json.loads(line) for line in lines), key=lambda record: str(record["source"]))
    for record in records:
        if record["split"] == "train" and record["kind"] != "drums":
            yield Origin(record["source"], record["licence"]), read_midi(cache / record["file"], limits=UNLIMITED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", required=True, type=Path, metavar="CACHE")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    options = parser.parse_args()
    index = build_index(pieces(options.pieces))
    index.save(options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {len(index.origins):,} pieces, {len(index.lines):,} lines, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

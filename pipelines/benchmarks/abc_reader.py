"""Tunes a second from ABC text to notes: ours to a whole piece, beside music21's parsing alone.

    python pipelines/benchmarks/abc_reader.py --data ../shared/data

One core, the same tunes in turns. music21 is spared what makes a piece of its streams.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from generated import made_piece
from measure import ROOT, header, interleave, parser, ratio, table, versus

from musicgen.io.midi import Limits
from musicgen.io.scores import read_tune
from musicgen.io.scores.files import read_texts
from musicgen.tokenizers import Abc

FASTER = 10  # times music21


def tunes(data: Path, most: int) -> list[str]:
    """Irish tunes from all over their file; without the data tunes that are made up."""
    path = data / "mit_irish_abc" / "irish.abc"
    if path.is_file():
        texts = [tune.text for tune in read_texts(path, limits=Limits())]
        return texts[:: max(1, len(texts) // most)][:most]
    abc = Abc()
    return [abc.text(abc.encode(made_piece(seed, notes=200))) for seed in range(most)]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    made.add_argument("--tunes", type=int, default=60)
    chosen = made.parse_args()
    from music21 import converter

    header("Reading ABC", "music21", "numpy")
    texts = tunes(chosen.data, 20 if chosen.quick else chosen.tunes)
    notes = sum(read_tune(text).n_notes for text in texts)

    def by_music21() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for text in texts:
                converter.parseData(text, format="abc")

    taken = interleave(
        {"musicgen": lambda: [read_tune(text) for text in texts], "music21": by_music21},
        rounds=chosen.rounds or (2 if chosen.quick else 5),
    )
    rows = [[name, spread.each(lambda s: len(texts) / s).show(".0f")] for name, spread in taken.items()]
    table([f"{len(texts)} tunes, {notes:,} notes", "tunes a second"], rows)
    times = ratio(taken["music21"], taken["musicgen"])
    print(f"\nas fast as music21: {versus(times, FASTER)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

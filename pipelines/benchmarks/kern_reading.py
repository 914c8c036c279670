"""Kern files to pieces: our reader beside music21's, a piece at a time, in turns.

    python pipelines/benchmarks/kern_reading.py --files 12 [FOLDER]

FOLDER holds .krn files; without one they are those that the package music21 carries. What is timed goes from the file
to a finished piece here, and to music21's own score there, which is not yet a piece of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

from measure import header, interleave, parser, ratio, table, versus

from musicgen.io.scores import read_score

TARGET = 10


def main() -> None:
    options = parser(__doc__)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--files", type=int, default=12)
    chosen = options.parse_args()
    from music21 import converter, corpus

    own = Path(corpus.__file__).parent
    found = sorted((chosen.folder or own).rglob("*.krn"))
    if not found:
        sys.exit("no .krn files there")
    found = found[:: max(1, len(found) // chosen.files)][: 4 if chosen.quick else chosen.files]
    header("Reading kern", "music21")
    rows, slow, fast = [], 0.0, 0.0
    for path in found:
        text = path.read_text(encoding="utf-8", errors="replace")
        taken = interleave(
            {
                "musicgen": lambda path=path: read_score(path),
                "music21": lambda text=text: converter.parseData(text, format="humdrum"),
            },
            rounds=chosen.rounds or (1 if chosen.quick else 3),
        )
        mine, other = taken["musicgen"], taken["music21"]
        slow, fast = slow + other.median, fast + mine.median
        rows.append((path.name, read_score(path).n_notes, mine.show(), other.show(), f"{ratio(other, mine):.0f}"))
    table(("file", "notes", "musicgen, s", "music21, s", "times"), rows)
    print(f"\nall together: {versus(slow / fast, TARGET)}; {len(found) / fast:.0f} scores a second")


if __name__ == "__main__":
    main()

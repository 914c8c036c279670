"""MusicXML files to pieces: our reader beside music21, and beside an earlier musicgen, in turns.

    python pipelines/benchmarks/musicxml_reading.py --songs 60 [--before CHECKOUT] [FOLDERS..]

FOLDERS hold .mxl, .musicxml or .xml files; without them they are those of `../shared/data`, or the chorales that the
package music21 carries. What is timed goes from the file to a finished piece here, and to music21's own score there,
which is not yet a piece of ours. With --before the musicgen in another checkout reads them, too, in a process of its
own. partitura and verovio take their turns where they are installed.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import ROOT, header, interleave, parser, ratio, table, versus

from musicgen.io.scores import read_score

TARGET = 10  # times the musicgen of before, or music21
SUFFIXES = (".mxl", ".musicxml", ".xml")
SERVER = """
import json, sys, time
from musicgen.io.scores import read_score
for line in sys.stdin:
    begun = time.process_time()
    for path in json.loads(line):
        read_score(path)
    print(time.process_time() - begun, flush=True)
"""


class Before:
    """The musicgen of another checkout, asked to read files; `seconds` is its CPU time so far."""

    def __init__(self, checkout: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [sys.executable, "-c", SERVER]
        self.process = subprocess.Popen(
            command, cwd=checkout, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.seconds = 0.0

    def read(self, paths: list[Path]) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(path) for path in paths]), file=self.process.stdin, flush=True)
        self.seconds += float(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def found(folders: list[Path], most: int) -> list[Path]:
    """A sample of the files in folders, always the same."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        from music21 import corpus

        paths = sorted(Path(path) for path in corpus.getComposer("bach") if str(path).endswith(".mxl"))
    return random.Random(16).sample(paths, min(most, len(paths)))


def others(paths: list[Path]) -> dict[str, Callable[[], Any]]:
    """The other readers that are installed."""
    ways: dict[str, Callable[[], Any]] = {}
    if importlib.util.find_spec("music21") is not None:
        from music21 import converter

        def by_music21() -> None:
            for path in paths:
                converter.parse(path, forceSource=True)

        ways["music21"] = by_music21
    if importlib.util.find_spec("partitura") is not None:
        import partitura

        ways["partitura"] = lambda: [partitura.load_musicxml(str(path)) for path in paths]
    if importlib.util.find_spec("verovio") is not None:
        import verovio

        verovio.enableLog(verovio.LOG_OFF)

        def by_verovio() -> None:
            for path in paths:
                toolkit = verovio.toolkit()
                toolkit.setOptions({"breaks": "none"})
                toolkit.loadZipDataBase64(base64.b64encode(path.read_bytes()).decode())
                toolkit.renderToMIDI()

        if all(path.suffix == ".mxl" for path in paths):
            ways["verovio, to MIDI"] = by_verovio
    return ways


def main() -> int:
    made = parser(__doc__)
    made.add_argument("folders", nargs="*", type=Path)
    made.add_argument("--songs", type=int, default=60)
    made.add_argument("--before", type=Path, help="a checkout of an earlier musicgen")
    chosen = made.parse_args()
    header("Reading MusicXML", "music21", "numpy")
    folders = chosen.folders or [ROOT.parent / "shared" / "data" / "openscore_lieder"]
    paths = found([folder for folder in folders if folder.is_dir()], 12 if chosen.quick else chosen.songs)
    notes = sum(read_score(path).n_notes for path in paths)
    ways: dict[str, Callable[[], Any]] = {"musicgen": lambda: [read_score(path) for path in paths]}
    before = Before(chosen.before.resolve()) if chosen.before else None
    if before is not None:
        ways["musicgen before"] = lambda: before.read(paths)
    ways |= others(paths)
    rounds = chosen.rounds or (1 if chosen.quick else 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        taken = interleave(
            ways, rounds=rounds, clock=lambda: time.process_time() + (before.seconds if before is not None else 0.0)
        )
    if before is not None:
        before.end()
    mine = taken["musicgen"]
    rows = [
        [
            name,
            spread.each(lambda s: s / len(paths)).show(),
            f"{len(paths) / spread.median:.1f}",
            f"{ratio(spread, mine):.1f}",
        ]
        for name, spread in taken.items()
    ]
    table([f"{len(paths)} songs, {notes:,} notes", "s of CPU a song", "songs a second", "times ours"], rows)
    other = next((name for name in ("musicgen before", "music21") if name in taken), None)
    if other is not None:
        print(f"\n{other} against ours: {versus(ratio(taken[other], mine), TARGET)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Building a corpus: how much a second worker brings, and the memory of the whole build.

    python pipelines/benchmarks/building.py --notes 10000000 --rounds 3

Distinct MIDI files of 5,000 notes each are made in a temporary folder. Builds with one worker and with two are timed
by the clock, as they must be, in turns with a pure spin: what two processes of it get done in the time of one is the
most that this machine gives just then, for its cores may be shared. Memory is the resident size of the build and all
its workers together, sampled while it runs; pages that they share count once for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated import write_pieces
from measure import ROOT, header, interleave, parser, ratio, table, versus

NOTES_PER_FILE = 5_000
SAMPLE_S = 0.02
SPEEDUP, MEMORY_GB = 1.8, 1.0
# A few seconds of arithmetic that touches no memory to speak of.
SPIN = "n = 0\nfor i in range(40_000_000): n = (n * 31 + i) & 0xFFFF"


def build_command(folder: Path, out: Path, jobs: int) -> list[str]:
    command = [sys.executable, "-m", "musicgen", "corpus", "build", str(folder), "-o", str(out)]
    return [*command, "--jobs", str(jobs), "--overwrite"]


def spin(count: int) -> Callable[[], None]:
    """A way to measure: `count` processes of the same work, side by side."""

    def way() -> None:
        running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
        if any(process.wait() for process in running):
            raise RuntimeError("the spin failed")

    return way


def build(command: list[str]) -> Callable[[], Any]:
    """A way to measure: the build, its imports and its writing included."""
    return lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def peak_memory(command: list[str]) -> tuple[int, int]:
    """(bytes of the process and all below it at their highest together, bytes of the process alone at that time)."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, stop = (0, 0), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(SAMPLE_S):
            own = resident(process.pid)
            peak = max(peak, (own + sum(resident(child) for child in below(process.pid)), own))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    stop.set()
    watcher.join()
    if code:
        raise subprocess.CalledProcessError(code, command)
    return peak


def below(pid: int) -> list[int]:
    """The children of a process and theirs."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split():
                found += [int(child), *below(int(child))]
    except (OSError, ValueError):  # it ended while we looked
        pass
    return found


def resident(pid: int) -> int:
    """Bytes of a process that are in memory; 0 when it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--notes", type=int, help="size of the corpus")
    chosen = made.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 3)
    files = (chosen.notes or (1_000_000 if chosen.quick else 10_000_000)) // NOTES_PER_FILE
    header("Building a corpus", "numpy")
    with tempfile.TemporaryDirectory() as folder:
        music, out = Path(folder, "music"), Path(folder, "corpus")
        begun = time.perf_counter()
        write_pieces(music, files=files, notes=NOTES_PER_FILE)
        print(f"{files:,} files of {NOTES_PER_FILE:,} notes made in {time.perf_counter() - begun:.0f} s\n", flush=True)
        ways = {
            "spin, 1 process": spin(1),
            "build, 1 worker": build(build_command(music, out, 1)),
            "spin, 2 processes": spin(2),
            "build, 2 workers": build(build_command(music, out, 2)),
        }
        taken = interleave(ways, rounds=rounds, clock=time.perf_counter)
        built = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
        table(["what", "s by the clock"], [[name, spent.show(".2f")] for name, spent in taken.items()])
        gained = ratio(taken["build, 1 worker"], taken["build, 2 workers"])
        ceiling = 2 * ratio(taken["spin, 1 process"], taken["spin, 2 processes"])
        notes = built["notes"]
        print(f"\n{built['pieces']:,} pieces, {notes:,} notes, {built['tokens']:,} tokens")
        print(f"two workers: {notes / taken['build, 2 workers'].median:,.0f} notes/s")
        print(f"two workers against one: {versus(gained, SPEEDUP, form='.2f')}")
        print(f"two processes of a spin against one: {ceiling:.2f} x; the build gets {gained / ceiling:.0%} of that")

        if notes < 5_000_000:
            print("a build this small is mostly starting processes; the target is for ten million notes")

        rows = []
        for jobs in (1, 2):
            whole, parent = peak_memory(build_command(music, out, jobs))
            rows.append([f"{jobs} worker{'s' * (jobs > 1)}", f"{whole / 1e6:,.0f}", f"{parent / 1e6:,.0f}"])
        print()
        table(["build", "peak MB of all processes", "MB of the parent then"], rows)
        print(f"\nmemory: {versus(whole / 1e9, MEMORY_GB, unit='GB', most=True, form='.2f')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long the command line takes to answer and to continue a piece, process start and imports included.

    python pipelines/benchmarks/starting.py --rounds 9

Whole processes, by the clock and by their CPU time, in turns with `python -c pass` and `import torch`, which no
program of ours can be faster than. Then the modules that `--help` imports, by `python -X importtime`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, Spread, header, parser, table, versus

HEAVY = ("torch", "numpy", "music21", "pretty_midi", "soundfile", "rich", "safetensors")
EXAMPLE = ROOT / "corpora" / "examples" / "schubert-unfinished.mid"
HELP_MS, CONTINUE_S = 150.0, 5.0


def process(command: list[str]) -> tuple[float, float]:
    """(seconds by the clock, seconds of CPU time) of a whole process. Raises CalledProcessError when it fails."""
    begun = time.perf_counter()
    # stderr stays, to tell why: no command here writes to it unless it fails or has a terminal for a progress bar.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return took, usage.ru_utime + usage.ru_stime


def in_turns(commands: dict[str, list[str]], rounds: int) -> dict[str, tuple[Spread, Spread]]:
    """Clock and CPU milliseconds of each command; a first round, for the disk's cache, doesn't count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = process(command)
            if number:
                taken[name].append(seconds)
    return {
        name: (Spread(tuple(1e3 * wall for wall, _ in rows)), Spread(tuple(1e3 * cpu for _, cpu in rows)))
        for name, rows in taken.items()
    }


def imported(command: list[str]) -> dict[str, float]:
    """Milliseconds of every module that `python -m` with `command` imports, what it imports in turn included."""
    run = [sys.executable, "-X", "importtime", "-m", *command]
    lines = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stderr.splitlines()
    times = {}
    for line in lines:
        if line.startswith("import time:") and "[us]" not in line:
            _, total, name = line.removeprefix("import time:").split("|")
            times[name.strip()] = int(total) / 1e3
    return times


def main() -> int:
    chosen = parser(__doc__).parse_args()
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    header("Starting", "torch", "numpy", "click")
    script = Path(sys.executable).with_name("musicgen")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "musicgen"]
    with tempfile.TemporaryDirectory() as folder:
        take = [*ours, "continue", str(EXAMPLE), "--bars", "8", "--seed", "3", "-o", f"{folder}/", "--overwrite"]
        taken = in_turns(
            {
                "python -c pass": [sys.executable, "-c", "pass"],
                "musicgen --help": [*ours, "--help"],
                "import numpy": [sys.executable, "-c", "import numpy"],
                "import torch": [sys.executable, "-c", "import torch"],
                "musicgen continue --bars 8": take,
            },
            rounds,
        )
    rows = [[name, wall.show(".0f"), cpu.show(".0f")] for name, (wall, cpu) in taken.items()]
    table(["process", "ms by the clock", "ms of CPU"], rows)

    help_ms, take_s = taken["musicgen --help"][0].median, taken["musicgen continue --bars 8"][0].median / 1e3
    torch_s = taken["import torch"][0].median / 1e3
    print(f"\n--help: {versus(help_ms, HELP_MS, unit='ms', most=True, form='.0f')}")
    print(f"continue: {versus(take_s, CONTINUE_S, unit='s', most=True)}; {torch_s:.1f} s of it is import torch")
    times = imported(["musicgen", "--help"])
    heavy = [name for name in HEAVY if name in times]
    own = sum("musicgen" in name for name in times)
    print(f"--help imports {len(times)} modules, {own} of ours; of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    slowest = sorted((n for n in times if "." not in n), key=lambda n: -times[n])[:5]
    print("slowest packages: " + ", ".join(f"{name} {times[name]:.0f} ms" for name in slowest))
    return 0


if __name__ == "__main__":
    sys.exit(main())

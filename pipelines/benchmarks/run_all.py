"""Every benchmark after the other; what `make bench` runs.

    python pipelines/benchmarks/run_all.py --quick
    python pipelines/benchmarks/run_all.py --only tokenizing rendering

Each prints its tables to copy into RESULTS.md. One that fails doesn't stop the others; the exit code says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# In this order, as far as they exist.
SCRIPTS = (
    "starting", "tokenizing", "abc_reader", "musicxml_reading", "building", "rendering", "models", "representations",
    "growth", "chorales",
)  # fmt: skip
# Training, and sizes up to ten million notes, which smaller numbers would make another experiment: not among the quick.
SLOW = ("representations", "growth", "chorales")
# Measured on one core. The variable has to be there before numpy and torch are imported.
ONE_CORE = ("tokenizing", "abc_reader", "musicxml_reading", "rendering", "models", "representations")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small samples, about three minutes in all")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, metavar="NAME", help=", ".join(SCRIPTS))
    chosen = parser.parse_args()
    taken: dict[str, tuple[float, int]] = {}
    for name in chosen.only or SCRIPTS:
        script = HERE / f"{name}.py"
        if not script.is_file() or (chosen.quick and name in SLOW):
            continue
        environment = {**os.environ, "OMP_NUM_THREADS": "1"} if name in ONE_CORE else None
        arguments = ["--quick"] if chosen.quick else []
        begun = time.monotonic()
        code = subprocess.run([sys.executable, str(script), *arguments], env=environment, check=False).returncode
        taken[name] = time.monotonic() - begun, code
    print("\n" + ", ".join(f"{name} {seconds:.0f} s" for name, (seconds, _) in taken.items()))
    failed = [name for name, (_, code) in taken.items() if code]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

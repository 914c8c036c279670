"""The scripts of this folder that hold real music against other programs, as rows of the table."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from table import Plan, Row, complain

HERE = Path(__file__).resolve().parent
TRIED = re.compile(r"([\d,]+) (?:files|tunes)")
FAILED = re.compile(r"([\d,]+) failed")


def rows(plan: Plan) -> Iterator[Row]:
    """A row a script; what it prints goes to stderr."""
    data = ["--data", str(plan.data)]
    if not plan.data.is_dir():
        complain(f"{plan.data}: no such folder, so no real files are tried; name another with --data")
    else:
        yield script("midi_oracles.py", *data, "--limit", plan.of(1000))
        yield script("continue_many.py", *data, "--limit", plan.of(40))
    yield script("abc_tunes.py", "--tunes", plan.of(300))


def script(name: str, *arguments: object) -> Row:
    """Run one script. It counts what it tried and what failed itself; an exit code that isn't 0 is a failure."""
    begun = time.monotonic()
    command = [sys.executable, str(HERE / name), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout, file=sys.stderr)
    tried, failed = (re.findall(pattern, done.stdout) for pattern in (TRIED, FAILED))
    count = int(failed[-1].replace(",", "")) if failed else 0
    failures = max(count, 1) if done.returncode else count
    return Row(name, int(tried[-1].replace(",", "")) if tried else 0, failures, time.monotonic() - begun)

"""Run the code blocks of a Markdown file: ```python as a program, the `$` lines of ```console as commands.

    python tests/readme_blocks.py README.md

They run one after another in a new folder with nothing in it, as after `pip install`.
Blocks without a language are not run (they are what a newcomer types before there is an installation).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.S | re.M)


def main(path: str) -> int:
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        failed = _run_blocks((root / path).read_text(encoding="utf-8"), folder, environment)
    return 1 if failed else 0


def _run_blocks(text: str, folder: str, environment: dict[str, str]) -> int:
    """How many of the commands fail."""
    failed = 0
    for language, body in BLOCK.findall(text):
        if language == "python":
            commands = [[sys.executable, "-c", body]]
        elif language == "console":
            commands = [["bash", "-c", line[2:]] for line in body.splitlines() if line.startswith("$ ")]
        else:
            continue
        for command in commands:
            begun = time.monotonic()
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            verdict = "ok" if done.returncode == 0 else f"exit code {done.returncode}"
            sys.stdout.write(
                f"{verdict:>12}  {time.monotonic() - begun:5.1f} s  {command[-1].strip().splitlines()[0][:100]}\n"
            )
            if done.returncode:
                failed += 1
                sys.stdout.write(done.stdout[-2000:] + done.stderr[-2000:])
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

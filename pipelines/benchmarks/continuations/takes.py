"""Takes of a model through the command line, `musicgen continue`, kept on disk.

The command sees the music before the cut and nothing else. A take is kept under the digests of the command's package,
of the model, of its options and of the prompt, with the bar and the seed: what would come out the same isn't drawn
again, and what was stopped goes on where it was. Any version of the package can be asked, by the command of another
environment.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from musicgen.errors import MusicgenError
from musicgen.io import read
from musicgen.piece import Piece

from .passage import BARS, Case, Passage, join, rows_of

__all__ = ["Player", "own_command", "passage_from"]

# Folders of the package that have no say in what a take is.
SILENT = frozenset(
    {"cli", "corpus", "evaluation", "page", "pictures", "render", "training", "workers", "checkpoints", "__pycache__"}
)
SPEAKING = (".py", ".safetensors", ".toml", ".json")
LONGEST = 1800  # seconds a piece


def own_command() -> list[str]:
    """The command of the environment that runs this script."""
    return [sys.executable, "-m", "musicgen"]


@dataclass(frozen=True)
class Player:
    """A way to run `musicgen`, with options of `continue` behind it."""

    name: str
    command: tuple[str, ...]
    options: tuple[str, ...]
    seed: int
    work: Path

    @classmethod
    def of(cls, text: str, *, seed: int, work: Path) -> Player:
        """From NAME=COMMAND [OPTIONS]: `old=/old/.venv/bin/musicgen -t 0.9`."""
        name, _, rest = text.partition("=")
        command, *options = shlex.split(rest)
        return cls(name, (command,), tuple(options), seed, work)

    def digest(self) -> str:
        """Of the code that draws, of the models in the package, and of the options with the run folder they name."""
        code = "import musicgen; print(musicgen.__path__[0])"
        python = sys.executable if self.command[0] == sys.executable else str(Path(self.command[0]).with_name("python"))
        # Away from here, or the package that lies in the current folder would be found first.
        found = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
        mixed = hashlib.sha256(" ".join(self.options).encode())
        folders = [Path(found.stdout.strip()), *(Path(o) for o in self.options if Path(o).is_dir())]
        for folder in folders:
            for file in sorted(folder.rglob("*")):
                below = file.relative_to(folder)
                if file.suffix in SPEAKING and SILENT.isdisjoint(below.parts):
                    mixed.update(below.as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
        return mixed.hexdigest()[:12]

    def draw(
        self, cases: Sequence[Case], *, takes: int, jobs: int, say: Callable[[str], None]
    ) -> dict[str, list[Passage | None]]:
        """The takes of every case, by its name; None for one that the command couldn't make."""
        folder = self.work / "takes" / f"{self.name.replace('/', '_')}-{self.digest()}"
        folder.mkdir(parents=True, exist_ok=True)
        done: list[int] = []

        def one(case: Case) -> list[Passage | None]:
            made = self._takes(case, folder, takes, say)
            done.append(1)
            say(f"{self.name}: {len(done)} of {len(cases)}, {case.name}")
            return made

        with ThreadPoolExecutor(jobs) as pool:  # the work is in the processes that the threads wait for
            return dict(zip([case.name for case in cases], pool.map(one, cases), strict=True))

    def _takes(self, case: Case, folder: Path, takes: int, say: Callable[[str], None]) -> list[Passage | None]:
        prompt = hashlib.sha256(case.prompt.read_bytes()).hexdigest()[:16]
        files = [folder / f"{prompt}-{case.bar}-{BARS}-{self.seed + k}.mid" for k in range(takes)]
        missing = [k for k, file in enumerate(files) if not file.exists()]
        if missing:
            self._run(case, files[missing[0] : missing[-1] + 1], self.seed + missing[0], say)
        return [passage_from(file, case) for file in files]

    def _run(self, case: Case, files: list[Path], seed: int, say: Callable[[str], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            command = [*self.command, "continue", str(case.prompt.resolve()), "--from", str(case.bar + 1)]
            command += ["--bars", str(BARS), "--seed", str(seed), "-n", str(len(files)), "-o", f"{folder}/"]
            environment = {"OMP_NUM_THREADS": "1", **os.environ}
            try:
                done = subprocess.run(
                    [*command, *self.options],
                    capture_output=True,
                    text=True,
                    cwd=folder,
                    env=environment,
                    timeout=LONGEST,
                )
                error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
            except subprocess.TimeoutExpired:
                error = [f"not done after {LONGEST} s"]
            made = sorted(Path(folder).glob("*.mid"), key=lambda path: (len(path.name), path.name))
            if error:
                say(f"{self.name}, {case.name}: {error[0]}")
            for path, file in zip(made, files, strict=False):  # what wasn't made is tried again by the next run
                temporary = file.with_suffix(".part")
                temporary.write_bytes(path.read_bytes())
                temporary.replace(file)


def passage_from(file: Path, case: Case) -> Passage | None:
    """The new bars of a continued file in the parts of the case; None where there is no such file to read."""
    if not file.is_file():
        return None
    try:
        piece = read(file)
    except MusicgenError:
        return None
    scale = piece.ticks_per_quarter / case.piece.ticks_per_quarter
    rows = rows_of(piece, numbers=_numbers(piece, case, round(case.cut * scale)))
    return join(rows, case.truth.bars)


def _numbers(piece: Piece, case: Case, cut: int) -> list[int]:
    """The part of each track: the one with the same notes before the cut, perhaps none; else a new one."""
    free = list(range(len(case.parts)))
    old = [t.notes[t.notes["start"] < case.cut] for t in case.piece.tracks]
    numbers, new = [-1] * len(piece.tracks), len(case.parts)
    for n, track in enumerate(piece.tracks):
        mine = track.notes[track.notes["start"] < cut]
        for part in free:
            alike = (case.parts[part][1:] == (track.program, track.is_drum)) or (track.is_drum and case.parts[part][2])
            if alike and len(mine) == len(old[part]) and (mine["pitch"] == old[part]["pitch"]).all():
                numbers[n] = part
                free.remove(part)
                break
    for n in range(len(piece.tracks)):
        if numbers[n] < 0:
            numbers[n], new = new, new + 1
    return numbers

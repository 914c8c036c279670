"""Builds of a corpus that are killed and begun again: the bytes must be those of a build that was left alone."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from nursery import Nursery
from table import Plan, Row, count

from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

FILES = ("tokens.npy", "pieces.jsonl", "corpus.json")
PIECES = 60


def rows(plan: Plan) -> Iterator[Row]:
    """Kills, of new corpora and of such that replace others, and stops by signals."""
    rng = random.Random(plan.seed)
    make_music(plan.scratch / "music", plan.seed)
    with Nursery() as nursery:
        bench = Bench(nursery, plan.scratch)
        yield count("builds killed", [bench.broken_off(rng, signal.SIGKILL) for _ in range(plan.of(20))])
        yield count("builds stopped by signals", [bench.broken_off(rng, signal.SIGTERM) for _ in range(plan.of(5))])


def make_music(folder: Path, seed: int) -> None:
    """Tunes, among them the same twice, too short a one, a broken one, and many in one file."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(PIECES):
        pitches = rng.integers(50, 70, 400)
        notes = [(i * 240, 240, int(pitch), 72) for i, pitch in enumerate(pitches)]
        write(Piece(480, (Track("", 0, False, notes_array(notes)),)), folder / f"{number}.mid")
    shutil.copy(folder / "3.mid", folder / "again.mid")
    (folder / "broken.mid").write_bytes(b"MThd no")
    tunes = [f"X:{i}\nT:T{i}\nL:1/8\nK:C\n{'C2 D2 E2 F2|G2 A2 B2 c2|' * (i + 1)}\n\n" for i in range(20)]
    (folder / "tunes.abc").write_text("".join(tunes), encoding="utf-8")


class Bench:
    """A folder with music and the corpus that was built of it in peace."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery, self.folder, self.number = nursery, folder, 0
        self.whole = nursery.run(*self.command("whole", 1), within=folder)
        if self.whole.code:
            raise RuntimeError(f"the build ended with {self.whole}")

    def command(self, out: str, jobs: int) -> tuple[object, ...]:
        return ("corpus", "build", "music", "-o", out, "--jobs", jobs, "--overwrite")

    def broken_off(self, rng: random.Random, number: int) -> Callable[[], str | None]:
        """A build that is broken off one to three times, at the n-th touch of a file or after a time, and then not."""
        jobs, replaces = rng.choice((1, 2)), rng.random() < 0.3
        times: list[dict[str, Any]] = []
        for _ in range(rng.randint(1, 3)):
            at = {"kill_at": rng.randint(1, self.whole.touched)}
            times.append(at if rng.random() < 0.5 else {"kill_after": rng.uniform(0.1, 1.1) * self.whole.seconds})

        def case() -> str | None:
            self.number += 1
            out = f"corpus-{self.number}"
            said = f"{out}, {jobs} jobs, signal {number}, {times}"
            if replaces:
                shutil.copytree(self.folder / "whole", self.folder / out)
                (self.folder / out / "notes.txt").write_text("mine", encoding="utf-8")
            for when in times:
                ended = self.nursery.run(*self.command(out, jobs), within=self.folder, number=number, **when)
                if ended.code not in (0, -number, 128 + number) or "Traceback" in ended.err:
                    return f"{said}: ended with {ended.code}: {ended.err}"
            ended = self.nursery.run(*self.command(out, jobs), within=self.folder)
            if ended.code:
                return f"{said}: doesn't go on: {ended.err}"
            for name in FILES:
                if (self.folder / out / name).read_bytes() != (self.folder / "whole" / name).read_bytes():
                    return f"{said}: another {name}"
            names = {path.name for path in self.folder.iterdir() if out in path.name}
            inside = {path.name for path in (self.folder / out).iterdir()}
            if names != {out} or inside != {*FILES, *(["notes.txt"] if replaces else [])}:
                return f"{said}: something is left over or missing: {names}, {inside}"
            shutil.rmtree(self.folder / out)
            return None

        return case

"""Run folders that are killed, stopped and damaged: what comes of them must equal a run that nothing happened to.

A tiny model is trained again and again, killed inside a save or at any other time, and resumed. Weights, card, log,
gradients and a sample are compared with those of a run that was left alone, but for seconds. Then bits are flipped and
files cut short in the folder of a run that was stopped half-way: each must be told when the run is resumed, whichever
file it is in, and got round or refused.
"""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nursery import Ended, Nursery
from table import Plan, Row, count

from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

STEPS = 12
COMMON = ("--set", "train.batch=2", "--set", "train.length=32", "--set", "train.evaluate_every=4", "--device", "cpu")
KINDS = {
    "lstm": ("--model", "lstm", "--set", "model.width=8", "--set", "model.layers=1", "--set", "train.carry=true"),
    "transformer": ("--model", "transformer", "--set", "model.width=8", "--set", "model.layers=1"),
}
KINDS["transformer"] += ("--set", "model.heads=1", "--set", "model.context=32")
PARTS = ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json", "manifest.json")
# What is said of a damaged checkpoint, log, older checkpoint, part.
GOT_ROUND = ("going on from the one before", "made anew from", "puts another in its place", "anew when training ends")
STOPPED_WITHIN_S = 10.0


def rows(plan: Plan) -> Iterator[Row]:
    """Kills, signals, flips, truncations."""
    rng = random.Random(plan.seed)
    with Nursery() as nursery:
        bench = Bench(nursery, plan.scratch)
        inside = [bench.killed(rng, inside=True) for _ in range(plan.of(25))]
        yield count("training killed inside a save", inside)
        anywhen = [bench.killed(rng, inside=False) for _ in range(plan.of(25))]
        yield count("training killed at any time", anywhen)
        yield count("training that replaces a run, killed", [bench.replaced(rng) for _ in range(plan.of(10))])
        yield count("training stopped by signals", [bench.stopped(rng) for _ in range(plan.of(10))])
        for name, usual, damage in (("bits flipped in a run", 200, flip), ("files of a run cut short", 50, cut)):
            seen: Counter[str] = Counter()
            cases = [bench.damaged(rng, damage, seen) for _ in range(plan.of(usual))]
            row = count(name, cases)
            yield Row(
                row.name, row.tried, row.failed, row.seconds, ", ".join(f"{n} {what}" for what, n in seen.items())
            )


class Bench:
    """A folder with a corpus, a whole run and a half one of each kind, and what it takes to compare with them."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery, self.folder, self.number = nursery, folder, 0
        (folder / "tunes").mkdir(parents=True)
        for n in range(6):
            notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
            write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), folder / "tunes" / f"{n}.mid")
        self.must("corpus", "build", "tunes", "-o", "corpus", "--jobs", 1)
        self.whole = {kind: self.must(*self.training(kind, f"whole-{kind}"), save_every=0) for kind in KINDS}
        for kind in KINDS:
            half = {"kill_at": self.whole[kind].touched * 6 // 10, "number": signal.SIGINT, "save_every": 0}
            ended = nursery.run(*self.training(kind, f"half-{kind}"), within=folder, **half)
            if ended.code != 130:
                raise RuntimeError(f"the half run ended with {ended}")

    def training(self, kind: str, run: str) -> tuple[object, ...]:
        """The command that begins a run."""
        return ("train", "corpus", "-o", run, "--steps", STEPS, *KINDS[kind], *COMMON)

    def must(self, *arguments: object, **options: Any) -> Ended:
        """A command that has to work."""
        ended = self.nursery.run(*arguments, within=self.folder, **options)
        if ended.code:
            raise RuntimeError(f"{arguments} ended with {ended.code}: {ended.err}")
        return ended

    def new(self) -> str:
        self.number += 1
        return f"run-{self.number}"

    # ---- kills and signals ---------------------------------------------------------------------------

    def killed(self, rng: random.Random, *, inside: bool) -> Callable[[], str | None]:
        """A run that is killed one to three times, and resumed."""
        kind, times = rng.choice(list(KINDS)), rng.randint(1, 3)
        whole = self.whole[kind]

        def case() -> str | None:
            run = self.new()
            said = f"{kind}, {run}"
            for _ in range(times):
                when: dict[str, Any] = (
                    {"kill_at": rng.randint(2, whole.touched)}
                    if inside
                    else {"kill_after": rng.uniform(0.05, 1.2) * whole.seconds}
                )
                ended = self.nursery.run(*self.going_on(kind, run), within=self.folder, save_every=0, **when)
                said += f", {when}"
                if ended.code not in (0, -signal.SIGKILL):
                    return f"{said}: ended with {ended.code}: {ended.err}"
                if (self.folder / run / "manifest.json").exists():
                    loaded = self.nursery.run("inspect", run, within=self.folder)
                    if loaded.code:
                        return f"{said}: doesn't load: {loaded.err}"
            ended = self.nursery.run(*self.going_on(kind, run), within=self.folder, save_every=0)
            if ended.code:
                return f"{said}: isn't resumed: {ended.code} {ended.err}"
            return self.differs(kind, run, said)

        return case

    def going_on(self, kind: str, run: str) -> tuple[object, ...]:
        """What a user would say next: resume where there is a checkpoint, else begin."""
        saved = any((self.folder / run / "checkpoints").glob("last*/manifest.json"))
        settled = any((self.folder / run / "checkpoints" / name).is_dir() for name in ("last", "last.old"))
        return ("train", "corpus", "-o", run, "--resume") if saved and settled else self.training(kind, run)

    def stopped(self, rng: random.Random) -> Callable[[], str | None]:
        """A run that is stopped by SIGINT or SIGTERM at any time."""
        kind, number = rng.choice(list(KINDS)), rng.choice((signal.SIGINT, signal.SIGTERM))

        def case() -> str | None:
            run = self.new()
            after = rng.uniform(0.3, 0.9) * self.whole[kind].seconds
            signalled = {"kill_after": after, "number": number, "save_every": 0}
            ended = self.nursery.run(*self.training(kind, run), within=self.folder, **signalled)
            said = f"{kind}, {run}, signal {number} after {after:.2f} s"
            if ended.code == 0:  # it was faster
                return self.differs(kind, run, said)
            if ended.code != 128 + number or "Traceback" in ended.err:
                return f"{said}: ended with {ended.code}: {ended.err}"
            if ended.seconds - after > STOPPED_WITHIN_S:
                return f"{said}: took {ended.seconds - after:.1f} s to stop"
            saved = "interrupted: saved" in ended.err
            if saved != (self.folder / run / "checkpoints" / "last").is_dir():
                return f"{said}: what it says isn't so: {ended.err}"
            again = self.nursery.run(*self.going_on(kind, run), within=self.folder, save_every=0)
            return f"{said}: isn't resumed: {again.err}" if again.code else self.differs(kind, run, said)

        return case

    def replaced(self, rng: random.Random) -> Callable[[], str | None]:
        """A run that is begun with --overwrite in the place of another and killed: the old one or the new one."""
        kind, at = rng.choice(list(KINDS)), rng.uniform(0.02, 1.0)

        def case() -> str | None:
            run = self.new()
            shutil.copytree(self.folder / f"half-{kind}", self.folder / run)
            (self.folder / run / "notes.txt").write_text("mine", encoding="utf-8")
            old = contents(self.folder / run)
            begin = (*self.training(kind, run), "--overwrite")
            kill_at = int(self.whole[kind].touched * at)
            said = f"{kind}, {run}, killed at {kill_at}"
            ended = self.nursery.run(*begin, within=self.folder, save_every=0, kill_at=kill_at)
            if ended.code not in (0, -signal.SIGKILL):
                return f"{said}: ended with {ended.code}: {ended.err}"
            # Whatever command is next clears up: one that does nothing else is refused for what it is asked.
            self.nursery.run("train", "corpus", "-o", run, within=self.folder)
            if contents(self.folder / run) == old:
                ended = self.nursery.run(*begin, within=self.folder, save_every=0)
            elif (self.folder / run / "manifest.json").exists() or (self.folder / run / "recipe.toml").exists():
                ended = self.nursery.run("train", "corpus", "-o", run, "--resume", within=self.folder, save_every=0)
            else:
                return f"{said}: neither the old run nor the new one: {sorted(contents(self.folder / run))}"
            if ended.code:
                return f"{said}: doesn't go on: {ended.err}"
            if left := [path.name for path in self.folder.iterdir() if run in path.name and path.name != run]:
                return f"{said}: left over: {left}"
            if (self.folder / run / "notes.txt").read_text(encoding="utf-8") != "mine":
                return f"{said}: the owner's notes are gone"
            (self.folder / run / "notes.txt").unlink()
            return self.differs(kind, run, said)

        return case

    # ---- damage --------------------------------------------------------------------------------------

    def damaged(
        self, rng: random.Random, damage: Callable[[Path, random.Random], str], seen: Counter[str]
    ) -> Callable[[], str | None]:
        """A run that was stopped half-way and then damaged: loaded, and resumed."""
        kind = rng.choice(list(KINDS))

        def case() -> str | None:
            run = self.new()
            shutil.copytree(self.folder / f"half-{kind}", self.folder / run)
            file = rng.choice(sorted(p for p in (self.folder / run).rglob("*") if p.is_file() and p.stat().st_size))
            name = file.relative_to(self.folder / run).as_posix()
            said = f"{kind}, {run}, {name}, {damage(file, rng)}"
            loaded = self.nursery.run("inspect", run, "--json", within=self.folder)
            if (loaded.code != 0) != (name in PARTS) or not one_line(loaded):
                return f"{said}: loading ends with {loaded.code}: {loaded.err}"
            resumed = self.nursery.run("train", "corpus", "-o", run, "--resume", within=self.folder, save_every=0)
            if resumed.code:
                seen["refused, by name"] += 1
                if resumed.code in (2, 3) and one_line(resumed):
                    return None
                return f"{said}: resuming ends with {resumed.code}: {resumed.err}"
            if not any(words in resumed.err for words in GOT_ROUND):
                return f"{said}: wasn't told: {resumed.err}"
            seen["told and got round"] += 1
            return self.differs(kind, run, said)

        return case

    # ---- comparing -----------------------------------------------------------------------------------

    def differs(self, kind: str, run: str, said: str) -> str | None:
        """How a finished run differs from the one that was left alone; its folder goes where it doesn't."""
        mine, other = self.folder / run, self.folder / f"whole-{kind}"
        for name in ("model.safetensors", "recipe.toml", "tokenizer.json", "gradients.csv"):
            if (mine / name).read_bytes() != (other / name).read_bytes():
                return f"{said}: another {name}"
        if timeless_card(mine) != timeless_card(other):
            return f"{said}: another card: {timeless_card(mine)}"
        if timeless_log(mine) != timeless_log(other):
            return f"{said}: another log: {timeless_log(mine)}"
        if (names := listing(mine)) != listing(other):
            return f"{said}: other files: {sorted(names ^ listing(other))}"
        if self.number % 10 == 0 and (sample := self.sample(run)) != self.sample(f"whole-{kind}"):
            return f"{said}: another sample of {len(sample)} bytes"
        shutil.rmtree(mine)
        return None

    def sample(self, run: str) -> bytes:
        self.must("generate", "-m", run, "-o", "sample.mid", "--seed", 3, "--bars", 2, "--overwrite")
        return (self.folder / "sample.mid").read_bytes()


def timeless_card(run: Path) -> dict[str, Any]:
    """What the card says but for the time and the folder's name."""
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    return {key: value for key, value in card.items() if key not in ("seconds", "title")}


def timeless_log(run: Path) -> list[dict[str, str]]:
    """Every column of the log but seconds."""
    rows = list(csv.DictReader(io.StringIO((run / "log.csv").read_text(encoding="utf-8"))))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run's folder."""
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def listing(run: Path) -> set[str]:
    """The names of all that lies in a run's folder."""
    return {path.relative_to(run).as_posix() for path in run.rglob("*")}


def one_line(ended: Ended) -> bool:
    """Whether a command that failed said so in a line, without a traceback."""
    said = [line for line in ended.err.splitlines() if line.startswith("musicgen: ")]
    return "Traceback" not in ended.err and (ended.code == 0 or len(said) == 1)


def flip(file: Path, rng: random.Random) -> str:
    """Flip one bit of a file."""
    data = bytearray(file.read_bytes())
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    data[at] ^= 1 << bit
    file.write_bytes(data)
    return f"bit {bit} of byte {at}"


def cut(file: Path, rng: random.Random) -> str:
    """Leave only the beginning of a file."""
    size = rng.randrange(file.stat().st_size)
    with open(file, "rb+") as opened:
        opened.truncate(size)
    return f"cut to {size} bytes"

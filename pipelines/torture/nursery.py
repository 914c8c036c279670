"""A process that has imported what the commands need, and forks a child for each command that it is sent.

A command then costs no start-up, and can be killed anywhere: after a time, or at the n-th time that it touches a folder
(opens a file to write, renames, links, removes, makes a folder), which is how a kill comes to fall inside a save.

    with Nursery() as nursery:
        ended = nursery.run("train", "corpus", "-o", "run", within=folder, kill_at=17)
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
TOUCHES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "os.truncate")
DEADLINE_S = 120.0


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; what it said; how often it touched the folder."""

    code: int
    out: str
    err: str
    touched: int
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether it ended as a command should: by itself, and without a traceback."""
        return 0 <= self.code < 128 and "Traceback" not in self.err


class Nursery:
    """The process; a context that ends it."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()

    def run(
        self,
        *arguments: object,
        within: Path,
        kill_at: int | None = None,
        kill_after: float | None = None,
        number: int = signal.SIGKILL,
        save_every: float | None = None,
        group: bool = False,
    ) -> Ended:
        """Run `musicgen ARGUMENTS` in the folder `within`, and send it a signal at its n-th touch of that folder, or
        after so many seconds. SIGKILL goes to all its processes, other signals to it alone, if not to the `group`. A
        training saves every so many seconds, where that isn't to be the usual time."""
        assert self._process.stdin
        assert self._process.stdout
        request = {
            "arguments": [str(argument) for argument in arguments],
            "within": str(within),
            "kill_at": kill_at,
            "kill_after": kill_after,
            "number": int(number),
            "save_every": save_every,
            "group": group or number == signal.SIGKILL,
        }
        line = b""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(60)
            self.__enter__()  # for those that come after
            raise RuntimeError(f"the nursery ended with {code}")
        return Ended(**json.loads(line))


def serve() -> None:
    """The life of the nursery."""
    import torch._dynamo  # which a blank model brings in

    # Nothing is computed here, for a forked child can't go on with PyTorch's threads.
    from musicgen import api
    from musicgen.cli import corpus, takes, train
    from musicgen.corpus import build
    from musicgen.training import loop

    assert all((torch, api, corpus, takes, train, build, loop))
    counter = mmap.mmap(-1, 8)
    for line in sys.stdin.buffer:
        answer = _answer(json.loads(line), counter)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(request: dict[str, Any], counter: mmap.mmap) -> dict[str, Any]:
    counter[:] = struct.pack("q", 0)
    begun = time.monotonic()
    ready, told = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.setsid()  # a group of its own, which may be killed as a whole
            os.write(told, b"!")
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _command(request, counter)
        os.read(ready, 1)
        os.close(ready)
        os.close(told)
        wait = request["kill_after"] if request["kill_after"] is not None else DEADLINE_S
        code = _ended(child, wait)
        if code is None:
            late = request["kill_after"] is None
            number = signal.SIGKILL if late else request["number"]
            (os.killpg if request["group"] else os.kill)(child, number)
            code = _ended(child, DEADLINE_S)
            if code is None:
                os.killpg(child, signal.SIGKILL)
                code = _ended(child, DEADLINE_S)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    (touched,) = struct.unpack("q", counter[:])
    seconds = time.monotonic() - begun
    return {"code": code, "out": texts[0], "err": texts[1], "touched": touched, "seconds": seconds}


def _ended(child: int, seconds: float) -> int | None:
    """The exit code of a child that ends within a time, or minus the signal that ended it."""
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            return None
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _command(request: dict[str, Any], counter: mmap.mmap) -> None:
    """In the child: the command, and then the end."""
    within, kill_at, number = request["within"], request["kill_at"], request["number"]
    mine = os.getpid()

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = given
            if not (set(mode or "") & set("wax+") or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR))):
                return
        elif event in TOUCHES:
            path = given[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike) and os.getpid() == mine:
            full = os.path.join(os.getcwd(), os.fsdecode(path))
            if full.startswith(within):
                (count,) = struct.unpack("q", counter[:])
                counter[:] = struct.pack("q", count + 1)
                if count + 1 == kill_at:
                    (os.killpg if request["group"] else os.kill)(mine, number)

    code = 70
    try:
        from musicgen.cli.main import main
        from musicgen.training import loop

        if request["save_every"] is not None:
            loop.train.__kwdefaults__["checkpoint_seconds"] = request["save_every"]
        os.chdir(within)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
        sys.argv = ["musicgen", *request["arguments"]]
        sys.addaudithook(hook)
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()

"""Folders from strangers, each harmed in one way: refused in one line, in time, and without taking memory.

    python pipelines/torture --only folders

A case is a command in a process of its own, forked from this one, which has PyTorch in memory already. It fails unless
the command says one line on stderr, nothing on stdout, ends with exit code 3 within two seconds of its own, and takes
no more than 300 MB beyond what it began with. See `harms.py` for what is harmed.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from harms import CORPUS, HARMS, RUN, TOKENS, Harm, make_corpus, make_run
from table import Plan, Row, count

SLOWEST_S = 2.0
GIVEN_UP_S = 20
MOST_MEGABYTES = 300  # beyond what the process begins with
UNREADABLE = 3
TITLES = {RUN: "run folders", CORPUS: "corpus folders", TOKENS: "tokens of corpora"}


def rows(plan: Plan) -> Iterator[Row]:
    """A row for each kind of folder."""
    import torch

    import musicgen.cli.corpus
    import musicgen.cli.evaluate
    import musicgen.cli.inspect
    import musicgen.composer  # noqa: F401  # all that the commands import, so that it isn't counted

    torch.set_num_threads(1)
    good = plan.scratch / "good"
    make_run(good / "run")
    make_corpus(good / "corpus")
    for kind, title in TITLES.items():
        chosen = [harm for harm in HARMS if harm.kind == kind]
        cases = [partial(_refused, harm, good, plan.scratch / "harmed") for harm in chosen[: plan.of(len(chosen))]]
        yield count(f"hostile {title}", cases)
    yield count("commands on good folders", [partial(_used, kind, good) for kind in TITLES])


def _command(kind: str, good: Path, folder: Path) -> list[str]:
    return {
        RUN: ["inspect", str(folder)],
        CORPUS: ["corpus", "info", str(folder)],
        TOKENS: ["evaluate", str(good / "run"), str(folder), "--device", "cpu"],
    }[kind]


def _refused(harm: Harm, good: Path, folder: Path) -> str | None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good / ("run" if harm.kind == RUN else "corpus"), folder)
    harm.do(folder)
    code, out, err, seconds, megabytes = _run(_command(harm.kind, good, folder), folder.parent)
    lines = err.splitlines()
    wrong = {
        f"exit code {code}": code != UNREADABLE,
        f"{len(lines)} lines on stderr: {err[-300:]!r}": len(lines) != 1,
        f"stdout {out[:100]!r}": bool(out),
        f"the line is {err[:300]!r}": harm.text not in err,
        f"{seconds:.1f} s": seconds > SLOWEST_S,
        f"{megabytes:.0f} MB": megabytes > MOST_MEGABYTES,
    }
    found = [text for text, is_so in wrong.items() if is_so]
    return f"{harm.kind}, {harm.name}: {'; '.join(found)}" if found else None


def _used(kind: str, good: Path) -> str | None:
    code, _, err, _, _ = _run(_command(kind, good, good / ("run" if kind == RUN else "corpus")), good.parent)
    return None if code == 0 and not err else f"{kind}: exit code {code}, {err[-300:]!r}"


def _run(arguments: list[str], scratch: Path) -> tuple[int, str, str, float, float]:
    """(exit code, stdout, stderr, seconds of the process, megabytes it took) of a command in a forked process."""
    out, err = scratch / "stdout", scratch / "stderr"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = os.fork()
    if not child:
        _become(arguments, out, err)
    status, usage = _wait(child)
    code = os.waitstatus_to_exitcode(status)
    seconds, grown = usage.ru_utime + usage.ru_stime, (usage.ru_maxrss - before) / 1024
    return code, out.read_text(errors="replace"), err.read_text(errors="replace"), seconds, grown


def _become(arguments: list[str], out: Path, err: Path) -> None:
    """Be the command, and end with it."""
    from musicgen.cli.main import cli

    code: object = 70
    try:
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        cli(arguments, prog_name="musicgen")
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # what would be a traceback
        print(f"{type(error).__name__}: {error}\nTraceback", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _wait(child: int) -> tuple[int, resource.struct_rusage]:
    """The status and the usage of a process, which is killed when it takes too long."""
    given_up = time.monotonic() + GIVEN_UP_S
    wait: Callable[[], tuple[int, int, resource.struct_rusage]] = partial(os.wait4, child, os.WNOHANG)
    while True:
        done, status, usage = wait()
        if done:
            return status, usage
        if time.monotonic() > given_up:
            os.kill(child, signal.SIGKILL)
            wait = partial(os.wait4, child, 0)
        time.sleep(0.005)

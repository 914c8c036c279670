"""Shared fixtures. Modules of this folder, such as `midi_fixtures`, are importable by name."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from pathlib import Path

import pytest

from musicgen import workers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pieces beside the checkout; tests that need it are skipped where it is absent."""
    folder = HERE.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with real pieces is not here")
    return folder


@pytest.fixture(autouse=True)
def signals():
    """Ctrl-C does what it does in a terminal, also where the tests run in a shell's background; and after each test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def forked_workers():
    """Worker processes are forked from a server that has imported what a build needs, which takes a process 0.3 s.

    They are processes of their own all the same, without a copy of this one's memory. `spawned_workers` undoes it.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # not on Windows
        yield
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["musicgen.corpus.encode"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers, "get_context", lambda method: context)
        yield


@pytest.fixture
def spawned_workers(monkeypatch):
    """Worker processes are started anew, as in use."""
    monkeypatch.setattr(workers, "get_context", multiprocessing.get_context)

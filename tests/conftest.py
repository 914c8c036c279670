"""Shared fixtures. Modules of this folder, such as `midi_fixtures`, are importable by name."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

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

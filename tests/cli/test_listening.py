"""What long work tells is seen by whoever waits at a terminal, and warnings by everyone."""

from __future__ import annotations

import sys

import pytest

from musicgen.cli.listening import Shown
from musicgen.events import Began, Finished, Progress, Warned


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_counts_what_is_done_and_warnings_are_lines(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with Shown() as shown:
        shown(Warned("b.mid\nis odd"))
        shown(Began("corpus", "file", 2))
        shown(Progress(1, 2, "file", "a.mid"))
        shown(Progress(2, 2, "file", "b.mid"))
        shown(Finished("corpus"))
    said = capsys.readouterr().err
    assert said.startswith("b.mid\\nis odd\n")
    assert ("files" in said and "2/2" in said) is terminal


def test_work_of_which_no_bar_was_told_shows_nothing(capsys):
    with Shown() as shown:
        shown(Progress(1, 2, "file"))
    assert capsys.readouterr().err == ""

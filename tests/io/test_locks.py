"""One writer at a time: who holds a place is named, and a lock goes with its holder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from musicgen.errors import UsageError
from musicgen.io import locks
from musicgen.io.locks import Hold, let_go, try_lock

HOLDER = """
import os, sys, time
from musicgen.io.locks import Hold
with Hold(sys.argv[1]):
    if sys.argv[2:] == ["fork"] and os.fork() == 0:
        print(f"held {os.getpid()}", flush=True)
        time.sleep(60)  # a child that outlives its parent
    elif sys.argv[2:] == []:
        print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(place: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that holds a place, and what it said last."""
    command = [sys.executable, "-c", HOLDER, str(place), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_a_second_one_is_refused_and_the_first_is_named(tmp_path):
    place = tmp_path / "run"
    with holder(place) as (process, _):
        with pytest.raises(UsageError) as caught, Hold(place):
            pass
        line = str(caught.value)
        assert line.startswith(f"{place}: another process writes here (process {process.pid} on ")
        assert line.endswith("wait until it is done, or choose another folder")
        assert f"-c {place}" in line
        with Hold(tmp_path / "other") as other:
            assert other.note is None
        assert process.stdin
        process.stdin.close()
        process.wait(60)
    assert os.listdir(tmp_path) == []


def test_a_lock_goes_with_a_killed_process(tmp_path):
    place = tmp_path / "run"
    with holder(place) as (process, _):
        process.kill()
        process.wait(60)
    assert os.listdir(tmp_path) == [".run.lock"]
    with Hold(place) as hold:
        assert hold.note is None
    assert os.listdir(tmp_path) == []


def test_a_child_that_lives_on_doesnt_keep_it(tmp_path):
    place = tmp_path / "run"
    with holder(place, "fork") as (process, said):
        child = int(said.split()[1])
        try:
            process.kill()
            process.wait(60)
            with Hold(place) as hold:
                assert hold.note is None
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_same_place_by_another_name(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with (
        Hold(tmp_path / "run"),
        pytest.raises(UsageError, match="another process writes here"),
        Hold(tmp_path / "link"),
    ):
        pass


def test_folders_above_are_made_and_go_again_where_nothing_came(tmp_path):
    with Hold(tmp_path / "a" / "b" / "run"):
        assert (tmp_path / "a" / "b").is_dir()
    assert os.listdir(tmp_path) == []
    with Hold(tmp_path / "a" / "b" / "run"):
        (tmp_path / "a" / "b" / "run").mkdir()
    assert os.listdir(tmp_path / "a" / "b") == ["run"]
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match="its folder is a file; choose another folder"),
        Hold(tmp_path / "file" / "run"),
    ):
        pass


def test_a_long_name(tmp_path):
    with Hold(tmp_path / ("é" * 127)) as hold:
        assert hold.note is None
        assert hold.path.is_file()


def test_where_nothing_can_be_locked_it_is_said(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(locks.fcntl, "flock", refuse)
        with Hold(tmp_path / "run") as hold:
            assert hold.note == (
                f"{tmp_path}/run: can't be locked (No locks available); see to it that nothing else writes there meanwhile"
            )
        assert try_lock(tmp_path) is None
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(locks, "fcntl", None)
    with Hold(tmp_path / "run") as hold:
        assert "this system has no file locks" in str(hold.note)
    assert try_lock(tmp_path) is None


def test_a_pipe_or_a_link_by_that_name_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    let_go(try_lock(tmp_path / "pipe"))
    (tmp_path / "link").symlink_to("nowhere")
    assert try_lock(tmp_path / "link") is None

"""A folder is replaced whole or not at all, also by a process that is killed; what isn't replaced comes along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musicgen.errors import UsageError
from musicgen.io.beside import Beside, settle, within


def content(folder: Path) -> dict[str, str]:
    """What lies in a folder: the text of each file, and where each link points."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_text() for p in files}


@pytest.fixture
def place(tmp_path) -> Path:
    folder = tmp_path / "place"
    (folder / "mine" / "deep").mkdir(parents=True)
    (folder / "part").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "mine" / "deep" / "take").write_text("take")
    (folder / "link").symlink_to("mine/deep")
    return folder


OWN = {"notes.txt": "mine", "mine/deep/take": "take", "link": "mine/deep"}


def test_what_is_not_replaced_comes_along(place):
    with Beside(place, parts=["part"]) as new:
        (new.path / "part").write_text("new")
        assert content(place) == {"part": "old", **OWN}
        assert new.swap() == place
        assert content(place) == {"part": "new", **OWN}
    assert content(place) == {"part": "new", **OWN}
    assert os.listdir(place.parent) == ["place"]


def test_files_come_along_where_there_are_no_hard_links(place, monkeypatch):
    def none(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    with Beside(place, parts=["part"]) as new:
        new.swap()
    assert content(place) == OWN


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("which", [1, 2])
def test_a_swap_that_is_interrupted_leaves_the_old_folder(place, monkeypatch, error, which):
    rename, calls = os.rename, []

    def interrupted(source, target):
        calls.append(source)
        if len(calls) == which:
            raise error(16, "busy")
        rename(source, target)

    with Beside(place, parts=["part"]) as new:
        monkeypatch.setattr(os, "rename", interrupted)
        with pytest.raises((KeyboardInterrupt, UsageError)):
            new.swap()
    assert content(place) == {"part": "old", **OWN}
    assert os.listdir(place.parent) == ["place"]


KILLED = """
import os, sys
from musicgen.io.beside import Beside
count = 0
def killing(function):
    def call(*arguments, **options):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os._exit(9)
        return function(*arguments, **options)
    return call
with Beside(sys.argv[1], parts=["part"]) as new:
    (new.path / "part").write_text("new")
    os.rename, os.link, os.rmdir = killing(os.rename), killing(os.link), killing(os.rmdir)
    new.swap()
"""


@pytest.mark.parametrize("when", range(1, 8))
def test_a_kill_at_any_time_leaves_the_old_or_the_new_and_the_next_one_clears_up(place, when):
    done = subprocess.run([sys.executable, "-c", KILLED, place, str(when)], check=False, timeout=60)
    settle(place)
    assert content(place)["part"] == ("old" if when <= 4 else "new")  # two links, two renames
    assert {**content(place), "part": ""} == {"part": "", **OWN}
    assert os.listdir(place.parent) == ["place"]
    assert done.returncode in (0, 9)


def test_what_another_process_is_making_stays(place):
    with Beside(place, parts=["part"]) as first:
        (first.path / "part").write_text("first")
        with Beside(place, parts=["part"]) as second:
            assert first.path.is_dir()
            second.swap()
        first.swap()
    assert content(place) == {"part": "first", **OWN}


def test_a_link_stays_a_link(place, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(place)
    with Beside(link, parts=["part"]) as new:
        new.swap()
    assert link.is_symlink()
    assert content(place) == OWN


def test_a_new_place_needs_no_old_one_and_failure_leaves_no_folders(tmp_path):
    with Beside(tmp_path / "a" / "b", parts=[]) as new:
        pass
    assert os.listdir(tmp_path) == []
    with Beside(tmp_path / "a" / "b", parts=[]) as new:
        (new.path / "x").write_text("x")
        new.swap()
    assert content(tmp_path / "a") == {"b/x": "x"}
    assert os.listdir(tmp_path / "a") == ["b"]


@pytest.mark.parametrize("where", [".", "mine"])
def test_the_folder_one_stands_in_is_not_replaced(place, monkeypatch, where):
    monkeypatch.chdir(place / where)
    with pytest.raises(UsageError, match=r"place: can't be replaced by a command that runs in it; run it from else"):
        Beside(place, parts=["part"])


def test_within(place, tmp_path):
    (tmp_path / "other").symlink_to(place)
    assert within(place, place)
    assert within(tmp_path / "other" / "mine" / "nothing yet", place)
    assert within("/../" + str(tmp_path) + "/other/notes.txt", place)
    assert not within(tmp_path, place)
    assert not within(place, tmp_path / "none")

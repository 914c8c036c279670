"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musicgen.errors import ResourceError, UsageError
from musicgen.io import atomic
from musicgen.io.atomic import atomic_path, together, write_bytes, write_text


def write_then(path: Path, then: Callable[[], object], *, overwrite: bool = False) -> None:
    """Write "ours" to `path`, with something happening before it is put in place."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text("ours")
        then()


def failing(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def test_a_file_appears_whole(tmp_path):
    target = tmp_path / "out.mid"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mid"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert os.listdir(tmp_path) == ["out.mid"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_then(tmp_path / "out.mid", failing(error()))
    assert os.listdir(tmp_path) == []


def test_an_error_keeps_the_old_file(tmp_path):
    target = tmp_path / "out.txt"
    write_text(target, "old")
    with pytest.raises(ValueError, match="no"):
        write_then(target, failing(ValueError("no")), overwrite=True)
    assert target.read_text() == "old"


def test_nothing_is_overwritten_unasked(tmp_path):
    target = tmp_path / "out.txt"
    write_text(target, "old")
    with pytest.raises(UsageError) as caught:
        write_text(target, "new")
    assert str(caught.value) == f"{target}: already exists; pass `overwrite` to replace it"
    assert target.read_text() == "old"
    write_text(target, "new", overwrite=True)
    assert target.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "out.txt"
    with pytest.raises(UsageError, match="already exists"):
        write_then(target, lambda: target.write_text("theirs"))
    assert target.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("taken", [False, True])
def test_without_hard_links(tmp_path, monkeypatch, taken):
    def no_links(*args: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "link", no_links)
    target = tmp_path / "out.txt"
    if taken:
        with pytest.raises(UsageError, match="already exists"):
            write_then(target, lambda: target.write_text("theirs"))
        assert target.read_text() == "theirs"
    else:
        write_text(target, "ours")
        assert target.read_text() == "ours"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "out.bin", b"\0\xff")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == 0o640
    assert (tmp_path / "out.bin").read_bytes() == b"\0\xff"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new", overwrite=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_text_is_utf8_with_its_own_line_ends(tmp_path):
    write_text(tmp_path / "out.txt", "Dvořák\r\nop. 96\n")
    assert (tmp_path / "out.txt").read_bytes() == "Dvořák\r\nop. 96\n".encode()


def test_long_names(tmp_path):
    name = "é" * 125 + ".mid"  # 254 bytes
    write_bytes(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    with pytest.raises(UsageError, match="the file name is too long; choose a shorter name"):
        write_bytes(tmp_path / ("a" * 300), b"x")


def test_bad_places_say_so(tmp_path):
    missing = tmp_path / "nowhere" / "out.mid"
    with pytest.raises(UsageError) as caught:
        write_bytes(missing, b"")
    assert str(caught.value) == f"{missing}: its folder does not exist; create {missing.parent} first"
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="its folder is a file; choose another folder"):
        write_bytes(tmp_path / "file" / "out.mid", b"")
    with pytest.raises(UsageError, match="not a regular file"):
        write_bytes(tmp_path, b"", overwrite=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        write_bytes(tmp_path / "pipe", b"", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [
        (errno.ENOSPC, ResourceError, "no space left on device; free some space"),
        (errno.EDQUOT, ResourceError, "no space left on device"),
        (errno.EACCES, UsageError, "permission denied; choose a folder you may write to"),
        (errno.EROFS, UsageError, "its folder is read-only"),
    ],
)
def test_refusals_when_creating(tmp_path, monkeypatch, number, error, text):
    def refuse(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "open", refuse)
    with pytest.raises(error, match=text):
        write_bytes(tmp_path / "out.mid", b"x")


def test_a_full_disk_while_writing(tmp_path):
    with pytest.raises(ResourceError, match=r"out\.mid: no space left on device"):
        write_then(tmp_path / "out.mid", failing(OSError(errno.ENOSPC, "No space left on device")))
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_writer_pass(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_then(tmp_path / "out.mid", (tmp_path / "input").read_bytes)


# ---- several files ---------------------------------------------------------------------------------------


PAIR = ("take.json", "take.mid")


def pair(folder: Path, *, overwrite: bool = False, then: Callable[[], object] = lambda: None) -> None:
    """Write "new" to both, with something happening before they are put in place."""
    with together([folder / name for name in PAIR], overwrite=overwrite) as paths:
        for path in paths:
            path.write_text("new")
        then()


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_files_that_belong_together_appear_together(tmp_path):
    pair(tmp_path, then=lambda: None if not (tmp_path / "take.mid").exists() else pytest.fail("too early"))
    assert texts(tmp_path) == {"take.json": "new", "take.mid": "new"}
    with pytest.raises(UsageError, match=r"take.json: already exists; pass `overwrite`"):
        pair(tmp_path)


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_none_of_them_appears_after_an_error(tmp_path, error, overwrite):
    if overwrite:
        for name in PAIR:
            (tmp_path / name).write_text("old")
    with pytest.raises(ResourceError if isinstance(error, OSError) else type(error)):
        pair(tmp_path, overwrite=overwrite, then=failing(error))
    assert texts(tmp_path) == (dict.fromkeys(PAIR, "old") if overwrite else {})


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [(), PAIR, PAIR[:1], PAIR[1:]])
def test_an_error_between_the_first_and_the_last_takes_the_first_back(tmp_path, monkeypatch, error, old):
    for name in old:
        (tmp_path / name).write_text("old")
    replace, link = os.replace, os.link

    def stops(function: Callable[..., None]) -> Callable[..., None]:
        def call(source: Path, target: Path) -> None:
            if target == tmp_path / "take.mid":
                raise error
            function(source, target)

        return call

    monkeypatch.setattr(atomic.os, "replace", stops(replace))
    monkeypatch.setattr(atomic.os, "link", stops(link))
    with pytest.raises((ResourceError, KeyboardInterrupt)):
        pair(tmp_path, overwrite=bool(old))
    assert texts(tmp_path) == dict.fromkeys(old, "old")


def test_one_that_appeared_meanwhile_stops_all(tmp_path):
    with pytest.raises(UsageError, match=r"take.mid: already exists"):
        pair(tmp_path, then=lambda: (tmp_path / "take.mid").write_text("theirs"))
    assert texts(tmp_path) == {"take.mid": "theirs"}


def test_a_writer_that_is_given_a_temporary_path_names_the_file(tmp_path):
    def writes() -> None:
        with together([tmp_path / name for name in PAIR]) as (_, midi):
            write_bytes(midi, b"in place, without a detour")
            assert len(os.listdir(tmp_path)) == 2
            raise ResourceError("too long a piece", where=midi)

    with pytest.raises(ResourceError, match=rf"^{tmp_path}/take.mid: too long a piece$"):
        writes()
    assert os.listdir(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    code = (
        "import resource, sys\nfrom musicgen.io.atomic import together\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    with together(sys.argv[1:]) as (small, large):\n"
        "        small.write_bytes(bytes(10))\n        large.write_bytes(bytes(2000))\n"
        "except Exception as error:\n    sys.exit(f'{type(error).__name__} {error}')"
    )
    command = [sys.executable, "-c", code, tmp_path / "a.json", tmp_path / "a.mid"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    what = f"ResourceError {tmp_path}/a.mid: the file would be larger than is allowed here; raise the limit (ulimit -f)"
    assert done.stderr.startswith(what)
    assert os.listdir(tmp_path) == []


# ---- what a kill leaves ----------------------------------------------------------------------------------


KILLED = """
import os, sys
from musicgen.io.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("at it", flush=True)
    if sys.argv[2] == "die":
        os._exit(9)
    sys.stdin.read()
"""


def test_what_a_kill_left_is_removed_by_the_next_one_and_what_a_living_one_is_at_stays(tmp_path):
    own = tmp_path / ".mine.musicgen-tunes.mid"
    own.write_text("no name of ours")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "dead.mid", "die"], check=False, timeout=60)
    assert len(os.listdir(tmp_path)) == 2
    command = [sys.executable, "-c", KILLED, tmp_path / "living.mid", "live"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdout
        assert living.stdin
        assert living.stdout.readline() == "at it\n"
        write_text(tmp_path / "other.mid", "whole")
        left = sorted(os.listdir(tmp_path))
        living.stdin.close()
    assert [name for name in left if "dead" in name] == []
    assert len([name for name in left if name.startswith(".living.musicgen-")]) == 1
    assert living.returncode == 0
    assert texts(tmp_path) == {own.name: "no name of ours", "living.mid": "half", "other.mid": "whole"}

"""What a command writes appears whole: the music with its facts, all pictures, or nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io import atomic, read
from musicgen.pictures import canvas
from musicgen.pictures.album import Album
from musicgen.pictures.canvas import figure_of

EXAMPLE = Path(__file__).parents[2] / "corpora" / "examples" / "schubert-unfinished.mid"
QUICK = ("--bars", "1", "--study", "0", "--seed", "1")
LATIN_1 = os.fsdecode(b"caf\xe9.mid")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def limited(size: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, where no file may grow beyond `size` bytes."""
    code = (
        f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "from musicgen.cli.main import main\nmain()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_name_that_is_not_utf8_is_continued_and_told(here):
    shutil.copy(EXAMPLE, LATIN_1)
    result = run("continue", LATIN_1, *QUICK)
    assert result.exit_code == 0, result.output
    names = sorted(os.fsencode(name) for name in os.listdir(here))
    assert names == [b"caf\xe9.continued.json", b"caf\xe9.continued.mid", b"caf\xe9.mid"]
    facts = json.loads(Path(os.fsdecode(b"caf\xe9.continued.json")).read_text(encoding="utf-8"))
    assert os.fsencode(facts["source"]) == b"caf\xe9.mid"
    assert read(os.fsdecode(b"caf\xe9.continued.mid")).n_notes > read(EXAMPLE).n_notes


TOO_LARGE = "the file would be larger than is allowed here; raise the limit (ulimit -f), or ask for less"


def test_a_limit_on_the_size_of_files_leaves_neither_music_nor_facts(here):
    done = limited(100, "continue", EXAMPLE, *QUICK)
    assert done.returncode == 5
    (line,) = done.stderr.splitlines()
    assert TOO_LARGE in line
    assert os.listdir(here) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize("formats", ["mid,wav", "ogg"])
def test_music_beyond_the_limit_leaves_no_facts(here, formats):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))  # 2,500 bytes of facts
    try:
        done = run("continue", EXAMPLE, "-f", formats, *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.exit_code == 5
    (line,) = done.stderr.splitlines()
    assert TOO_LARGE in line
    assert os.listdir(here) == []


def test_of_several_takes_those_that_are_there_are_whole(here, monkeypatch):
    link, calls = os.link, []

    def full(source: object, target: object) -> None:
        calls.append(target)
        if len(calls) == 4:  # the music of the second take
            raise OSError(errno.ENOSPC, "No space left on device")
        link(source, target)

    monkeypatch.setattr(atomic.os, "link", full)
    result = run("continue", EXAMPLE, "-n", 3, *QUICK)
    assert result.exit_code == 5
    assert result.stderr.splitlines()[-1].startswith(
        "musicgen: schubert-unfinished.continued.2.mid: no space left on device"
    )
    assert sorted(os.listdir(here)) == ["schubert-unfinished.continued.1.json", "schubert-unfinished.continued.1.mid"]


def test_what_lay_there_is_back_when_overwriting_fails(here, monkeypatch):
    assert run("continue", EXAMPLE, *QUICK).exit_code == 0
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    replace = os.replace

    def full(source: object, target: object) -> None:
        if str(target).endswith(".mid"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(atomic.os, "replace", full)
        assert run("continue", EXAMPLE, "--bars", 1, "--study", 0, "--seed", 2, "--overwrite").exit_code == 5
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_all_pictures_or_none(here, monkeypatch):
    album = Album({"loss.png": figure_of(1, 1), "memory.png": figure_of(1, 1)})
    write, written = canvas.write_png, []

    def full(figure: object, path: Path, **options: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(figure, path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(canvas, "write_png", full)
        with pytest.raises(Exception, match="no space left on device"):
            album.save(here / "pictures")
    assert os.listdir(here) == []
    album.save(here / "pictures")
    assert sorted(os.listdir(here / "pictures")) == ["loss.png", "memory.png"]

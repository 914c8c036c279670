"""Check out a commit of a git repository as a folder, and check whether a folder still matches its commit.

Only https is used, also after redirects. Symbolic links are written as the small text files that git stores for them,
so that nothing points out of the folder. A commit's id is a digest of all its content, by way of its trees: a checkout,
new or old, is compared with it file by file.

Source: the objects' form is described in "Pro Git" (Chacon and Straub), section 10.2, and git's `gitformat-pack`.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musicgen.errors import MusicgenError, ResourceError, UnreadableError, UsageError, printable

__all__ = ["check_out", "differs"]

PROTOCOL = "https"
MOST_FILES = 1_000_000
DEEPEST = 64
LARGEST_OBJECT = 64_000_000  # bytes of a commit or a tree; files are never taken into memory
KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
# Disable hooks, filters and helpers that a configuration or the repository itself may name.
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.autocrlf=false",
    "core.symlinks=false",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "submodule.recurse=false",
    "http.sslVerify=true",
)


def check_out(git: str, address: str, *, commit: str, folder: Path, timeout_s: float) -> None:
    """Check out `commit` (40 hex digits) from `address` into the empty `folder`, and verify it.

    Raises UsageError for a malformed address or commit, UnreadableError if it can't be fetched or doesn't match.
    """
    # Both are passed to git as arguments, where a leading '-' would be an option.
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise UsageError(f"{commit!r} is not a commit", where=address, hint="give its 40 hex digits")
    if not address.startswith(f"{PROTOCOL}://") or not address.isprintable() or " " in address:
        raise UsageError("is no address to fetch from", where=address, hint=f"give one that begins with {PROTOCOL}://")

    def run(*arguments: str) -> None:
        _git(git, folder, arguments, address=address, timeout_s=timeout_s)

    run("init", "--quiet", "--template=")
    # The repository's own attributes could convert files, so that their bytes differ from the commit's.
    (folder / ".git" / "info").mkdir(exist_ok=True)
    (folder / ".git" / "info" / "attributes").write_text("* -text -ident -filter -working-tree-encoding\n")
    run("remote", "add", "origin", address)
    try:
        run("fetch", "--quiet", "--depth", "1", "origin", commit)
    except MusicgenError:
        # Some servers don't serve single commits: fetch the history without file contents instead.
        run("fetch", "--quiet", "--filter=blob:none", "origin", "+refs/heads/*:refs/remotes/origin/*")
    run("checkout", "--quiet", "--detach", commit)
    if difference := differs(git, folder, commit):
        raise UnreadableError(f"gave something else than {commit}: {difference}", where=address, hint="don't use it")


def differs(git: str, folder: Path, commit: str) -> str | None:
    """A description of the first difference between a checkout's files and its commit; None if there is none.

    Every file is read. Raises UnreadableError if the folder isn't a checkout that contains the commit.
    """
    wanted = _files_of(git, folder, commit)
    there = 0
    for at, folders, names in os.walk(folder):
        if Path(at) == folder:
            folders[:] = [name for name in folders if name != ".git"]
        for name in folders:
            if os.path.islink(os.path.join(at, name)):
                return f"{printable(name)} is a link"
        for name in names:
            path = Path(at, name)
            key = os.fsencode(path.relative_to(folder).as_posix())
            if key not in wanted:
                return f"{printable(key)} is none of its files"
            if path.is_symlink() or not path.is_file() or _digest(path) != wanted[key]:
                return f"{printable(key)} was changed"
            there += 1
    if there == len(wanted):
        return None
    lost = next(key for key in wanted if not os.path.lexists(os.path.join(os.fsencode(folder), key)))
    return f"{printable(lost)} is missing"


def _digest(path: Path) -> str:
    """The git object id (SHA-1, hex) of a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _files_of(git: str, folder: Path, commit: str) -> dict[bytes, str]:
    """{path: object id of its content} of all files of a commit; each commit and tree object is checked by its id."""
    files: dict[bytes, str] = {}
    with _objects(git, folder) as read:
        first = re.match(rb"tree ([0-9a-f]{40})\n", read(commit, "commit"))
        if not first:
            raise _not_it(folder, "the commit has no tree")
        waiting = [(b"", first[1].decode(), 0)]
        while waiting:
            prefix, number, depth = waiting.pop()
            data, at = read(number, "tree"), 0
            while at < len(data):
                end = data.index(b"\0", at)
                mode, _, name = data[at:end].partition(b" ")
                number, at = data[end + 1 : end + 21].hex(), end + 21
                if not name or b"/" in name or name in (b".", b"..") or name.lower() == b".git":
                    raise _not_it(folder, f"the commit has a file called {printable(name)}")
                if mode in (b"40000", b"040000"):
                    waiting.append((prefix + name + b"/", number, depth + 1))
                elif mode != b"160000":  # another repository, which isn't fetched
                    files[prefix + name] = number
            if depth > DEEPEST or len(files) > MOST_FILES:
                raise _not_it(folder, "the commit has too many files, or too deep")
    return files


@contextmanager
def _objects(git: str, folder: Path) -> Iterator[Any]:
    """A context with a function (object id, kind) -> the object's bytes, checked against the id.

    The function raises UnreadableError for an object that is missing, damaged or larger than LARGEST_OBJECT.
    """
    process = subprocess.Popen(
        _command(git, "cat-file", "--batch"),
        cwd=folder,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    source, sink = process.stdout, process.stdin

    def read(number: str, kind: str) -> bytes:
        try:
            sink.write(number.encode() + b"\n")
            sink.flush()
            head = source.readline(200).decode("ascii", "replace").split()
        except OSError:
            head = []
        if head[:2] != [number, kind] or int(head[2]) > LARGEST_OBJECT:
            raise _not_it(folder, f"{number} isn't in it")
        data = source.read(int(head[2]))
        source.read(1)
        content = f"{kind} {len(data)}\0".encode() + data
        if hashlib.sha1(content, usedforsecurity=False).hexdigest() != number:
            raise _not_it(folder, f"{number} is damaged")
        return data

    try:
        yield read
    finally:
        process.kill()
        process.communicate()


def _not_it(folder: Path, why: str) -> UnreadableError:
    return UnreadableError(f"is not a checkout of its commit ({why})", where=folder, hint="move it, and fetch it again")


def _command(git: str, *arguments: str) -> list[str]:
    return [git, *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in KEPT}
    settings = {"GIT_ALLOW_PROTOCOL": PROTOCOL, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    return {**own, **settings, "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}


def _git(git: str, folder: Path, arguments: tuple[str, ...], *, address: str, timeout_s: float) -> None:
    environment = _environment()
    if arguments[0] == "checkout":  # a history without file contents fetches them now
        del environment["GIT_NO_LAZY_FETCH"]
    try:
        done = subprocess.run(
            _command(git, *arguments),
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        what = f"git {arguments[0]} took longer than {timeout_s:.0f} s"
        raise UnreadableError(what, where=address, hint="check the network and try again") from None
    except OSError as error:
        raise ResourceError(f"git can't be run ({error.strerror})", hint="install git") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        reason = next((x for x in lines if x.startswith(("fatal:", "error:"))), lines[-1])
        raise UnreadableError(f"git {arguments[0]} failed ({reason[:200]})", where=address, hint="check the network")

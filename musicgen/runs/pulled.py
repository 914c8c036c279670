"""Models fetched by name or address: downloaded, checked against a sha256, unpacked, checked again, then made visible.

A run folder is copied file by file, from this machine or from the Hub (`hub.py`). Otherwise a source is a server's
folder (https, or http from this machine) or a local one. Its `models.json` maps names to archives:
{"NAME": {"file": "NAME.tar.gz", "sha256": "..."}}. An archive holds the files of one run folder, at its top or in one
folder, and nothing else: a member that is a link, or has another name, is refused, so that none can lead out of the new
folder. `origin.json` in the new folder tells where it came from.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from musicgen.errors import FULL, ResourceError, UnreadableError, UsageError
from musicgen.io.atomic import json_bytes
from musicgen.io.bounded import MEGABYTE, read_json
from musicgen.resources import ORIGIN_FILE, RUN_FILES, models_folder
from musicgen.runs.checked import checked_parts
from musicgen.runs.exports import whole_parts
from musicgen.runs.files import make_folder, sha256
from musicgen.runs.hub import SCHEME, Repository, download

__all__ = ["MOST_MEGABYTES", "beside", "is_address", "pull"]

MOST_MEGABYTES = 2000.0
TIMEOUT_S = 60
CHUNK = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LOCAL = ("localhost", "127.0.0.1", "::1")


def is_address(text: str) -> bool:
    """Whether a text is a web address rather than a name or a path."""
    return "://" in text


def pull(
    model: str,
    *,
    source: str | None = None,
    digest: str | None = None,
    output: str | os.PathLike[str] | None = None,
    most_megabytes: float = MOST_MEGABYTES,
) -> Path:
    """Fetch a model into the folder `output` (default: its name in `models_folder()`), and return that folder.

    `model` is a name listed by `source`; or the address of an archive, whose sha256 `digest` is then required; or a run
    folder, or `hf://owner/name`, where `digest` may be that of its weights. Neither an archive nor what is kept of it
    may exceed `most_megabytes`. Raises UsageError for a request that isn't safe and for a
    folder that exists, UnreadableError for an archive that isn't what its digest or manifest says, ResourceError if the
    source can't be reached.
    """
    folder_given = source is None and not is_address(model) and Path(model).is_dir()
    if model.startswith(SCHEME):
        name = Repository.of(model).name.rpartition("/")[2]
    elif folder_given:
        name = Path(model).resolve().name
    elif is_address(model):
        if digest is None:
            hint = "add `sha256`, as whoever offers the model states it"
            raise UsageError("an address alone doesn't say what it should hold", where=model, hint=hint)
        name = PurePosixPath(urlsplit(model).path).name.removesuffix(".tar.gz")
    else:
        name = model
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a model", hint="letters, digits, dots and dashes")
    target = Path(output) if output is not None else models_folder() / name
    if os.path.lexists(target):
        raise UsageError("exists already", where=target, hint="remove it first, or choose another folder with -o")
    if digest is not None and not DIGEST.fullmatch(digest.lower()):
        raise UsageError(f"{digest!r} is no sha256", hint="it has 64 hexadecimal digits")
    with beside(target) as home:
        folder = home / "run"
        folder.mkdir()
        most = int(most_megabytes * MEGABYTE)
        revision = None
        if model.startswith(SCHEME):
            address = model
            revision = download(Repository.of(model), folder, most=most, room=home / "hub")
        elif folder_given:
            address = str(Path(model).resolve())
            _copy_run(Path(model), folder, most=most)
        else:
            address, digest = (model, digest) if is_address(model) else _listed(name, source, digest, home)
            _fetch_archive(address, folder, digest=digest, most=most, home=home)
        _check_whole(folder, digest if revision or folder_given else None, where=address)
        origin = {"from": address, "revision": revision, "sha256": sha256(folder / "model.safetensors")}
        (folder / ORIGIN_FILE).write_bytes(json_bytes(origin))
        try:
            os.rename(folder, target)
        except OSError:
            raise UsageError("exists already", where=target, hint="choose another folder with -o") from None
    return target


def _fetch_archive(address: str, folder: Path, *, digest: str | None, most: int, home: Path) -> None:
    """Fetch an archive with this sha256 and unpack it into `folder`."""
    if digest is None or not DIGEST.fullmatch(digest.lower()):
        raise UsageError(f"{digest!r} is no sha256", hint="it has 64 hexadecimal digits")
    archive = home / "archive.tar.gz"
    _fetch(address, archive, digest=digest.lower())
    if archive.stat().st_size > most:
        what = f"is larger than {most / MEGABYTE:g} MB"
        raise UnreadableError(what, where=address, hint="raise `max_megabytes`")
    _unpack(archive, folder, where=address, most=most)


def _copy_run(source: Path, folder: Path, *, most: int) -> None:
    """Copy the files of a run folder, at most `most` bytes; links are left out."""
    home = whole_parts(source)
    for name in RUN_FILES:
        path = home / name if (home / name).is_file() else source / name
        if path.is_symlink() or not path.is_file():
            continue
        most -= path.stat().st_size
        if most < 0:
            raise UnreadableError("is too large", where=source, hint="raise `max_megabytes` if you trust it")
        shutil.copyfile(path, folder / name)


def _check_whole(folder: Path, digest: str | None, *, where: str) -> None:
    """Raise UnreadableError unless the run in a folder is what its manifest says, and its weights have the `digest`."""
    try:
        named = checked_parts(folder).digest
    except UnreadableError as error:  # what is wrong is wrong at its source: the folder will be gone
        raise UnreadableError(error.what, where=where, hint=error.hint) from None
    found = sha256(folder / "model.safetensors")
    if found != named:
        what = "model.safetensors is not the file that its manifest names"
        raise UnreadableError(what, where=where, hint="tell whoever offers the model")
    if digest is not None and found != digest.lower():
        raise UnreadableError(f"its weights have the sha256 {found}, not {digest}", where=where, hint="don't use it")


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, removed in the end."""
    make_folder(target.parent)
    try:
        home = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        what = f"can't be written to ({error.strerror})"
        raise UsageError(what, where=target.parent, hint="choose another folder with -o") from None
    try:
        yield home
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError("no space left on device", where=target.parent, hint="free some space") from None
        raise
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _listed(name: str, source: str | None, digest: str | None, home: Path) -> tuple[str, str | None]:
    """(address or path of the archive, its sha256) of a model that a source lists."""
    if source is None:
        hint = "add `source` with the https address or the folder of whoever offers it"
        raise UsageError(f"where is {name!r} to come from?", hint=hint)
    listing = home / "models.json"
    _fetch(_joined(source, "models.json"), listing, digest=None)
    models = read_json(listing, most=MEGABYTE, hint="it isn't a source of models")
    entry = models.get(name)
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("file", "sha256")):
        hint = f"it has {', '.join(sorted(models)[:20]) or 'none'}"
        raise UnreadableError(f"lists no model {name!r} with a file and a sha256", where=source, hint=hint)
    if PurePosixPath(entry["file"]).name != entry["file"] or "\\" in entry["file"]:
        raise UnreadableError(f"{entry['file']!r} is not the name of a file", where=source, hint="it must lie beside")
    return _joined(source, entry["file"]), digest or entry["sha256"]


def _joined(source: str, name: str) -> str:
    return f"{source.rstrip('/')}/{name}" if is_address(source) else str(Path(source) / name)


def _fetch(address: str, path: Path, *, digest: str | None) -> None:
    """Download or copy a file to `path`. Raises UnreadableError if its sha256 isn't `digest`."""
    if not is_address(address):
        try:
            shutil.copyfile(address, path)
        except OSError as error:
            raise UnreadableError(f"can't be read ({error.strerror})", where=address, hint="check `source`") from None
    else:
        _download(address, path)
    if digest is not None and (found := sha256(path)) != digest:
        what = f"has the sha256 {found}, not {digest}"
        raise UnreadableError(what, where=address, hint="fetch it again; if that persists, don't use it")


def _download(address: str, path: Path) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise UsageError("only https is spoken", where=address, hint="ask whoever offers it for an https address")
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            address,
            known_hash=None,
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except (RequestException, OSError, ValueError) as error:
        if getattr(error, "errno", None) in FULL:
            raise
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ResourceError(f"can't be fetched ({reason})", where=address, hint="check the address") from None


def _unpack(archive: Path, folder: Path, *, where: str, most: int) -> None:
    """Unpack the files of a run folder from a .tar.gz, at most `most` bytes of them."""
    left = most
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if member.isdir() and len(name.parts) <= 1 and ".." not in name.parts:
                    continue
                if not member.isreg() or name.name not in RUN_FILES or len(name.parts) > 2 or ".." in name.parts:
                    what = f"holds {member.name!r}, which is no file of a run folder"
                    raise UnreadableError(what, where=where, hint="don't use it")
                left -= member.size
                if left < 0:
                    what = f"unpacks to more than {most / MEGABYTE:g} MB"
                    raise UnreadableError(what, where=where, hint="raise `max_megabytes` if you trust it")
                file = tar.extractfile(member)
                if file is None or (folder / name.name).exists():
                    raise UnreadableError(f"holds {name.name!r} twice", where=where, hint="don't use it")
                _copy(file, folder / name.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise
        raise UnreadableError(f"is no .tar.gz archive ({error})", where=where, hint="fetch it again") from None


def _copy(file: IO[bytes], path: Path) -> None:
    with open(path, "xb") as out:
        shutil.copyfileobj(file, out, CHUNK)

"""The Hugging Face Hub as a place for models: `hf://owner/name`, at a branch, tag or commit with `@revision` behind it.

Needs the extra `hub`. Who may read and write is between huggingface_hub and its user (`hf auth login`); no token is
asked for, read or kept here. Of a repository only the files of a run folder are taken, all from one commit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.errors import FULL, MusicgenError, ResourceError, UnreadableError, UsageError
from musicgen.io.bounded import MEGABYTE
from musicgen.resources import RUN_FILES

__all__ = ["SCHEME", "Repository", "download", "upload"]

SCHEME = "hf://"
FORM = re.compile(
    r"hf://(?P<name>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[A-Za-z0-9][\w./-]{0,99}))?",
    re.ASCII,
)
COMMIT = re.compile(r"[0-9a-f]{40}")
TIMEOUT_S = 60


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub, by owner and name, and the revision that is asked for; None for the newest."""

    name: str
    revision: str | None = None

    @classmethod
    def of(cls, address: str) -> Repository:
        """From an address. Raises UsageError for one of another form.

        >>> Repository.of("hf://ada/tunes@v2")
        Repository(name='ada/tunes', revision='v2')
        """
        found = FORM.fullmatch(address)
        if found is None or ".." in address:
            raise UsageError("is no address of a model on the Hub", where=address, hint="write hf://owner/name")
        return cls(found["name"], found["revision"])


def download(repository: Repository, folder: Path, *, most: int, room: Path) -> str:
    """Fetch the files of a run folder into `folder`, at most `most` bytes; return the commit that they are from.

    `room` is for what is fetched on the way. Raises UsageError without the extra `hub`, ResourceError where the Hub or
    the repository can't be reached, UnreadableError for too much.
    """
    hub, where = _package(), f"{SCHEME}{repository.name}"
    with _told(where):
        info = hub.HfApi().model_info(
            repository.name, revision=repository.revision, files_metadata=True, timeout=TIMEOUT_S
        )
        sizes = {each.rfilename: each.size for each in info.siblings or () if each.rfilename in RUN_FILES}
        if not COMMIT.fullmatch(str(info.sha)):
            raise UnreadableError(f"{info.sha!r} is no commit", where=where, hint="try again")
        _check_sizes(sizes, most, where)
        for name in sizes:
            path = hub.hf_hub_download(repository.name, name, revision=info.sha, cache_dir=str(room))
            shutil.copyfile(path, folder / name)
            sizes[name] = (folder / name).stat().st_size
        _check_sizes(sizes, most, where)
    return str(info.sha)


def upload(folder: Path, repository: Repository, *, public: bool) -> str:
    """Put all files of a folder into a repository, which is made if there is none; return the address of the commit.

    Raises UsageError without the extra `hub`, and for a repository that is public where `public` is False;
    ResourceError where the Hub doesn't take it.
    """
    hub, where = _package(), f"{SCHEME}{repository.name}"
    if repository.revision is not None:
        raise UsageError("a push makes a new revision", where=where, hint="leave @ and what follows out")
    with _told(where):
        api = hub.HfApi()
        api.create_repo(repository.name, repo_type="model", private=not public, exist_ok=True)
        if not public and api.model_info(repository.name, timeout=TIMEOUT_S).private is False:
            hint = "pass `public` if everybody may have this model, or choose another name"
            raise UsageError("is a public repository", where=where, hint=hint)
        done = api.upload_folder(
            repo_id=repository.name, folder_path=str(folder), commit_message="A model by musicgen models push"
        )
    return str(done.commit_url)


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        hint = "install the extra: pip install 'musicgen-symbolic[hub]'"
        raise UsageError("the Hub needs the package huggingface_hub", hint=hint) from None
    return huggingface_hub


def _check_sizes(sizes: dict[str, int | None], most: int, where: str) -> None:
    if "model.safetensors" not in sizes:
        raise UnreadableError("has no model.safetensors, so it is no model of musicgen", where=where, hint="check it")
    if sum(size or 0 for size in sizes.values()) > most:
        what = f"is larger than {most / MEGABYTE:g} MB"
        raise UnreadableError(what, where=where, hint="raise `max_megabytes` if you trust it")


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Whatever goes wrong on the way as one line. The package raises errors of its HTTP library, which differ by
    version."""
    try:
        yield
    except MusicgenError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in FULL:
            raise
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        what = f"the Hub can't be reached or says no ({reason})"
        raise ResourceError(what, where=where, hint="check the name, and `hf auth whoami`") from None

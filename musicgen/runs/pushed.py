"""Models passed on: a run folder copied whole, with a model card, to a folder or to the Hub.

What is passed on is what users load, and the logs: no checkpoints, no corpus. It is checked against its manifest first.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from musicgen.errors import UnreadableError, UsageError
from musicgen.io.atomic import write_text
from musicgen.licences import shipping_of
from musicgen.resources import EXPRESSION_FILE, ORIGIN_FILE, RUN_FILES, known_models
from musicgen.runs.checked import checked_parts
from musicgen.runs.exports import whole_parts
from musicgen.runs.files import sha256
from musicgen.runs.hub import SCHEME, Repository, upload
from musicgen.runs.model_card import model_card
from musicgen.runs.pulled import beside

__all__ = ["Pushed", "push"]


@dataclass(frozen=True)
class Pushed:
    """Where a model went: a folder, or the address of a commit; the digest of its weights, and what was warned of."""

    place: str
    sha256: str
    warnings: tuple[str, ...] = ()


def push(
    run: str | os.PathLike[str], to: str | os.PathLike[str], *, public: bool = False, allow_restricted: bool = False
) -> Pushed:
    """Copy a run, or a model that is here, to a new folder or to `hf://owner/name`, with README.md as its model card.

    A repository that doesn't exist is made, private unless `public`. Raises UsageError for a folder that exists, and
    for a model whose card says that it may not be passed on, unless `allow_restricted`; UnreadableError for a run that
    isn't whole; ResourceError where the Hub doesn't take it.
    """
    folder = Path(run) if Path(run).exists() else known_models().get(os.fspath(run), Path(run))
    if not folder.is_dir():
        raise UnreadableError("no such run folder or model", where=run, hint="`musicgen models list` names those here")
    if (folder / EXPRESSION_FILE).is_file():
        raise UsageError("is a model of how notes are played, which comes along", where=run, hint="push another")
    home = whole_parts(folder)
    parts = checked_parts(home)
    if sha256(home / "model.safetensors") != parts.digest:
        what = "model.safetensors is not the file that its manifest names"
        raise UnreadableError(what, where=run, hint="copy the run folder again")
    may = shipping_of(parts.card)
    if may.may_ship is False and not allow_restricted:
        what = f"its card says that it may not be passed on ({'; '.join(may.reasons) or 'no reason is given'})"
        raise UsageError(what, where=run, hint="`allow_restricted` does it all the same, if you have the right")
    warnings = () if may.may_ship else tuple(f"you must know whether it may be passed on: {r}" for r in may.reasons)
    address, local = os.fspath(to), not os.fspath(to).startswith(SCHEME)
    if local and os.path.lexists(address):
        raise UsageError("exists already", where=address, hint="remove it first, or choose another folder")
    repository = None if local else Repository.of(address)
    with ExitStack() as stack:
        room = stack.enter_context(beside(Path(address))) if local else Path(stack.enter_context(TemporaryDirectory()))
        new = room / "run"
        new.mkdir()
        for name in RUN_FILES:
            source = home / name if (home / name).is_file() else folder / name
            if source.is_file() and name != ORIGIN_FILE:
                shutil.copyfile(source, new / name)
        name = repository.name.rpartition("/")[2] if repository else Path(address).name
        write_text(new / "README.md", model_card(parts.card, name=name, tokenizer=parts.tokenizer.name))
        if repository is not None:
            return Pushed(upload(new, repository, public=public), parts.digest, warnings)
        os.rename(new, address)
    return Pushed(address, parts.digest, warnings)

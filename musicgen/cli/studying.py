"""The study options of `continue` and `generate`: what the model is fine-tuned on before it samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.cli.options import warn
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Listener, Warned
from musicgen.words import counted

__all__ = ["Wish", "studying", "wish_from"]

MOST_FILES = 200
MOST_NOTES = 200_000


@dataclass(frozen=True)
class Wish:
    """The requested study. `updates` is None if the option isn't given; `files` are those of --study-also, of which at
    most MOST_FILES are read, and `named` those of them that are named, not found in a folder."""

    updates: int | None
    files: tuple[Path, ...] = ()
    named: frozenset[Path] = frozenset()
    whole: bool = False
    limits: Any = None

    @property
    def is_explicit(self) -> bool:
        """Whether the user requested any study explicitly."""
        return bool(self.updates or self.files or self.whole)


def wish_from(options: dict[str, Any], *, start: int | None, piece: Path | None, limits: Any = None) -> Wish:
    """Remove the study options from a command's options and return them. `piece` is the file to continue, if any.

    Raises UsageError for options that exclude each other, UnreadableError if --study-also has no music.
    """
    from musicgen.corpus.scan import find_files

    updates, also, whole = options.pop("study"), options.pop("study_also"), options.pop("study_whole", False)
    if updates == 0 and (also or whole):
        flag = "--study-also" if also else "--study-whole"
        raise UsageError(f"--study 0 is to study nothing, and {flag} to study more", hint="leave one of them out")
    if whole and start is None:
        hint = "add --from BAR, or leave --study-whole out"
        raise UsageError("--study-whole is to study what lies behind the cut, and there the piece ends", hint=hint)
    if piece is None and updates and not also:
        raise UsageError("there is no music to study yet", hint="name some with --study-also, or leave --study out")
    outside: list[Path] = []
    files = [found.path for found in find_files(also, outside=outside)]
    if outside:
        warn(f"--study-also: not followed out of the folder: {counted(len(outside), 'link')}")
    if also and not files:
        raise UnreadableError("no music files to study", where=also[0], hint="name MIDI files or scores")
    # The piece to be continued is left out here: it is studied anyway, as far as is allowed.
    files = [path for path in files if piece is None or not piece.exists() or not path.samefile(piece)]
    return Wish(updates if piece is not None or also else 0, tuple(files), frozenset(map(Path, also)), whole, limits)


def studying(wish: Wish, *, able: bool, listener: Listener) -> Any:
    """The `Studying` for a wish; `able` says whether the model can study. Warns about what is left out.

    Raises UnreadableError if no file of --study-also can be read, or one that is named can't be.
    """
    from musicgen.composer import Studying

    if not able:
        if wish.is_explicit:
            listener(Warned("this model can't study, it has no memory of the piece: it goes on without"))
        return Studying(updates=0)
    updates = Studying().updates if wish.updates is None else wish.updates
    return Studying(updates=updates, whole=wish.whole, also=_pieces(wish, listener) if wish.files else ())


def _pieces(wish: Wish, listener: Listener) -> tuple[Any, ...]:
    """The pieces in the files, up to MOST_FILES files and MOST_NOTES notes."""
    from musicgen.corpus.reading import read_pieces

    files = wish.files[:MOST_FILES]
    found = read_pieces(files, required=wish.named, limits=wish.limits, most_notes=MOST_NOTES, listener=listener)
    if not found.pieces:
        if found.full:
            what, hint = f"each piece to study has more than {MOST_NOTES:,} notes", "name shorter ones"
            raise UsageError(what, where="--study-also", hint=hint)
        raise UnreadableError("none of the music to study can be read", where="--study-also", hint="see the warnings")
    if found.files < len(wish.files):
        count, verb = counted(len(wish.files), "file"), "is" if found.files == 1 else "are"
        listener(Warned(f"--study-also: of {count} the first {found.files} {verb} studied; more would take long"))
    return found.pieces

"""The study options of `continue` and `generate`: what the model is fine-tuned on before it samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.cli.options import progress_bar, warn
from musicgen.errors import MusicgenError, UnreadableError, UsageError
from musicgen.words import counted

__all__ = ["Wish", "studying", "wish_from"]

MOST_FILES = 200
MOST_NOTES = 200_000


@dataclass(frozen=True)
class Wish:
    """The requested study. `updates` is None if the option isn't given; `files` are those of --study-also, of which at
    most MOST_FILES are read."""

    updates: int | None
    files: tuple[Path, ...] = ()
    whole: bool = False
    limits: Any = None

    @property
    def is_said(self) -> bool:
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
    return Wish(updates if piece is not None or also else 0, tuple(files), whole, limits)


def studying(wish: Wish, *, able: bool, on_update: Callable[[int, int], None]) -> Any:
    """The `Studying` for a wish; `able` says whether the model can study. Warns about what is left out.

    Raises UnreadableError if no file of --study-also can be read.
    """
    from musicgen.composer import Studying

    if not able:
        if wish.is_said:
            warn("this model can't study, it has no memory of the piece: it goes on without")
        return Studying(updates=0)
    updates = Studying().updates if wish.updates is None else wish.updates
    return Studying(updates=updates, whole=wish.whole, also=_pieces(wish), on_update=on_update)


def _pieces(wish: Wish) -> tuple[Any, ...]:
    """The pieces in the files, up to MOST_FILES files and MOST_NOTES notes."""
    from musicgen.corpus.scan import iter_pieces

    pieces: list[Any] = []
    notes = read = 0
    full = False
    with progress_bar() as bar:
        task = bar.add_task("reading music to study", total=min(len(wish.files), MOST_FILES), visible=bool(wish.files))
        for path in wish.files[:MOST_FILES]:
            for _, piece in iter_pieces(path, limits=wish.limits):
                if isinstance(piece, MusicgenError):
                    warn(str(piece))
                    continue
                full = full or notes + piece.n_notes > MOST_NOTES
                if full:
                    break
                notes += piece.n_notes
                pieces.append(piece)
            if full:
                break
            read += 1
            bar.advance(task)
    if wish.files and not pieces:
        if full:
            what, hint = f"each piece to study has more than {MOST_NOTES:,} notes", "name shorter ones"
            raise UsageError(what, where="--study-also", hint=hint)
        raise UnreadableError("none of the music to study can be read", where="--study-also", hint="see the warnings")
    if read < len(wish.files):
        files, verb = counted(len(wish.files), "file"), "is" if read == 1 else "are"
        warn(f"--study-also: of {files} the first {read} {verb} studied; more would take long")
    return tuple(pieces)

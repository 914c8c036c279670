"""A take: generated music within its whole file, the facts about it, and saving it to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from musicgen.errors import UsageError
from musicgen.events import Listener
from musicgen.io import TAKE_FORMATS
from musicgen.io.atomic import json_bytes, keep_inputs, together, write_text
from musicgen.io.midi import UNLIMITED, piece_from_midi
from musicgen.io.smf import MidiFile, smf_bytes
from musicgen.page.heard import Heard, heard_of, stem_of
from musicgen.page.writing import page_html
from musicgen.piece import Piece
from musicgen.render import render_file
from musicgen.sampling.decoder import Decoder
from musicgen.words import counted

__all__ = ["Take", "Writer"]


@dataclass(frozen=True, repr=False)
class Take:
    """One continuation or new piece: the whole file, the new music alone, and the facts for its JSON sidecar.

    `piece` is the content of the whole file, `notes` (NOTE, ticks of the piece) the new notes in it. `faults` are
    audible faults; empty for a good take. A take written as ABC has that text in `text`, and the new music alone in
    `new_text`. `inputs` are the files that it was made from. `nats` is its negative log-likelihood in nats a note, at
    temperature 1, where it was measured.

    >>> (take,) = composer.continue_("piece.mid", bars=4)  # doctest: +SKIP
    >>> take.facts["notes_added"], take.faults  # doctest: +SKIP
    (61, ())
    """

    midi: MidiFile
    only_new: MidiFile
    piece: Piece
    notes: np.ndarray
    facts: dict[str, Any]
    faults: tuple[str, ...]
    text: str | None = None
    new_text: str | None = None
    inputs: tuple[Path, ...] = ()
    nats: float | None = None

    def __repr__(self) -> str:
        """One line: the whole piece, and how much of it is new."""
        bars = f" in {counted(self.facts['bars_added'], 'bar')}" if self.facts.get("bars_added") else ""
        return f"Take({counted(len(self.notes), 'new note')}{bars}; {self.piece!r})"

    def _repr_html_(self) -> str | None:
        """What a notebook shows: roll and player, in which the new music stands out."""
        from musicgen.notebook import shown

        return shown(self.piece, heard=self.heard())

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        formats: Sequence[str] = (),
        only_new: bool = False,
        soundfont: str | Path | None = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write the take in the format of the path's suffix, with its facts as NAME.json, and return the facts.

        The suffix is .mid, .wav, .flac, .ogg, .html (a page to hear it by), or .abc for a take of text; `formats` adds
        further formats under the same name, for example ("wav",). `only_new` leaves out the music before the cut.
        Either all files are written or none. Raises UsageError for a file that exists, unless `overwrite`; for a format
        that isn't available; and, even with `overwrite`, for an output that is one of the take's input files.
        """
        path = Path(path)
        stem, own = path.name[: -len(path.suffix)] if path.suffix else path.name, path.suffix.lower().lstrip(".")
        files = {"mid" if own == "midi" else own: path}
        files |= {kind: path.with_name(f"{stem}.{kind}") for kind in formats if kind not in files}
        for kind, file in files.items():
            if kind not in TAKE_FORMATS:
                hint = f"end the name in .{', .'.join(TAKE_FORMATS)}"
                raise UsageError("a take can't be written in this format", where=file, hint=hint)
            if kind == "abc" and self.text is None:
                raise UsageError("this take is notes, not ABC text", where=file, hint="end the name in .mid")
        facts = {**self.facts, "files": [file.name for file in files.values()]}
        page = None
        if "html" in files:
            page = page_html([self.heard(name=stem_of(path), only_new=only_new)], soundfont=soundfont)
            facts["warnings"] = [*facts.get("warnings", ()), *page.warnings]
        # The sidecar comes first, so that no music is left without it if the process is killed.
        paths = [path.with_name(f"{stem}.json"), *files.values()]
        keep_inputs(paths, [*self.inputs, soundfont])
        with together(paths, overwrite=overwrite) as (sidecar, *written):
            sidecar.write_bytes(json_bytes(facts))
            for kind, file in zip(files, written, strict=True):
                if kind == "abc":
                    write_text(file, str(self.new_text if only_new else self.text))
                elif kind == "mid":
                    file.write_bytes(smf_bytes(self.only_new if only_new else self.midi))
                elif kind == "html" and page is not None:
                    write_text(file, page.html)
                else:
                    render_file(self._written(only_new), file, soundfont=soundfont)
        return facts

    def heard(self, *, name: str = "take", only_new: bool = False) -> Heard:
        """This take as a page tells it, under a name without suffix; `only_new` leaves out the music before the cut."""
        data = smf_bytes(self.only_new if only_new else self.midi)
        return heard_of(self._written(only_new), name=name, midi=data, facts=self.facts)

    def _written(self, only_new: bool) -> Piece:
        """The piece that is written."""
        return piece_from_midi(self.only_new, limits=UNLIMITED) if only_new else self.piece


class Writer(Protocol):
    """Generates takes for a request, as notes on the parts of a piece or as ABC text.

    A writer is constructed from a source, a tokenizer and a request, and raises UsageError then if they don't fit.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """The request as plain values, for the facts."""

    @property
    def bars(self) -> int | None:
        """The number of new bars of a take; None if it isn't fixed."""

    def takes(self, decoder: Decoder, seeds: Sequence[int], *, listener: Listener) -> Iterator[Take]:
        """Yield a take for each seed, independent of the other seeds, with the facts that the writer knows; `listener`
        gets the progress in new bars."""

"""A take: new music with the file it belongs to, the facts about it, and how it is written to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from musicgen.errors import UsageError
from musicgen.io import TAKE_FORMATS
from musicgen.io.atomic import json_bytes, keep_inputs, together, write_text
from musicgen.io.midi import UNLIMITED, piece_from_midi
from musicgen.io.smf import MidiFile, smf_bytes
from musicgen.piece import Piece
from musicgen.render import render_file
from musicgen.sampling.decoder import Decoder

__all__ = ["OnBars", "Take", "Writer"]

OnBars = Callable[[int, int | None], None]  # how many new bars are done, of how many; None: nobody knows


@dataclass(frozen=True)
class Take:
    """One continuation or new piece: the whole file, the new music alone, and the facts that go beside it.

    `piece` is what the whole file holds, `notes` (NOTE, ticks of the piece) the new notes in it. `faults` is what a
    listener would call broken; empty for a good take. A take that was written as ABC text has it in `text`, and the new
    music alone in `new_text`. `inputs` are the files that it was made from.
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

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        formats: Sequence[str] = (),
        only_new: bool = False,
        soundfont: str | Path | None = None,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Write the take as its suffix says, with its facts beside it as NAME.json, and return the facts as written.

        The suffix is .mid, .wav, .flac, .ogg, or .abc for a take of text; `formats` adds more of these under the same
        name, as in ("wav",). `only_new` leaves out what was before. All files appear, or none does. Raises UsageError
        for one that exists, unless it may be overwritten, for what can't be written, and, whatever is said of
        overwriting, for an output that is one of the files that the take was made from.
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
        # The sidecar first: after a kill no music lies there without it.
        paths = [path.with_name(f"{stem}.json"), *files.values()]
        keep_inputs(paths, [*self.inputs, soundfont])
        with together(paths, overwrite=overwrite) as (sidecar, *written):
            sidecar.write_bytes(json_bytes(facts))
            for kind, file in zip(files, written, strict=True):
                if kind == "abc":
                    write_text(file, str(self.new_text if only_new else self.text))
                elif kind == "mid":
                    file.write_bytes(smf_bytes(self.only_new if only_new else self.midi))
                else:
                    piece = piece_from_midi(self.only_new, limits=UNLIMITED) if only_new else self.piece
                    render_file(piece, file, soundfont=soundfont)
        return facts


class Writer(Protocol):
    """How takes come about once it is known what is asked: as notes on the parts of a piece, or as text.

    A writer is made of a source, a tokenizer and a request, and making it raises UsageError for what doesn't fit them.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked of the music, for the facts."""

    def takes(self, decoder: Decoder, seeds: Sequence[int], *, on_bars: OnBars) -> Iterator[Take]:
        """A take for each seed, the same whatever other seeds there are, with the facts that the writer knows."""

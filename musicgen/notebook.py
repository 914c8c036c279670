"""What a piece gives to a notebook: its roll and player as HTML, and files by their suffix.

A cell's output is the listening page (`page/`) in a frame of its own, so that pieces of one notebook share neither
names, style nor script; the page asks nothing of any network.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from musicgen.errors import MusicgenError, UsageError
from musicgen.io import MIDI_SUFFIXES, write
from musicgen.io.audio import FORMATS
from musicgen.overview import in_words
from musicgen.page import Heard, heard_of, page_html
from musicgen.piece import Piece
from musicgen.render import check_soundfont, render_file
from musicgen.words import spell_seconds

__all__ = ["Player", "in_notebook", "play", "save", "shown"]

HEIGHT = 620  # pixels: the buttons, a roll of usual height and the parts; the rest scrolls
# A cell that only names a piece is to answer soon. In nine real pieces a note took .3 to 2.9 ms to render (median .7):
# so much takes about 2 s.
MOST_SECONDS, MOST_NOTES = 180, 3_000
BYTES_A_SECOND = 14_000  # of a page with sound: a minute stays below a megabyte once it is quoted


@dataclass(frozen=True, repr=False)
class Player:
    """A page in a frame; a notebook shows it where it is the last value of a cell. `html` is the page itself."""

    html: str

    def __repr__(self) -> str:
        return f"Player({len(self.html) / 1e6:.1f} MB of HTML)"

    def _repr_html_(self) -> str:
        # Without allow-same-origin: nothing in the frame reaches the notebook around it.
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" title="Piano roll and player" width="100%" '
            f'height="{HEIGHT}" style="border: 0; resize: vertical" srcdoc="{escape(self.html)}"></iframe>'
        )


def shown(piece: Piece, *, heard: Heard | None = None) -> str | None:
    """What a notebook shows of a piece, or of the take `heard` that it is of: its roll, with sound if that is made
    within a second or two.

    Longer music says that `play` brings the sound. None if no page can be made of the piece: a notebook then shows its
    one line.
    """
    is_short = piece.seconds <= MOST_SECONDS and piece.n_notes <= MOST_NOTES
    silence = f"{spell_seconds(piece.seconds)} of music take a while to render: piece.play() makes the sound."
    try:
        return _player(piece, heard=heard, sound=is_short, silence=silence)._repr_html_()
    except MusicgenError:
        return None


def play(piece: Piece, *, soundfont: str | os.PathLike[str] | None = None) -> Player:
    """See `Piece.play`."""
    if not in_notebook():
        raise UsageError("a piece is played in a notebook", hint="here, save it as sound: piece.save('piece.wav')")
    font = None if soundfont is None else Path(soundfont)
    check_soundfont(font)
    return _player(piece, sound=True, soundfont=font)


def save(piece: Piece, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """See `Piece.save`."""
    suffix = Path(path).suffix.lower()
    if suffix in FORMATS:
        render_file(piece, path, overwrite=overwrite)
    elif suffix in MIDI_SUFFIXES:
        write(piece, path, overwrite=overwrite)
    else:
        hint = "end the name in .mid, .wav, .flac or .ogg"
        raise UsageError("a piece is saved as MIDI or sound", where=path, hint=hint)


def _player(
    piece: Piece, *, sound: bool, heard: Heard | None = None, soundfont: Path | None = None, silence: str = ""
) -> Player:
    page = page_html(
        [heard or heard_of(piece, name="piece")],
        title=in_words(piece),
        sound=sound,
        soundfont=soundfont,
        most_bytes=int(BYTES_A_SECOND * max(60.0, piece.seconds)),
        silence=silence,
    )
    return Player(page.html)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook: IPython with a kernel, not IPython in a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None

"""The `abc` tokenizer: the characters of a tune in ABC notation, header included.

Ids are BOS, one for each character, EOS; the alphabet is printable ASCII and the line break, 96 characters. Text is
normalised: carriage returns, spaces at the ends of lines and blank lines are removed; letters lose their accents; other
characters outside ASCII are dropped, and `report_text` counts them. Nothing else is changed, so that nats a character
are those of the text: each tune is scored from its `X` to its last line break, and EOS.

Text is taken from `.abc` files directly (`as_text`). A piece from another source is written as a plain tune of its
highest line, see `spelling.py`.

Source: ABC standard 2.1; the characters of folk tunes as steps are Sturm et al. 2016, "Music transcription modelling
and composition using deep learning", arXiv:1604.08723, and the music lab of MIT 6.S191.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Self

import numpy as np

from musicgen.errors import UsageError
from musicgen.io.scores import read_tune
from musicgen.piece import NOTE, Piece
from musicgen.tokenizers.abc.grammar import ALPHABET, AbcGrammar
from musicgen.tokenizers.abc.spelling import losses, spell_tune
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.words import counted, was

__all__ = ["Abc", "AbcSettings", "body_of", "header_of", "tidy"]

UNKNOWN = 255
_CODES = np.full(256, UNKNOWN, np.uint8)
_CODES[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))


@dataclass(frozen=True)
class AbcSettings:
    """No settings."""


class Abc(Tokenizer):
    """Text or Piece <-> ids, (T,). `transposed` returns ids unchanged, as text can't be transposed by shifting ids."""

    name = "abc"
    Settings = AbcSettings
    settings: AbcSettings
    pitched = ()

    def _kinds(self) -> dict[str, int]:
        return {"pad": 1, "bos": 1, "eos": 1, "char": len(ALPHABET)}

    @property
    def as_text(self) -> Self:
        return self

    @property
    def _first(self) -> int:
        return self.vocabulary.base["char"]

    # ---- text ------------------------------------------------------------------------------------

    def encode_text(self, text: str) -> np.ndarray:
        """One tune's text as ids, (T,) uint16, from BOS to EOS; see `tidy` for what is changed in it."""
        codes = _CODES[np.frombuffer(tidy(text).encode("ascii"), np.uint8)].astype(np.uint16)
        v = self.vocabulary
        return np.concatenate([[v.id("bos")], codes + self._first, [v.id("eos")]]).astype(np.uint16)

    def text(self, ids: np.ndarray) -> str:
        """The text of `ids`, without ids that are no characters."""
        ids = np.asarray(ids)
        return "".join(ALPHABET[i] for i in (ids[ids >= self._first] - self._first).tolist())

    def report_text(self, text: str) -> list[str]:
        """What `encode_text` drops, one line for each kind of loss."""
        lost = sum(1 for c in _plain(text) if c not in ALPHABET and c != "\r")
        return [f"characters: {counted(lost, 'character')} outside ASCII {was(lost)} left out"] if lost else []

    def opening(self, text: str) -> str:
        """The first 32 note letters of a tune, by which settings of one tune are recognised; empty below 16 notes."""
        letters = _letters(text)[:32]
        return "".join(letters) if len(letters) >= 16 else ""

    # ---- pieces ----------------------------------------------------------------------------------

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece's highest line as a plain tune, (T,) uint16; rests continue to tick `until` if that is later."""
        return self.encode_text(spell_tune(piece, until=until))

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that a tune encodes, repeats written out. Raises UnreadableError for a text that is no tune."""
        text = self.text(ids)
        return read_tune(text) if _letters(text) else Piece()

    def report(self, piece: Piece) -> list[str]:
        """What the plain tune of a piece leaves out, besides timing."""
        return losses(piece)

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program 0 of each) of the text sampled after the tune `prompt`."""
        new = self.text(ids)
        if not _letters(header_of(self.text(prompt)) + new):
            return np.empty(0, NOTE), np.zeros(0, np.int64)
        piece = self.decode(self.encode_text(header_of(self.text(prompt)) + new))
        tracks = [t.notes for t in piece.tracks] or [np.empty(0, NOTE)]
        notes = np.sort(np.concatenate(tracks), order=["start", "pitch"])
        scale = anchor.ticks_per_quarter / piece.ticks_per_quarter
        start = np.rint(notes["start"] * scale).astype(np.int64)
        end = np.rint((notes["start"] + notes["duration"]) * scale).astype(np.int64)
        notes["start"], notes["duration"] = anchor.tick + start, np.maximum(1, end - start)
        return notes, np.zeros(len(notes), np.int64)

    # ---- on ids ----------------------------------------------------------------------------------

    def count_notes(self, ids: np.ndarray) -> int:
        """The number of written notes: letters A to G of the body."""
        return len(_letters(self.text(ids)))

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices at which lines begin; bars aren't used, as a bar line may be several characters."""
        breaks = np.flatnonzero(np.asarray(ids) == self._first + ALPHABET.index("\n")) + 1
        return breaks[breaks < len(ids)]

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """At most about `room` ids: the whole header, then the last lines or bars of the body."""
        if len(ids) <= room:
            return ids
        text = self.text(ids)
        header = header_of(text)
        body = text[len(header) :][-max(1, room - len(header) - 1) :]
        cut = max(body.find("\n"), 0) or max(body.find("|"), 0)
        kept = header + body[cut + 1 :] if cut else header + body
        return np.concatenate([ids[:1], self.encode_text_as_it_is(kept)])

    def encode_text_as_it_is(self, text: str) -> np.ndarray:
        """The ids of the characters of `text`, unchanged and without BOS and EOS, int64.

        Raises UsageError for a character outside the alphabet.
        """
        try:
            codes = _CODES[np.frombuffer(text.encode("ascii"), np.uint8)]
        except UnicodeEncodeError:
            codes = np.array([UNKNOWN])
        if (codes == UNKNOWN).any():
            raise UsageError("the text has characters outside ASCII", hint="tidy it first")
        return codes.astype(np.int64) + self._first

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> AbcGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a tune's body."""
        return AbcGrammar(self.vocabulary, constraints, inside=inside)


def tidy(text: str) -> str:
    """Normalise a tune's text to the alphabet, without blank lines and trailing spaces, with a final line break.

    >>> tidy("X:1\\r\\nT:Caf\\u00e9 \\n\\nK:C\\nCDEF|")
    'X:1\\nT:Cafe\\nK:C\\nCDEF|\\n'
    """
    known = set(ALPHABET)
    text = "".join(c for c in _plain(text).replace("\r\n", "\n").replace("\r", "\n") if c in known)
    lines = [line.rstrip() for line in text.split("\n")]
    return "".join(line + "\n" for line in lines if line)


def _plain(text: str) -> str:
    """The text with tabs as spaces and letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.replace("\t", " ")) if not unicodedata.combining(c))


def header_of(text: str) -> str:
    """The text up to the end of its K: line; all of it if there is none."""
    match = re.search(r"^K:.*(?:\n|$)", text, flags=re.MULTILINE)
    return text[: match.end()] if match else text


def body_of(text: str) -> str:
    """The text after the K: line."""
    return text[len(header_of(text)) :]


def _letters(text: str) -> list[str]:
    """The note letters of a tune's body, outside of fields, comments and quotes."""
    body = re.sub(r'^(?:[A-Za-z]:(?!\|).*|%.*)$|"[^"\n]*"', "", body_of(text), flags=re.MULTILINE)
    return re.findall("[A-Ga-g]", body)

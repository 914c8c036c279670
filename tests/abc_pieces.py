"""What ABC text sounds like, in the shortest form a test can state: pitches, lengths, letters, or all of it."""

from __future__ import annotations

from musicgen.io.scores import read_tune
from musicgen.piece import Piece

HEAD = "X:1\nM:4/4\nL:1/4\nK:C\n"
LETTERS = {60: "C", 62: "D", 64: "E", 65: "F", 67: "G", 69: "A", 71: "B", 72: "c", 74: "d", 76: "e", 77: "f", 79: "g"}


def tune(body: str, head: str = HEAD) -> Piece:
    """The piece of a tune's body behind a header of 4/4, quarters, C major."""
    piece = read_tune(head + body + "\n")
    piece.validate()
    return piece


def heard(body: str, head: str = HEAD) -> list[tuple[float, int, float]]:
    """(onset, pitch, length) in quarters of all notes of all parts, by onset and pitch."""
    return rows(tune(body, head))


def rows(piece: Piece, track: int | None = None) -> list[tuple[float, int, float]]:
    tracks = piece.tracks if track is None else piece.tracks[track : track + 1]
    per = piece.ticks_per_quarter
    notes = [(int(n["start"]), int(n["pitch"]), int(n["duration"])) for t in tracks for n in t.notes]
    return sorted((start / per, pitch, length / per) for start, pitch, length in notes)


def pitches(body: str, head: str = HEAD) -> list[int]:
    """Pitches by onset."""
    return [pitch for _, pitch, _ in heard(body, head)]


def lengths(body: str, head: str = HEAD) -> list[float]:
    """Lengths in quarters by onset, of notes that follow each other without a gap."""
    found = heard(body, head)
    for (start, _, length), (after, _, _) in zip(found, found[1:], strict=False):
        assert abs(start + length - after) < 1e-3, "there is a gap"
    return [round(length, 4) for _, _, length in found]


def letters(body: str, head: str = HEAD) -> str:
    """The notes in playing order, for tunes of C major within two octaves."""
    return "".join(LETTERS[pitch] for pitch in pitches(body, head))


def warnings(body: str, head: str = HEAD) -> list[str]:
    return list(tune(body, head).warnings)

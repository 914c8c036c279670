"""Music drawn by chance and written as kern in one of the many ways that spines allow: it is read back as it was."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from kern_texts import notes_of, piece_of

RECIPS = {
    "1": 4, "2": 2, "4": 1, "8": Fraction(1, 2), "16": Fraction(1, 4), "2.": 3, "4.": Fraction(3, 2),
    "6": Fraction(2, 3), "12": Fraction(1, 3), "10": Fraction(2, 5), "14": Fraction(2, 7), "3%2": Fraction(8, 3),
}  # fmt: skip
LETTERS = {60: "c", 62: "d", 63: "e-", 65: "f", 66: "f#", 72: "cc", 59: "B", 48: "C", 35: "BBB", 85: "ccc#"}


def voice(rng, bar):
    """(onset, token) of a voice that fills a bar, and what sounds: (onset, length, pitch)."""
    at, tokens, sounding = Fraction(0), [], set()
    while at < bar:
        fitting = [recip for recip, length in RECIPS.items() if at + length <= bar]
        # Where nothing fits the rest of the bar is one note: any fraction has a token.
        left = bar - at
        recip = rng.choice(fitting) if fitting else f"{(4 / left).numerator}%{(4 / left).denominator}"
        length = Fraction(RECIPS.get(recip, left))
        if rng.random() < 0.2:
            tokens.append((at, f"{recip}r"))
        else:
            chord = rng.sample(sorted(LETTERS), rng.choice((1, 1, 2)))
            tokens.append((at, " ".join(recip + LETTERS[pitch] for pitch in chord)))
            sounding |= {(at, length, pitch) for pitch in chord}
        at += length
    return tokens, sounding


def paths(rng, counts, wanted):
    """Lines of `*^` and `*v` that turn spines with so many voices into spines with the wanted numbers."""
    counts = list(counts)
    while counts != list(wanted):
        line = []
        for spine, (has, wants) in enumerate(zip(counts, wanted, strict=True)):
            if has < wants:
                which = rng.randrange(has)
                line += ["*^" if k == which else "*" for k in range(has)]
                counts[spine] += 1
            elif has > wants:
                joined = rng.randint(2, has - wants + 1)
                begin = rng.randint(0, has - joined)
                line += ["*v" if begin <= k < begin + joined else "*" for k in range(has)]
                counts[spine] -= joined - 1
            else:
                line += ["*"] * has
        # Joins of two spines side by side take a line each, as the User Guide asks.
        yield line


def drawn(seed):
    """A table, and for each spine what sounds."""
    rng = random.Random(seed)
    spines, bar = rng.randint(1, 3), Fraction(rng.choice((2, 3, 4)))
    counts, lines = [1] * spines, ["  ".join(["**kern"] * spines), "  ".join([f"*M{bar}/4"] * spines)]
    sounding = [set() for _ in range(spines)]
    for number in range(rng.randint(2, 6)):
        lines.append("  ".join([f"={number + 1}"] * sum(counts)))
        wanted = [rng.choice((1, 1, 2, 3, 4)) for _ in range(spines)]
        for line in paths(rng, counts, wanted):
            lines.append("  ".join(line))
        counts, columns = wanted, []
        for spine in range(spines):
            for _ in range(counts[spine]):
                tokens, notes = voice(rng, bar)
                columns.append(dict(tokens))
                sounding[spine] |= {(number * bar + onset, length, pitch) for onset, length, pitch in notes}
        for onset in sorted({onset for column in columns for onset in column}):
            lines.append("  ".join(column.get(onset, ".") for column in columns))
    lines.append("  ".join(["=="] * sum(counts)))
    lines.append("  ".join(["*-"] * sum(counts)))
    return "\n".join(lines), sounding


def as_one_plays(notes):
    """Notes of one pitch that begin together are one, the longest."""
    longest = {}
    for onset, length, pitch in notes:
        longest[onset, pitch] = max(length, longest.get((onset, pitch), 0))
    return sorted((float(onset), float(length), pitch) for (onset, pitch), length in longest.items())


@pytest.mark.parametrize("seed", range(60))
def test_voices_come_back_whatever_the_spines_did(seed):
    text, sounding = drawn(seed)
    piece = piece_of(text)
    assert len(piece.tracks) == len(sounding)
    for track, notes in enumerate(reversed(sounding)):
        expected, read = as_one_plays(notes), notes_of(piece, track)
        assert len(read) == len(expected)
        for mine, true in zip(read, expected, strict=True):
            assert mine == pytest.approx(true, abs=1.1e-4)  # 10080 ticks a quarter
    assert not [w for w in piece.warnings if not w.startswith(("unisons", "meters"))]

"""Kern files that don't hold together, or that ask for too much: one line that names the place, or a valid piece."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from kern_texts import kern, line_of, piece_of
from score_files import read_scores

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores import iter_scores, read_score

sys.path.insert(0, str(Path(__file__).parents[3] / "pipelines" / "torture"))
from kern_sources import KERN_PIECES
from scores import mutant


def failure(text, **limits):
    """What is wrong with a table, with the line that is named."""
    with pytest.raises(UnreadableError) as caught:
        piece_of(text, **limits)
    assert str(caught.value).startswith("t.krn: ")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value.what


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("**kern  **kern\n4C  4c\n4D\n*-  *-", "line 3: 1 field where 2 spines are open"),
        ("**kern\n4c  4d\n*-", "line 2: 2 fields where 1 spine is open"),
        ("**kern\n*^\n4c\n*-", "line 3: 1 field where 2 spines are open"),
        ("**kern\n4c\n*-\n4d", "line 4: no spine is open here"),
        ("4c\n**kern\n*-", "line 1: no spine is open here"),
        ("**text\nla\n*-", "has no **kern spine"),
        ("**kern\n0000c\n*-", "line 2: '0000c' can't be read: its duration can't be a note's"),
        ("**kern\n1%9999c\n*-", "line 2: '1%9999c' can't be read: it lasts longer than 4,096 quarters"),
        (
            "**kern\n4" + "c" * 5000 + "\n*-",
            "line 2: '4" + "c" * 39 + "' can't be read: it is longer than 2,000 characters",
        ),
        ("**kern\n4r\n*-", "has no notes"),
        ("!! a comment\n\n**kern\n\n*^\n\n4c\n", "line 7: 1 field where 2 spines are open"),
    ],
)
def test_what_is_broken_is_told_with_its_line(text, what):
    assert failure(text) == what


def test_limits_hold_while_a_file_is_read():
    spines = "  ".join(["**kern"] * 3000) + "\n" + "  ".join(["4c"] * 3000) + "\n"
    assert failure(spines) == "line 1: 3,000 spines, the limit is 256"
    split = "**kern\n" + "".join("  ".join(["*^"] * 2**k) + "\n" for k in range(12))
    assert failure(split) == "line 10: 512 spines, the limit is 256"
    assert failure("**kern\n" + "4c\n" * 101, notes=100) == "has more than 100 notes, the limit"
    much = "has more than 30,000 notes, rests and marks, the limit"
    for line in ("4r\n", ".\n", "*M4/4\n", "qc\n"):
        assert failure("**kern\n" + line * 30_001, notes=100) == much
    assert failure("**kern\n" + "=\n" * 100_001) == "line 100002: more than 100,000 bar lines"
    assert failure("**kern\n" + "**kern\n" * 300) == "line 257: 257 spines, the limit is 256"
    assert failure("**kern\n" + "1%900c\n" * 200) == "lasts 100.0 hours, the limit is 3"
    assert failure("**kern\n" + "1%1000c\n" * 3000) == "line 2503: more than 10,000,000 quarters"


def test_repeats_past_the_limit_of_notes_are_left_as_written():
    piece = piece_of("**kern\n*>[A,A,A]\n*>A\n4c\n4d\n*-\n", notes=4)
    assert line_of(piece) == [(0, 60), (1, 62)]
    assert "repeats: with them the score would pass the limit of notes; left as written" in piece.warnings


def test_durations_finer_than_any_clock_are_rounded_and_told():
    primes = [n for n in range(101, 400) if all(n % k for k in range(2, 20))]
    piece = piece_of("**kern\n" + "".join(f"{n}c\n" for n in primes) + "*-\n")
    assert piece.n_notes == len(primes)
    assert any(warning.startswith("rounded: ") for warning in piece.warnings)


# ---- files -----------------------------------------------------------------------------------------------


def test_a_file_may_hold_several_pieces(tmp_path):
    path = tmp_path / "all.krn"
    path.write_text(
        kern("""
            !!!!SEGMENT: one.krn
            !!!OTL: First
            **kern
            4c
            *-
            !!!!SEGMENT: two.krn
            **kern
            4d
            *-
        """)
    )
    assert [(name, line_of(piece)) for name, piece in read_scores(path)] == [("1 one", [(0, 60)]), ("2 two", [(0, 62)])]
    path.write_text(kern("**kern\n4c\n*-\n!!!OTL: Second\n**kern\n4d\n*-\n"))
    assert [(name, line_of(piece)) for name, piece in read_scores(path)] == [
        ("1 all", [(0, 60)]), ("2 Second", [(0, 62)]),
    ]  # fmt: skip


def test_a_broken_piece_doesnt_cost_the_others_and_names_the_line_of_the_file(tmp_path):
    path = tmp_path / "all.krn"
    path.write_text(kern("!!!!SEGMENT: one\n**kern\n4c\n*-\n!!!!SEGMENT: two\n**kern\n4d  4e\n*-\n"))
    (name, piece), (broken, error) = iter_scores(path)
    assert (name, line_of(piece)) == ("1 one", [(0, 60)])
    assert (broken, error.what) == ("2 two", "line 7: 2 fields where 1 spine is open")


def test_too_many_pieces_are_refused(tmp_path):
    path = tmp_path / "all.krn"
    path.write_text("**kern\n4c\n*-\n" * 1001)
    with pytest.raises(UnreadableError, match=r"has more than 1,000 pieces; split it"):
        read_scores(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_encodings(tmp_path, encoding, newline):
    path = tmp_path / "a.krn"
    path.write_bytes(kern('**kern\n*I"Flöte\n4c\n*-\n').replace("\n", newline).encode(encoding))
    piece = read_score(path)
    assert (piece.tracks[0].name, piece.tracks[0].program) == ("Flöte", 73)


@pytest.mark.parametrize("number", range(0, 200, 20))
def test_mutants_give_a_valid_piece_or_one_line(tmp_path, number):
    path = tmp_path / "mutant.krn"
    read = 0
    for n in range(number, number + 20):
        path.write_bytes(mutant(KERN_PIECES[n % len(KERN_PIECES)], random.Random(f"suite/{n}")))
        try:
            for _, piece in read_scores(path, limits=Limits()):
                piece.validate()
                read += 1
        except UnreadableError as error:
            assert "\n" not in str(error)
            assert error.hint
    assert read  # some are still music

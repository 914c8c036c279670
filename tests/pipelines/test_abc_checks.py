"""What holds the ABC reader to account: mutants of tunes, and the comparison with abc2midi."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from score_files import read_scores

from musicgen.errors import UnreadableError
from musicgen.io.scores import read_tune

PIPELINES = Path(__file__).parents[2] / "pipelines"


def test_mutants_of_abc_are_read_or_refused_in_a_line(module, tmp_path):
    mutant, tunes = module("torture", "scores").mutant, module("torture", "abc_sources").ABC_TUNES
    path, read = tmp_path / "mutant.abc", 0
    for n in range(80):
        path.write_bytes(mutant(tunes[n % len(tunes)], random.Random(f"suite/{n}")))
        try:
            for _, piece in read_scores(path):
                piece.validate()
            read += 1
        except UnreadableError as error:
            assert error.hint, n
            assert "\n" not in str(error), n
    assert read > 40, "most mutants still hold music"


def test_the_torture_uses_tunes_without_a_fault(module, tmp_path):
    path = tmp_path / "tunes.abc"
    for text in module("torture", "abc_sources").ABC_TUNES:
        path.write_bytes(text)
        warnings = [w.split(":")[0] for _, piece in read_scores(path) for w in piece.warnings]
        assert not set(warnings) & {"characters", "decorations", "fields", "lengths", "bars", "repeats"}


@pytest.mark.parametrize(
    ("written", "explicit"),
    [
        ("|:C:|D:|", "|:C:| |: D:|"),
        ("C|1D:|2E|]F:|", " |: C|1D:|2E|] |: F:|"),
        ("C|\\nD||[EG]|F:|", " |: "),
        ("|:C||D:|", "|:C||D:|"),
        ("C::D:|", " |: C::D:|"),
        ("[CE]|D:|", " |: [CE]|D:|"),
    ],
)
def test_starts_of_repeats_are_written_where_the_standard_puts_them(module, written, explicit):
    check = module("checks", "abc_oracle")
    head = "X:1\nL:1/4\nK:C\n"
    made = check.with_starts(head + written.replace("\\n", "\n") + "\n")
    assert explicit in made
    assert check.ours(made) == check.ours(head + written.replace("\\n", "\n") + "\n")


def test_the_structures_that_are_compared_can_be_read(module):
    check = module("checks", "abc_oracle")
    for body, _ in check.STRUCTURES:
        assert read_tune(f"{check.HEAD}{body}\n").n_notes


def test_without_abc2midi_nothing_is_compared_and_nothing_fails():
    done = subprocess.run(
        [sys.executable, PIPELINES / "checks" / "abc_oracle.py"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "skipped: abc2midi is not here; name it with --abc2midi\n")

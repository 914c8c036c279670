"""`musicgen accompany`: what becomes of its options."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import musicgen.cli.takes
from musicgen.cli.accompany import command


@pytest.mark.parametrize(
    ("arguments", "temperature"),
    [
        (("--add", "bass"), 0.85),
        (("--add", "bass", "-t", "0.7"), 0.7),
        (("--add", "bass", "--temperature", "1"), 1.0),
        (("--rewrite", "1"), 0.7),
    ],
)
def test_added_parts_have_a_temperature_of_their_own(monkeypatch, arguments, temperature):
    seen = {}
    monkeypatch.setattr(musicgen.cli.takes, "fill_holes", lambda path, word, **asked: seen.update(asked))
    result = CliRunner().invoke(command, ["schubert-unfinished", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert seen["options"]["temperature"] == temperature

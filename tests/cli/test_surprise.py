"""`musicgen inspect PIECE --surprise`: lines, JSON and a picture; what it is not of is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli

PIECE = "schubert-unfinished"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in ("inspect", *arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_lines_and_the_facts_say_the_same(tmp_path):
    lines = run(PIECE, "--surprise").stdout.splitlines()
    facts = json.loads(run(PIECE, "--surprise", "--json", "-o", tmp_path / "seen.png").stdout)
    assert f"{facts['nats_per_note']:.2f} nats a note" in lines[0]
    notes = facts["notes"]
    kinds = [key for key in notes[0] if key.endswith("_nats")]
    for note in notes:
        assert note["nats"] == pytest.approx(sum(note[kind] for kind in kinds), abs=1e-3)
    shown = [notes[n] for n in facts["most_surprising"]]
    assert len(shown) == 10
    assert [note["pitch_nats"] for note in shown] == sorted((n["pitch_nats"] for n in notes), reverse=True)[:10]
    for line, note in zip(lines[-10:], shown, strict=True):
        assert line.split()[:4] == [
            str(note["bar"]),
            f"{note['beat']:.2f}",
            note["name"],
            f"{note['nats']:.2f}",
        ]
    assert Path(facts["picture"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((PIECE, "-m", "default"), "add --surprise"),
        (("default", "--surprise"), "not of a run"),
        ((PIECE, "--surprise", "-o", "seen.jpg"), "end the name in .png"),
        ((PIECE, "--surprise", "-o", "nowhere/seen.png"), "nowhere"),
        ((PIECE, "--surprise", "-m", "folk"), "use a model with the tokenizer parts, notes or remi"),
    ],
)
def test_what_can_not_be_told_is_refused_in_one_line(arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line


def test_a_picture_is_replaced_only_when_that_is_asked_for(tmp_path):
    path = tmp_path / "seen.png"
    path.write_bytes(b"mine")
    assert "already exists" in run(PIECE, "--surprise", "-o", path).stderr
    assert path.read_bytes() == b"mine"
    assert run(PIECE, "--surprise", "-o", path, "--overwrite").exit_code == 0
    assert path.read_bytes() != b"mine"

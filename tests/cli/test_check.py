"""`check` finds what was done to a take, in words and as JSON, and leaves with exit code 4."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from musicgen import read, write
from musicgen.checking import check
from musicgen.cli.main import cli

EXAMPLE = "schubert-unfinished"


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    result = run("continue", EXAMPLE, "--bars", 8, "--seed", 3, "--study", 0, "-o", folder / "take.mid")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def take(made, tmp_path, monkeypatch) -> Path:
    for file in made.iterdir():
        shutil.copy(file, tmp_path / file.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "take.mid"


def changed(take: Path, **facts: object) -> None:
    file = take.with_suffix(".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **facts}))


def findings(result) -> dict[str, dict]:
    return {each["name"]: each for each in json.loads(result.stdout)["findings"]}


def test_a_take_passes_and_all_is_told(take):
    result = run("check", take)
    assert result.exit_code == 0, result.output
    words = [line.split()[0] for line in result.stdout.splitlines()]
    assert words == ["validity", "seam", "preservation", "originality", "settings", "seed", "licence"]
    assert "events before the cut are as in schubert-unfinished.mid" in result.stdout
    assert "may be passed on" in result.stdout
    table = json.loads(run("check", take, "--json").stdout)
    assert (table["passed"], table["seed"], table["shipping"]["may_ship"]) == (True, 3, True)
    assert table["originality"]["pieces"] > 5000


def test_a_note_that_was_moved_before_the_cut_is_found(take):
    piece = read(take)
    notes = piece.tracks[0].notes.copy()
    notes["pitch"][2] += 1
    write(replace(piece, tracks=(replace(piece.tracks[0], notes=notes),)), take, overwrite=True)
    result = run("check", take, "--json")
    assert result.exit_code == 4
    assert not findings(result)["preservation"]["passed"]
    assert "aren't as in schubert-unfinished.mid" in findings(result)["preservation"]["said"]
    assert "failed: preservation" in result.stderr


def test_new_music_that_is_one_note_fails_at_the_seam(take):
    piece, facts = read(take), json.loads(take.with_suffix(".json").read_text())
    notes = piece.tracks[0].notes.copy()
    notes["pitch"][notes["start"] >= facts["cut_tick"]] = 60
    write(replace(piece, tracks=(replace(piece.tracks[0], notes=notes),)), take, overwrite=True)
    assert "one note over and over" in findings(run("check", take, "--json"))["seam"]["said"]


def test_a_note_that_is_held_over_the_cut_fails_at_the_seam(take):
    piece, facts = read(take), json.loads(take.with_suffix(".json").read_text())
    notes = piece.tracks[0].notes.copy()
    last = np.flatnonzero(notes["start"] < facts["cut_tick"])[-1]
    notes["duration"][last] = facts["cut_tick"] - notes["start"][last] + 40
    write(replace(piece, tracks=(replace(piece.tracks[0], notes=notes),)), take, overwrite=True)
    assert "1 note from before the cut sounds on" in findings(run("check", take, "--json"))["seam"]["said"]


def test_more_of_the_training_data_than_was_asked_for_fails(take):
    """An index of the take itself: all of it is a copy."""
    from musicgen.originality import Origin, build_index

    index = build_index([(Origin("learned", "CC0"), read(take))])
    facts = json.loads(take.with_suffix(".json").read_text())
    index.save(take.parent / "run" / "originality")
    new = {"cut_tick": 0, "notes_kept": 0, "source_sha256": ""}  # so that nothing is a return of what came before
    changed(take, model="run", settings={**facts["settings"], "max_copy": 2}, **new)
    found = check(take)
    (copied,) = [each for each in found.findings if each.name == "originality"]
    assert not copied.passed
    assert "learned" in copied.said
    assert copied.said.endswith("more than the 2 bars asked for")


def test_another_source_is_not_compared_unless_it_is_named(take):
    other = shutil.copy(take, "other.mid")
    shutil.copy(other, "schubert-unfinished.mid")
    assert findings(run("check", take, "--json"))["preservation"]["passed"] is None
    result = run("check", take, "--json", "--source", other)
    assert result.exit_code == 4
    assert findings(result)["preservation"]["said"].endswith("is another file than the one that was continued")


def test_without_a_sidecar_what_can_be_told_is_told(take):
    take.with_suffix(".json").unlink()
    result = run("check", take)
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["validity", "sidecar"]


@pytest.mark.parametrize("text", ["[]", "{", '{"cut_tick": "x"}', '{"cut_tick": -1}'])
def test_a_sidecar_that_is_none_is_one_line(take, text):
    take.with_suffix(".json").write_text(text)
    result = run("check", take)
    assert result.exit_code == 3
    assert result.stderr.strip().endswith(
        "take.json: isn't the sidecar of a take; move it away to check the file alone"
    )


def test_added_parts_are_judged_alone_and_what_they_go_with_must_stay(take, tmp_path):
    result = run("accompany", take, "--add", "flute", "--bars", "1-4", "--study", 0, "--seed", 1, "-o", "with.mid")
    assert result.exit_code == 0, result.output
    good = findings(run("check", "with.mid", "--json"))
    events = int(good["preservation"]["said"].split()[1])
    assert good["preservation"]["passed"]
    assert events >= sum(len(track.notes) for track in read(take).tracks)
    piece = read("with.mid")
    notes = piece.tracks[0].notes.copy()
    notes["pitch"][2] += 1
    write(replace(piece, tracks=(replace(piece.tracks[0], notes=notes), *piece.tracks[1:])), "with.mid", overwrite=True)
    assert not findings(run("check", "with.mid", "--json"))["preservation"]["passed"]


def test_music_that_follows_the_new_bars_is_not_taken_for_new(take):
    arguments = ("--from", 5, "--bars", 2, "--keep-rest", "--study", 0, "--seed", 2, "-o", "rest.mid")
    assert run("continue", take, *arguments).exit_code == 0
    facts = json.loads(Path("rest.json").read_text())
    bars = int(facts["originality"]["longest"]["bars"]) if facts["originality"]["longest"] else 0
    said = findings(run("check", "rest.mid", "--json"))
    assert said["preservation"]["passed"]
    assert bars <= 2
    assert "twice as many notes" not in said["seam"]["said"]


def test_notes_that_were_only_played_must_all_be_there(take):
    assert run("humanise", take, "--seed", 1, "-o", "played.mid").exit_code == 0
    result = run("check", "played.mid", "--json")
    assert result.exit_code == 0, result.output
    assert findings(result)["preservation"]["passed"]
    assert run("humanise", take, "--seed", 1, "--rubato", 1, "-o", "bent.mid").exit_code == 0
    bent = findings(run("check", "bent.mid", "--json"))["preservation"]
    assert bent["passed"]
    assert "but loudness, timing, tempo and pedal are as in" in bent["said"]
    piece = read("played.mid")
    fewer = replace(piece.tracks[0], notes=piece.tracks[0].notes[1:])
    write(replace(piece, tracks=(fewer, *piece.tracks[1:])), "played.mid", overwrite=True)
    assert not findings(run("check", "played.mid", "--json"))["preservation"]["passed"]

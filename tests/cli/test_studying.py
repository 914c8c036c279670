"""Studying before continuing, and telling whether hands play: what is asked, what is said, what stands in the facts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from musicgen import Composer, Studying, read
from musicgen.checkpoint import load_run, model_for, save_run
from musicgen.cli import studying as options
from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import Recipe
from musicgen.sampling import notes
from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Request
from musicgen.scoring import Scoring
from musicgen.tokenizers import Notes
from musicgen.tokenizers.bars.parts import Parts
from musicgen.training.study import StudySettings, study

SHAPE = {"family": "transformer", "width": 16, "layers": 1, "heads": 2, "context": 64}


def tune(path: Path, *, first: int = 55, off: int = 0, length: int = 64) -> Path:
    """A line of eighths in 4/4; every other one lies `off` ticks late."""
    notes = [(i * 240 + i % 2 * off, 200, first + (i * 7 + i // 5) % 12, 80) for i in range(length)]
    write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), path)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with two untrained models: `parts`, which can study, and `notes`, which can't."""
    root = tmp_path_factory.mktemp("runs")
    for tokenizer in (Parts(), Notes()):
        recipe = Recipe(SHAPE)
        model = model_for(recipe, tokenizer)
        save_run(root / tokenizer.name, model=model, tokenizer=tokenizer, recipe=recipe, card={"licence": "none"})
    return root


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(notes, "CANDIDATES", (1, 1))  # of an untrained model none is better
    tune(tmp_path / "piece.mid")
    return tmp_path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def makes(command: str, *arguments: object) -> tuple[dict, list[str]]:
    """(the facts, what is said on stderr of anything but the take) of a take of one bar."""
    result = run(command, *arguments, "--bars", 1, "--seed", 1, "-o", "take.mid", "--overwrite")
    assert result.exit_code in (0, 4), result.output  # an untrained model draws what it likes
    own = ("piece.mid: ", "played.mid: ", "(nothing): ", "musicgen: ")
    said = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith(own)]
    return json.loads(Path("take.json").read_text()), said


def fails(code: int, *arguments: object) -> list[str]:
    result = run(*arguments, "--bars", 1)
    assert result.exit_code == code, result.output
    assert not list(Path().glob("*.continued.*")), "nothing is written"
    return [line for line in result.stderr.splitlines() if line.strip()]


def test_the_piece_is_studied_unless_it_is_not_to_be(here, runs):
    facts, said = makes("continue", "piece.mid", "-m", runs / "parts")
    assert facts["study"] == {"updates": 4, "pieces": 1, "whole": False}
    assert said == []
    facts, _ = makes("continue", "piece.mid", "-m", runs / "parts", "--study", 2)
    assert facts["study"]["updates"] == 2
    facts, _ = makes("continue", "piece.mid", "-m", runs / "parts", "--study", 0)
    assert facts["study"] == {"updates": 0, "pieces": 0, "whole": False}


def test_other_songs_are_studied_too(here, runs):
    (here / "songs" / "old").mkdir(parents=True)
    tune(here / "songs" / "a.mid", first=40)
    tune(here / "songs" / "old" / "b.mid", first=45)
    (here / "songs" / "lyrics.txt").write_text("la")
    (here / "songs" / "broken.mid").write_bytes(b"MThd")
    (here / "songs" / "outside.mid").symlink_to(here / "piece.mid")  # links aren't followed out of a folder
    (here / "songs" / "piece.mid").hardlink_to(here / "piece.mid")  # what lies behind the cut would be known
    facts, said = makes("continue", "piece.mid", "-m", runs / "parts", "--from", 3, "--study-also", "songs")
    assert facts["study"]["pieces"] == 2, "the two songs: two bars of the piece are too little to learn from"
    linked, line = said
    assert linked.endswith("--study-also: not followed out of the folder: 1 link")
    assert line.startswith("songs/broken.mid: ")
    tune(here / "c.mid")
    facts, _ = makes("continue", "piece.mid", "-m", runs / "parts", "--study-also", "c.mid", "--study-also", "songs")
    assert facts["study"]["pieces"] == 4


def test_what_cannot_be_studied_is_one_line(here, runs):
    (here / "songs").mkdir()
    also = ["continue", "piece.mid", "-m", runs / "parts", "--study-also"]
    (line,) = fails(2, *also, "nowhere")
    assert "nowhere: no such file or folder" in line
    (line,) = fails(3, *also, "songs")
    assert line == "musicgen: songs: no music files to study; name MIDI files or scores"
    (here / "songs" / "broken.mid").write_bytes(b"MThd")
    warned, line = fails(3, *also, "songs")
    assert warned.startswith("songs/broken.mid: ")
    assert line == "musicgen: --study-also: none of the music to study can be read; see the warnings"
    (line,) = fails(3, *also, "songs/broken.mid")
    assert line.startswith("musicgen: songs/broken.mid: "), "a file that is named has to be one"


def test_what_is_behind_the_cut_is_studied_on_request_alone(here, runs):
    part = ["continue", "piece.mid", "-m", runs / "parts", "--from", 3]
    assert makes(*part)[0]["study"] == {"updates": 0, "pieces": 0, "whole": False}  # two bars are too little
    assert makes(*part, "--study-whole")[0]["study"] == {"updates": 4, "pieces": 1, "whole": True}
    (line,) = fails(2, "continue", "piece.mid", "-m", runs / "parts", "--study-whole")
    assert line == (
        "musicgen: --study-whole is to study what lies behind the cut, and there the piece ends; "
        "add --from BAR, or leave --study-whole out"
    )
    (line,) = fails(2, *part, "--study-whole", "--study", 0)
    assert "--study 0 is to study nothing, and --study-whole to study more; leave one of them out" in line


def test_there_is_a_bound_to_what_is_studied(here, runs, monkeypatch):
    (here / "songs").mkdir()
    for n in range(4):
        tune(here / "songs" / f"{n}.mid", first=40 + n)
    also = ["piece.mid", "-m", runs / "parts", "--study-also", "songs"]
    monkeypatch.setattr(options, "MOST_FILES", 3)
    facts, said = makes("continue", *also)
    assert facts["study"]["pieces"] == 4
    assert said == ["--study-also: of 4 files the first 3 are studied; more would take long"]
    monkeypatch.setattr(options, "MOST_NOTES", 130)
    facts, said = makes("continue", *also)
    assert facts["study"]["pieces"] == 3
    assert said == ["--study-also: of 4 files the first 2 are studied; more would take long"]
    monkeypatch.setattr(options, "MOST_NOTES", 60)
    (line,) = fails(2, "continue", *also)
    assert line == "musicgen: --study-also: each piece to study has more than 60 notes; name shorter ones"


def test_a_model_that_cannot_study_says_so_when_asked(here, runs):
    facts, said = makes("continue", "piece.mid", "-m", runs / "notes")
    assert (facts["study"]["updates"], facts["played"], said) == (0, None, [])
    for asked in (["--study", 5], ["--study-also", "piece.mid", "--study", 3]):
        facts, said = makes("continue", "piece.mid", "-m", runs / "notes", *asked)
        assert said == ["this model can't study, it has no memory of the piece: it goes on without"]
    assert makes("continue", "piece.mid", "-m", runs / "notes", "--study", 0)[1] == []


def test_new_music_after_other_songs(here, runs):
    assert makes("generate", "-m", runs / "parts")[0]["study"]["updates"] == 0
    facts, _ = makes("generate", "-m", runs / "parts", "--study-also", "piece.mid", "--study", 3)
    (digest,) = facts["study"].pop("also")
    assert len(digest) == 64
    assert facts["study"] == {"updates": 3, "pieces": 1, "whole": False}
    (line,) = fails(2, "generate", "-m", runs / "parts", "--study", 3)
    assert line == "musicgen: there is no music to study yet; name some with --study-also, or leave --study out"


def test_music_to_study_is_never_written_over(here, runs):
    tune(here / "piece.continued.mid")
    before = (here / "piece.continued.mid").read_bytes()
    also = ["--study-also", "piece.continued.mid", "--overwrite"]
    result = run("continue", "piece.mid", "-m", runs / "parts", *also)
    assert result.exit_code == 2
    assert "which is never written over" in result.stderr
    assert (here / "piece.continued.mid").read_bytes() == before


def test_the_facts_tell_whether_hands_play(here, runs):
    tune(here / "played.mid", off=37)
    for name, asked, told in (
        ("piece.mid", "auto", False),
        ("played.mid", "auto", True),
        ("piece.mid", "yes", True),
        ("played.mid", "no", False),
    ):
        facts, _ = makes("continue", name, "-m", runs / "parts", "--study", 0, "--played", asked)
        assert facts["played"] is told, (name, asked)
        assert facts["settings"]["played"] is {"auto": None, "yes": True, "no": False}[asked]
    facts, _ = makes("continue", "piece.mid", "-m", runs / "notes", "--played", "yes")
    assert facts["played"] is None
    assert "played: this model isn't told whether hands play or a score" in facts["warnings"]
    assert makes("generate", "-m", runs / "parts", "--played", "yes")[0]["played"] is True


def test_the_prompt_says_whether_hands_play(runs):
    piece = Piece(480, (Track("", 0, notes=notes_array([(i * 480, 480, 60, 80) for i in range(8)])),))
    tokenizer = Parts()
    style = tokenizer.vocabulary.base["style"]
    for played, value in ((None, 0), (False, 0), (True, 1)):
        plan = make_plan(piece, tokenizer, request=Request(played=played), context=64)
        assert plan.reading.prompt[0, 5] - style == value
        assert plan.played is bool(value)


def test_studying_is_a_function_of_what_is_studied(here, runs):
    made = Composer.load(runs / "parts", device="cpu")
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    one, other = (made.continue_("piece.mid", bars=1, seed=3, studying=Studying(updates=4))[0] for _ in range(2))
    assert np.array_equal(one.notes, other.notes)
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())


def test_what_was_studied_is_likelier_and_only_the_head_has_moved(here, runs):
    model = load_run(runs / "parts").model
    ids = Parts().encode(read("piece.mid")).astype(np.int64)
    learned = study(model, [ids, ids[:40]], scoring=Scoring.of(Parts()), settings=StudySettings(updates=12, rate=1e-2))
    nats = []
    for each in (model, learned):
        row = torch.from_numpy(ids)[None]
        told, _ = each.nats(row[:, :-1], row[:, 1:], each.recalling([torch.from_numpy(ids[:0])]), pad=0)
        nats.append(float(told.detach().sum()))
    assert nats[1] < nats[0] - 5
    head = {id(parameter) for parameter in learned.step_head.parameters()}
    moved = [a for a, b in zip(learned.parameters(), model.parameters(), strict=True) if not torch.equal(a, b)]
    assert moved
    assert {id(parameter) for parameter in moved} <= head
    assert study(model, [ids[:40]], scoring=Scoring.of(Parts()), settings=StudySettings()) is model, (
        "too little to learn from"
    )

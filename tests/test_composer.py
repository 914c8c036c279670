"""The library under the commands: continuing and generating with plain keyword arguments, and takes on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from training_tunes import SMALL

from musicgen import Composer, Source, Studying, Take, read
from musicgen.cli.main import cli
from musicgen.errors import UsageError
from musicgen.io import midi, write
from musicgen.io.smf import smf_bytes

EXAMPLE = "schubert-unfinished"
TUNE = "X:1\nT:Reel\nM:4/4\nL:1/8\nK:D\n" + "|".join("ABcdefga"[k:] + "ABcdefga"[:k] for k in range(8)) + "|\n"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer.load(device="cpu")


@pytest.fixture(scope="module")
def of_text(tmp_path_factory) -> Path:
    """The run folder of a model of ABC text, with a tune beside it."""
    folder = tmp_path_factory.mktemp("text")
    texts = [TUNE.replace("X:1", f"X:{n}").replace("abc", "abc"[n % 3 :] + "abc"[: n % 3]) for n in range(1, 13)]
    (folder / "tunes.abc").write_text("\n".join(texts))
    (folder / "mine.abc").write_text(TUNE)
    run("corpus", "build", folder / "tunes.abc", "-o", folder / "corpus", "--tokenizer", "abc", "--jobs", 1)
    run("train", folder / "corpus", "-o", folder / "run", "--model", "lstm", "--steps", 1, *SMALL)
    return folder


def run(*arguments: object) -> list[dict]:
    """What a command prints as JSON, if it does."""
    done = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code in (0, 4), done.output
    return json.loads(done.stdout) if "--json" in arguments else []


def same_as_saved(take: Take, path: Path, tmp_path: Path) -> bool:
    """Whether the take is saved as the very files that a command has written, `path` and its sidecar."""
    take.save(tmp_path / path.name)
    return all((tmp_path / p.name).read_bytes() == p.read_bytes() for p in (path, path.with_suffix(".json")))


def test_what_is_continued_in_python_is_what_the_command_writes(composer, tmp_path):
    (tmp_path / "ours").mkdir()
    asked = ("--bars", 1, "--key", "G", "--pitch-range", "C2-C5", "--tracks", "violoncello", "-t", 0.9)
    run("continue", EXAMPLE, *asked, "--field-temperature", "pitch=1.1", "-n", 2, "--seed", 5, "-o", f"{tmp_path}/")
    takes = composer.continue_(
        EXAMPLE,
        bars=1,
        key="G",
        pitch_range="C2-C5",
        tracks=["violoncello"],
        temperature=0.9,
        field_temperatures={"pitch": 1.1},
        seed=5,
        takes=2,
    )
    for number, take in enumerate(takes, start=1):
        assert same_as_saved(take, tmp_path / f"{EXAMPLE}.continued.{number}.mid", tmp_path / "ours")


def test_what_is_generated_in_python_is_what_the_command_writes(composer, tmp_path):
    (tmp_path / "ours").mkdir()
    run("generate", "--bars", 1, "--tracks", "violin,cello", "--meter", "3/4", "--tempo", 90, "--seed", 2,
        "-o", f"{tmp_path}/")  # fmt: skip
    (take,) = composer.generate(bars=1, tracks="violin,cello", meter="3/4", tempo=90, seed=2)
    assert same_as_saved(take, tmp_path / "generated.mid", tmp_path / "ours")


def test_a_piece_a_path_and_a_source_are_continued_alike(composer):
    takes = [
        composer.continue_(each, bars=1, seed=1, studying=Studying(updates=2))[0]
        for each in (EXAMPLE, read(EXAMPLE), Source.read(EXAMPLE), Source.of_piece(read(EXAMPLE)))
    ]
    assert {smf_bytes(take.only_new) for take in takes} == {smf_bytes(takes[0].only_new)}
    assert [take.facts["source"] for take in takes] == [f"{EXAMPLE}.mid", "(piece)", f"{EXAMPLE}.mid", "(piece)"]


def test_a_tune_is_continued_as_text_by_the_command_and_in_python(of_text, tmp_path):
    """Its own text, not its highest line spelled anew: the take begins with what the user wrote."""
    (tmp_path / "ours").mkdir()
    tune, made = of_text / "mine.abc", Composer.load(of_text / "run")
    run("continue", tune, "-m", of_text / "run", "--bars", 2, "--seed", 1, "-f", "mid", "-o", f"{tmp_path}/")
    run("continue", tune, "-m", of_text / "run", "--bars", 2, "--seed", 1, "-f", "abc", "-o", f"{tmp_path}/text/")
    (take,) = made.continue_(tune, bars=2, seed=1)
    assert same_as_saved(take, tmp_path / "mine.continued.mid", tmp_path / "ours")
    assert take.text == (tmp_path / "text" / "mine.continued.abc").read_text()
    assert take.text.startswith(TUNE)
    assert take.facts["notes_added"] == len(take.notes) == take.piece.n_notes - 64 > 0
    take.save(tmp_path / "new.abc", only_new=True)
    assert (tmp_path / "new.abc").read_text() == take.new_text
    (new,) = made.generate(meter="6/8", tempo=90, seed=1)
    assert "Q:1/4=90\nK:" in new.text
    assert new.facts["settings"]["bars"] is None


def test_notes_are_continued_as_text_where_that_is_asked(of_text):
    made, piece = Composer.load(of_text / "run"), read(of_text / "mine.abc")
    (notes,), (text,) = (made.continue_(piece, bars=1, as_text=each) for each in (False, True))
    assert notes.text is None
    assert text.text.startswith("X:1\n")
    with pytest.raises(UsageError, match="this model writes parts, not ABC text"):
        Composer.load(device="cpu").continue_(piece, as_text=True)


def test_a_take_and_its_facts_appear_together_or_not_at_all(composer, tmp_path):
    (take,) = composer.continue_(EXAMPLE, bars=1)
    for name, error in (("a.xyz", "can't be written in this format"), ("a.abc", "this take is notes, not ABC text")):
        with pytest.raises(UsageError, match=error):
            take.save(tmp_path / name)
    (tmp_path / "a.b.wav").touch()
    with pytest.raises(UsageError, match="already exists"):
        take.save(tmp_path / "a.b.mid", formats=["wav"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.b.wav"]
    facts = take.save(tmp_path / "a.b.mid", formats=["wav"], overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b.json", "a.b.mid", "a.b.wav"]
    assert json.loads((tmp_path / "a.b.json").read_text()) == json.loads(json.dumps(facts))
    assert facts == {**take.facts, "files": ["a.b.mid", "a.b.wav"]}
    assert (tmp_path / "a.b.mid").read_bytes() == smf_bytes(take.midi)


def test_a_source_is_read_once_and_each_take_once(monkeypatch, tmp_path):
    """`-n 3 -f mid,wav` took seven readings of events, and ten of parts."""
    count = 0
    interpreted = midi._parts

    def counted(*arguments):
        nonlocal count
        count += 1
        return interpreted(*arguments)

    monkeypatch.setattr(midi, "_parts", counted)
    run("continue", EXAMPLE, "--bars", 1, "--study", 0, "-n", 3, "-f", "mid,wav", "--seed", 1, "-o", f"{tmp_path}/")
    assert count == 4


def test_what_a_take_holds_is_what_its_file_holds(composer, tmp_path):
    (take,) = composer.continue_(read(EXAMPLE), bars=1, seed=4)
    take.save(tmp_path / "take.mid")
    assert read(tmp_path / "take.mid") == take.piece
    new = np.concatenate([t.notes[t.notes["start"] >= take.facts["cut_tick"]] for t in take.piece.tracks])
    assert sorted(new["pitch"].tolist()) == sorted(take.notes["pitch"].tolist())
    write(take.piece, tmp_path / "written.mid")
    assert read(tmp_path / "written.mid").n_notes == take.piece.n_notes

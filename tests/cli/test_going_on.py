"""`continue`: endings, the rest behind the cut, the best takes, takes made again and varied."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from songs import BAR, song

from musicgen.cli.main import cli
from musicgen.io import read, write


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(song(), tmp_path / "song.mid")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_a_take_with_an_ending_is_made_again_and_varied(here):
    first = call("continue", "song.mid", "--bars", 3, "--end", "--from", 9, "--keep-rest", "--study", 2, "-o", "a.mid")
    assert first.exit_code in (0, 4), first.output
    facts = json.loads((here / "a.json").read_text())
    assert facts["settings"]["end"]
    assert facts["settings"]["keep_rest"]
    assert facts["rest"] == {"notes": 52, "bars": 4, "kept": True}
    assert read(here / "a.mid").end == read(here / "song.mid").end + 3 * BAR
    again = call("continue", "song.mid", "--replay", "a.json", "-o", "b.mid")
    assert again.exit_code == first.exit_code, again.output
    assert (here / "a.mid").read_bytes() == (here / "b.mid").read_bytes()
    varied = call("continue", "--vary", "a.json", "--from", 3, "--study", 0, "-o", "c.mid", "--seed", 1)
    assert varied.exit_code in (0, 4), varied.output
    assert "left out" not in varied.stderr, "the bars that are drawn anew are no loss"
    facts = json.loads((here / "c.json").read_text())
    assert (facts["bars_added"], facts["cut_tick"]) == (1, 10 * BAR)


def test_a_take_from_nothing_is_made_again(here):
    asked = ("--bars", 2, "--tempo", 90, "--meter", "3/4", "--tracks", "violin", "--end", "--seed", 5)
    first = call("generate", *asked, "-o", "new.mid")
    assert first.exit_code in (0, 4), first.output
    again = call("continue", "--replay", "new.json")
    assert again.exit_code == first.exit_code, again.output
    assert (here / "generated.mid").read_bytes() == (here / "new.mid").read_bytes()


def test_a_piece_that_has_moved_is_asked_for(here):
    first = call("continue", "song.mid", "--bars", 1, "--study", 0, "--seed", 1, "-o", "a.mid")
    assert first.exit_code in (0, 4), first.output
    (here / "song.mid").rename(here / "moved.mid")
    result = call("continue", "--replay", "a.json", "-o", "b.mid")
    assert result.exit_code == 2
    assert "a.json: song.mid, which this take goes on from, isn't here; name it where it is now" in result.stderr
    again = call("continue", "moved.mid", "--replay", "a.json", "-o", "b.mid")
    assert again.exit_code == first.exit_code, again.output
    assert (here / "a.mid").read_bytes() == (here / "b.mid").read_bytes()


def test_other_music_to_study_than_it_was_is_refused(here):
    write(song(tonic=2), here / "other.mid")
    write(song(tonic=5), here / "third.mid")
    first = call(
        "continue", "song.mid", "--bars", 1, "--study", 2, "--study-also", "other.mid", "--seed", 1, "-o", "a.mid"
    )
    assert first.exit_code in (0, 4), first.output
    wrong = call("continue", "--replay", "a.json", "song.mid", "--study-also", "third.mid", "-o", "b.mid")
    assert wrong.exit_code == 2
    assert "a.json: of 1 piece studied for this take 1 is missing; name the same music to study" in wrong.stderr
    assert not (here / "b.mid").exists()
    more = ("--study-also", "third.mid", "--study-also", "other.mid")
    again = call("continue", "--replay", "a.json", "song.mid", *more, "-o", "b.mid")
    assert again.exit_code == first.exit_code, again.output
    assert (here / "a.mid").read_bytes() == (here / "b.mid").read_bytes()


def test_the_loss_of_the_rest_is_said(here):
    result = call("continue", "song.mid", "--bars", 1, "--from", 9, "--study", 0, "-o", "a.mid")
    assert "behind the cut 4 bars with 52 notes of the piece are left out; --keep-rest keeps them" in result.stderr


def test_the_best_takes_are_numbered_by_rank(here):
    result = call("continue", "song.mid", "--bars", 1, "-n", 3, "--best", 2, "--study", 0, "--seed", 3, "-o", "x/")
    assert result.exit_code in (0, 4), result.output
    names = sorted(path.name for path in (here / "x").iterdir())
    assert names == ["song.continued.1.json", "song.continued.1.mid", "song.continued.2.json", "song.continued.2.mid"]
    assert [json.loads((here / "x" / f"song.continued.{k}.json").read_text())["ranked"]["rank"] for k in (1, 2)] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'PIECE'"),
        (("song.mid", "-n", 2, "--best", 3), "--best 3 of 2 takes; draw more, as in -n 6"),
        (("song.mid", "--replay", "a.json", "--vary", "a.json"), "leave one of them out"),
        (("song.mid", "--replay", "none.json"), "none.json"),
        (("song.mid", "--keep-rest"), "give --from BAR and whole --bars, or leave --keep-rest out"),
    ],
)
def test_what_does_not_fit_together_is_one_line(here, arguments, message):
    result = call("continue", *arguments)
    assert result.exit_code in (2, 3)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

"""Where takes go: numbers for second tries, folders that are made, formats; and what is asked before that."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from training_tunes import SMALL

from musicgen.cli.main import cli
from musicgen.cli.outputs import Outputs, plan_outputs
from musicgen.errors import UsageError
from musicgen.events import Began, Event, Finished, Progress, Warned

FAST = ("--bars", "1", "--study", "0", "--seed", "1")
NAME = "schubert-unfinished.continued"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def planned(**options: object) -> Outputs:
    asked = {"output": None, "formats": None, "takes": 1, "overwrite": False, "inputs": (), **options}
    return plan_outputs("piece.continued", **asked)  # type: ignore[arg-type]


# ---- second tries -------------------------------------------------------------------------------------


def test_a_second_try_gets_the_next_number(here):
    for number, name in enumerate((NAME, f"{NAME}.2", f"{NAME}.3"), 1):
        result = run("continue", "schubert-unfinished", *FAST, "--json")
        assert result.exit_code in (0, 4), result.output
        assert json.loads(result.stdout)[0]["files"] == [f"{name}.mid"]
        assert json.loads((here / f"{name}.json").read_text())["files"] == [f"{name}.mid"]
        assert len(names(here)) == 2 * number
    assert (here / f"{NAME}.mid").read_bytes() == (here / f"{NAME}.2.mid").read_bytes(), "the seed is the same"


@pytest.mark.parametrize(
    ("there", "takes", "expected"),
    [
        ([], 1, ["piece.continued"]),
        ([], 2, ["piece.continued.1", "piece.continued.2"]),
        (["piece.continued.json"], 1, ["piece.continued.2"]),
        (["piece.continued.mid"], 2, ["piece.continued.1", "piece.continued.2"]),
        (["piece.continued.1.mid", "piece.continued.2.json"], 2, ["piece.continued.3", "piece.continued.4"]),
        (["piece.continued.mid", "piece.continued.7.mid"], 1, ["piece.continued.8"]),
        (["piece.continued.mid", "piece.continued.3.wav", "piece.continued.2x.mid"], 1, ["piece.continued.2"]),
        (["piece.continued.2.mid"], 1, ["piece.continued"]),
    ],
)
def test_numbers_go_on_behind_the_highest(here, there, takes, expected):
    for name in there:
        (here / name).touch()
    outputs = planned(takes=takes)
    assert [str(outputs.files[k]["mid"]) for k in range(takes)] == [f"{name}.mid" for name in expected]
    assert not [path for path in outputs.paths() if path.exists()]


def test_a_name_that_somebody_takes_meanwhile_is_left_alone(here):
    outputs = planned(takes=3)
    (here / "piece.continued.2.json").touch()
    later = outputs.settled(overwrite=False, begin=1)
    assert [str(later.sidecars[k]) for k in (1, 2)] == ["piece.continued.3.json", "piece.continued.4.json"]


def test_with_overwrite_the_name_stays(here):
    (here / "piece.continued.mid").touch()
    assert str(planned(overwrite=True).settled(overwrite=True).files[0]["mid"]) == "piece.continued.mid"


def test_a_name_of_the_users_is_not_changed(here):
    (here / "mine.mid").touch()
    with pytest.raises(UsageError, match=r"^mine\.mid: already exists; pass --overwrite to replace it$"):
        planned(output="mine.mid").settled(overwrite=False)
    (here / "mine.2.mid").touch()
    with pytest.raises(UsageError, match=r"^mine\.2\.mid: already exists"):
        planned(output="mine", takes=3).settled(overwrite=False)


def test_in_a_folder_that_is_named_tries_are_numbered(here):
    (here / "out").mkdir()
    (here / "out" / "piece.continued.json").touch()
    assert planned(output="out").files[0] == {"mid": Path("out/piece.continued.2.mid")}


def test_generated_pieces_are_numbered_too(here):
    (here / "generated.mid").touch()
    assert run("generate", *FAST).exit_code in (0, 4)
    assert names(here) == ["generated.2.json", "generated.2.mid", "generated.mid"]


# ---- folders and formats -----------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["new/", "new/deeper/", "new/take.mid"])
def test_a_folder_is_made(here, output):
    assert run("continue", "schubert-unfinished", *FAST, "-o", output).exit_code in (0, 4)
    folder = here / (output if output.endswith("/") else "new")
    assert names(folder) == ([f"{NAME}.json", f"{NAME}.mid"] if output.endswith("/") else ["take.json", "take.mid"])


def test_a_folder_is_not_made_for_a_request_that_does_not_fit(here):
    assert run("continue", "schubert-unfinished", "-o", "new/", "--from", "99").exit_code == 2
    assert names(here) == []


def test_a_folder_that_is_a_file(here):
    (here / "file").touch()
    for output in ("file/", "file/take.mid", "file/more/take.mid"):
        with pytest.raises(UsageError, match=r"^file: is a file, not a folder; choose another name$"):
            planned(output=output)


@pytest.mark.parametrize("suffix", ["mp3", "MP3", "musicxml", "pdf", "als", "mscz", "json", "m4a"])
def test_a_format_that_is_not_written_is_refused(here, suffix):
    said = f"x.{suffix}: can't be written as .{suffix}; mid, wav, flac, ogg and html can be written"
    with pytest.raises(UsageError) as caught:
        planned(output=f"x.{suffix}")
    assert str(caught.value).startswith(said)
    with pytest.raises(
        UsageError, match=f"can't write the format '{suffix.lower()}'; mid, wav, flac, ogg and html can be"
    ):
        planned(formats=f"mid,{suffix}")


@pytest.mark.parametrize("output", ["opus.27", "take.v2", "mr.smith"])
def test_a_dot_in_a_name_is_no_format(here, output):
    assert planned(output=output).files[0] == {"mid": Path(f"{output}.mid")}


def test_the_suffix_of_the_output_is_one_of_the_formats(here):
    assert list(planned(output="x.wav", formats="mid").files[0]) == ["wav", "mid"]


# ---- the request comes first -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bars", 0], "0 is not in the range"),
        (["--from", 99], "there is no bar 99"),
        (["--tracks", 7], "there is no part 7"),
        (["--key", "H"], "no key and no scale 'H'"),
        (["--field-temperature", "colour=1"], "no field 'colour'"),
        (["-m", "nowhere"], "no such run folder or model"),
        (["-f", "wav", "--soundfont", "none.sf2"], "no such SoundFont file"),
        (["-f", "abc", "-m", "default"], "not ABC text"),
        (["--study-also", "nothing"], "no such file or folder"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_before_an_output_exists(here, options, said):
    (here / "x.mid").write_bytes(b"mine")
    result = run("continue", "schubert-unfinished", "-o", "x.mid", *options)
    assert said in result.stderr
    assert "already exists" not in result.stderr
    assert "already exists" in run("continue", "schubert-unfinished", "-o", "x.mid").stderr
    assert (here / "x.mid").read_bytes() == b"mine"


def test_a_piece_that_cannot_be_read_is_said_before_an_output_exists(here):
    (here / "broken.mid").write_bytes(b"no")
    (here / "x.mid").touch()
    assert run("continue", "broken.mid", "-o", "x.mid").exit_code == 3
    (here / "x.wav").touch()
    assert run("render", "broken.mid", "-o", "x.wav").exit_code == 3


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `tunes`, a `corpus` of them and a `run` of one step."""
    from musicgen.io import write
    from musicgen.piece import Piece, Track, notes_array

    root = tmp_path_factory.mktemp("made")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = notes_array([(i * 240, 240, 50 + n + i * n % 12, 80) for i in range(32)])
        write(Piece(480, (Track("", 0, notes=notes),)), root / "tunes" / f"{n}.mid")
    assert run("corpus", "build", root / "tunes", "-o", root / "corpus", "--jobs", 1).exit_code == 0
    train = ("train", root / "corpus", "-o", root / "run", "--model", "window", "--steps", 1, *SMALL)
    assert run(*train).exit_code == 0
    return root


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tokenizer", "nots"], "did you mean 'notes'?"),
        (["--frame-order", "ascending"], "--frame-order is for the tokenizer frames alone"),
        (["--valid", 0.5, "--test", 0.5], "must be at least 0 and below 1 together"),
    ],
)
def test_a_corpus_that_exists_is_told_last(made, monkeypatch, options, said):
    monkeypatch.chdir(made)
    assert said in run("corpus", "build", "tunes", "-o", "corpus", *options).stderr
    assert "corpus: already exists" in run("corpus", "build", "tunes", "-o", "corpus").stderr
    assert "no such file or folder" in run("corpus", "build", "tune/s", "-o", "corpus").stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "transfromer"], "did you mean 'transformer'?"),
        (["--preset", "tinny"], "did you mean 'tiny'?"),
        (["--set", "train.step=3"], "[train] has no 'step'"),
        (["--teacher", "nobody"], "no such run folder or model"),
        (["--device", "abacus"], "no device 'abacus'"),
    ],
)
def test_a_run_that_exists_is_told_last(made, monkeypatch, options, said):
    monkeypatch.chdir(made)
    assert said in run("train", "corpus", "-o", "run", *options).stderr
    assert "run: already exists" in run("train", "corpus", "-o", "run").stderr


# ---- what is told on the way ----------------------------------------------------------------------------


def test_a_listener_gets_updates_bars_and_warnings():
    from musicgen.composer import Composer, Source
    from musicgen.sampling.request import Request

    events: list[Event] = []
    source, request = Source.read("schubert-unfinished"), Request(bars=3)
    takes = Composer.load().takes(source, request=request, seed=1, count=2, listener=events.append)
    assert events == [], "nothing is drawn before it is asked for"
    take = next(takes)
    begun = [event for event in events if isinstance(event, Began)]
    assert begun == [Began("study", "update", 4), Began("take", "bar", 3, "take 1 of 2")]
    bars = [event for event in events if isinstance(event, Progress) and event.unit == "bar"]
    assert {event.of for event in bars} == {3}
    assert {event.done for event in bars} >= {0, 1, 2}
    assert max(event.done for event in bars) <= 3
    warned = [event.text for event in events if isinstance(event, Warned)]
    assert len(warned) == len([line for line in take.facts["warnings"] if not line.startswith("refused: ")])
    assert events[-1] == Finished("take")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_in_bars_and_results_are_alone_on_their_lines(here):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "musicgen", "continue", "schubert-unfinished", "--study", "0"]
    command += ["--bars", "3", "--seed", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while block := os.read(ours, 65536):
            shown += block
    os.close(ours)
    stdout, _ = process.communicate(timeout=120)
    assert " of 3 bars" in shown.decode()
    assert "steps" not in shown.decode()
    (line,) = stdout.splitlines()
    assert line.startswith("schubert-unfinished.continued.mid: ")
    assert " in 3 bars (" in line


def test_one_bar_is_one_bar(here):
    said = run("continue", "schubert-unfinished", *FAST).stdout
    assert " in 1 bar (" in said


def test_warnings_are_sentences_and_keep_their_names_for_programs(here):
    data = bytearray((Path(__file__).parents[2] / "corpora" / "examples" / "schubert-unfinished.mid").read_bytes())
    data[10:12] = (9).to_bytes(2, "big")  # tracks that the header claims
    (here / "x.mid").write_bytes(data)
    for command in (["inspect", "x.mid"], ["continue", "x.mid", *FAST], ["render", "x.mid", "-o", "x.wav"]):
        assert "x.mid: the header claims 9 tracks" in run(*command).stderr
    facts = json.loads(run("inspect", "x.mid", "--json").stdout)
    assert [line for line in facts["warnings"] if line.startswith("track_count: ")]


def test_what_was_drawn_besides_is_for_the_sidecar_alone(here):
    """Of ten takes at a high temperature some candidate is refused."""
    result = run(
        "continue", "schubert-unfinished", "-n", 10, "--bars", 4, "-t", 1.6, "--study", 0, "--seed", 1, "--json"
    )
    lines = [line for facts in json.loads(result.stdout) for line in facts["warnings"]]
    assert [line for line in lines if line.startswith("refused: seed ")]
    assert "was left out" not in result.stderr

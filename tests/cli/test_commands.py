"""The commands as a newcomer types them: results, exit codes, one line of error, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pretty_midi
import pytest
import soundfile
from click.testing import CliRunner, Result
from training_tunes import SMALL

from musicgen.cli.main import cli
from musicgen.io import read, write
from musicgen.piece import Piece, Track, notes_array

EXAMPLE = Path(__file__).parents[2] / "corpora" / "examples" / "schubert-unfinished.mid"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def fails(code: int, *arguments: object) -> str:
    """The one line on stderr of a command that must fail with `code`."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert "Traceback" not in result.output
    return lines[0]


def tune(path: Path, *, begin: int = 55, program: int = 0, length: int = 64) -> Path:
    notes = [(i * 240, 240, begin + (i * begin + i // 5) % 24, 80) for i in range(length)]
    write(Piece(480, (Track("", program, notes=notes_array(notes)),)), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """(corpus, run): ten small tunes and a model of a few steps."""
    root = tmp_path_factory.mktemp("trained")
    (root / "tunes").mkdir()
    for n in range(10):
        tune(root / "tunes" / f"tune{n}.mid", begin=40 + n, length=64 + n)
    assert run("corpus", "build", root / "tunes", "-o", root / "corpus", "--jobs", 1).exit_code == 0
    made = run("train", root / "corpus", "-o", root / "run", "--model", "lstm", "--steps", 3, *SMALL)
    assert made.exit_code == 0, made.output
    return root / "corpus", root / "run"


# ---- continue ----------------------------------------------------------------------------------------


def test_continue_with_no_other_argument(here):
    result = run("continue", EXAMPLE)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in here.iterdir()) == [
        "schubert-unfinished.continued.json",
        "schubert-unfinished.continued.mid",
    ]
    facts = json.loads((here / "schubert-unfinished.continued.json").read_text())
    for key in ("model", "model_sha256", "seed", "settings", "source", "source_sha256", "ticks_per_quarter", "cut_tick",
                "notes_kept", "notes_added", "bars_added", "seconds_added", "warnings", "licence"):  # fmt: skip
        assert key in facts, key
    assert facts["bars_added"] == 8
    assert facts["notes_kept"] == 36
    old, new = read(EXAMPLE), read(here / "schubert-unfinished.continued.mid")
    assert new.tracks[0].notes[:36].tolist() == old.tracks[0].notes.tolist()
    assert new.n_notes == 36 + facts["notes_added"]
    # 27.5 quarters of 3/4: the tenth bar is filled, then eight whole ones.
    assert 17 * 1440 < new.end <= 18 * 1440
    assert (
        sum(len(i.notes) for i in pretty_midi.PrettyMIDI("schubert-unfinished.continued.mid").instruments)
        == new.n_notes
    )


def test_three_takes_each_repeatable_by_its_seed(here):
    options = ["-t", 0.9, "--top-k", 40, "--top-p", 0.95, "--bars", 2, "--study", 2]
    result = run("continue", EXAMPLE, *options, "--seed", 7, "-n", 3, "-f", "mid,wav", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert len(facts) == 3
    assert len(list(here.glob("*.wav"))) == len(list(here.glob("*.mid"))) == len(list(here.glob("*.json"))) == 3
    for k, fact in enumerate(facts):
        run("continue", EXAMPLE, *options, "--seed", fact["seed"], "-o", f"alone{k}.mid")
        third = (here / f"schubert-unfinished.continued.{k + 1}.mid").read_bytes()
        assert (here / f"alone{k}.mid").read_bytes() == third


def test_only_new_music(here):
    run("continue", EXAMPLE, "--only-new", "--bars", 2, "--seed", 1, "-o", "new.mid")
    new = read(here / "new.mid")
    assert new.tracks[0].notes["start"].min() < 1440
    assert new.n_notes == json.loads((here / "new.json").read_text())["notes_added"]


def test_the_example_is_known_by_name(here):
    assert run("continue", "schubert-unfinished", "--bars", 1).exit_code == 0


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"just words", "not a MIDI file"),
        (b"RIFF\0\0\0\0WAVEfmt ", "this is a WAV audio file"),
        (None, "no such file"),
    ],
)
def test_continue_what_is_no_music(here, content, text):
    if content is not None:
        (here / "x.mid").write_bytes(content)
    line = fails(3, "continue", "x.mid")
    assert text in line
    assert line.startswith("musicgen: x.mid: ")
    assert [p.name for p in here.iterdir()] == ([] if content is None else ["x.mid"])


def test_continue_a_folder(here):
    assert "is a folder, not a file; name one file in it" in fails(3, "continue", here)


def test_an_output_that_exists_is_kept(here):
    (here / "mine.json").write_text("mine")
    assert "mine.json: already exists; pass --overwrite" in fails(2, "continue", EXAMPLE, "-o", "mine.mid")
    assert (here / "mine.json").read_text() == "mine"
    assert not (here / "mine.mid").exists()
    assert run("continue", EXAMPLE, "-o", "mine.mid", "--overwrite", "--bars", 1).exit_code == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--from", 99], "there is no bar 99; the piece has 10 bars"),
        (["--from", "here"], "--from 'here' is neither 'end' nor a bar"),
        (["--pitch-range", "high"], "'high' is not a pitch range; write it like 48-84"),
        (["--pitch-range", "90-40"], "the pitch range is 90-40"),
        (["--key", "H"], "no key and no scale 'H'; write a key like"),
        (["--tracks", 5], "there is no part 5; the only part is 1 “Violoncello” (cello)"),
        (["--tracks", "kazzo"], "no instrument 'kazzo'; did you mean"),
        (["-t", -1], "temperature is -1.0"),
        (["--top-p", 2], "top_p is 2.0"),
        (["-f", "mp3"], "can't write the format 'mp3'; mid, wav, flac, ogg and html can be written"),
        (["--device", "abacus"], "no device 'abacus' on this machine; use --device auto"),
    ],
)
def test_a_request_that_does_not_fit(here, options, text):
    assert text in fails(2, "continue", EXAMPLE, *options)
    assert list(here.iterdir()) == []


def test_limits_have_flags(here):
    assert "has 36 notes, the limit is 10; raise the limit with --max-notes" in fails(
        3, "continue", EXAMPLE, "--max-notes", 10
    )


def test_a_piece_at_the_limit_may_grow(here):
    assert run("continue", EXAMPLE, "--max-notes", 36, "--bars", 1, "-f", "mid,wav").exit_code == 0
    hours = read(EXAMPLE).seconds / 3600
    assert run("continue", EXAMPLE, "--max-hours", hours + 1e-6, "--bars", 1, "-o", "more.mid").exit_code == 0


def test_a_soundfont_that_is_none_leaves_nothing(here):
    (here / "bad.sf2").write_bytes(b"no font")
    fails(3, "continue", EXAMPLE, "--bars", 1, "-f", "mid,wav", "--soundfont", "bad.sf2")
    assert [p.name for p in here.iterdir()] == ["bad.sf2"]


def test_a_terminal_is_safe_from_file_names(here):
    name = "bad\x1b[31m\nname.mid"
    (here / name).write_bytes(b"no")
    assert "\x1b" not in fails(3, "inspect", name)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(here, monkeypatch):
    import errno

    from musicgen.io import atomic

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    assert "no space left on device" in fails(5, "continue", EXAMPLE, "--bars", 1)
    assert list(here.iterdir()) == []


# ---- generate, render, inspect, models ------------------------------------------------------------------


def test_generate(here):
    assert (
        run("generate", "--meter", "3/4", "--tempo", 90, "--tracks", "violin,cello", "--bars", 4, "--seed", 2).exit_code
        == 0
    )
    piece = read(here / "generated.mid")
    assert {t.program for t in piece.tracks} <= {40, 42}
    assert piece.meter_at(0) == (3, 4)
    assert piece.end <= 4 * 1440
    assert round(60e6 / piece.tempo_at(0)) == 90


def test_who_asks_for_music_from_nothing_is_not_warned_of_it(here):
    write(Piece(480), here / "silence.mid")
    goes_on = json.loads(run("continue", "silence.mid", "--bars", 1, "--json").stdout)
    begins = json.loads(run("generate", "--bars", 1, "--json").stdout)
    told = [[line for take in given for line in take["warnings"]] for given in (goes_on, begins)]
    assert [line for line in told[0] if line.startswith("empty: no notes before the cut")]
    assert not [line for line in told[1] if line.startswith("empty:")]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_render(here, suffix):
    assert run("render", EXAMPLE, "-o", f"out.{suffix}", "--engine", "numpy").exit_code == 0
    samples, rate = soundfile.read(f"out.{suffix}")
    seconds = read(EXAMPLE).seconds
    assert samples.shape[1] == 2
    assert seconds <= len(samples) / rate <= seconds + 10
    assert 0.1 < abs(samples).max() < 1


def test_render_to_something_else(here):
    assert "mp3" in fails(2, "render", EXAMPLE, "-o", "out.mp3")
    assert list(here.iterdir()) == []


def test_inspect_a_file(here):
    facts = json.loads(run("inspect", EXAMPLE, "--json").stdout)
    assert (facts["notes"], facts["drum_notes"], facts["ticks_per_quarter"], facts["end_tick"]) == (36, 0, 480, 13200)
    assert (facts["bars"], facts["programs"], facts["meters"], facts["tempos"]) == (
        10,
        [42],
        [[0, "3/4"]],
        [[0, 108.0]],
    )
    assert "cello" in run("inspect", EXAMPLE).stdout


def test_inspect_a_corpus_and_a_run(trained):
    corpus, folder = trained
    assert json.loads(run("inspect", corpus, "--json").stdout)["pieces"] == 10
    assert json.loads(run("inspect", folder, "--json").stdout)["card"]["family"] == "lstm"


def test_inspect_a_folder_of_nothing(here):
    assert "neither a corpus nor a run folder" in fails(3, "inspect", here)


def test_models():
    (card,) = [c for c in json.loads(run("models", "list", "--json").stdout) if c["name"] == "default"]
    assert card["megabytes"] <= 32
    assert "licence" in run("models", "show", "default").stdout


# ---- corpus, train, evaluate -------------------------------------------------------------------------------


def test_corpus_list():
    entries = {e["name"]: e for e in json.loads(run("corpus", "list", "--json").stdout)}
    assert entries["bach-chorales"]["how"] == "comes with music21"
    assert not entries["nottingham"]["shippable"]


def test_corpus_info_keys(trained):
    facts = json.loads(run("corpus", "info", trained[0], "--json").stdout)
    for key in ("pieces", "notes", "tokens", "splits", "rejected", "licences", "tokenizer"):
        assert key in facts


def test_a_corpus_tells_what_it_rejected(here):
    (here / "music").mkdir()
    for n in range(3):
        tune(here / "music" / f"{n}.mid", begin=50 + n, length=40 + n)
    (here / "music" / "broken.mid").write_bytes(b"MThd no")
    result = run("corpus", "build", "music", "-o", "corpus", "--jobs", 1)
    assert result.exit_code == 0
    assert "broken.mid: the file ends inside its MIDI header" in result.stdout


def test_a_corpus_of_nothing_usable(here):
    (here / "music").mkdir()
    (here / "music" / "broken.mid").write_bytes(b"no")
    assert "no usable piece" in fails(3, "corpus", "build", "music", "-o", "corpus", "--jobs", 1)
    assert not (here / "corpus").exists()


def test_a_catalogue_name_that_is_not_there(here):
    assert "did you mean 'bach-chorales'?" in fails(2, "corpus", "build", "bach-chorals", "-o", "corpus")


def test_evaluate(trained):
    corpus, folder = trained
    facts = json.loads(run("evaluate", folder, corpus, "--json", "--baseline").stdout)
    for key in (
        "split",
        "tokens",
        "notes",
        "frames",
        "nats_per_token",
        "bits_per_token",
        "perplexity",
        "nats_per_note",
    ):
        assert key in facts
        assert key in facts["baseline"]


def test_evaluate_and_train_say_how_the_model_stands_to_the_floor(trained, here):
    corpus, folder = trained
    plain = run("evaluate", folder, corpus, "--max-tokens", 100)
    full = run("evaluate", folder, corpus, "--max-tokens", 100, "--baseline")
    assert plain.stdout.splitlines()[-1] == full.stdout.splitlines()[-1]
    assert "the floor, " in plain.stdout.splitlines()[-1]
    assert "chosen on the training split" in full.stdout
    assert "chosen on the training split" not in plain.stdout
    assert "valid has 1 piece: figures may be chance" in plain.stderr
    facts = json.loads(run("evaluate", folder, corpus, "--max-tokens", 100, "--json", "--baseline").stdout)
    assert facts["baseline"]["tokens"] == facts["tokens"]
    made = run("train", corpus, "-o", here / "short", "--steps", 1, "--device", "cpu", *SMALL)
    assert "behind the floor, " in made.stdout
    assert "it has learned less than counting does" in made.stdout
    assert "figures may be chance" in made.stderr


def test_continue_with_a_run_of_ones_own(trained, here):
    assert run("continue", EXAMPLE, "-m", trained[1], "--bars", 1, "--seed", 0).exit_code in (0, 4)
    assert (here / "schubert-unfinished.continued.mid").exists()


def test_a_corpus_built_with_another_tokenizer(trained, here):
    corpus, folder = trained
    assert run("corpus", "build", corpus.parent / "tunes", "-o", "fine", "--positions", 48, "--jobs", 1).exit_code == 0
    assert "built with the tokenizer" in fails(2, "evaluate", folder, "fine")


def test_train_refuses_and_resumes(trained):
    corpus, folder = trained
    assert "already exists; pass --resume to go on" in fails(2, "train", corpus, "-o", folder)
    assert "--model can't change" in fails(2, "train", corpus, "-o", folder, "--resume", "--model", "transformer")
    more = run("train", corpus, "-o", folder, "--resume", "--steps", 4, "--device", "cpu", "--json")
    assert more.exit_code == 0, more.output
    assert json.loads(more.stdout)["steps"] == 4


def test_train_on_a_folder_of_music(trained, here):
    result = run("train", trained[0].parent / "tunes", "-o", "run", "--preset", "tiny", "--steps", 1, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (here / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "transfromer"], "did you mean 'transformer'?"),
        (["--preset", "tinny"], "did you mean 'tiny'?"),
        (["--max-time", "soon"], "'soon' is not a duration; write it like 90s, 10m or 1h30m"),
    ],
)
def test_train_requests_that_do_not_fit(trained, here, options, text):
    assert text in fails(2, "train", trained[0], "-o", "run", *options)


def test_train_with_teachers(trained, here):
    corpus, teacher = trained
    common = ("train", corpus, "-o", "student", "--device", "cpu")
    card = json.loads(run(*common, *SMALL, "--model", "gru", "--steps", 2, "--teacher", teacher, "--json").stdout)
    assert [known["name"] for known in card["teachers"]] == [teacher.name]
    assert len(card["data"]) == 1, "both learned from the same"
    assert f"learned from {teacher.name}\n" in run("inspect", "student").stdout
    assert "not the teachers of the run; give the same 1 with --teacher" in fails(2, *common, "--resume", "--steps", 3)
    assert run(*common, "--resume", "--steps", 3, "--teacher", teacher).exit_code == 0
    assert run("continue", EXAMPLE, "-m", "student", "--bars", 1, "--seed", 0).exit_code in (0, 4)
    assert run("corpus", "build", corpus.parent / "tunes", "-o", "fine", "--positions", 48, "--jobs", 1).exit_code == 0
    assert "this teacher has another tokenizer" in fails(2, "train", "fine", "-o", "other", "--teacher", teacher)


def test_overwrite_never_deletes_a_folder_of_music(trained, here):
    (here / "music").mkdir()
    tune(here / "music" / "a.mid")
    assert "is not a run folder" in fails(2, "train", trained[0], "-o", "music", "--overwrite")
    assert (here / "music" / "a.mid").exists()


def test_the_program_itself(here):
    """Once through a real process: exit code, stdout and stderr apart, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "musicgen", "render", "none.mid", "-o", "x.wav"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == "musicgen: none.mid: no such file; check the path\n"
    near = subprocess.run(
        [sys.executable, "-m", "musicgen", "contnue"], capture_output=True, text=True, check=False, timeout=60
    )
    assert near.returncode == 2
    assert "id you mean 'continue'?" in near.stderr

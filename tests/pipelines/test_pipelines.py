"""The batch scripts, run as a user runs them, and the example that one of them writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from musicgen.io import read, write
from musicgen.io.midi import midi_bytes
from musicgen.piece import Piece, Track, notes_array

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "corpora" / "examples" / "schubert-unfinished.mid"


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(monkeypatch, capsys) -> Iterator[Run]:
    """Runs a script as `python SCRIPT ARGUMENTS` does, its last lines and exit code too, but in this process: a new
    one would import torch each time. So would its workers, were it `sys.modules["__main__"]`, as runpy has it."""
    threads = torch.get_num_threads()

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        path = ROOT / "pipelines" / script
        command = [str(path), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.syspath_prepend(str(path.parent))  # where a script finds its neighbours
        capsys.readouterr()
        code = None
        try:
            exec(compile(path.read_text(encoding="utf-8"), path, "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        if isinstance(code, str):  # a message, which the interpreter prints
            code, err = 1, f"{err}{code}\n"
        return subprocess.CompletedProcess(command, code or 0, out, err)

    yield run
    torch.set_num_threads(threads)


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """File -> status of the report."""
    lines = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    return {line[1]: line[0] for line in lines}


def test_continue_folder_goes_on_skips_and_reports(run, tmp_path):
    drafts, out = tmp_path / "drafts", tmp_path / "out"
    (drafts / "sub").mkdir(parents=True)
    for name in ("a.mid", "sub/b.mid"):
        write(
            Piece(480, (Track("", 40, notes=notes_array([(i * 480, 480, 60 + i, 80) for i in range(8)])),)),
            drafts / name,
        )
    (drafts / "broken.mid").write_bytes(b"not music")

    first = run("continue_folder.py", drafts, "--out", out, "--bars", 1)
    assert first.returncode == 1, first.stderr
    assert rows(first) == {"a.mid": "done", "broken.mid": "failed", "sub/b.mid": "done"}
    assert "not a MIDI file" in first.stdout
    assert read(out / "sub" / "b.continued.mid").n_notes > 8
    assert json.loads((out / "a.continued.json").read_text())["notes_kept"] == 8

    (drafts / "broken.mid").unlink()
    again = run("continue_folder.py", drafts, "--out", out, "--bars", 1)
    assert again.returncode == 0
    assert rows(again) == {"a.mid": "skipped", "sub/b.mid": "skipped"}


def test_continue_folder_spares_a_draft_that_is_called_like_an_output(run, tmp_path):
    piece = Piece(480, (Track("", 40, notes=notes_array([(i * 480, 480, 60 + i, 80) for i in range(8)])),))
    for name in ("a.mid", "a.continued.mid"):
        write(piece, tmp_path / name)
    done = run("continue_folder.py", tmp_path, "--out", tmp_path, "--bars", 1)
    assert done.returncode == 1, done.stderr
    assert rows(done) == {"a.continued.mid": "done", "a.mid": "failed"}
    assert "a.continued.mid: is the input" in done.stdout
    assert (tmp_path / "a.continued.mid").read_bytes() == midi_bytes(piece)


def test_continue_folder_of_nothing(tmp_path):
    """Once through a real process."""
    command = [sys.executable, ROOT / "pipelines" / "continue_folder.py", tmp_path, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("model", "kind"), [("default", "folk"), ("piano", "piano-score"), ("folk", "folk")])
def test_the_script_of_shipped_models_takes_only_what_may_be_passed_on(run, tmp_path, model, kind):
    line = {"source": "nottingham/MIDI/reel.mid", "file": "reel.mid", "kind": kind}
    (tmp_path / "pieces.jsonl").write_text(json.dumps(line) + "\n")
    done = run("train_shipped.py", model, "--pieces", tmp_path, "--work", tmp_path / "w")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("train_shipped: weights trained on nottingham may not be passed on")


def test_a_folk_model_goes_from_a_cache_of_pieces_to_a_shipped_folder(run, tmp_path):
    """In two runs of the script, of which the second goes on with the first."""
    steps = (0, 2, 4, 5, 7, 4, 2, 0)
    lines = []
    for n, split in enumerate(("train", "train", "valid", "test")):
        source = f"mutopia_more/tune{n}.mid"
        rows = [(i * 240, 240, 60 + n + steps[i % 8], 80) for i in range(64)]
        write(Piece(480, (Track(notes=notes_array(rows)),)), tmp_path / f"{n}.mid")
        lines.append(
            {"source": source, "file": f"{n}.mid", "kind": "folk", "work": source, "split": split, "licence": "CC0",
             "played": False, "real_bars": True}
        )  # fmt: skip
    (tmp_path / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = ("train_shipped.py", "folk", "--work", tmp_path / "w")
    small = ("--set", "model.width=16", "--set", "train.length=32", "--set", "train.evaluate_every=2")
    for steps in (2, 3):
        done = run(*common, "--pieces", tmp_path, *small, "--set", f"train.steps={steps}")
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("corpus: 16 pieces")  # each training tune in six other keys
    done = run(*common, "--ship", tmp_path / "folk")
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "folk" / "card.json").read_text())
    assert card["title"] == "musicgen folk model"
    assert [source["name"] for source in card["data"]] == ["mutopia-more"]
    assert card["steps"] == 3
    assert set(card["figures"]) == {"valid", "test"}


def test_the_bundled_piece_is_the_theme():
    spec = importlib.util.spec_from_file_location("write_example", ROOT / "pipelines" / "write_example.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert EXAMPLE.read_bytes() == midi_bytes(module.theme())
    piece = read(EXAMPLE)
    (cello,) = piece.tracks
    assert (cello.program, piece.meter_at(0), round(60e6 / piece.tempo_at(0))) == (42, (3, 4), 108)
    assert (int(piece.keys["fifths"][0]), bool(piece.keys["minor"][0])) == (1, False)
    assert len(cello.notes) == 36
    assert piece.end == 27.5 * 480, "it breaks off in mid-phrase"
    assert cello.notes["pitch"][:7].tolist() == [67, 62, 67, 66, 67, 69, 67]
    assert (cello.notes["start"][:4] / 480).tolist() == [0, 1, 2.5, 3]


def test_a_published_set_goes_from_raw_file_to_figure_and_into_a_mixture(run, tmp_path):
    frames = [[[72, 67, 64, 48 + (i + k) % 5] for i in range(12)] for k in range(6)]
    data = tmp_path / "set.json"
    data.write_text(json.dumps({"train": frames[:4], "valid": frames[4:5], "test": frames[5:]}))
    common = ("--data", data, "--steps", 4, "--set-option", "train.evaluate_every=3")
    for name in ("one", "two"):
        done = run("nextnote/run.py", "Jsb16thSeparated", *common, "--out", tmp_path / name, "--model", "window")
        assert done.returncode == 0, done.stderr
        table = [line.split(" | ") for line in done.stdout.splitlines()]
        assert [line[6] for line in table[2:]] == ["valid", "test"]
        assert [line[7] for line in table[2:]] == ["12", "12"]
    mixed = run("nextnote/mixture.py", tmp_path / "one", tmp_path / "two", "--split", "test")
    assert mixed.returncode == 0, mixed.stderr
    # The mean of likelihoods is at least their geometric mean.
    one, two, both = (float(line.split(": ")[1].split()[0]) for line in mixed.stdout.splitlines()[:3])
    assert both <= (one + two) / 2 + 1e-3
    assert mixed.stdout.splitlines()[2].endswith("over 12 frames")
    repeats = run("nextnote/repeats.py", tmp_path / "one", "--splits", "test")
    assert repeats.returncode == 0, repeats.stderr
    total = float(repeats.stdout.split("frames, ")[1].split()[0])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in repeats.stdout.splitlines()[4:]]
    assert sum(float(row[1]) for row in rows) == pytest.approx(1, abs=0.01)
    assert sum(float(row[1]) * float(row[3]) for row in rows) == pytest.approx(total, rel=0.02)


def test_a_recipe_with_teachers_trains_them_first_and_resumes(run, tmp_path):
    frames = [[[72, 67, 64, 48 + (i + k) % 5] for i in range(8)] for k in range(4)]
    data = tmp_path / "set.json"
    data.write_text(json.dumps({"train": frames[:3], "valid": frames[3:]}))
    common = ("nextnote/run.py", "Jsb16thSeparated", "--data", data, "--out", tmp_path / "run")
    done = run(*common, "--steps", 2, "--set-option", "train.evaluate_every=2")
    assert done.returncode == 0, done.stderr
    teachers = sorted(path.name for path in (tmp_path / "run").glob("teacher*"))
    assert len(teachers) > 1
    before = [(tmp_path / "run" / name / "model.safetensors").read_bytes() for name in teachers]
    assert json.loads((tmp_path / "run" / "card.json").read_text())["steps"] == 2
    assert {json.loads((tmp_path / "run" / name / "card.json").read_text())["steps"] for name in teachers} == {2}
    again = run(*common, "--steps", 3, "--resume")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "run" / "card.json").read_text())["steps"] == 3
    assert before == [(tmp_path / "run" / name / "model.safetensors").read_bytes() for name in teachers]
    mine = run(*common[:-1], tmp_path / "mine", "--steps", 1, "--teacher", tmp_path / "run" / teachers[0])
    assert mine.returncode == 0, mine.stderr
    other = run(*common[:-1], tmp_path / "mine", "--steps", 2, "--resume")
    assert other.returncode != 0
    assert "these are not the teachers of the run; give the same --teacher" in other.stderr
    assert not list((tmp_path / "mine").glob("teacher*"))
    alone = run(*common[:-1], tmp_path / "alone", "--max-time", "0.001s", "--clock", "cpu", "--model", "window")
    assert alone.returncode == 0, alone.stderr
    assert run(*common[:-1], tmp_path / "alone", "--max-time", "0.001s", "--resume").returncode == 0
    # The first step of each has passed its budget of time, wherever it runs.
    assert json.loads((tmp_path / "alone" / "card.json").read_text())["steps"] == 2
    assert not list((tmp_path / "alone").glob("teacher*"))


def test_the_folk_lab_goes_from_tunes_to_a_table(run, tmp_path):
    names = "CDEFGABc"
    tunes = [
        f"X:{n}\nT:Tune {n}\nM:4/4\nL:1/8\nK:G\n" + "|".join(names[(n * i) % 8 :: 3] * 2 for i in range(1, 9)) + "|]\n"
        for n in range(1, 31)
    ]
    (tmp_path / "tunes.abc").write_text("\n".join(tunes))
    done = run("folk/lab.py", "--data", tmp_path / "tunes.abc", "--work", tmp_path / "work", "--quick")
    assert done.returncode == 0, done.stderr
    lab, ours = json.loads((tmp_path / "work" / "results.json").read_text())
    for row, name in ((lab, "6.S191 lab"), (ours, "musicgen, abc")):
        assert row["model"] == name
        assert f"| {name} | {row['parameters']:,} |" in done.stdout
        assert 0 < row["nats_per_character"] < 6
    # Whatever ours has learned, its grammar lets nothing through that is no tune.
    assert ours["tunes"] == ours["read"] == ours["with_8_bars"] == 2

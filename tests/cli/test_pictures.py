"""`musicgen inspect RUN --pictures DIR` on runs of a few steps: the files, and one line for what can't be."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.pictures import canvas
from musicgen.piece import Piece, Track, notes_array

RECIPE = """
[model]
family = "{family}"
width = 16
layers = {layers}
heads = 2
context = 32

[train]
steps = 5
batch = 2
length = 32
evaluate_every = 2
"""
ATTENTION = {"attention.layer1.png", "attention.layer2.png"}
ALWAYS = {"loss.png", "memory.png", "pitches.png"}


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def line(code: int, *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    return result.stderr.strip().splitlines()[-1]


def tune(path: Path, *, begin: int = 55) -> Path:
    notes = [(i * 240, 240, begin + (i * begin + i // 5) % 24, 80) for i in range(60)]
    write(Piece(480, (Track(notes=notes_array(notes)),)), path)
    return path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Runs by family, each with its corpus inside; the path that their recipes record leads nowhere."""
    root, made = tmp_path_factory.mktemp("runs"), {}
    (root / "tunes").mkdir()
    for n in range(10):
        tune(root / "tunes" / f"tune{n}.mid", begin=40 + n)
    with contextlib.chdir(root):
        assert run("corpus", "build", "tunes", "-o", "corpus", "--jobs", 1).exit_code == 0
        for family in ("transformer", "lstm", "rnn"):
            Path("recipe.toml").write_text(RECIPE.format(family=family, layers=2 if family == "transformer" else 1))
            result = run("train", "corpus", "-o", family, "--recipe", "recipe.toml", "--device", "cpu")
            assert result.exit_code == 0, result.output
            made[family] = root / family
            shutil.copytree("corpus", Path(family, "corpus"))
        assert run("corpus", "build", "tunes", "-o", "frames", "--tokenizer", "frames", "--jobs", 1).exit_code == 0
        for family, way in (("transformer", "frame"), ("gru", "frame"), ("gru", "pitch"), ("transformer", "pitch")):
            name = f"{family} by {way}"
            changes = ["--set", "model.by_frame=true", "--set", f"model.by_pitch={str(way == 'pitch').lower()}"]
            result = run(
                "train", "frames", "-o", name, "--recipe", "recipe.toml", "--set", f"model.family={family}", *changes
            )
            assert result.exit_code == 0, result.output
            made[name] = root / name
            shutil.copytree("frames", Path(name, "corpus"))
    return made


DPI, FIGURE_OF = canvas.DPI, canvas.figure_of


def crowded(width: float, height: float):
    """A figure as ever, but without the search for a layout in which nothing overlaps: half of the work."""
    figure = FIGURE_OF(width, height)
    figure.set_layout_engine("none")
    return figure


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    """What is drawn is the same, on a quarter of the width; only `test_a_run_has_its_pictures` has them as they are."""
    monkeypatch.setattr(canvas, "DPI", DPI / 4)
    monkeypatch.setattr(canvas, "figure_of", crowded)


def png_size(path: Path) -> tuple[int, int]:
    """The width and height of a PNG, which must be whole."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def gradients(folder: Path) -> None:
    with open(folder / "gradients.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("step", "layer", "norm"), (2, "embedding", 0.5), (2, "head", 0.25), (4, "head", 1)]
        )


def bare(run_folder: Path, to: Path, *without: str) -> Path:
    """A copy of a run without its corpus and more."""
    shutil.copytree(run_folder, to, ignore=shutil.ignore_patterns("corpus", "checkpoints", *without))
    return to


def pictures(folder: Path, out: Path) -> list[Path]:
    result = run("inspect", folder, "--pictures", out, "--json")
    assert result.exit_code == 0, result.output
    paths = [Path(p) for p in json.loads(result.stdout)["pictures"]]
    assert {p.name for p in out.iterdir()} == {p.name for p in paths}
    return paths


def test_a_run_has_its_pictures(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(canvas, "DPI", DPI)
    monkeypatch.setattr(canvas, "figure_of", FIGURE_OF)
    gradients(runs["transformer"])
    paths = pictures(runs["transformer"], tmp_path / "out")
    assert {p.name for p in paths} == ALWAYS | ATTENTION | {"gradients.png"}
    for path in paths:
        width, height = png_size(path)
        assert 600 < width < 4000
        assert 400 < height < 4000


@pytest.mark.parametrize(
    ("family", "own"),
    [
        ("lstm", {"gates.png"}),
        ("transformer by frame", {"attention.layer1.png"}),
        ("gru by frame", {"gates.png"}),
        ("gru by pitch", {"gates.png"}),
        ("transformer by pitch", {"attention.layer1.png"}),
    ],
)
def test_each_family_is_looked_into(runs, tmp_path, family, own):
    # Without the logs: they are drawn alike whatever wrote them.
    folder = bare(runs[family], tmp_path / "run", "*.csv")
    shutil.copytree(runs[family] / "corpus", folder / "corpus")
    paths = pictures(folder, tmp_path / "out")
    assert {p.name for p in paths} == (ALWAYS - {"loss.png"}) | own
    for path in paths:
        assert min(png_size(path)) > 0


def test_gates_are_drawn_over_the_piece_that_is_named(runs, tmp_path):
    folder, out = bare(runs["lstm"], tmp_path / "bare", "*.csv"), tmp_path / "out"
    pictures = []
    for begin in (55, 70):
        piece = tune(tmp_path / f"{begin}.mid", begin=begin)
        result = run("inspect", folder, "--pictures", out, "--piece", piece, "--overwrite")
        assert f"wrote {out / 'gates.png'}" in result.stdout
        pictures.append((out / "gates.png").read_bytes())
    assert pictures[0] != pictures[1]
    assert "already exists; pass --overwrite" in line(2, "inspect", folder, "--pictures", out, "--piece", piece)
    assert (out / "gates.png").read_bytes() == pictures[1]


def test_what_a_run_lacks_is_left_out_and_named(runs, tmp_path):
    folder = bare(runs["transformer"], tmp_path / "bare", "*.csv")
    message = line(2, "inspect", folder, "--pictures", tmp_path / "out")
    assert message.endswith("this run has nothing to draw; name a piece with --piece")
    result = run("inspect", folder, "--pictures", tmp_path / "out", "--piece", tune(tmp_path / "mine.mid"))
    assert result.exit_code == 0, result.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == ATTENTION
    for name in ("loss.png: there is no log.csv", "gradients.png: there is no", "memory.png: it needs", "pitches.png"):
        assert f"left out: {name}" in result.stderr


def test_the_plain_network_has_no_gates(runs, tmp_path):
    folder = bare(runs["rnn"], tmp_path / "bare", "gradients.csv")
    message = line(0, "inspect", folder, "--pictures", tmp_path / "out", "--piece", tune(tmp_path / "mine.mid"))
    assert message == "left out: gates.png: a model of the family rnn has no gates"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["loss.png"]


def test_one_line_says_why_not(runs, tmp_path):
    folder, out = bare(runs["lstm"], tmp_path / "bare", "gradients.csv"), tmp_path / "out"
    piece = tune(tmp_path / "mine.mid")
    assert "this is no run folder; name a run folder" in line(2, "inspect", piece, "--pictures", out)
    assert "add --pictures DIR" in line(2, "inspect", folder, "--piece", piece)
    assert "is a file, not a folder" in line(2, "inspect", folder, "--pictures", piece)
    missing = tmp_path / "no"
    assert f"create {missing} first" in line(2, "inspect", folder, "--pictures", missing / "out")
    write(Piece(480), tmp_path / "empty.mid")
    empty = line(2, "inspect", folder, "--pictures", out, "--piece", tmp_path / "empty.mid")
    assert "has no notes that this run's tokenizer reads" in empty
    assert not out.exists()


def test_without_matplotlib_a_line_says_what_to_install(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    message = line(2, "inspect", runs["rnn"], "--pictures", tmp_path / "out")
    assert message.endswith("pictures need matplotlib; install it with pip install 'musicgen-symbolic[pictures]'")
    assert not (tmp_path / "out").exists()


def test_a_piece_is_not_drawn_over(runs, tmp_path):
    tune(tmp_path / "tune.mid").rename(tmp_path / "gates.png")
    options = ("--pictures", tmp_path, "--piece", tmp_path / "gates.png", "--overwrite")
    assert "gates.png: is the input" in line(2, "inspect", runs["lstm"], *options)
    assert (tmp_path / "gates.png").read_bytes().startswith(b"MThd")


# ---- several runs ----------------------------------------------------------------------------------------

COMPARED = {f"compared.{name}.{kind}" for name in ("loss", "memory", "gradients") for kind in ("png", "csv")}


@pytest.fixture(scope="module")
def ahead(runs, tmp_path_factory) -> Path:
    """A run that foresees three steps, long enough not to be called untrained."""
    folder = tmp_path_factory.mktemp("ahead") / "ahead"
    sets = [f"--set={each}" for each in ("model.width=8", "model.layers=1", "model.horizon=3", "train.length=16")]
    result = run(
        "train", runs["lstm"] / "corpus", "-o", folder, "--model", "lstm", "--steps", 12, "--device", "cpu", *sets
    )
    assert result.exit_code == 0, result.output
    return folder


def test_runs_are_drawn_on_one_axis_with_their_numbers(runs, ahead, tmp_path, monkeypatch):
    titles: list[str] = []
    monkeypatch.setattr(canvas, "entitle", lambda figure, title: titles.append(title))
    out = tmp_path / "out"
    result = run("inspect", runs["rnn"], runs["transformer"], ahead, "--pictures", "-o", out)
    assert result.exit_code == 0, result.output
    horizon = {"compared.horizon.png", "compared.horizon.csv"}
    assert {p.name for p in out.iterdir()} == COMPARED | horizon
    assert all(title.endswith("; untrained: rnn, transformer") for title in titles)
    assert "rnn is untrained: after 5 steps, " in result.stdout
    assert "ahead is untrained" not in result.stdout
    assert "the runs learned from different corpora" not in result.stdout
    loss = table(out / "compared.loss.csv")
    kept = table(runs["rnn"] / "log.csv")
    mine = [row for row in loss if row["run"] == "rnn"]
    assert [float(row["valid_nats_per_token"]) for row in mine] == [
        pytest.approx(float(row["valid_nats_per_token"]), rel=1e-5) for row in kept
    ]
    assert [row["steps_ahead"] for row in table(out / "compared.horizon.csv")] == ["1", "1", "1", "2", "3"]
    memory = table(out / "compared.memory.csv")
    assert [float(row["share_of_lag_0"]) for row in memory if row["lag_tokens"] == "0"] == [1.0, 1.0, 1.0]
    layers = {row["lag_or_layer"] for row in table(out / "compared.gradients.csv") if row["by"] == "layer"}
    assert {"embedding", "recurrence.0", "ahead.0"} <= layers
    assert "already exists" in line(2, "inspect", runs["rnn"], ahead, "--pictures", out)


def test_a_legend_says_how_long_a_run_was_trained(runs, ahead):
    from musicgen.checkpoint import load_run
    from musicgen.pictures.comparison import Comparison

    folders = [runs["lstm"], ahead]
    labels = [each.label for each in Comparison.of([load_run(folder) for folder in folders], folders).runs]
    assert labels[0].startswith("lstm (lstm; untrained: 5 steps, ")
    assert labels[1].startswith("ahead (lstm; 12 steps, ")


def test_runs_of_different_tokenizers_are_compared_by_the_note(runs, tmp_path):
    out = tmp_path / "out"
    folders = [runs["rnn"], runs["gru by frame"]]
    result = run("inspect", *folders, "--pictures", out, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert "different tokenizers, so nats are those of a note: rnn notes (1." in found["notes"][-1]
    loss = table(out / "compared.loss.csv")
    ratios = {
        folder.name: float([row for row in loss if row["run"] == folder.name][-1]["valid_nats_per_note"])
        / float(table(folder / "log.csv")[-1]["valid_nats_per_token"])
        for folder in folders
    }
    assert 1 < ratios["rnn"] < 1.5
    assert ratios["gru by frame"] > 1.5  # an id that ends each frame, and held notes
    lost = bare(runs["gru by frame"], tmp_path / "lost")
    message = line(2, "inspect", runs["rnn"], lost, "--pictures", tmp_path / "more")
    assert message.endswith("is not there; compare runs of one tokenizer, or put the corpus back")
    assert not (tmp_path / "more").exists()


def test_one_line_says_what_is_not_compared(runs, tmp_path):
    piece = tune(tmp_path / "mine.mid")
    assert "several runs are compared in pictures; add --pictures DIR" in line(2, "inspect", runs["rnn"], runs["lstm"])
    assert "is no run folder, and only runs are compared" in line(2, "inspect", runs["rnn"], piece, "--pictures", "x")
    both = ("--pictures", tmp_path / "a", "-o", tmp_path / "b")
    assert "--pictures and -o name a folder each" in line(2, "inspect", runs["rnn"], *both)
    more = line(2, "inspect", runs["rnn"], runs["lstm"], "--pictures", tmp_path / "a", "--piece", piece)
    assert "only runs are told several at a time" in more

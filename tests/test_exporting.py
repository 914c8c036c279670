"""Models as ONNX: the logits are PyTorch's, whatever the batch and the length; the file says all that is needed to draw."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from musicgen.checkpoint import Run, model_for, save_run
from musicgen.cli.main import cli
from musicgen.errors import CheckError, UsageError
from musicgen.exporting import checking, export_onnx, writing
from musicgen.exporting.steps import form_of
from musicgen.models import FAMILIES, ModelSettings, build_model
from musicgen.recipe import Recipe
from musicgen.tokenizers import TOKENIZERS, load_tokenizer

PAGE = Path(__file__).parent.parent / "docs" / "onnx.md"
# Every family, and tokenizers with fields and without: pipelines/checks/onnx_runs.py tries each with each.
PAIRS = [("lstm", "notes"), ("transformer", "parts"), ("cnn-lstm", "remi")]


def installed() -> bool:
    try:
        return bool([version(name) for name in ("onnx", "onnxruntime", "onnxscript")])
    except PackageNotFoundError:
        return False


needs_onnx = pytest.mark.skipif(not installed(), reason="the extra onnx is not installed")


def run_of(family: str, name: str, **settings: object) -> Run:
    tokenizer = load_tokenizer({"name": name})
    shape = {"family": family, "width": 8, "layers": 1, "heads": 2, "context": 40, "with_memory": False, **settings}
    model = model_for(Recipe(shape), tokenizer).eval()
    with torch.no_grad():  # logits as large as those of a trained model
        for parameter in model.parameters():
            parameter.mul_(6)
    model.set_inverse_temperature([2.0] * len(model.inverse_temperature))
    return Run(model, tokenizer, Recipe(shape), {"title": "T", "licence": "CC0"}, "t", "0" * 64)


@needs_onnx
@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_a_step_is_the_one_of_pytorch_and_the_file_tells_how_to_call_it(family, name, tmp_path):
    import onnxruntime

    run = run_of(family, name)
    done = export_onnx(run, tmp_path / "m.onnx")
    assert done.largest_difference < 1e-5
    assert max(float(np.abs(each).max()) for each in logits_of(run)) > 1  # else it would say little
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    told = session.get_modelmeta().custom_metadata_map
    assert (told["family"], told["licence"], told["model_sha256"]) == (family, "CC0", "0" * 64)
    assert json.loads(told["tokenizer"]) == run.tokenizer.spec
    assert len(json.loads(told["vocabulary"])) == len(run.tokenizer.vocabulary)
    fields = json.loads(told["fields"])
    assert [each["size"] for each in fields] == [each.size for each in run.tokenizer.fields]
    assert told["reads"] == ("window" if family == "transformer" else "state")
    assert [shape[-1] for key, shape in done.outputs.items() if key.startswith("logits")] == [f["size"] for f in fields]
    assert json.loads(told["longest_window"]) == (40 if family == "transformer" else None)
    if name == "notes":
        assert drawn_by_the_page(tmp_path / "m.onnx") == 10


def logits_of(run: Run) -> list[np.ndarray]:
    ids = torch.from_numpy(checking.likely_steps(run.tokenizer, 8))
    return checking._own(run.model, ids[:, :-1], ids[:, 1:])


def drawn_by_the_page(path: Path) -> int:
    """Run the page's example on a model; the number of notes that it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    assert not re.search(r"import (torch|musicgen)", code)
    printed: list[object] = []
    exec(code.replace("run.onnx", str(path)), {"print": lambda *words: printed.append(words)})
    return len(printed)


@needs_onnx
def test_the_command_prints_the_difference_and_how_the_file_is_called(tmp_path):
    run = run_of("window", "remi")
    save_run(tmp_path / "run", model=run.model, tokenizer=run.tokenizer, recipe=run.recipe, card=run.card)
    arguments = ["models", "export", str(tmp_path / "run"), "-o", str(tmp_path / "m.onnx")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    first, takes, gives = done.stdout.splitlines()
    assert re.fullmatch(r".*m\.onnx: [\d.]+ MB; logits differ from PyTorch's by \d\.\de-\d+ at most", first)
    assert (takes, gives) == ("  takes ids (batch, time)", "  gives logits (batch, 1183)")
    again = CliRunner().invoke(cli, arguments)
    assert (again.exit_code, "already exists; pass --overwrite to replace it" in again.stderr) == (2, True)


@needs_onnx
def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    run = run_of("gru", "remi")
    other = run_of("gru", "remi")
    with torch.no_grad():
        other.model.recurrence.first_bias_G[0] += 1
    real = writing._graph
    monkeypatch.setattr(writing, "_graph", lambda _, form: real(other, form))
    with pytest.raises(
        CheckError, match=r"not written: onnxruntime's logits differ from PyTorch's by [\d.]+, more than"
    ):
        export_onnx(run, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_recurrent_families_hand_on_a_state_and_the_others_read_windows(family):
    form = form_of(build_model(ModelSettings(family, 9, width=8, layers=2, heads=2, context=16)).eval())
    names = {"rnn": ["hidden_LBC"], "gru": ["hidden_LBC"], "lstm": ["hidden_LBC", "cell_LBC"]}
    assert list(form.state) == names.get(family, ["past0", "past1", "hidden_LBC", "cell_LBC"] if "-" in family else [])
    assert {name: list(value.shape) for name, value in form.zeros(3).items()} == {
        name: [n or 3 for n in shape] for name, shape in form.state.items()
    }
    assert form.longest == (16 if family == "transformer" else None)


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_what_is_tried_is_real_music_and_random_steps_of_the_vocabulary(name):
    tokenizer = load_tokenizer({"name": name})
    ids = checking.likely_steps(tokenizer, 9)
    assert ids.shape[:2] == (3, 9)
    assert ids.min() >= 0
    assert ids.max() < len(tokenizer.vocabulary)
    assert not np.array_equal(ids[0], ids[1])


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        (
            "parts",
            {"with_memory": True},
            r"this lstm model looks up in Python, .* \(its memory\); train one without: --set",
        ),
        (
            "frames",
            {"by_frame": True},
            r"this lstm model reads whole frames and spells each in Python, id by id; train",
        ),
    ],
)
def test_models_that_need_python_between_steps_are_refused(name, settings, why, tmp_path):
    with pytest.raises(UsageError, match=why):
        export_onnx(run_of("lstm", name, **settings), tmp_path / "m.onnx")


def test_without_the_packages_it_says_which_extra_brings_them_and_nothing_is_written_over(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(
            UsageError, match=r"export needs the package onnxruntime; install the extra: pip install 'mu"
        ):
            export_onnx(run_of("lstm", "remi"), tmp_path / "m.onnx", overwrite=True)
    if installed():
        with pytest.raises(UsageError, match=r"already exists; pass `overwrite` to replace it"):
            export_onnx(run_of("lstm", "remi"), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "mine"

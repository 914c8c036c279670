"""Files whose tensors have the names of earlier versions: they load, train on, and are written with today's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from step_kinds import KINDS, build
from training_runs import outcome
from training_tunes import Tunes, recipe

from musicgen.checkpoint import load_run
from musicgen.errors import UnreadableError
from musicgen.io.atomic import json_bytes
from musicgen.models.registry import blank_model
from musicgen.runs.files import sha256
from musicgen.runs.weights import load_tensors, load_weights, read_header
from musicgen.stopping import Interrupted
from musicgen.tokenizers import load_tokenizer
from musicgen.training.loop import train

# What tensors were called, by kind of model: today's beginning of a name, and the former one.
FORMER = {
    "frames": {
        r"project\.": "hear.",
        r"inputs\.emitted\.": "inputs.said.",
        r"inputs\.confidence(\d)\.": r"inputs.sure\1.",
        r"outputs\.emitted\.": "outputs.said.",
    },
    "pitches": {r"project\.": "hear.", r"inputs\.confidence\.": "inputs.sure."},
    "fields": {
        r"field_head\.project\.": "field_head.hear.",
        r"field_head\.from_fields\.": "field_head.learn.",
        r"field_head\.residual\.": "field_head.deepen.",
    },
    "remembered": {
        r"input_table\.": "told.",
        r"pointer_head\.project\.": "pointer_head.hear.",
        r"pointer_head\.from_fields\.": "pointer_head.learn.",
        r"pointer_head\.residual\.": "pointer_head.deepen.",
    },
}


def as_formerly(tensors: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """The tensors by their former names. All that is in FORMER occurs."""
    result, missing = {}, set(FORMER[kind])
    for name, value in tensors.items():
        for today, former in FORMER[kind].items():
            if re.match(today, name):
                name = re.sub(today, former, name, count=1)
                missing.discard(today)
        result[name] = value.clone()
    assert not missing
    return result


def rename_run(folder: Path, kind: str) -> int:
    """Write all weights in a run folder anew, with former names; return how many files that were."""
    paths = [path for path in folder.rglob("model.safetensors") if not path.is_symlink()]
    for path in paths:
        tensors = as_formerly({name: value.clone() for name, value in load_file(path).items()}, kind)
        path.unlink()
        save_file(tensors, path)
        manifest = path.with_name("manifest.json")
        table = json.loads(manifest.read_text())
        table["sha256"][path.name] = sha256(path)
        manifest.write_bytes(json_bytes(table))
    return len(paths)


@pytest.mark.parametrize("kind", FORMER)
def test_weights_with_former_names_are_those_of_today(tmp_path, kind):
    tokenizer, shape = KINDS[kind]
    model = build("lstm", tokenizer, **shape)
    path = tmp_path / "model.safetensors"
    save_file(as_formerly(model.state_dict(), kind), path)
    assert read_header(path).keys() == model.state_dict().keys()
    weights = load_weights(path, blank_model(model.settings))
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_a_tensor_under_both_names_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"field_head.hear.weight": torch.zeros(2), "field_head.project.weight": torch.ones(2)}, path)
    with pytest.raises(UnreadableError, match="names a tensor twice, by a former and by today's name"):
        load_tensors(path)


def test_a_run_with_former_names_loads_and_is_resumed_to_the_same_end(tmp_path):
    tokenizer = load_tokenizer({"name": "notes"})
    tunes, settings = Tunes(tokenizer), recipe("lstm")

    def go(folder: Path, **options) -> None:
        train(tunes, tokenizer, recipe=settings, folder=folder, device="cpu", checkpoint_seconds=0.0, **options)

    def stop(progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    whole, half = tmp_path / "whole", tmp_path / "half"
    go(whole)
    with pytest.raises(Interrupted):
        go(half, report=stop)
    before = load_run(half).model.state_dict()
    assert rename_run(half, "fields") == 4  # the run's own; the last, the one before it, and the best
    assert "field_head.hear.weight" in load_file(half / "model.safetensors")
    after = load_run(half).model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    go(half, resume=True)
    assert outcome(half) == outcome(whole), "among it the bytes of the weights, with today's names"
    assert "field_head.project.weight" in load_file(half / "model.safetensors")

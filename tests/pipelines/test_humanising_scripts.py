"""From performances to the model of `humanise`, and from that to its figures beside performers, on a few made-up takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen import humanise, read
from musicgen.io import write
from musicgen.piece import CONTROL, Piece, Track, notes_array


def performance(seed: int, *, drums: bool) -> Piece:
    """Sixteen bars in eighths, each a little early or late, loud on beats; pianos press the pedal in each bar."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(128):
        keys = (36 if n % 4 == 0 else 38 if n % 4 == 2 else 42, 42) if drums else (60 + n % 5, 48 + n % 7)
        for key in dict.fromkeys(keys):
            late, loud = int(rng.normal(0, 6)), 60 + 20 * (n % 4 == 0) + int(rng.normal(0, 8))
            rows.append((max(0, 240 * n + late), 200, key, int(np.clip(loud, 1, 127))))
    pedal = [(1920 * bar + at, 64, value) for bar in range(16) for at, value in ((30, 127), (1880, 0))]
    controls = np.array([] if drums else pedal, CONTROL)
    return Piece(480, (Track("", 0, drums, notes_array(rows), controls),))


@pytest.fixture
def data(tmp_path) -> Path:
    """A collection with every source of the script, and what its benchmark measures by."""
    names = ["drummer1", "drummer5", "drummer6", "drummer8", "drummer9"]
    files = [f"groove_midi/{name}/session/{n}.mid" for name in names for n in range(2)]
    files += [f"giantmidi_piano/{name}_{n}.mid" for name in ("Chopin", "Haydn", "Ravel", "Brahms") for n in range(2)]
    files += ["vienna4x22/Mozart_p01.mid", "noncommercial/asap/Brahms/one/a.mid", "piano_midi_de/Mozart/a.mid"]
    for number, name in enumerate(files):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(performance(number, drums=name.startswith("groove")), path)
    return tmp_path / "data"


def test_the_scripts_of_humanise_go_from_performances_to_a_model_and_its_figures(
    module, data, tmp_path, monkeypatch, capsys
):
    out, threads = tmp_path / "model", torch.get_num_threads()
    try:
        monkeypatch.setattr(sys, "argv", ["train_humanise.py", "--data", str(data), "--out", str(out), "--quick"])
        module("", "train_humanise").main()
        assert f"{out}: " in capsys.readouterr().out
        monkeypatch.setattr(sys, "argv", ["humanising.py", "--data", str(data), "-m", str(out), "--quick"])
        assert module("benchmarks", "humanising").main() == 0
    finally:
        torch.set_num_threads(threads)
    told = capsys.readouterr().out
    for name in ("drums: ", "ASAP: ", "piano-midi.de: ", "| performers", "| ours", "| velocity"):
        assert f"\n{name}" in told, name
    card = json.loads((out / "card.json").read_text())
    assert [source["name"] for source in card["data"]] == ["groove-midi", "giantmidi-piano", "vienna4x22"]
    assert card["figures"]["drums"]["test_notes"] > 0
    flat = performance(0, drums=True)
    even = flat.tracks[0].notes.copy()
    even["velocity"] = 80
    write(Piece(480, (Track("", 0, True, even),)), tmp_path / "flat.mid")
    take = humanise(tmp_path / "flat.mid", model=out, seed=1)
    assert len(np.unique(take.piece.tracks[0].notes["velocity"])) > 4
    assert read(tmp_path / "flat.mid").n_notes == take.piece.n_notes


def test_data_that_is_not_there_is_named(module, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_humanise.py", "--data", str(tmp_path), "--out", str(tmp_path / "model")])
    with pytest.raises(SystemExit, match="groove_midi is missing: DATA holds a folder for each of groove_midi, giantm"):
        module("", "train_humanise").main()

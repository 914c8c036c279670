"""What holds the MusicXML reader to account: mutants of scores, and the comparison with other readers."""

from __future__ import annotations

import importlib
import random
from pathlib import Path

import pytest

from musicgen.errors import UnreadableError
from musicgen.io.scores import read_score, read_scores

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def module(monkeypatch):
    """Imports a script of a folder of `pipelines/`."""

    def load(folder: str, name: str):
        monkeypatch.syspath_prepend(PIPELINES / folder)
        return importlib.import_module(name)

    return load


def test_mutants_of_musicxml_are_read_or_refused_in_a_line(module, tmp_path):
    mutant, sources = module("torture", "scores").mutant, module("torture", "musicxml_sources").MUSICXML_SCORES
    path, read = tmp_path / "mutant.musicxml", 0
    for n in range(200):
        path.write_bytes(mutant(sources[n % len(sources)], random.Random(f"suite/{n}")))
        try:
            for _, piece in read_scores(path):
                piece.validate()
            read += 1
        except UnreadableError as error:
            assert error.hint, n
            assert "\n" not in str(error), n
    assert read > 60, "many mutants still are scores"


def test_the_torture_uses_scores_that_are_read_whole(module, tmp_path):
    told = []
    for i, data in enumerate(module("torture", "musicxml_sources").MUSICXML_SCORES):
        path = tmp_path / f"{i}.xml"
        path.write_bytes(data)
        told.append({warning.partition(":")[0] for warning in read_score(path).warnings})
    assert told[0] == told[2]
    assert not (told[0] | told[1]) & {
        "encoding",
        "backups",
        "bad_meter",
        "bad_tempo",
        "no_duration",
        "parts",
        "repeats",
    }

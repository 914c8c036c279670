"""alignment.png: which notes a translator looks at, with the numbers behind it."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from click.testing import CliRunner
from translate_pieces import corpus_of, lead_sheet, run_of

from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.pictures.alignment import written
from musicgen.tasks.translate.alignment import align
from musicgen.tasks.translate.pairs import pair_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    corpus = corpus_of(CHORDS, folder)
    return {attention: run_of(corpus, folder / str(attention), attention=attention) for attention in (True, False)}


def test_the_numbers_are_weights_that_sum_to_one_with_the_beginning(runs):
    pair = pair_of(lead_sheet(), CHORDS).excerpt(0, 4)
    found = align(runs[True].model, pair)
    assert found.before_MS.shape == found.behind_MS.shape == (4, 9)
    assert np.allclose(found.before_MS.sum(axis=1), 1)
    assert found.even == pytest.approx(1 / 4)  # two of eight notes sound under each chord
    assert found.inside == pytest.approx(np.mean([found.behind_MS[n, 1 + 2 * n : 3 + 2 * n].sum() for n in range(4)]))
    rows = list(csv.DictReader(io.StringIO(written(found, pair, kind=CHORDS))))
    assert len(rows) == 4 * 8
    assert [row["target"] for row in rows[::8]] == ["C", "F", "G", "C"]
    assert float(rows[3]["weight_behind"]) == pytest.approx(found.behind_MS[0, 4], abs=1e-4)
    assert align(runs[False].model, pair) is None


def test_inspect_draws_it_for_a_held_out_piece_or_for_one_that_is_named(runs, tmp_path):
    write(lead_sheet(), tmp_path / "tune.mid")
    for words in ([], ["--piece", str(tmp_path / "tune.mid")]):
        pictures = tmp_path / f"pictures{len(words)}"
        done = CliRunner().invoke(cli, ["inspect", str(runs[True].folder), "--pictures", str(pictures), *words])
        assert done.exit_code == 0, done.output
        assert {"alignment.png", "alignment.csv", "loss.png"} <= {path.name for path in pictures.iterdir()}
    assert "a model that harmonises melodies" in done.output
    done = CliRunner().invoke(cli, ["inspect", str(runs[False].folder), "--pictures", str(tmp_path / "bare")])
    assert "it was trained without attention" in done.output

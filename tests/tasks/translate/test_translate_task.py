"""A run learns to translate in the one loop, and its card tells how often it is right."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from translate_pieces import corpus_of, run_of

from musicgen.api import evaluate_task
from musicgen.checkpoint import load_run
from musicgen.cli.main import cli
from musicgen.errors import UnreadableError, UsageError
from musicgen.tasks.translate.evaluating import pairs_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpus_of("melody-chords", tmp_path_factory.mktemp("tunes"))


def test_a_run_is_carded_with_nats_a_step_and_the_share_that_is_right(corpus, tmp_path):
    run = run_of(corpus, tmp_path / "run", steps=24, bars=8)
    card = run.card
    assert card["valid_pieces"] == len(pairs_of(corpus, "valid", kind="melody-chords")) > 0
    assert card["valid_steps"] == 8 * card["valid_pieces"]
    assert card["valid_nats_per_step"] < 8  # ln 61 + ln 96 is 8.7
    assert set(card["valid_right"]) == set(card["valid_right_by_counting"]) == {"exact", "root", "overlap"}
    assert len(card["sharpness"]) == 2
    with pytest.raises(UnreadableError, match="harmonises melodies, and continues nothing; use `musicgen harmonise`"):
        load_run(tmp_path / "run")


def test_evaluate_tells_figures_by_length_beside_counting(corpus, tmp_path):
    run_of(corpus, tmp_path / "run", bars=4)
    found = evaluate_task(tmp_path / "run", split="valid", max_tokens=8).to_dict()
    assert list(found["by_bars"]) == ["1", "2", "4"]
    row = found["by_bars"]["4"]
    assert {"nats_per_step", "exact", "counted_nats_per_step", "counted_exact", "changes_as_written"} <= set(row)
    assert row["excerpts"] == 1
    done = CliRunner().invoke(cli, ["evaluate", str(tmp_path / "run"), "--max-tokens", "2"])
    assert done.exit_code == 0, done.output
    assert "pairs melody-chords" in done.output
    assert " 4 bars, 1 excerpts: nats per step" in done.output


def test_a_corpus_without_such_pairs_is_refused_before_anything_is_written(corpus, tmp_path):
    with pytest.raises(
        UsageError, match="no piece of the corpus is a pair soprano-atb; build a corpus of pieces in four"
    ):
        run_of(corpus, tmp_path / "run", pair="soprano-atb")
    assert not (tmp_path / "run").exists()


def test_voices_are_learned_too(tmp_path):
    run = run_of(corpus_of("soprano-atb", tmp_path), tmp_path / "run", pair="soprano-atb", attention=False)
    assert set(run.card["valid_right"]) == {"pitches", "bass", "pitch_classes"} or run.card["valid_right"] == {}
    assert run.recipe.task["attention"] is False

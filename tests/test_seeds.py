"""A seed that is accepted is the one that is used and told."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from musicgen.cli.main import cli
from musicgen.composer import Composer, Source
from musicgen.errors import UsageError
from musicgen.recipe import TrainSettings
from musicgen.sampling.request import Request
from musicgen.seeds import MOST_SEED, checked_seed

EXAMPLE = Path(__file__).parents[1] / "corpora" / "examples" / "schubert-unfinished.mid"


def test_generators_tell_all_seeds_apart_and_no_larger_ones():
    def first(seed):
        return torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()

    assert len({tuple(first(seed)) for seed in (0, 1, MOST_SEED - 1, MOST_SEED)}) == 4
    assert first(5) == first(5 + 2**32), "why larger ones are refused"


def test_what_is_a_seed():
    assert [checked_seed(seed) for seed in (0, MOST_SEED, np.int64(7))] == [0, MOST_SEED, 7]
    assert checked_seed(MOST_SEED - 2, count=3) == MOST_SEED - 2
    for wrong in (-1, MOST_SEED + 1, 2**62, 1.0, float("nan"), True, "1", None):
        with pytest.raises(UsageError, match=r"the seed is .*; give a whole number from 0 to 2,147,483,647"):
            checked_seed(wrong)
    with pytest.raises(UsageError, match=r"take 3 would have the seed 2,147,483,648, and seeds go up to 2,147,483,647"):
        checked_seed(MOST_SEED - 1, count=3)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(UsageError, match=r"takes; ask for a whole number of them"):
            checked_seed(0, count=wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        ["continue", EXAMPLE],
        ["generate"],
        ["train", "corpus", "-o", "run"],
        ["corpus", "build", "music", "-o", "corpus"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("seed", [MOST_SEED + 1, 2**62, -1])
def test_no_command_takes_another(arguments, seed):
    done = CliRunner().invoke(cli, [*map(str, arguments), "--seed", str(seed)])
    assert done.exit_code == 2
    assert "Invalid value for '--seed'" in done.stderr


def test_nor_does_the_library():
    composer, source = Composer.load(), Source.read(EXAMPLE)
    with pytest.raises(UsageError, match="the seed is 2147483648"):
        composer.takes(source, request=Request(bars=1), seed=MOST_SEED + 1)
    with pytest.raises(UsageError, match=r"\[train\] seed is -1"):
        TrainSettings(seed=-1)


def test_a_seed_that_is_drawn_leaves_room_for_the_takes_after_it(monkeypatch):
    asked = []
    monkeypatch.setattr(secrets, "randbelow", lambda below: asked.append(below) or below - 1)
    done = CliRunner().invoke(cli, ["continue", str(EXAMPLE), "-n", "3", "-m", "no such model"])
    assert "no such run folder or model" in done.stderr, "which is told when the seed has passed"
    assert asked == [MOST_SEED - 1]
    assert checked_seed(asked[0] - 1, count=3) == MOST_SEED - 2

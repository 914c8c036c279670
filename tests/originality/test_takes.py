"""Takes are compared while they are drawn: what copies more than is allowed is refused, and the sidecar tells it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from musicgen import Composer, Take, read
from musicgen.composer import SamplingSettings
from musicgen.errors import UsageError
from musicgen.originality import FOLDER, Origin, build_index, open_index
from musicgen.piece import Piece, Track
from musicgen.resources import bundled_models, bundled_pieces

WANTED = {"bars": 4, "seed": 5}


@pytest.fixture(scope="module")
def composer(tmp_path_factory) -> Composer:
    """The default model in a folder of its own, where nothing tells what it was trained on."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    shutil.copytree(bundled_models()["default"], folder, ignore=shutil.ignore_patterns(FOLDER))
    return Composer.load(folder)


def indexed(composer: Composer, piece) -> Composer:
    """The same model, beside an index of one piece."""
    fresh = Composer(composer.run)
    fresh.corpus = build_index([(Origin("learned", "CC0"), piece)])
    return fresh


def test_without_an_index_it_is_said_and_a_limit_is_refused(composer):
    (take,) = composer.generate(**WANTED)
    assert (take.facts["originality"]["pieces"], take.facts["originality"]["longest"]) == (None, None)
    with pytest.raises(UsageError, match=r"`max_copy`: beside this model lies no index of what it was trained on"):
        composer.generate(**WANTED, max_copy=4)


def test_a_take_that_stands_in_the_training_data_is_drawn_again(composer):
    (first,) = composer.generate(**WANTED)
    knowing = indexed(composer, first.piece)
    (same,) = knowing.generate(**WANTED)
    longest = same.facts["originality"]["longest"]
    assert (longest["source"], longest["licence"]) == ("learned", "CC0")
    assert longest["bars"] > 2
    assert same.facts["originality"]["share"] > 0.8
    (other,) = knowing.generate(**WANTED, max_copy=1)
    refused = [line for line in other.facts["warnings"] if line.startswith("refused: ") and "of learned" in line]
    assert refused
    assert not other.faults
    assert other.facts["settings"]["max_copy"] == 1


@pytest.mark.parametrize("kind", ["infill", "accompany"])
def test_holes_and_new_parts_copy_no_more_than_they_may(composer, kind):
    source = read(bundled_pieces()["schubert-unfinished"])

    def take(of: Composer, most: float | None = None) -> Take:
        sampling = SamplingSettings(max_copy=most)
        if kind == "infill":
            (found,) = of.infill(source, begin=2, end=7, sampling=sampling, seed=4)
        else:
            (found,) = of.accompany(source, add="flute", sampling=sampling, seed=4)
        return found

    first = take(composer)
    new = Piece(first.piece.ticks_per_quarter, (Track(notes=first.notes),), first.piece.tempos, first.piece.meters)
    knowing = indexed(composer, new)
    assert take(knowing).notes.tolist() == first.notes.tolist()
    other = take(knowing, 1)
    assert [line for line in other.facts["warnings"] if line.startswith("refused: ") and "of learned" in line]
    assert other.notes.tolist() != first.notes.tolist()
    assert other.facts["settings"]["max_copy"] == 1
    with pytest.raises(UsageError, match=r"`max_copy`: beside this model lies no index"):
        take(composer, 1)


def test_what_was_studied_is_told_apart(composer):
    """The piece itself is in the training data, and its own phrases in the take are returns of it."""
    source = read(bundled_pieces()["schubert-unfinished"])
    (take,) = indexed(composer, source).continue_(source, bars=8, seed=3)
    assert take.facts["originality"]["longest"] is None
    assert take.facts["shipping"]["may_ship"] is True


@pytest.mark.parametrize("bars", [0, -1, 1001])
def test_a_limit_that_is_none_is_refused(composer, bars):
    with pytest.raises(UsageError, match=rf"max_copy is {bars}; give a number of bars above 0"):
        indexed(composer, replace(read(bundled_pieces()["schubert-unfinished"]))).generate(max_copy=bars)


def test_the_index_of_the_default_is_small_and_says_where_its_pieces_come_from():
    folder = bundled_models()["default"] / FOLDER
    assert sum(path.stat().st_size for path in folder.iterdir()) < 15_000_000
    index = open_index(folder)
    assert len(index.origins) > 9000
    assert all(origin.source and origin.licence for origin in index.origins)

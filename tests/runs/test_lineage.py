"""What forbids passing on goes from corpus to run, from teacher and base to what learns from them, and into sidecars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import musicgen
from musicgen.checking import check
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

SMALL = {"model.width": 16, "model.layers": 1, "train.batch": 2, "train.length": 32, "train.evaluate_every": 1}
NC = "CC BY-NC 4.0"
FORBIDDEN = [f"{NC}: for non-commercial use only"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Corpora `free`, `bound` (for non-commercial use) and `open` (unknown), and a run of each of one step."""
    root = tmp_path_factory.mktemp("lineage")
    for number, (name, licence) in enumerate({"free": "CC0", "bound": NC, "open": "unknown"}.items()):
        (root / "tunes" / name).mkdir(parents=True)
        for n in range(4):
            notes = [(i * 240, 240, 50 + n + (i * (n + 3 + number)) % 17, 80) for i in range(40)]
            write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / name / f"{n}.mid")
        corpus = root / f"{name}-corpus"
        musicgen.build_corpus(root / "tunes" / name, corpus, valid=0.3, test=0.0, licence=licence, jobs=1)
        made(root, name, corpus=name, model="lstm", preset="tiny", changes=SMALL)
    return root


def made(root: Path, name: str, *, corpus: str, **options: Any) -> dict[str, Any]:
    """The card of a new run."""
    musicgen.train(root / f"{corpus}-corpus", output=root / name, steps=1, device="cpu", **options)
    return dict(json.loads((root / name / "card.json").read_text()))


@pytest.mark.parametrize(("name", "may"), [("free", True), ("bound", False), ("open", None)])
def test_a_run_may_be_passed_on_as_far_as_its_corpus(runs, name, may):
    assert json.loads((runs / name / "card.json").read_text())["shipping"]["may_ship"] is may


def test_a_base_that_binds_binds_what_starts_from_it_and_what_starts_from_that(runs):
    child = made(runs, "child", corpus="free", start=runs / "bound")
    assert child["shipping"] == {"may_ship": False, "reasons": FORBIDDEN}
    assert child["licence"] == f"{NC} and CC0"
    assert [list(entry["licences"]) for entry in child["data"]] == [["CC0"], [NC]]
    assert child["started_from"]["name"] == "bound"
    grandchild = made(runs, "grandchild", corpus="free", start=runs / "child")
    assert grandchild["shipping"] == child["shipping"]
    assert grandchild["licence"] == child["licence"]


def test_teachers_bind_what_they_teach_and_each_is_named(runs):
    options = {"model": "lstm", "preset": "tiny", "changes": SMALL}
    taught = made(runs, "taught", corpus="free", teachers=(runs / "free", runs / "bound"), **options)
    assert taught["shipping"] == {"may_ship": False, "reasons": FORBIDDEN}
    assert [teacher["name"] for teacher in taught["teachers"]] == ["free", "bound"]
    vague = made(runs, "vague", corpus="free", teachers=(runs / "open",), **options)
    assert vague["shipping"]["may_ship"] is None
    assert vague["shipping"]["reasons"] == ["unknown: what it allows isn't known here"]


def test_the_sidecar_of_a_take_says_what_the_card_says(runs):
    made(runs, "heir", corpus="free", start=runs / "bound")
    (take,) = musicgen.Composer.load(runs / "heir").generate(bars=1, seed=1)
    facts = take.save(runs / "take.mid")
    assert facts["shipping"] == {"may_ship": False, "reasons": FORBIDDEN}
    assert facts["licence"] == f"{NC} and CC0"
    told = {finding.name: finding.said for finding in check(runs / "take.mid").findings}
    assert told["licence"] == f"{NC} and CC0: may not be passed on ({FORBIDDEN[0]})"

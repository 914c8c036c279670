"""`train_shipped.py --ship` refuses weights that may not be passed on, and marks those that are written all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from musicgen.composer import Composer
from musicgen.errors import UsageError
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

NC = "CC BY-NC 4.0"


@pytest.fixture
def script(module):
    threads = torch.get_num_threads()
    yield module("", "train_shipped")
    torch.set_num_threads(threads)


@pytest.fixture
def work(script, tmp_path) -> Path:
    """A run of one step on tunes of a source that the catalogue lets pass, one of which is for non-commercial use."""
    lines = []
    for n, split in enumerate(("train", "train", "valid", "test")):
        source = f"mutopia_more/tune{n}.mid"
        rows = [(i * 240, 240, 60 + n + (0, 2, 4, 5, 7, 4, 2, 0)[i % 8], 80) for i in range(64)]
        write(Piece(480, (Track(notes=notes_array(rows)),)), tmp_path / f"{n}.mid")
        lines.append(
            {"source": source, "file": f"{n}.mid", "kind": "folk", "work": source, "split": split, "played": False,
             "licence": "CC0" if n else NC, "real_bars": True, "bars": 8}
        )  # fmt: skip
    (tmp_path / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    small = ("model.width=16", "train.length=32", "train.evaluate_every=1", "train.steps=1")
    sets = [word for each in small for word in ("--set", each)]
    script.main(["folk", "--work", str(tmp_path / "w"), "--pieces", str(tmp_path), *sets])
    return tmp_path / "w"


def test_weights_that_may_not_be_passed_on_are_refused_and_marked_where_they_are_written_all_the_same(
    script, work, tmp_path
):
    assert json.loads((work / "run" / "card.json").read_text())["shipping"]["may_ship"] is False
    out = tmp_path / "shipped"
    ship = ["folk", "--work", str(work), "--ship", str(out)]
    with pytest.raises(UsageError) as caught:
        script.main(ship)
    assert str(caught.value) == (
        f"these weights may not be passed on: {NC}: for non-commercial use only; "
        "leave those pieces out, or pass --allow-unshippable to mark the card"
    )
    assert not out.exists()
    script.main([*ship, "--allow-unshippable"])
    shipping = json.loads((out / "card.json").read_text())["shipping"]
    assert shipping == {
        "may_ship": False, "reasons": [f"{NC}: for non-commercial use only"], "overridden": True,
    }  # fmt: skip
    (take,) = Composer.load(out).generate(bars=1, seed=1)
    assert take.facts["shipping"]["may_ship"] is False


def test_what_the_card_of_the_run_forbids_is_refused_though_the_corpus_is_free(script, work, tmp_path):
    """As where it began from a run that binds it."""
    records = (work / "corpus" / "pieces.jsonl").read_text()
    (work / "corpus" / "pieces.jsonl").write_text(records.replace(NC, "CC0"))
    with pytest.raises(UsageError, match=r"these weights may not be passed on: CC BY-NC 4\.0: for non-commercial"):
        script.main(["folk", "--work", str(work), "--ship", str(tmp_path / "shipped")])

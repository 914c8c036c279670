"""The corpus of the default model: whose work a file is, which split it falls into, and what a read piece says."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from musicgen.io import read, write
from musicgen.piece import Piece, Track, notes_array

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines"))
import default_corpus
import default_sources
from default_sources import Item, number, shares, surname


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Beethoven, L. van", "BeethovenLv", "Ludwig_van_Beethoven", "Beethoven,_Ludwig_van"), "beethoven"),
        (("Mendelssohn-BartholdyF", "Mendelssohn,_Felix", "Felix_Mendelssohn"), "mendelssohn"),
        (("Fauré,_Gabriel", "FaureG"), "faure"),
        (("Żeleński, Władysław",), "zelenski"),
        (("Anonim", "Anonymous", "Traditional", "[Traditional]", ""), ""),
    ],
)
def test_a_composer_is_known_by_any_name(names, expected):
    assert {surname(name) for name in names} == {expected}


@pytest.mark.parametrize(
    ("composer", "names", "expected"),
    [
        ("bach", ("BachJS__BWV0846__wtk1", "Bach_Prelude_BWV_846_x", "bwv846"), "bwv846"),
        ("chopin", ("ChopinFF__O10__Chop-10-3", "Chopin_op10_no3", "Etudes, Op. 10"), "op10"),
        ("schubert", ("Schubert/Winterreise,_D.911/1", "SchubertF__D911__einsamkeit"), "d911"),
        ("mozart", ("MozartWA__KV331__tema", "Quartet, K.331"), "k331"),
        ("beethoven", ("Für_Elise",), ""),
    ],
)
def test_a_work_is_known_by_its_number(composer, names, expected):
    assert {number(composer, name) for name in names} == {expected}


def items(kind: str, units: list[str]) -> list[Item]:
    return [Item(f"{kind}/{i}.mid", Path(f"{i}.mid"), kind, "", unit, "CC0 1.0") for i, unit in enumerate(units)]


def test_shares_keep_units_whole_and_fill_every_kind():
    many = items("song", [f"s{i // 2}" for i in range(1000)]) + items("quartet", [f"q{i}" for i in range(120)])
    split = shares(many)
    count = Counter((i.kind, split[i.unit]) for i in many)
    assert 40 <= count["song", "test"] <= 60
    assert count["quartet", "test"] == default_sources.FEWEST_OF["quartet"]
    assert count["quartet", "valid"] == default_sources.FEWEST_OF["quartet"] // 2
    assert shares(many[::-1]) == split


def test_a_unit_that_is_too_large_or_said_to_be_for_training_stays_there():
    large = items("song", ["large"] * 500 + [f"s{i}" for i in range(500)])
    assert shares(large)["large"] == "train"
    said = [Item(**{**i.__dict__, "split": "train"}) for i in items("band", [f"b{i}" for i in range(50)])]
    assert set(shares(said).values()) == {"train"}


def tune(path: Path, first: int, notes: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(first)
    rows = [(i * 480, 480, int(60 + p), 80) for i, p in enumerate(rng.integers(0, 12, notes))]
    write(Piece(480, (Track("", 0, notes=notes_array(rows)),)), path)


def test_what_is_read_is_kept_and_pieces_alike_go_together(tmp_path):
    names = ["a", "b", "c", "short"]
    for i, name in enumerate(names):
        tune(tmp_path / f"{name}.mid", first=min(i, 1), notes=8 if name == "short" else 40)  # b and c are one tune
    all_ = [
        Item(f"x/{n}.mid", tmp_path / f"{n}.mid", "song", "", n, "CC0 1.0", split="valid" if n == "c" else "")
        for n in names
    ]
    out = tmp_path / "out"
    out.mkdir()
    default_corpus.read_all(all_, all_, out, lambda text: None)
    lines = [json.loads(line) for line in (out / "pieces.jsonl").read_text().splitlines()]
    assert [line["source"] for line in lines] == ["x/a.mid", "x/b.mid", "x/c.mid"]
    assert lines[1]["work"] == lines[2]["work"] != lines[0]["work"]
    assert lines[1]["split"] == lines[2]["split"]
    for line in lines:
        assert read(out / line["file"]) == read(tmp_path / Path(line["source"]).name)
    left_out = [json.loads(line) for line in (out / "read.jsonl").read_text().splitlines()][-1]
    assert left_out == {"source": "x/short.mid", "left_out": "short: 8 notes, 2 bars"}

    before = (out / "pieces.jsonl").read_bytes()
    with (out / "read.jsonl").open("a") as file:
        file.write('{"source": "x/a')  # stopped in the middle of a line
    default_corpus.read_all(all_, all_, out, lambda text: pytest.fail("nothing is read twice"))
    default_corpus.write_pieces(all_, out)
    assert (out / "pieces.jsonl").read_bytes() == before


def test_drums_of_the_kit_become_general_midi():
    rows = [(0, 10, 22, 90), (0, 10, 36, 90), (480, 10, 26, 90), (960, 10, 58, 90)]
    piece = default_corpus.general_midi(Piece(480, (Track("", 0, is_drum=True, notes=notes_array(rows)),)))
    piece.validate()
    assert piece.tracks[0].notes["pitch"].tolist() == [36, 42, 46, 43]


def test_a_tune_and_its_remixes_are_one_work(tmp_path):
    for name in ("musics/d_map11", "musics/d_map12", "older_releases/v0.9_dave3d01", "older_releases/v0.12.0_d_map12"):
        tune(tmp_path / "freedoom_rock" / f"{name}.mid", first=0)
    (tmp_path / "freedoom_rock" / "CREDITS-MUSIC").write_text(
        'MAP11: "Undergrowth" by Korp, remix of dave3d01.mid by jute\n\tMAP12: "Sewers" by Discoholic\n'
    )
    found = {i.path.stem: i for i in default_sources._freedoom(tmp_path)}
    assert found["d_map11"].unit == found["v0.9_dave3d01"].unit != found["d_map12"].unit
    assert found["d_map12"].unit == found["v0.12.0_d_map12"].unit
    assert {i.split for i in found.values()} == {""}
    (tmp_path / "freedoom_rock" / "musics" / "d_map11.mid").unlink()  # taken out to measure with
    assert {i.path.stem for i in default_sources._freedoom(tmp_path) if i.split == "test"} == {"v0.9_dave3d01"}

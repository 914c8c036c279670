"""What is shipped: the licence, the types, and in the source archive all that the README's first lines use."""

from __future__ import annotations

import ast
import csv
import json
import re
import subprocess
import tomllib
import zipfile
from email.parser import Parser
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

import musicgen
from musicgen.corpus.catalog import catalogue
from musicgen.resources import bundled_models

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_licence_grants_what_mit_grants():
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())
    assert text.startswith("MIT License Copyright (c) 2026 The musicgen authors Permission is hereby granted")
    assert "The above copyright notice and this permission notice shall be included in all copies" in text
    assert text.endswith("THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.")
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]


def notice() -> str:
    """NOTICE on one line: a name may stand across two."""
    return " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", list(bundled_models()))
def test_whoever_a_shipped_model_learned_from_is_named_in_the_notice(name):
    card = json.loads((bundled_models()[name] / "card.json").read_text(encoding="utf-8"))
    assert card["data"]
    text = notice()
    for source in card["data"]:
        assert source["title"] in text, source["name"]
        assert source["address"] in text
        assert source["commit"] in text
        assert source["licence"].split(" (")[0] in text
    assert {source["name"] for source in card["data"]} <= {entry.name for entry in catalogue() if entry.shippable}


@pytest.mark.parametrize(
    "credit",
    [
        # The first five lines of its licence, as it asks for.
        "Polish Music Heritage in Open Access Copyright 2019-2022 The Fryderyk Chopin Institute (https://nifc.pl) "
        "Website: https://polishscores.org Digital scores: https://github.com/pl-wnifc/humdrum-polish-scores "
        "License: https://creativecommons.org/licenses/by/4.0",
        "Qiuqiang Kong, Bochen Li, Jitong Chen, Yuxuan Wang: GiantMIDI-Piano",
        "Jon Gillick, Adam Roberts, Jesse Engel, Douglas Eck, David Bamman: Learning to Groove",
        "Werner Goebl, http://dx.doi.org/10.21939/4X22",
        "Contributors to the Freedoom project. All rights reserved.",
        "Copyright (c) 2018 00sapo (Federico Simonetta)",
        "music21 carries in its corpus",
        "TimGM6mb.sf2 Copyright 2004 Tim Brechbill",
        "GNU General Public License, version 2",
        *(f"https://creativecommons.org/licenses/by/{version}/" for version in ("2.5", "3.0", "4.0")),
    ],
    ids=lambda credit: credit[:30],
)
def test_the_credits_that_licences_ask_for_stand_in_the_notice(credit):
    assert credit in notice()


def test_every_maintainer_of_a_mutopia_piece_under_cc_by_is_named(shared_data):
    text = notice()
    with open(shared_data / "mutopia_more" / "index.tsv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["class"] != "PD"]
    assert len(rows) > 100
    for row in rows:
        person = row["maintainer"] if row["maintainer"] != "Anonymous" else "anonymous"
        assert person in text
        assert row["source (ftp/...)"].split("/")[1] in text


def test_composers_of_freedoom_are_named(shared_data):
    """Who stands there with a name and a nickname."""
    credits = (shared_data / "freedoom_rock" / "CREDITS-MUSIC").read_text(encoding="utf-8")
    # 'by' stands before each composer, or 'and' or '&' between two; nicknames stand in quotes.
    people = set(re.findall(r'(?:by|and|&) ((?:[A-Z][\w.-]+ )+"[^"]+" [A-Z][\w.-]+)', credits))
    assert len(people) > 15
    assert [person for person in sorted(people) if person.lower() not in notice().lower()] == []


def test_the_package_says_that_it_is_typed():
    assert (files("musicgen") / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]


def test_public_names_have_types_though_they_load_on_first_use():
    """A type checker sees only what is imported under TYPE_CHECKING: just what `__getattr__` loads."""
    tree = ast.parse(Path(musicgen.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    homes = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert homes == musicgen._HOMES
    assert sorted(homes) == sorted(musicgen.__all__)


def test_the_source_archive_has_every_file_of_the_repository():
    """A clone and an unpacked archive differ in nothing but the history."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone, so there is nothing to compare with")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = {path.split("/")[0] for path in listed.split("\0") if path} - {"pyproject.toml"}  # hatchling adds it
    included = [
        pattern.removeprefix("/") for pattern in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    ]
    assert sorted(included) == sorted(tracked)


def test_the_index_page_says_who_made_it_and_where_it_is():
    project = PROJECT["project"]
    assert project["authors"] == [{"name": "The musicgen project"}]
    assert project["urls"]["Homepage"] == f"https://pypi.org/project/{project['name']}/"
    assert all(url.startswith("https://") for url in project["urls"].values())
    assert len(project["keywords"]) == len(set(project["keywords"])) > 5


def test_links_of_the_readme_work_on_the_index():
    """There a link to a file of the repository leads nowhere; a file is named, and it exists."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert re.match(r"https://|#", target), target
    named = re.findall(r"`((?:docs|pipelines|tests|corpora)/[\w/.-]*|[A-Z]{4,}(?:\.md)?)`", text)
    assert "docs/ladder.md" in named
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")
def test_the_wheel_carries_all_that_it_needs(tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
        (about,) = (name.rsplit("/", 1)[0] for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(f"{about}/METADATA").decode())
        for name in ("LICENSE", "NOTICE"):
            assert wheel.read(f"{about}/licenses/{name}") == (ROOT / name).read_bytes()
    pages = ("page/page.html", "page/page.css", "page/player.js", "page/roll.js", "page/page.js")
    for name in ("py.typed", "_corpora/examples/schubert-unfinished.mid", "_corpora/bach-chorales.toml", *pages):
        assert f"musicgen/{name}" in names
    for name in ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json", "manifest.json"):
        assert {f"musicgen/pretrained/{model}/{name}" for model in ("default", "folk")} <= names
    assert not [name for name in names if not name.startswith(("musicgen/", about)) or "__pycache__" in name]
    assert metadata["Author"] == "The musicgen project"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"

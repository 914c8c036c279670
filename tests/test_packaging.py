"""What is shipped: the licence, the types, and in the source archive all that the README's first lines use."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import musicgen

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_licence_grants_what_mit_grants():
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())
    assert text.startswith("MIT License Copyright (c) 2026 The musicgen authors Permission is hereby granted")
    assert "The above copyright notice and this permission notice shall be included in all copies" in text
    assert text.endswith("THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.")
    assert PROJECT["project"]["license-files"] == ["LICENSE", "NOTICE"]


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

"""What pyproject.toml declares: every dependency imports, and `.ci/lower-bounds.txt` pins each at its lower bound."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from musicgen.cli.options import progress_bar

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRA = [Requirement(text) for extra in PROJECT["optional-dependencies"].values() for text in extra]
BY_NAME = {requirement.name: requirement for requirement in [*NEEDED, *EXTRA]}
MODULES = {"pytest-xdist": "xdist"}  # where they are called otherwise


def pins(path: str) -> dict[str, Version]:
    """{name: version} of the `==` lines of a file of pins."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {plain(name): Version(pinned) for name, pinned in found}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_tests_that_run_with_the_oldest_versions_are_there():
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    named = re.search(r"^SMOKE := (.*)$", text, re.MULTILINE)
    assert named
    assert len(named[1].split()) > 5
    assert [path for path in named[1].split() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("requirement", NEEDED, ids=lambda r: r.name)
def test_what_is_needed_imports(requirement):
    """Nothing is skipped here: an old pretty_midi is installed, but can't be imported without pkg_resources."""
    import_module(requirement.name)
    assert requirement.specifier.contains(version(requirement.name))


@pytest.mark.parametrize("name", sorted({r.name for r in EXTRA} - {"mypy", "pyfluidsynth", "ruff"}))
def test_what_extras_bring_imports(name):
    """Skipped only where it isn't installed at all. FluidSynth's module needs a library that no package brings."""
    try:
        installed = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed; an extra brings it")
    import_module(MODULES.get(name, name))
    assert BY_NAME[name].specifier.contains(installed)


def test_every_requirement_is_a_lower_bound_and_the_same_in_each_extra():
    for requirement in [*NEEDED, *EXTRA]:
        assert [clause.operator for clause in requirement.specifier] == [">="], f"{requirement}: no upper caps"
        assert requirement.specifier == BY_NAME[requirement.name].specifier, requirement.name


def test_the_pins_are_the_lower_bounds():
    pinned = pins(".ci/lower-bounds.txt")
    bounds = {plain(name): Version(next(iter(r.specifier)).version) for name, r in BY_NAME.items()}
    torch = bounds.pop("torch")
    assert {name: pinned.get(name) for name in bounds} == bounds
    assert torch <= pinned["torch"] == pins("constraints.txt")["torch"], "torch alone stands higher: the CPU build"


def test_constraints_pin_every_requirement_within_its_bound():
    pinned = pins("constraints.txt")
    for name in sorted(BY_NAME.keys() - {"pyfluidsynth"}):  # bound to a library of the system
        assert BY_NAME[name].specifier.contains(pinned[plain(name)]), name


def test_a_progress_bar_on_a_terminal(monkeypatch, capsys):
    """Of rich the commands use nothing else, and only a terminal sees it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar("note") as bar:
        task = bar.add_task("reading", total=2, note="a.mid")
        bar.advance(task, 2)
    said = capsys.readouterr().err
    assert "reading" in said
    assert "2/2" in said
    assert "a.mid" in said

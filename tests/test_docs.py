"""Documentation: everything public has an example, and the pages of the API are built without a warning."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest

import musicgen

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from build_pages import MODULES  # noqa: E402

# Modules of which everything public has an example, beside `musicgen` itself.
WITH_EXAMPLES = ("callbacks", "errors", "exporting", "io", "models", "plugins", "render")
# What has none: plain data that others show, and what isn't called by users.
WITHOUT = {"errors.explained", "exporting.Exported"}


def documented(module: ModuleType) -> dict[str, object]:
    """The classes and functions of a module's `__all__`, by name."""
    names = {name: getattr(module, name) for name in module.__all__}
    return {name: thing for name, thing in names.items() if inspect.isclass(thing) or inspect.isfunction(thing)}


def without_example(module: ModuleType) -> list[str]:
    return [name for name, thing in documented(module).items() if ">>>" not in (thing.__doc__ or "")]


def test_every_public_name_has_an_example():
    assert without_example(musicgen) == []
    assert set(musicgen.__all__) - documented(musicgen).keys() == {"Listener"}  # an alias: its module has the example
    assert ">>> show(" in (import_module("musicgen.events").__doc__ or "")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_every_public_name_of_a_module_has_an_example(name):
    found = without_example(import_module(f"musicgen.{name}"))
    assert [each for each in found if f"{name}.{each}" not in WITHOUT] == []


def test_every_documented_module_says_what_it_is_and_so_does_everything_public_in_it():
    for name in MODULES:
        module = import_module(name)
        assert module.__doc__, name
        assert [each for each, thing in documented(module).items() if not thing.__doc__] == [], name


def test_a_notebook_completes_what_people_look_for():
    wanted = {
        "read",
        "Piece",
        "Composer",
        "train",
        "evaluate",
        "build_corpus",
        "Callback",
        "EarlyStopping",
        "ProgressBar",
    }
    assert wanted <= set(dir(musicgen))


def test_the_pages_are_built_without_a_warning(tmp_path):
    try:
        version("pdoc")
    except PackageNotFoundError:
        pytest.skip("the extra docs is not installed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        str(ROOT / "docs" / "build_pages.py"),
        str(tmp_path),
        "musicgen.callbacks",
        "musicgen.events",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "EarlyStopping" in (tmp_path / "musicgen" / "callbacks.html").read_text()

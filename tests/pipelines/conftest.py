"""What the tests of `pipelines/` share."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def module(monkeypatch):
    """Imports a script of a folder of `pipelines/`."""

    def load(folder: str, name: str):
        monkeypatch.syspath_prepend(PIPELINES / folder)
        return importlib.import_module(name)

    return load

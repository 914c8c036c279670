"""The same inputs, recipes and seeds give what they gave before; `made.py` says what, and writes it down anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
KEPT: dict[str, Any] = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    env = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run([sys.executable, HERE / "made.py"], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_corpora_and_recipes_are_byte_for_byte_what_they_were(made):
    assert made["exact"] == KEPT["exact"]


def test_every_model_loses_what_it_lost(made):
    """On other machines rounding may add up over twenty steps."""
    assert made["losses"].keys() == KEPT["losses"].keys()
    for name, losses in KEPT["losses"].items():
        assert made["losses"][name] == pytest.approx(losses, rel=0.01), name


def test_weights_takes_and_figures_are_bit_for_bit_what_they_were(made):
    kept = KEPT["computed"].get(made["arithmetic"])
    if kept is None:
        pytest.skip("this machine rounds otherwise than those whose results are kept: losses alone can be compared")
    assert made["computed"] == kept

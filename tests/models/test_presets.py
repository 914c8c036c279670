"""The presets are plain data, of the sizes they say."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, PRESETS, SIZES, build_model, count_parameters, preset

MILLIONS = {"tiny": (0.8, 1.3), "small": (3.5, 5.5), "medium": (10, 25), "large": (50, 100)}


@pytest.mark.parametrize("family", sorted(PRESETS))
@pytest.mark.parametrize("size", SIZES)
def test_each_preset_has_the_size_it_says(family, size):
    low, high = MILLIONS[size]
    for embedding in ("learned", "one-hot"):
        settings = preset(family, size, vocabulary_size=1200, embedding=embedding)
        count = count_parameters(settings) / 1e6
        if embedding == "learned":
            assert low <= count <= high


def test_every_family_has_every_size():
    assert set(PRESETS) == set(FAMILIES)
    assert all(tuple(sizes) == SIZES for sizes in PRESETS.values())


@pytest.mark.parametrize("family", sorted(PRESETS))
def test_the_tiny_preset_runs(family):
    settings = preset(family, "tiny", vocabulary_size=100)
    model = build_model(settings).eval()
    with torch.inference_mode():
        logits, _ = model(torch.zeros(2, 3, dtype=torch.int64))
    assert logits.shape == (2, 3, 100)
    assert model.n_parameters == count_parameters(settings)
    assert model.settings == settings


def test_names_that_do_not_exist():
    with pytest.raises(UsageError) as caught:
        preset("lstm", "smal", vocabulary_size=100)
    assert str(caught.value) == "lstm: there is no preset 'smal'; did you mean 'small'?"
    with pytest.raises(UsageError, match=r"model: there is no model family 'gpt'; choose from .*lstm"):
        preset("gpt", "small", vocabulary_size=100)


def test_listing_presets_imports_no_torch():
    code = "import sys; from musicgen.models import PRESETS, SIZES; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

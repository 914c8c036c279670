"""How long and with what batches each preset size trains, unless a recipe says otherwise. Plain data."""

from __future__ import annotations

from typing import Any

__all__ = ["TRAIN_PRESETS"]

TRAIN_PRESETS: dict[str, dict[str, Any]] = {
    # tiny: minutes on two CPU cores; small: an hour or a GPU's minutes; medium and large want a GPU.
    # Windows are as long as the Transformer's context: positions that were never trained predict badly.
    "tiny": {"steps": 3000, "batch": 8, "length": 512, "learning_rate": 3e-3},
    "small": {"steps": 10_000, "batch": 8, "length": 1024, "learning_rate": 1.5e-3},
    "medium": {"steps": 30_000, "batch": 16, "length": 2048, "learning_rate": 8e-4},
    "large": {"steps": 100_000, "batch": 16, "length": 2048, "learning_rate": 5e-4},
}

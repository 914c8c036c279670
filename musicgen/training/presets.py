"""How long and with what batches each preset size trains, unless a recipe says otherwise. Plain data."""

from __future__ import annotations

from typing import Any

__all__ = ["FINE_TUNING", "TRAIN_ALONG_PITCHES", "TRAIN_PRESETS"]

# Learning rates are for Muon, whose best ones are higher than AdamW's.
TRAIN_PRESETS: dict[str, dict[str, Any]] = {
    # tiny: minutes on two CPU cores; small: an hour there, or minutes on a GPU; medium and large need a GPU.
    # Windows are as long as the Transformer's context, for it predicts badly at positions it was not trained on.
    "tiny": {"steps": 3000, "batch": 8, "length": 512, "learning_rate": 1e-2},
    "small": {"steps": 10_000, "batch": 8, "length": 1024, "learning_rate": 6e-3},
    "medium": {"steps": 30_000, "batch": 16, "length": 2048, "learning_rate": 4e-3},
    "large": {"steps": 100_000, "batch": 16, "length": 2048, "learning_rate": 2.5e-3},
}
# For `by_pitch`: each sequence becomes 88 rows of the batch, and many small steps train faster than few large ones.
TRAIN_ALONG_PITCHES: dict[str, Any] = {"batch": 3, "length": 512, "learning_rate": 1e-2}
# What differs for a run that starts from the weights of another (fine-tuning).
FINE_TUNING: dict[str, Any] = {
    "steps": 300,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "evaluate_every": 50,
}

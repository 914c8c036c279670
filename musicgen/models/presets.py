"""Four sizes of each family, as plain data: this file imports no torch, so that `--help` can list them.

Parameters are counted with a vocabulary of 1,200 and the learned embedding.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ALONG_PITCHES", "PRESETS", "SIZES", "TINY_PARAMETERS"]

SIZES = ("tiny", "small", "medium", "large")
# A run of size `tiny` gets the width with which it has about so many (`training/budget.py`), whatever family and
# tokenizer; the widths of `tiny` below are those of tokens of one id.
TINY_PARAMETERS = 1_000_000

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # `context` is the number of lags.
    "window": {
        "tiny": {"width": 144, "layers": 3, "context": 32, "dropout": 0.1},  # 1.0 M
        "small": {"width": 256, "layers": 4, "context": 48, "dropout": 0.1},  # 4.3 M
        "medium": {"width": 512, "layers": 6, "context": 48, "dropout": 0.1},  # 18 M
        "large": {"width": 1024, "layers": 6, "context": 64, "dropout": 0.1},  # 89 M
    },
    # `context` is how far back the dilations reach before they begin again.
    "cnn": {
        "tiny": {"width": 160, "layers": 8, "context": 512, "dropout": 0.1},  # 1.0 M
        "small": {"width": 320, "layers": 9, "context": 1024, "dropout": 0.1},  # 4.1 M
        "medium": {"width": 576, "layers": 12, "context": 2048, "dropout": 0.1},  # 17 M
        "large": {"width": 1024, "layers": 16, "context": 2048, "dropout": 0.1},  # 68 M
    },
    # `context` is the length of the excerpts that a recurrent model is trained on; its memory has no such limit.
    "rnn": {
        "tiny": {"width": 384, "layers": 2, "context": 512, "dropout": 0.1},  # 1.1 M
        "small": {"width": 896, "layers": 2, "context": 512, "dropout": 0.1},  # 4.4 M
        "medium": {"width": 1536, "layers": 3, "context": 1024, "dropout": 0.2},  # 16 M
        "large": {"width": 3072, "layers": 3, "context": 1024, "dropout": 0.2},  # 61 M
    },
    "gru": {
        "tiny": {"width": 256, "layers": 2, "context": 512, "dropout": 0.1},  # 1.1 M
        "small": {"width": 576, "layers": 2, "context": 512, "dropout": 0.1},  # 4.7 M
        "medium": {"width": 896, "layers": 3, "context": 1024, "dropout": 0.2},  # 16 M
        "large": {"width": 1792, "layers": 3, "context": 1024, "dropout": 0.2},  # 60 M
    },
    "lstm": {
        "tiny": {"width": 224, "layers": 2, "context": 512, "dropout": 0.1},  # 1.1 M
        "small": {"width": 512, "layers": 2, "context": 512, "dropout": 0.1},  # 4.8 M
        "medium": {"width": 768, "layers": 3, "context": 1024, "dropout": 0.2},  # 15 M
        "large": {"width": 1536, "layers": 3, "context": 1024, "dropout": 0.2},  # 59 M
    },
    "cnn-lstm": {
        "tiny": {"width": 192, "layers": 2, "context": 512, "dropout": 0.1},  # 1.1 M
        "small": {"width": 416, "layers": 2, "context": 512, "dropout": 0.1},  # 4.7 M
        "medium": {"width": 768, "layers": 2, "context": 1024, "dropout": 0.2},  # 15 M
        "large": {"width": 1536, "layers": 2, "context": 1024, "dropout": 0.2},  # 59 M
    },
    "transformer": {
        "tiny": {"width": 128, "layers": 4, "heads": 4, "context": 512, "dropout": 0.1},  # 0.9 M
        "small": {"width": 256, "layers": 5, "heads": 4, "context": 1024, "dropout": 0.1},  # 4.2 M
        "medium": {"width": 512, "layers": 6, "heads": 8, "context": 2048, "dropout": 0.1},  # 19 M
        "large": {"width": 768, "layers": 12, "heads": 12, "context": 2048, "dropout": 0.1},  # 86 M
    },
}

# Settings that differ with `by_pitch`: the same few weights run along 88 pitches, and dropout harms them.
ALONG_PITCHES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 64, "layers": 1, "dropout": 0.0},
    "small": {"width": 96, "layers": 1, "dropout": 0.0},
    "medium": {"width": 128, "layers": 2, "dropout": 0.0},
    "large": {"width": 192, "layers": 2, "dropout": 0.0},
}

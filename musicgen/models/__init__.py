"""Networks that read ids and score the next one. They never see a note.

The names load on first use: the presets are plain data, and listing them shouldn't import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from musicgen.models.body import SequenceModel
    from musicgen.models.presets import PRESETS, SIZES
    from musicgen.models.registry import FAMILIES, build_model, count_parameters, preset
    from musicgen.models.settings import ModelSettings
    from musicgen.models.state import State, select_state

__all__ = [
    "FAMILIES",
    "ModelSettings",
    "PRESETS",
    "SIZES",
    "SequenceModel",
    "State",
    "build_model",
    "count_parameters",
    "preset",
    "select_state",
]

_HOMES = {
    "FAMILIES": "registry",
    "ModelSettings": "settings",
    "PRESETS": "presets",
    "SIZES": "presets",
    "SequenceModel": "body",
    "State": "state",
    "build_model": "registry",
    "count_parameters": "registry",
    "preset": "registry",
    "select_state": "state",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""The floating-point precision in which a model is trained. Device capabilities are in `models/hardware.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from musicgen.errors import UsageError
from musicgen.models.hardware import bfloat16_helps, lacks_bfloat16
from musicgen.models.tasks.base import Model

__all__ = ["autocast_for", "precision_for"]


def precision_for(device: torch.device, precision: str, model: Model) -> str:
    """Resolve `precision` to "float32" or "bfloat16". `auto` is bfloat16 where it is faster: on CUDA, and on CPUs with
    bfloat16 instructions for Transformers and `by_pitch` models, which multiply matrices of many rows.

    `model` may be on any device, including meta. Raises UsageError if bfloat16 is requested and not supported.
    """
    settings = model.settings
    if precision == "auto":
        worth = device.type == "cuda" or settings.family == "transformer" or settings.by_pitch
        helps = worth and bfloat16_helps(device) and lacks_bfloat16(model, device) is None
        return "bfloat16" if helps else "float32"
    if precision == "bfloat16" and (kind := lacks_bfloat16(model, device)) is not None:
        what = f"{settings.family} can't be trained in bfloat16: this device computes no {kind} layers in it"
        raise UsageError(what, where=f"`device` {device}", hint="use `precision` auto or float32")
    return precision


def autocast_for(device: torch.device, precision: str, model: Model) -> Callable[[], Any]:
    """A function that returns a context manager for the precision that `precision_for` chooses."""
    if precision_for(device, precision, model) == "float32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)

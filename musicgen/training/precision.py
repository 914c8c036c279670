"""In which precision a device is best trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from musicgen.models.base import ModelSettings

__all__ = ["autocast_for", "multiplies_in_bfloat16"]


def autocast_for(device: torch.device, precision: str, model: ModelSettings) -> Callable[[], Any]:
    """A context maker: bfloat16 where it helps, on CUDA, and on CPUs that have the instructions for Transformers and
    for models along every pitch, whose products are of many rows."""
    if precision == "auto":
        helps = device.type == "cuda" or model.family == "transformer" or model.by_pitch
        precision = "bfloat16" if helps and multiplies_in_bfloat16(device) else "float32"
    if precision == "float32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; a CPU without computes in bfloat16 many times slower."""
    if device.type != "cpu":
        return device.type == "cuda"
    if torch.backends.cpu.get_cpu_capability() not in ("AVX512", "DEFAULT"):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text

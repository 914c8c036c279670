"""Which low-precision operations this machine supports and which are fast, and its memory; tested once and cached.

Support is found by trying: without the instructions some kernels are missing (an LSTM in bfloat16 needs AVX-512).
Speed is judged by the instructions that the libraries may use: without them bfloat16 is many times slower.
`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` simulates a machine with fewer instructions.
"""

from __future__ import annotations

import functools
import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import ResourceError

__all__ = ["INT8_BLOCK", "bfloat16_helps", "check_memory", "has_int8", "keeps_rows_apart", "lacks_bfloat16", "memory"]

# Kernels for 8-bit weights read inputs in blocks of this size, past the end of rows whose width is no multiple.
INT8_BLOCK = 16
_WIDTH = 16


def bfloat16_helps(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16, and PyTorch and oneDNN may use them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_multiplies_in_bfloat16()


@functools.cache
def _cpu_multiplies_in_bfloat16() -> bool:
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:  # private, but no public function knows the limits set for oneDNN
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


def lacks_bfloat16(model: nn.Module, device: torch.device) -> str | None:
    """A kind of layer in `model` that the device can't train under autocast to bfloat16; None where there is none."""
    for kind, found in _KINDS.items():
        if any(isinstance(module, found) for module in model.modules()) and not _trains(kind, str(device)):
            return kind
    return None if _trains("attention", str(device)) else "attention"


class _Attention(nn.Module):
    def forward(self, x_BTC: Tensor) -> Tensor:
        x_B1TC = x_BTC[:, None].to(torch.bfloat16)  # as the output of a product under autocast is
        return F.scaled_dot_product_attention(x_B1TC, x_B1TC, x_B1TC, is_causal=True)


_KINDS: dict[str, type[nn.Module]] = {"linear": nn.Linear, "RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


@functools.cache
def _trains(kind: str, device: str) -> bool:
    """Whether a small layer runs forward and backward under autocast, and forward for one step without gradients."""
    # The caller may be on the meta device or in inference mode, and its random state must not change.
    with torch.device("cpu"), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        layer = _Attention() if kind == "attention" else _KINDS[kind](_WIDTH, _WIDTH)
        layer.to(device)
        x_BTC = torch.linspace(-1, 1, 2 * 3 * _WIDTH, device=device).view(2, 3, _WIDTH).requires_grad_()
        try:
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                y_BTC = layer(x_BTC)
                y_BTC = y_BTC[0] if isinstance(y_BTC, tuple) else y_BTC  # recurrent layers return their state, too
                y_BTC.float().sum().backward()
                with torch.no_grad():
                    layer(x_BTC[:, :1])
        except (RuntimeError, NotImplementedError, TypeError):
            return False
    return x_BTC.grad is not None and bool(x_BTC.grad.isfinite().all())


@functools.cache
def has_int8() -> bool:
    """Whether this PyTorch multiplies with weights of 8 bits on a CPU, and correctly: the function is private."""
    width = 3 * INT8_BLOCK
    weight = (torch.arange(5 * width) % 255 - 127).to(torch.int8).view(5, width)
    row = (torch.arange(width) % 7 - 3).bfloat16()[None]
    try:
        product = torch._weight_int8pack_mm(row, weight, torch.ones(5).bfloat16())
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(product.float(), row.float() @ weight.float().t(), rtol=0.02, atol=8)


_LINE = 16  # numbers in a cache line; kernels differ for results that aren't aligned to one


@functools.cache
def keeps_rows_apart(outputs: int, inputs: int) -> bool:
    """Whether `torch.bmm` with a column-major matrix gives each row of a batch the same bits as that row alone."""
    if inputs % _LINE or outputs % _LINE:
        return False
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        x_B1C, matrix_CN = (torch.randn(*shape, inputs, generator=generator) for shape in ((8, 1), (outputs,)))
        matrix_CN = matrix_CN.t().contiguous()
        alone = torch.cat([F.linear(row, matrix_CN.t()) for row in x_B1C.split(1)])
        batches = (torch.bmm(x_B1C[:rows], matrix_CN.expand(rows, -1, -1)) for rows in (2, 3, 8))
        return all(torch.equal(batch, alone[: len(batch)]) for batch in batches)


def memory() -> int | None:
    """The bytes of this machine's memory; None where the system doesn't say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def check_memory(parameters: int, *, copies: int = 1) -> None:
    """Raise ResourceError where `copies` times this many 32-bit numbers exceed this machine's memory."""
    needed, there = 4 * parameters * copies, memory()
    if there is not None and needed > there:
        what = f"a model of {parameters:,} parameters needs {needed / 1e9:,.1f} GB, this machine has {there / 1e9:,.1f}"
        raise ResourceError(what, hint="use a smaller width, or fewer layers")

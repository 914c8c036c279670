"""Optimisers: AdamW for all weights, or Muon for the matrices and AdamW for the rest.

Muon's update is the orthogonal matrix nearest to the momentum, so that all directions are updated by the same amount;
each step makes more progress, at a small cost beside the gradient. PyTorch's own Muon always computes in bfloat16,
which takes 15 to 60 times as long on a processor without bfloat16 instructions (768 x 192, torch 2.13).

Sources: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW); Jordan et al. 2024, "Muon: an
optimizer for hidden layers in neural networks" (the momentum and the polynomial); Liu et al. 2025, "Muon is
scalable for LLM training" (arXiv:2502.16982: the size of a step, so that one learning rate serves both).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "make_optimizers", "orthogonal"]

# x -> ax + bx^3 + cx^5, applied five times, maps singular values in 0.005..1 to 0.7..1.2.
_POLYNOMIAL = 3.4445, -4.7750, 2.0315
_TIMES = 5
_ADAMW_RMS = 0.2  # root mean square of a typical AdamW update before the learning rate; Muon's is scaled to it


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Approximately the nearest orthogonal matrix to each of `matrices` (..., rows, columns): singular values near 1.

    `dtype` is the type in which it is computed and returned.
    """
    a, b, c = _POLYNOMIAL
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    x: Tensor = (matrices if is_wide else matrices.mT).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    for _ in range(_TIMES):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if is_wide else x.mT


class Muon(torch.optim.Optimizer):
    """Updates matrices by their orthogonalised Nesterov momentum; the orthogonalisation is computed in `dtype`.

    Raises ValueError for a parameter that isn't a matrix.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if any(matrix.ndim != 2 for matrix in matrices):
            raise ValueError("Muon moves matrices only")
        self._dtype = dtype
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            alike: dict[torch.Size, list[Tensor]] = {}  # updated as one batch, faster on a GPU
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                for matrix in matrices:
                    if not self.state[matrix]:
                        self.state[matrix]["momentum"] = torch.zeros_like(matrix)
                gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
                momenta = [self.state[matrix]["momentum"] for matrix in matrices]
                torch._foreach_lerp_(momenta, gradients, 1 - momentum)
                ahead = torch.stack(torch._foreach_lerp(gradients, momenta, momentum))  # Nesterov's
                size = _ADAMW_RMS * max(shape) ** 0.5  # the mean square of an orthogonal matrix is 1 / max(shape)
                moves = orthogonal(ahead, self._dtype).to(matrices[0].dtype)
                torch._foreach_mul_(matrices, 1 - rate * group["weight_decay"])
                torch._foreach_add_(matrices, list(moves.unbind()), alpha=-rate * size)


def make_optimizers(
    model: torch.nn.Module, kind: str, *, weight_decay: float, half: bool
) -> tuple[torch.optim.Optimizer, ...]:
    """The optimisers for `kind` ("muon" or "adamw"); the training loop sets the `lr` of their groups at each step.

    Weight decay applies to matrices, not to norms, biases and embeddings. Muon gets only inner matrices, not those of
    the input and output layers (`embedding`, `inputs`; `head`, `outputs`): there each row belongs to one id, and Muon
    would update a rare id as much as a frequent one. With `half`, the device computes in bfloat16, and so does Muon.
    """
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    inner = [p for name, p in named if p.ndim == 2 and not _is_outer(name)] if kind == "muon" else []
    taken = {id(p) for p in inner}
    decaying = [p for p in matrices if id(p) not in taken]
    chosen = {id(p) for p in (*inner, *decaying)}
    plain = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decaying, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    on = next(model.parameters()).device.type
    adamw = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=on in ("cuda", "cpu"))
    if not inner:
        return (adamw,)
    dtype = torch.bfloat16 if half else torch.float32
    return Muon(inner, weight_decay=weight_decay, dtype=dtype), adamw


def _is_outer(name: str) -> bool:
    return any(part in ("embedding", "head", "inputs", "outputs") for part in name.split("."))

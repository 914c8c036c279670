"""Who moves the weights: AdamW for all of them, or Muon for the matrices and AdamW for the rest.

Muon steps along the nearest orthogonal matrix to the momentum, so that every direction moves alike; a step then
teaches more, and costs little beside the gradient. PyTorch has one too, which computes in bfloat16 whatever the
processor: without the instructions for it that takes 15 to 60 times as long (768 x 192, torch 2.13).

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

# x -> ax + bx^3 + cx^5, five times over, brings singular values from 0.005..1 to within 0.7..1.2.
_POLYNOMIAL = 3.4445, -4.7750, 2.0315
_TIMES = 5
_ADAMW_RMS = 0.2  # the root mean square of a typical update by AdamW, which Muon's is scaled to


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """About the orthogonal matrix nearest to each of `matrices` (..., rows, columns): singular values near 1."""
    a, b, c = _POLYNOMIAL
    is_wide = matrices.shape[-2] <= matrices.shape[-1]
    x: Tensor = (matrices if is_wide else matrices.mT).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # no singular value above 1
    for _ in range(_TIMES):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if is_wide else x.mT


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, for matrices; `dtype` is what the iteration computes in.

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
            alike: dict[torch.Size, list[Tensor]] = {}  # matrices of one shape move together: a GPU waits less
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
                size = _ADAMW_RMS * max(shape) ** 0.5  # an orthogonal matrix has a mean square of 1 / max
                moves = orthogonal(ahead, self._dtype).to(matrices[0].dtype)
                torch._foreach_mul_(matrices, 1 - rate * group["weight_decay"])
                torch._foreach_add_(matrices, list(moves.unbind()), alpha=-rate * size)


def make_optimizers(
    model: torch.nn.Module, kind: str, *, weight_decay: float, half: bool
) -> tuple[torch.optim.Optimizer, ...]:
    """The optimisers that `kind` ("muon" or "adamw") asks for, each with groups whose `lr` the loop sets at each step.

    Matrices decay; norms, biases and embeddings don't. Muon takes the matrices between what is read and what is told
    (`embedding`, `inputs`; `head`, `outputs`): there a row stands for one id, and a rare one would move like a frequent
    one.
    `half` says that the device multiplies in bfloat16.
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

"""Components of attention: rotary positions, the causal mask, and a key/value cache.

Shapes: B batch, T time (the ids read now), K time (the ids attended to), H heads, D width of a head.

Source: rotary positions from Su et al. 2021 (arXiv:2104.09864).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

__all__ = ["LayerCache", "Rotary", "band", "rotary_table", "rotate"]

_GROWTH = 256  # steps by which a cache grows
_ROTARY_BASE = 10_000.0
_AT_HAND = 4096  # most positions whose rotations are computed in advance


def rotary_table(start: int, length: int, width: int) -> tuple[Tensor, Tensor]:
    """cos_TD and sin_TD of positions start..start+length-1 for heads of the (even) width D, on the CPU.

    Pair i turns by position * base^(-2i/D) (Su et al. 2021, section 3.2.2). The pair's two numbers lie D/2
    apart, so `rotate` needs one roll; the sign of its second half is folded into the sine.
    """
    with torch.device("cpu"):
        # In float64: at position 100,000 a float32 angle is off by 0.004.
        frequencies = _ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D/2,)
        angles = torch.arange(start, start + length, dtype=torch.float64)[:, None] * frequencies  # (T, D/2)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], dim=1).float(), torch.cat([-sin, sin], dim=1).float()


class Rotary(nn.Module):
    """Cosines and sines by position: precomputed for the first positions, in chunks on demand for later ones."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        cos_TD, sin_TD = rotary_table(0, min(context, _AT_HAND), width)
        self.register_buffer("cos", cos_TD, persistent=False)
        self.register_buffer("sin", sin_TD, persistent=False)
        self.cos: Tensor
        self.sin: Tensor
        self._later: tuple[int, Tensor, Tensor] = (0, cos_TD[:0], sin_TD[:0])

    def forward(self, start: int, length: int) -> tuple[Tensor, Tensor]:
        ready, width = self.cos.shape
        if start + length <= ready:
            return self.cos[start : start + length], self.sin[start : start + length]
        first, cos_TD, sin_TD = self._later
        inside = first <= start and start + length <= first + len(cos_TD)
        if not inside or cos_TD.device != self.cos.device or cos_TD.dtype != self.cos.dtype:
            with torch.inference_mode(False):  # the chunk may outlive the sampling that asked for it
                cos_TD, sin_TD = (table.to(self.cos) for table in rotary_table(start, length + ready, width))
            self._later, first = (start, cos_TD, sin_TD), start
        return cos_TD[start - first : start - first + length], sin_TD[start - first : start - first + length]


def rotate(x_BTNHD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    """Queries and keys rotated by their positions, so that their product depends only on the distance."""
    cos, sin = cos_TD[:, None, None], sin_TD[:, None, None]  # (T, 1, 1, D)
    return torch.addcmul(x_BTNHD * cos, x_BTNHD.roll(x_BTNHD.shape[-1] // 2, dims=-1), sin)


@dataclasses.dataclass
class LayerCache:
    """One layer's past keys and values, in buffers (B, H, room, D) whose first `end` steps are filled.

    Caches that grew from one another share a buffer. Only the newest may append; an older one, or one
    without room, copies what is still in the context to a new buffer. So states are immutable values, a step costs
    no copy, and memory stays within context + 256 steps however long the piece.
    """

    keys: Tensor
    values: Tensor
    end: int
    written: list[int]  # shared by all caches of the buffer: how far it is filled

    def extend(self, keys_BHTD: Tensor, values_BHTD: Tensor, *, context: int) -> tuple[LayerCache, Tensor, Tensor]:
        """The cache after T more steps, and the keys and values (B, H, K, D) that these steps may attend to."""
        steps, end = keys_BHTD.shape[2], self.end
        keys, values, written = self.keys, self.values, self.written
        # A buffer made in inference mode can't be written to outside it.
        frozen = keys.is_inference() and not torch.is_inference_mode_enabled()
        if written[0] != end or end + steps > keys.shape[2] or frozen:
            kept = min(end, context - 1)
            B, H, _, D = keys.shape
            keys, values = (
                torch.cat([old[:, :, end - kept : end], old.new_empty(B, H, steps + _GROWTH, D)], dim=2)
                for old in (keys, values)
            )
            end, written = kept, [kept]
        now = end + steps
        keys[:, :, end:now] = keys_BHTD.detach()
        values[:, :, end:now] = values_BHTD.detach()
        written[0] = now
        first = max(0, end - (context - 1))  # the oldest key that the first new step sees
        return LayerCache(keys, values, now, written), keys[:, :, first:now], values[:, :, first:now]

    def select(self, rows_B: Tensor) -> LayerCache:
        rows_B = rows_B.to(self.keys.device)
        keys, values = (past[:, :, : self.end].index_select(0, rows_B) for past in (self.keys, self.values))
        return LayerCache(keys, values, self.end, [self.end])


def band(steps: int, seen: int, *, context: int, device: torch.device) -> Tensor:
    """mask_TK, true where the last `steps` of `seen` positions may attend: to themselves and `context` - 1 before."""
    query = torch.arange(seen - steps, seen, device=device)[:, None]
    key = torch.arange(seen, device=device)
    return (key <= query) & (key > query - context)

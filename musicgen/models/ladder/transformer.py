"""A decoder-only Transformer over ids, with rotary positions and a key/value cache.

Reads from top to bottom: positions, cache, attention, block, model.

Shapes: B batch, T time (the ids read now), K time (the ids attended to), V vocabulary, C width, H heads,
D = C / H width of a head.

Sources: Vaswani et al. 2017 (arXiv:1706.03762); norms before each part, and residual projections that start
small, from Radford et al. 2019 (GPT-2, section 2.3); rotary positions from Su et al. 2021 (arXiv:2104.09864).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models.body import SequenceModel
from musicgen.models.layers.embedding import embed
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["LayerCache", "Transformer", "TransformerState", "attention_weights"]

_GROWTH = 256  # steps of room that a cache gains at a time
_ROTARY_BASE = 10_000.0
_AT_HAND = 4096  # positions whose turns are worked out at once, however long the context


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
    """Cosines and sines by position: the first ones of the context at hand, later ones in chunks as they come."""

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
    """Turns queries and keys by their positions, so that their product depends only on the distance."""
    cos, sin = cos_TD[:, None, None], sin_TD[:, None, None]  # (T, 1, 1, D)
    return torch.addcmul(x_BTNHD * cos, x_BTNHD.roll(x_BTNHD.shape[-1] // 2, dims=-1), sin)


@dataclasses.dataclass
class LayerCache:
    """One layer's past keys and values, in buffers (B, H, room, D) whose first `end` steps are filled.

    Caches that grew from one another share a buffer. Only the newest may write on; an older one, or one
    without room, moves what can still be seen to a new buffer. So a state is a value, stepping costs no copy,
    and memory stays within context + 256 steps however long the piece.
    """

    keys: Tensor
    values: Tensor
    end: int
    written: list[int]  # shared with the buffer's other caches: how far anyone has written

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


@dataclasses.dataclass
class TransformerState(State):
    """The caches of all layers and the number of ids read."""

    caches: tuple[LayerCache, ...]
    position: int

    @property
    def rows(self) -> int:
        return self.caches[0].keys.shape[0]

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(self, caches=tuple(cache.select(rows_B) for cache in self.caches))


def band(steps: int, seen: int, *, context: int, device: torch.device) -> Tensor:
    """mask_TK, true where one of the last `steps` of `seen` positions may attend: not ahead, not past `context`."""
    query = torch.arange(seen - steps, seen, device=device)[:, None]
    key = torch.arange(seen, device=device)
    return (key <= query) & (key > query - context)


class Attention(nn.Module):
    """Causal multi-head attention over at most the last `context` ids (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.heads, self.context = settings.heads, settings.context
        self.query_key_value = Linear(settings.width, 3 * settings.width)
        self.project = Linear(settings.width, settings.width)

    def forward(
        self, x_BTC: Tensor, turns: tuple[Tensor, Tensor], cache: LayerCache | None
    ) -> tuple[Tensor, LayerCache | None]:
        B, T, C = x_BTC.shape
        H, D = self.heads, C // self.heads
        qkv = self.query_key_value(x_BTC).view(B, T, 3, H, D)
        query, key = rotate(qkv[:, :, :2], *turns).to(qkv.dtype).unbind(2)  # (B, T, H, D) each
        value = qkv[:, :, 2]
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)  # (B, H, T, D)

        if cache is None:
            past, keys, values = None, key, value
            if not self.training:
                past = LayerCache(key.detach(), value.detach(), T, [T])
        else:
            past, keys, values = cache.extend(key, value, context=self.context)

        # No dropout on the attention weights: it would rule out the fused kernels, which never form the weights.
        K = keys.shape[2]
        if T == 1:  # extend() has cut the past to the context: all of it may be seen
            y_BHTD = F.scaled_dot_product_attention(query, keys, values)
        elif K == T <= self.context:
            y_BHTD = F.scaled_dot_product_attention(query, keys, values, is_causal=True)
        else:
            mask_TK = band(T, K, context=self.context, device=x_BTC.device)
            y_BHTD = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask_TK)
        return self.project(y_BHTD.transpose(1, 2).reshape(B, T, C)), past


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each on a normalised copy and added to the stream."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        C = settings.width
        # LayerNorm rather than RMSNorm: 2 us against 8 for one step of width 256 on a CPU (torch 2.13).
        self.attention_norm = nn.LayerNorm(C, bias=False)
        self.attention = Attention(settings)
        self.mlp_norm = nn.LayerNorm(C, bias=False)
        self.widen = Linear(C, 4 * C)
        self.narrow = Linear(4 * C, C)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(
        self, x_BTC: Tensor, turns: tuple[Tensor, Tensor], cache: LayerCache | None
    ) -> tuple[Tensor, LayerCache | None]:
        y_BTC, cache = self.attention(self.attention_norm(x_BTC), turns, cache)
        x_BTC = x_BTC + self._dropped(y_BTC)
        y_BTC = self.narrow(F.gelu(self.widen(self.mlp_norm(x_BTC))))
        return x_BTC + self._dropped(y_BTC), cache

    def _dropped(self, y_BTC: Tensor) -> Tensor:
        return self.dropout(y_BTC) if self.training else y_BTC  # a call that does nothing costs a step 2 us


class Transformer(SequenceModel):
    """Embedding, blocks, norm, head. A learned embedding is also the head's weight; a one-hot input has its own.

    Past `context` ids the attention slides: a step sees the last `context` keys of each layer, in whole passes
    and stepping alike. In training mode no cache is kept and the state is None.
    """

    carries = False

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        if settings.width % (2 * settings.heads):
            raise UsageError(
                f"width {settings.width} doesn't divide into {settings.heads} heads of an even width",
                where="model",
                hint=f"choose a width that is a multiple of {2 * settings.heads}",
            )
        self.embedding = embed(settings)
        self.rotary = Rotary(settings.context, settings.width // settings.heads)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width, bias=False)
        self._make_heads()
        self._initialise()

    def _initialise(self) -> None:
        """Normal with deviation 0.02; the two projections a block adds to the stream, by 1/sqrt(2 layers) less."""
        for name, parameter in self.blocks.named_parameters():
            if parameter.ndim == 2:
                added = name.endswith(("attention.project.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.settings.layers) if added else 0.02)
        self._small_ends()

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, TransformerState | None]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, TransformerState):
            raise TypeError(f"a Transformer can't go on from a {type(state).__name__}")
        start = 0 if state is None else state.position
        turns = self.rotary(start, ids.shape[1])
        x_BTC = self.dropout(self.embedded(ids))
        caches = []
        for layer, block in enumerate(self.blocks):
            x_BTC, cache = block(x_BTC, turns, None if state is None else state.caches[layer])
            if cache is not None:
                caches.append(cache)
        hidden_BTC = self.norm(x_BTC)
        return hidden_BTC, TransformerState(tuple(caches), start + ids.shape[1]) if caches else None


@torch.no_grad()
def attention_weights(model: Transformer, ids: Tensor) -> list[Tensor]:
    """weights_BHTT of each layer, query by key, while the model reads ids_BT or ids_BTF from their beginning.

    They are softmax(Q K^T / sqrt(D)) written out, in evaluation mode: the fused attention of `read` never forms them.
    """
    model.eval()
    model.check_ids(ids)
    T = ids.shape[1]
    turns = model.rotary(0, T)
    hidden_TT = ~band(T, T, context=model.settings.context, device=ids.device)
    x_BTC = model.embedded(ids)
    layers = []
    for block in model.blocks:
        attention, norm = cast(Attention, block.attention), cast(nn.LayerNorm, block.attention_norm)
        qkv = attention.query_key_value(norm(x_BTC)).unflatten(-1, (3, attention.heads, -1))
        query_BHTD, key_BHTD = rotate(qkv[:, :, :2], *turns).transpose(1, 3).unbind(2)
        scores_BHTT = query_BHTD @ key_BHTD.transpose(2, 3) / math.sqrt(query_BHTD.shape[-1])
        layers.append(scores_BHTT.masked_fill(hidden_TT, -math.inf).softmax(dim=-1))
        x_BTC, _ = block(x_BTC, turns, None)
    return layers

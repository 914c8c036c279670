"""A decoder-only Transformer over ids, with a key/value cache (`layers/attention.py`).

Reads from top to bottom: attention, block, model.

Shapes: B batch, T time (the ids read now), K time (the ids attended to), V vocabulary, C width, H heads,
D = C / H width of a head.

Sources: Vaswani et al. 2017 (arXiv:1706.03762); norms before each part, and residual projections that start
small, from Radford et al. 2019 (GPT-2, section 2.3); rotary positions, the default, from Su et al. 2021
(arXiv:2104.09864); the others are in `layers/positions.py`.
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
from musicgen.models.layers.attention import LayerCache, Rotary, band, rotate
from musicgen.models.layers.embedding import embed
from musicgen.models.layers.linear import Linear
from musicgen.models.layers.positions import added_positions
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["Transformer", "TransformerState", "attention_weights"]

Turns = tuple[Tensor, Tensor]  # cosines and sines by which queries and keys are turned


class Attention(nn.Module):
    """Causal multi-head attention over at most the last `context` ids (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.heads, self.context = settings.heads, settings.context
        self.query_key_value = Linear(settings.width, 3 * settings.width)
        self.project = Linear(settings.width, settings.width)

    def forward(self, x_BTC: Tensor, turns: Turns | None, cache: LayerCache | None) -> tuple[Tensor, LayerCache | None]:
        B, T, C = x_BTC.shape
        H, D = self.heads, C // self.heads
        qkv = self.query_key_value(x_BTC).view(B, T, 3, H, D)
        query, key = self.turned(qkv[:, :, :2], turns).unbind(2)  # (B, T, H, D) each
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

    def turned(self, both_BTNHD: Tensor, turns: Turns | None) -> Tensor:
        """Queries and keys with rotary positions; as they are with other kinds of positions."""
        return both_BTNHD if turns is None else rotate(both_BTNHD, *turns).to(both_BTNHD.dtype)


class Block(nn.Module):
    """A pre-norm residual block: attention, then a two-layer perceptron."""

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

    def forward(self, x_BTC: Tensor, turns: Turns | None, cache: LayerCache | None) -> tuple[Tensor, LayerCache | None]:
        y_BTC, cache = self.attention(self.attention_norm(x_BTC), turns, cache)
        x_BTC = x_BTC + self._dropped(y_BTC)
        y_BTC = self.narrow(F.gelu(self.widen(self.mlp_norm(x_BTC))))
        return x_BTC + self._dropped(y_BTC), cache

    def _dropped(self, y_BTC: Tensor) -> Tensor:
        return self.dropout(y_BTC) if self.training else y_BTC  # a call that does nothing costs a step 2 us


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
        rotary = settings.positions == "rotary"
        self.rotary = Rotary(settings.context, settings.width // settings.heads) if rotary else None
        self.positions = added_positions(settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width, bias=False)

    def first_weights(self) -> None:
        """Normal with deviation 0.02; divided by sqrt(2 layers) for the two residual projections of each block."""
        for name, parameter in self.blocks.named_parameters():
            if parameter.ndim == 2:
                added = name.endswith(("attention.project.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.settings.layers) if added else 0.02)
        super().first_weights()

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, TransformerState | None]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, TransformerState):
            raise TypeError(f"a Transformer can't go on from a {type(state).__name__}")
        start = 0 if state is None else state.position
        x_BTC, turns = self.placed(ids, start)
        x_BTC = self.dropout(x_BTC)
        caches = []
        for layer, block in enumerate(self.blocks):
            x_BTC, cache = block(x_BTC, turns, None if state is None else state.caches[layer])
            if cache is not None:
                caches.append(cache)
        hidden_BTC = self.norm(x_BTC)
        return hidden_BTC, TransformerState(tuple(caches), start + ids.shape[1]) if caches else None

    def placed(self, ids: Tensor, start: int) -> tuple[Tensor, Turns | None]:
        """x_BTC of steps of which the first is number `start`, with positions added; what turns queries and keys.

        Raises UsageError for learned positions past the last.
        """
        x_BTC, T = self.embedded(ids), ids.shape[1]
        if self.positions is not None:
            x_BTC = x_BTC + self.positions(start, T)
        return x_BTC, None if self.rotary is None else self.rotary(start, T)


@torch.no_grad()
def attention_weights(model: Transformer, ids: Tensor) -> list[Tensor]:
    """weights_BHTT of each layer, query by key, while the model reads ids_BT or ids_BTF from their beginning.

    They are softmax(Q K^T / sqrt(D)) written out, in evaluation mode: the fused attention of `read` never forms them.
    """
    model.eval()
    model.check_ids(ids)
    T = ids.shape[1]
    x_BTC, turns = model.placed(ids, 0)
    hidden_TT = ~band(T, T, context=model.settings.context, device=ids.device)
    layers = []
    for block in model.blocks:
        attention, norm = cast(Attention, block.attention), cast(nn.LayerNorm, block.attention_norm)
        qkv = attention.query_key_value(norm(x_BTC)).unflatten(-1, (3, attention.heads, -1))
        query_BHTD, key_BHTD = attention.turned(qkv[:, :, :2], turns).transpose(1, 3).unbind(2)
        scores_BHTT = query_BHTD @ key_BHTD.transpose(2, 3) / math.sqrt(query_BHTD.shape[-1])
        layers.append(scores_BHTT.masked_fill(hidden_TT, -math.inf).softmax(dim=-1))
        x_BTC, _ = block(x_BTC, turns, None)
    return layers

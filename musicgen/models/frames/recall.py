"""Recalled frames: what followed the longest match of the latest frames in the piece's own past.

Music repeats itself, often hundreds of frames later, which is farther than a recurrence learns to copy; so the recalled
frames are inputs of the model. Nothing here is learned.

After every frame two earlier places are found: the end of the longest exact match with the latest frames, and of the
longest transposed one. Length mainly counts changes of the frame (see CHANGE); of equal matches the latest wins.

Shapes: B batch, P frames before, F new frames, N = P + F, L = N - 1 lags with the longest first, S voices (1 for sets),
K ranks of the keyboard, R places.

Sources: the longest match as a predictor from Cleary and Teahan 1997 ("Unbounded length contexts for PPM"); a piece's
own past as a model of it, by intervals too, from Conklin and Witten 1995 ("Multiple viewpoint systems for music
prediction").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["PLACES", "begin", "recall"]

PLACES = 2  # R: exact and transposed
SUMS = ("same", "shape", "low")
RUNS = ("run", "moved_run")  # one for each of PLACES
AT_ONCE = 2**21  # most pairs of frames compared in one pass
CHANGE = 64  # length of a frame that differs from the one before; a frame that repeats it counts 1


def begin(rows: int, voices: int, keys: int, device: torch.device) -> dict[str, Tensor]:
    """The memory before the first frame: one row per piece and one column per frame, padded with 0 in front.

    For each frame it holds the keys (`past`), a hash of them (`same`), a transposition-invariant hash (`shape`) and the
    lowest key (`low`); and the length of the match that ends there and at the latest frame, exact (`run`) and
    transposed (`moved_run`).
    """
    none_B0 = torch.zeros(rows, 0, dtype=torch.int64, device=device)
    past = torch.zeros(rows, 0, voices, keys, dtype=torch.uint8, device=device)
    return {"past": past, **dict.fromkeys(SUMS + RUNS, none_B0)}


def recall(
    frames_BFSK: Tensor, memory: dict[str, Tensor], *, count_B: Tensor | None = None, skims: bool = False
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The frames recalled before the first of these frames and after each, and the memory after them, or after the
    first `count_B` of each row.

    Returns (recalled, confidence, memory): `recalled` (B, F + 1, R * S, K) are the frames by voice, times their
    confidence; `confidence` (B, F + 1, R) is (1 + log2(1 + length of the match / CHANGE)) / 4, or 0 without a match.

    `skims` is for the first frames of one piece: the frames and their confidence are 0, and the memory takes far
    less time.
    """
    if skims:
        return _skimmed(frames_BFSK, memory)
    B, new = frames_BFSK.shape[:2]
    size = max(1, AT_ONCE // (B * (memory["past"].shape[1] + new + 1)))
    recalled, confidences = [], []
    memory = {name: memory[name] for name in ("past", *SUMS, *RUNS)}
    for begin in range(0, max(1, new), size):
        part = frames_BFSK[:, begin : begin + size]
        count = None if count_B is None else (count_B - begin).clamp(0, part.shape[1])
        recalled_BFIK, confidence_BFR, memory = _recalled(part, memory, count)
        kept = slice(0 if begin == 0 else 1, None)  # index 0 repeats the last of the part before
        recalled.append(recalled_BFIK[:, kept])
        confidences.append(confidence_BFR[:, kept])
    # Drop columns that are padding in all rows, which pile up where rows complete frames at different ids.
    idle = int((memory["same"] == 0).all(0).long().cumprod(0).sum())
    return (
        torch.cat(recalled, dim=1),
        torch.cat(confidences, dim=1),
        {name: of_BN[:, idle:] for name, of_BN in memory.items()},
    )


def _recalled(
    frames_BFSK: Tensor, memory: dict[str, Tensor], count_B: Tensor | None
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """`recall` in one pass that compares each of these frames with all earlier ones."""
    B, new, S, K = frames_BFSK.shape
    P = memory["past"].shape[1]
    past, sums = _appended(frames_BFSK, memory)
    N = P + new
    if not N:
        nothing = frames_BFSK.new_zeros(B, 1, PLACES * S, K)
        return nothing, nothing[..., :PLACES, 0], memory
    gain_BF = _gain(sums["same"])[:, P:]
    rows_B1 = torch.arange(B, device=past.device)[:, None]
    low_BF = torch.cat([sums["low"][:, max(0, P - 1)][:, None], sums["low"][:, P:]], dim=1)
    recalled, confidences, runs = [], [], {}
    for name, (alike_BFL, goes_on_BFL) in zip(RUNS, _compared(sums, new), strict=True):
        # The runs at the last frame before these, arranged by lag.
        before_BL = F.pad(memory[name][:, : max(0, P - 1)], (N - max(1, P), 0))
        run_BFL = _ran(alike_BFL, goes_on_BFL, gain_BF, before_BL)
        at_BF, length_BF = _longest(run_BFL, memory[name])
        frame = past[rows_B1, (at_BF + 1).clamp(max=N - 1)].float()
        if name == "moved_run":
            frame = _moved(frame, low_BF - sums["low"].gather(1, at_BF))
        confidence = torch.where(length_BF > 0, 1 + (1 + length_BF / CHANGE).log2(), 0) / 4
        recalled.append(frame * confidence[..., None, None])
        confidences.append(confidence)
        runs[name] = memory[name]
        if new:
            last_BL = run_BFL[:, -1]
            if count_B is not None:
                last_BL = run_BFL[rows_B1[:, 0], (count_B - 1).clamp(min=0)]
                last_BL = torch.where(count_B[:, None] > 0, last_BL, before_BL)
            runs[name] = F.pad(last_BL, (0, 1))
    after = {"past": past, **sums, **runs}
    if count_B is not None:
        after |= {name: _at_the_end(after[name], new - count_B) for name in ("past", *SUMS)}
    return torch.cat(recalled, dim=2), torch.stack(confidences, dim=2), after


def _compared(sums: dict[str, Tensor], new: int) -> list[tuple[Tensor, Tensor]]:
    """For exact and transposed matches: alike_BFL, whether a frame matches the one at a lag, and goes_on_BFL, whether a
    run may continue from the frames before both (for transposed ones: by the same interval)."""
    same, shape, low = (sums[name] for name in SUMS)
    N = same.shape[1]
    now = slice(N - new, None)
    step = F.pad(low[:, 1:] - low[:, :-1], (1, 0))
    alike_BFL = _earlier(same, new) == same[:, now, None]
    low_BFL = _earlier(low, new)
    moved = (_earlier(shape, new) == shape[:, now, None]) & (low_BFL != low[:, now, None]) & (low_BFL >= 0)
    # Only lags that lie within the piece.
    there = torch.arange(N - 1, 0, -1, device=low.device) <= torch.arange(N - new, N, device=low.device)[:, None]
    return [(alike_BFL & there, there.expand_as(alike_BFL)), (moved & there, _earlier(step, new) == step[:, now, None])]


def _ran(alike_BFL: Tensor, goes_on_BFL: Tensor, gain_BF: Tensor, before_BL: Tensor) -> Tensor:
    """run_BFL, the length of the run at each frame and lag: gains summed from where it began, plus `before_BL` where it
    continues a run from before these frames."""
    if not alike_BFL.shape[1]:
        return gain_BF.new_zeros(alike_BFL.shape)
    total_BF1 = gain_BF.cumsum(1)[..., None]
    nothing_before = torch.where(goes_on_BFL, -before_BL[:, None], total_BF1 - gain_BF[..., None])
    return total_BF1 - torch.where(alike_BFL, nothing_before, total_BF1).cummax(1).values


def _skimmed(frames_BFSK: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """`recall` of the first frames of one piece, for its memory only: the frames and their confidence are 0."""
    B, new, S, K = frames_BFSK.shape
    nothing = frames_BFSK.new_zeros(B, 1, PLACES * S, K).expand(-1, new + 1, -1, -1)
    past, sums = _appended(frames_BFSK, memory)
    same, shape, low = (sums[name][0] for name in SUMS)
    N = len(same)
    if not N:
        return nothing, nothing[..., :PLACES, 0], {name: memory[name] for name in ("past", *SUMS, *RUNS)}
    step = F.pad(low[1:] - low[:-1], (1, 0))
    gain = _gain(sums["same"])[0]
    alike = [same == same[-1], (shape == shape[-1]) & (low != low[-1]) & (low >= 0)]
    runs = {}
    for place, name in enumerate(RUNS):
        run = torch.zeros_like(same)
        at = alike[place][: N - 1].nonzero()[:, 0]
        back = 0
        while len(at):  # fewer and fewer candidates match farther back
            run[at] += gain[N - 1 - back]
            here, there = N - 1 - back, at - back
            goes_on = there > 0
            if place:
                goes_on &= (step[there] == step[here]) & (shape[there - 1] == shape[here - 1])
                goes_on &= (low[there - 1] != low[here - 1]) & (low[there - 1] >= 0)
            else:
                goes_on &= same[there - 1] == same[here - 1]
            at = at[goes_on]
            back += 1
        runs[name] = run[None]
    return nothing, nothing[..., :PLACES, 0], {"past": past, **sums, **runs}


def _at_the_end(of_BN: Tensor, spare_B: Tensor) -> Tensor:
    """Each row shifted right by `spare_B` columns: those past its end are dropped, and 0 fills the front."""
    column_BN = torch.arange(of_BN.shape[1], device=of_BN.device) - spare_B[:, None]
    wide = column_BN.clamp(min=0).view(*column_BN.shape, *(1,) * (of_BN.ndim - 2)).expand_as(of_BN)
    there = (column_BN >= 0).view(*column_BN.shape, *(1,) * (of_BN.ndim - 2))
    return of_BN.gather(1, wide) * there


def _appended(frames_BFSK: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The earlier and new frames, and the hashes (SUMS) of all."""
    past = torch.cat([memory["past"], frames_BFSK.to(torch.uint8)], dim=1)
    new = _sums(frames_BFSK, memory["low"])
    return past, {name: torch.cat([memory[name], value], dim=1) for name, value in zip(SUMS, new, strict=True)}


def _gain(same_BN: Tensor) -> Tensor:
    """The length that each frame adds to a run: CHANGE where it differs from the one before, else 1."""
    return 1 + (CHANGE - 1) * F.pad(same_BN[:, 1:] != same_BN[:, :-1], (1, 0), value=True).long()


def _earlier(of_BN: Tensor, new: int) -> Tensor:
    """For each of the last `new` frames the N - 1 values before it, padded with 0 in front."""
    N = of_BN.shape[1]
    if not new or N == 1:
        return of_BN.new_zeros(len(of_BN), new, N - 1)
    return F.pad(of_BN[:, :-1], (new - 1, 0)).unfold(1, N - 1, 1)


def _longest(run_BFL: Tensor, before_BP: Tensor) -> tuple[Tensor, Tensor]:
    """The earlier frame at which the longest match ends (the latest of equals), and its length, before these frames and
    after each.

    Where there is no match the length is 0, and the frame is meaningless.
    """
    B, new, lags = run_BFL.shape
    P = before_BP.shape[1]
    key_B1 = before_BP.new_zeros(B, 1)
    if P:
        key_B1 = (before_BP * P + torch.arange(P, device=run_BFL.device)).amax(1, keepdim=True)
    at_BF, length_BF = [key_B1 % max(1, P)], [key_B1 // max(1, P)]
    if new and lags:
        key_BF = (run_BFL * lags + torch.arange(lags, device=run_BFL.device)).amax(2)
        frame = torch.arange(P, P + new, device=run_BFL.device)
        at_BF.append((frame - lags + key_BF % lags).clamp(min=0))
        length_BF.append(key_BF // lags)
    elif new:
        at_BF, length_BF = at_BF * 2, length_BF * 2  # only one frame so far: no lags
    return torch.cat(at_BF, dim=1), torch.cat(length_BF, dim=1)


def _sums(frames_BFSK: Tensor, low_BP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A hash of each frame, a transposition-invariant hash, and its lowest key.

    An empty frame takes the lowest key of the frame before, or -1 before any note.
    """
    B, frames, S, K = frames_BFSK.shape
    weights = _weights(S * K, frames_BFSK.device).view(S, K)
    any_BFK = frames_BFSK.amax(2) > 0
    low = any_BFK.to(torch.uint8).argmax(2)
    where = torch.where(any_BFK.any(2), torch.arange(1, frames + 1, device=low.device), 0).cummax(1).values
    first = low_BP[:, -1:] if low_BP.shape[1] else low.new_full((B, 1), -1)
    low = torch.cat([first, low], dim=1).gather(1, where)
    bits = frames_BFSK.long()
    above = (torch.arange(K, device=low.device) + low.clamp(min=0)[..., None]).clamp(max=K)
    base = F.pad(bits, (0, 1)).gather(3, above[:, :, None].expand(-1, -1, S, -1))
    return (bits * weights).sum((2, 3)) + 1, (base * weights).sum((2, 3)) + 1, low


def _moved(frames_BFSK: Tensor, by_BF: Tensor) -> Tensor:
    """Frames transposed up by `by_BF` keys; keys beyond the keyboard are dropped."""
    K = frames_BFSK.shape[3]
    source = torch.arange(K, device=by_BF.device) - by_BF[..., None]
    source = torch.where((source >= 0) & (source < K), source, K)
    return F.pad(frames_BFSK, (0, 1)).gather(3, source[:, :, None].expand(-1, -1, frames_BFSK.shape[2], -1))


def _weights(count: int, device: torch.device) -> Tensor:
    """Fixed pseudorandom 64-bit hash weights (Knuth's linear congruential generator)."""
    values, value = [], 1
    for _ in range(count):
        value = (value * 6364136223846793005 + 1442695040888963407) % 2**64
        mixed = value ^ (value >> 29)
        values.append(mixed - (2**64 if mixed >= 2**63 else 0))
    return torch.tensor(values, device=device)

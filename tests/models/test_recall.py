"""What is recalled is what a search of the whole past finds, read whole, in parts, or skimmed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from musicgen.models.frames import recall

KEYS = 12
CPU = torch.device("cpu")


def music(voices: int, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Frames (F, S, K) that repeat one another, in other keys too, and are sometimes empty."""
    some = torch.from_numpy(rng.random((3, voices, KEYS)) < 0.12).float()
    pool = [*some, some[0].roll(2, -1), some[1].roll(2, -1), torch.zeros(voices, KEYS)]
    frames: list[torch.Tensor] = []
    for _ in range(count):
        held = frames and rng.random() < 0.2
        frames.append(frames[-1] if held else pool[rng.integers(len(pool))])
    return torch.stack(frames) if frames else torch.zeros(0, voices, KEYS)


def search(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """told (F + 1, 2 S, K) and sure (F + 1, 2), by comparing everything with everything."""
    count, voices, _ = frames.shape
    notes = [tuple(map(tuple, frame.nonzero().tolist())) for frame in frames]
    low = [-1]
    for frame in notes:
        low.append(min((key for _, key in frame), default=low[-1]))
    low = low[1:]
    shape = [tuple((voice, key - lowest) for voice, key in frame) for frame, lowest in zip(notes, low, strict=True)]
    told, sure = torch.zeros(count + 1, 2 * voices, KEYS), torch.zeros(count + 1, 2)

    def run(i: int, s: int, *, moved: bool) -> int:
        total = 0
        for a, b in zip(range(i, -1, -1), range(s, -1, -1), strict=False):
            if moved:
                alike = shape[a] == shape[b] and low[a] - low[b] == low[i] - low[s] != 0 and low[b] >= 0
            else:
                alike = notes[a] == notes[b]
            if not alike:
                break
            total += 64 if a == 0 or notes[a] != notes[a - 1] else 1
        return total

    for now, moved in itertools.product(range(1, count), (False, True)):
        longest, at = max((run(now, s, moved=moved), s) for s in range(now))
        if longest:
            how = (1 + np.log2(1 + longest / 64)) / 4
            sure[now + 1, int(moved)] = how
            for voice, key in notes[at + 1]:
                key += low[now] - low[at] if moved else 0
                if 0 <= key < KEYS:
                    told[now + 1, moved * voices + voice, key] = how
    return told, sure


@pytest.mark.parametrize("voices", [1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_a_search_of_the_past_finds(voices, seed, monkeypatch):
    monkeypatch.setattr(recall, "AT_ONCE", [2**21, 100][seed // 4])
    rng = np.random.default_rng(seed)
    frames = music(voices, [0, 1, 2, 40][seed % 4], rng)
    wanted, sure = search(frames)
    if len(frames) > 2:
        assert wanted[:, :voices].any()
    told, how, memory = recall.recall(frames[None], recall.begin(1, voices, KEYS, CPU))
    torch.testing.assert_close(told[0], wanted)
    torch.testing.assert_close(how[0], sure)
    *_, skimmed = recall.recall(frames[None], recall.begin(1, voices, KEYS, CPU), skims=True)
    parts, begin = recall.begin(1, voices, KEYS, CPU), 0
    while begin < len(frames):
        size = int(rng.integers(4))
        told, _, parts = recall.recall(frames[None, begin : begin + size], parts)
        torch.testing.assert_close(told[0], wanted[begin : begin + told.shape[1]])
        begin += size
    for name, value in memory.items():
        assert torch.equal(value, skimmed[name])
        assert torch.equal(value, parts[name])


def test_rows_of_a_batch_are_alone():
    rng = np.random.default_rng(9)
    first, second = music(1, 30, rng), music(1, 30, rng)
    empty = recall.begin(2, 1, KEYS, CPU)
    together, _, _ = recall.recall(torch.stack([first, second]), empty)
    torch.testing.assert_close(together[0], search(first)[0])
    torch.testing.assert_close(together[1], search(second)[0])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("at_once", [2**21, 100])
def test_a_row_with_fewer_frames_goes_on_from_its_own_end(at_once, monkeypatch):
    monkeypatch.setattr(recall, "AT_ONCE", at_once)
    rng = np.random.default_rng(10)
    pieces = [music(2, 30, rng) for _ in range(4)]
    wanted, at = [search(piece)[0] for piece in pieces], [0] * 4
    memory = recall.begin(4, 2, KEYS, CPU)
    while min(at) < 30:
        count = [min(int(rng.integers(5)), 30 - begin) for begin in at]
        frames = torch.ones(4, max(count), 2, KEYS)  # what is behind a row's end is not heard
        for row, (begin, size) in enumerate(zip(at, count, strict=True)):
            frames[row, :size] = pieces[row][begin : begin + size]
        told, _, memory = recall.recall(frames, memory, count_B=torch.tensor(count))
        for row, (begin, size) in enumerate(zip(at, count, strict=True)):
            torch.testing.assert_close(told[row, : size + 1], wanted[row][begin : begin + size + 1])
            at[row] += size
        assert memory["past"].shape[1] == max(at)

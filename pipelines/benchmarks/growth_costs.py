"""What `growth.py` measures: the cost of one thing at one size. Each runs in a process of its own, or is one.

Time is CPU time. Memory is by how much the peak of the resident size rises above what was resident at the start,
so that neither Python's own size nor that of imports counts; Linux alone tells it.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from building import build_command, peak_memory
from generated import made_piece, nine_tracks

from musicgen.events import Event
from musicgen.io import write
from musicgen.workers import Failure, Pool

__all__ = ["Cost", "building", "fresh", "rendering", "sampling", "training"]

NOTES_PER_FILE = 5_000
WINDOW = 1_000  # steps of a sampled sequence that are timed together


@dataclass(frozen=True)
class Cost:
    """What something of `size` took; each measure says in which unit the size is."""

    size: float
    cpu_s: float
    peak_bytes: int


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a new process, which has no memory to spare from work before it."""
    ((_, result),) = Pool(wall_s=3600, memory=None).each(partial(_call, function), [arguments])
    if isinstance(result, Failure):
        sys.exit(f"growth: {function.__name__}{arguments}: {result.reason}")
    return result


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def building(sizes: list[int]) -> Iterator[Cost]:
    """The command that builds a corpus, with one worker, for each of the growing sizes (notes).

    The memory is that of the command and its worker together, as they are, imports included.
    """
    with tempfile.TemporaryDirectory() as folder:
        music, out = Path(folder, "music"), Path(folder, "corpus")
        music.mkdir()
        made = 0
        for size in sizes:
            for seed in range(made, size // NOTES_PER_FILE):
                write(made_piece(seed, notes=NOTES_PER_FILE), music / f"{seed:05d}.mid")
            made = size // NOTES_PER_FILE
            begun = _children_s()
            peak, _ = peak_memory(build_command(music, out, 1))
            taken = _children_s() - begun
            built = json.loads((out / "corpus.json").read_text(encoding="utf-8"))
            yield Cost(built["notes"], taken, peak)


class Endless:
    """One long piece to train on, in memory; nothing to validate with."""

    def __init__(self, tokens: np.ndarray) -> None:
        self.tokens = tokens

    def spans(self, split: str) -> np.ndarray:
        return np.array([(0, len(self.tokens))] if split == "train" else [], np.int64).reshape(-1, 2)


def training(family: str, length: int, batch: int, context: int) -> Cost:
    """Two steps of the training loop, whose size is the steps of music in a batch; for `fresh`."""
    import torch

    from musicgen.models.presets import PRESETS
    from musicgen.recipe import Recipe, TrainSettings
    from musicgen.tokenizers import Notes
    from musicgen.training.loop import train

    torch.set_num_threads(1)
    tokenizer = Notes()
    source = Endless(tokenizer.encode(made_piece(0, notes=20_000)))
    model = {"family": family, **PRESETS[family]["tiny"], "context": context}
    recipe = Recipe(model, TrainSettings(steps=2, batch=batch, length=length, evaluate_every=2))
    with tempfile.TemporaryDirectory() as folder:
        # Much of torch comes into memory when it is first used: with a short window, before the one that counts.
        train(source, tokenizer, recipe=recipe.with_train(length=16), folder=Path(folder, "first"), device="cpu")
        before, begun = _reset_peak(), time.process_time()
        train(source, tokenizer, recipe=recipe, folder=Path(folder, "run"), device="cpu")
        return Cost(batch * length, time.process_time() - begun, _peak() - before)


def sampling(family: str, steps: int) -> tuple[list[float], int, int]:
    """(ms of CPU a step in each window of a sequence, notes in it, bytes of peak memory); for `fresh`."""
    import torch

    from musicgen.checkpoint import model_for
    from musicgen.models.presets import PRESETS
    from musicgen.recipe import Recipe
    from musicgen.sampling.decoder import EagerDecoder
    from musicgen.sampling.filters import SamplingSettings
    from musicgen.sampling.loop import read_prompt, sample
    from musicgen.tokenizers import Notes
    from musicgen.tokenizers.constraints import Constraints, LengthLimits

    torch.set_num_threads(1)
    tokenizer = Notes()
    decoder = EagerDecoder(model_for(Recipe({"family": family, **PRESETS[family]["tiny"]}), tokenizer))
    grammar = tokenizer.grammar(Constraints(length=LengthLimits(may_end=False)))
    marks, count = [], 0

    def on_step(_: Event) -> None:
        nonlocal count
        count += 1
        if count % WINDOW == 0:
            marks.append(time.process_time())

    before = _reset_peak()
    prompt = read_prompt(decoder, tokenizer.encode(made_piece(0, notes=8))[:1], grammar=grammar)
    marks.append(time.process_time())
    (ids,) = sample(
        decoder,
        prompt,
        fields=tokenizer.fields,
        settings=SamplingSettings(),
        generators=[torch.Generator().manual_seed(0)],
        max_steps=steps,
        listener=on_step,
    )
    return (np.diff(marks) / WINDOW * 1e3).tolist(), tokenizer.count_notes(ids), _peak() - before


def rendering(minutes: float, rate: int) -> Cost:
    """Our player into a WAV file; the size is in minutes of sound; for `fresh`."""
    from musicgen.render import render_file

    piece = nine_tracks(minutes * 60)
    with tempfile.TemporaryDirectory() as folder:
        before, begun = _reset_peak(), time.process_time()
        seconds = render_file(piece, Path(folder, "nine.wav"), rate=rate, engine="numpy")
        return Cost(seconds / 60, time.process_time() - begun, _peak() - before)


def _children_s() -> float:
    """CPU seconds of the processes below this one that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reset_peak() -> int:
    """Let the peak of this process begin anew; returns what is resident now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        sys.exit(f"growth: the peak of memory can't be measured here ({error}); it needs Linux")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) * 1024

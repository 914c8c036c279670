"""Prepares batches in worker processes while the device trains on earlier ones.

A GPU trains on a batch in less time than one process needs to draw it and, for a model with a memory, to compute its
recall. Batch number `step` doesn't depend on which process makes it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from musicgen.workers import cores

__all__ = ["Feed", "workers_for"]

MOST_WORKERS = 16
AHEAD = 4  # batches prefetched per worker


def workers_for(device: torch.device, asked: int | None = None) -> int:
    """The number of worker processes: `asked` if given, else one per core but one, up to MOST_WORKERS, for CUDA, and
    none for other devices. Always 0 on systems without fork."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 0  # without fork each process would load the corpus again
    if asked is not None:
        return asked
    if device.type != "cuda":
        return 0
    return min(MOST_WORKERS, cores() - 1)


class Feed:
    """Returns `make(step)` for consecutive steps, computed ahead by `workers` processes, or by this one if 0.

    `make` returns tensors and objects with a method `pin_memory`, which is called if `pin` is set.
    """

    def __init__(self, make: Callable[[int], Any], *, workers: int, pin: bool) -> None:
        self._make, self._workers, self._pin = make, workers, pin
        self._batches: Iterator[Any] = iter(())
        self._over: Any = None  # shared with the workers: 1 once they are to end
        self._next = -1

    def __call__(self, step: int) -> Any:
        if not self._workers:
            return self._make(step)
        if step != self._next:
            self.close()
            self._over = multiprocessing.RawValue("b", 0)
            self._batches = iter(
                DataLoader(
                    _Steps(self._make),
                    batch_size=None,
                    sampler=_Counting(step),
                    num_workers=self._workers,
                    prefetch_factor=AHEAD,
                    pin_memory=self._pin,
                    multiprocessing_context="fork",
                    worker_init_fn=partial(_alone, over=self._over),
                )
            )
        self._next = step + 1
        return next(self._batches)

    def close(self) -> None:
        """End the worker processes."""
        if self._over is not None:
            self._over.value = 1
        self._batches, self._next = iter(()), -1


class _Steps(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make

    def __getitem__(self, step: int) -> Any:
        return self._make(step)


class _Counting(torch.utils.data.Sampler[int]):
    """All step numbers from `begin` on, without end."""

    def __init__(self, begin: int) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[int]:
        step = self._begin
        while True:
            yield step
            step += 1


def _alone(worker: int, *, over: Any) -> None:
    """Set up a worker process: one thread, and signals ignored.

    Signals sent to the process group are for the parent, which may still need batches before it saves. SIGTERM ends the
    worker only after the parent has closed the feed.
    """

    def ended(number: int, frame: FrameType | None) -> None:
        if over.value:
            os._exit(0)

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ended)

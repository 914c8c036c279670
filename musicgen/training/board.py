"""A run's logs as event files for TensorBoard, in the folder `tensorboard` of the run.

The points are those of log.csv and gradients.csv and are read from there, so both tell the same. When training goes on
in a folder, the event file is written anew from the logs' rows: what a killed process had written past its last
checkpoint is never there twice. One point needs about 60 bytes.

TensorBoard's writer is `torch.utils.tensorboard`, which needs the package `tensorboard` (the extra of that name).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from musicgen.callbacks import Callback
from musicgen.errors import UsageError, explained
from musicgen.events import Step
from musicgen.training.log import GRADIENTS, LOG

__all__ = ["LOGS", "Board", "chosen_logs"]

LOGS = ("csv", "tensorboard")
FOLDER = "tensorboard"
# Columns of log.csv as TensorBoard groups them: by what stands before the slash.
TAGS = {
    "train_nats_per_token": "nats_per_token/train",
    "valid_nats_per_token": "nats_per_token/valid",
    "learning_rate": "optimizer/learning_rate",
    "gradient_norm": "optimizer/gradient_norm",
}


def chosen_logs(log: str | Iterable[str]) -> tuple[str, ...]:
    """The logs that are asked for, by name; a text may name several, with commas between. csv is always among them.

    Raises UsageError for an unknown name, and for tensorboard where that isn't installed.

    >>> chosen_logs("csv"), chosen_logs([])
    (('csv',), ('csv',))
    """
    names = [name.strip() for name in log.split(",")] if isinstance(log, str) else list(log)
    for name in names:
        if name not in LOGS:
            raise UsageError(f"there is no log {name!r}", where="`log`", hint=f"choose from {', '.join(LOGS)}")
    if "tensorboard" in names:
        _writer_class()
    return tuple(name for name in LOGS if name == "csv" or name in names)


def _writer_class() -> Any:
    """TensorBoard's writer. Raises UsageError where it isn't installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        hint = "install the extra: pip install 'musicgen-symbolic[tensorboard]'"
        raise UsageError("the log tensorboard needs the package tensorboard", where="`log`", hint=hint) from None
    return SummaryWriter


class Board(Callback):
    """Keeps the event file of the run in `folder` equal to its CSV logs while it is trained."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._writer: Any = None
        self._rows = dict.fromkeys((LOG, GRADIENTS), 0)  # that are in the event file
        self._size = -1  # of log.csv when it was read last

    def on_step(self, step: Step) -> None:
        try:
            if (size := (self.folder / LOG).stat().st_size) != self._size:
                self._size = size
                self._take_up()
        except OSError as error:
            raise explained(error, self.folder / FOLDER, ours=True) from error

    def on_end(self, card: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _take_up(self) -> None:
        """Write the rows that are new in the logs."""
        if self._writer is None:
            place = self.folder / FOLDER
            place.mkdir(exist_ok=True)
            for old in place.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = _writer_class()(log_dir=str(place))
        for name, row in self._new(LOG):
            for column, tag in TAGS.items():
                self._add(tag, row.get(column), name)
        for name, row in self._new(GRADIENTS):
            self._add(f"gradient_norm/{row['layer']}", row["norm"], name)
        self._writer.flush()

    def _new(self, name: str) -> list[tuple[int, dict[str, str]]]:
        """(step, row) of each row of a log that hasn't been written yet."""
        with open(self.folder / name, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        new, self._rows[name] = rows[self._rows[name] :], len(rows)
        return [(int(row["step"]), row) for row in new]

    def _add(self, tag: str, value: str | None, step: int) -> None:
        if value:
            self._writer.add_scalar(tag, float(value), step)

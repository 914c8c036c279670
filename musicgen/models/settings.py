"""The settings that define the shape of a model."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

from musicgen.errors import UsageError
from musicgen.models.layouts import FrameLayout, MemoryLayout
from musicgen.schemas import in_range, typed

__all__ = ["ModelSettings", "nearest"]

EMBEDDINGS = ("learned", "one-hot")
RECURRENCES = ("fused", "loop")
POSITIONS = ("none", "sinusoidal", "learned", "rotary")
RECURRENT = ("rnn", "gru", "lstm", "cnn-lstm")
# Far above any practical model, and low enough that a blank model of this size is made within a second.
LIMITS = {
    "vocabulary_size": (1, 2**20),
    "width": (1, 2**16),
    "layers": (1, 2**9),
    "heads": (1, 2**12),
    "context": (1, 2**16),
    "horizon": (1, 2**6),
    "look_back": (1, 2**6),
}


def nearest(word: str, names: Iterable[str]) -> str:
    """A hint for a name that doesn't exist: the nearest of `names`, or all of them where none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from {', '.join(names)}"


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """The shape of a model: with the weights, all that is needed to rebuild it.

    `context` is how many steps a Transformer attends to at once, and for an LSTM, whose memory has no such
    limit, only the length of the excerpts it is meant to be trained on. `heads` is read by the Transformer alone, and
    so is `positions`, how it is told where a step stands (`layers/positions.py`). `recurrence` says what computes the
    recurrence of the recurrent families, PyTorch's `fused` layer or the `loop` written out (`layers/recurrence.py`),
    with the same weights. `horizon` is how many steps ahead are predicted at once, each by a head of its own; sampling
    takes the first, the others teach the model to plan (and are measured). With `by_frame` the model reads a frame at a
    time and predicts it id by id (`frames/by_frame.py`), seeing `look_back` frames, up to 8, beside its hidden state.
    With `by_pitch` as well it applies the same weights along every pitch instead (`frames/by_pitch.py`).

    From the tokenizer: `fields` are (first id, number of ids) of each field of a step, empty where a step is one id;
    `frames` is the layout of frames, where it has them; `steps` is the layout of steps that a memory can compare.
    A model with `steps` has a memory of the piece (`memory/`) unless `with_memory` is false.
    Raises UsageError where a value is out of range.

    >>> ModelSettings("lstm", vocabulary_size=100, width=64).context
    512
    """

    family: str
    vocabulary_size: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 512
    dropout: float = 0.0
    embedding: str = "learned"
    recurrence: str = "fused"
    positions: str = "rotary"
    horizon: int = 1
    by_frame: bool = False
    by_pitch: bool = False
    look_back: int = 8
    fields: tuple[tuple[int, int], ...] = ()
    frames: FrameLayout | None = None
    with_memory: bool = True
    steps: MemoryLayout | None = None

    def __post_init__(self) -> None:
        if isinstance(self.frames, Mapping):
            object.__setattr__(self, "frames", FrameLayout(**self.frames))
        if isinstance(self.steps, Mapping):
            object.__setattr__(self, "steps", MemoryLayout.of(self.steps))
        object.__setattr__(self, "fields", tuple((int(first), int(size)) for first, size in self.fields))
        for name in LIMITS:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"{name} is {value!r}", where="model", hint="give a whole number of at least 1")
        in_range(self, LIMITS, where="model")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}", where="model", hint="give a number from 0 to below 1")
        for name, choices in (("embedding", EMBEDDINGS), ("recurrence", RECURRENCES), ("positions", POSITIONS)):
            if (chosen := getattr(self, name)) not in choices:
                what = f"there is no embedding {chosen!r}" if name == "embedding" else f"{name} is {chosen!r}"
                raise UsageError(what, where="model", hint=nearest(str(chosen), choices))
        typed(self, where="model")
        self._check_family()
        if self.by_frame and self.frames is None:
            raise UsageError("by_frame is set, and the tokenizer has no frames", where="model", hint="leave it out")
        if self.by_pitch and not self.by_frame:
            raise UsageError("by_pitch is set, and by_frame is not", where="model", hint="set both, or neither")
        if self.steps and self.with_memory and self.horizon > 1:
            hint = "leave the horizon out, or set with_memory = false"
            raise UsageError("a memory and a horizon don't go together", where="model", hint=hint)
        if self.by_frame and self.horizon > 1:
            raise UsageError("by_frame and a horizon don't go together", where="model", hint="leave one of them out")

    def _check_family(self) -> None:
        """Raise UsageError for a setting of other families than this one."""
        if self.recurrence != "fused" and self.family not in RECURRENT:
            what = f"recurrence is {self.recurrence!r}, and the family {self.family} has none"
            raise UsageError(what, where="model", hint=f"leave it out, or choose from {', '.join(RECURRENT)}")
        if self.positions != "rotary" and self.family != "transformer":
            what = f"positions is {self.positions!r}, and the family {self.family} reads its steps in order anyway"
            raise UsageError(what, where="model", hint="leave it out, or choose the family transformer")
        if self.positions == "learned" and self.by_frame:
            what = "learned positions end with the context, and a model that reads by frame reads whole pieces"
            raise UsageError(what, where="model", hint="choose rotary, sinusoidal or none, or set by_frame = false")

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON or TOML; `from_dict` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values. Raises UsageError for a key that doesn't exist or one that is missing."""
        fields = dataclasses.fields(cls)
        names = [field.name for field in fields]
        for key in values:
            if key not in names:
                raise UsageError(f"there is no setting {key!r}", where="model", hint=nearest(str(key), names))
        for field in fields:
            if field.default is dataclasses.MISSING and field.name not in values:
                raise UsageError(f"the setting '{field.name}' is missing", where="model", hint=f"give {field.name}")
        return cls(**values)

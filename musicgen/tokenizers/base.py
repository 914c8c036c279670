"""What every tokenizer offers: pieces to ids and back, what can be done to ids, and what it is able to beyond that.

`encode` and `decode` are array work. `decode(encode(p))` equals `on_grid(p)`, and a second pass changes nothing. Any
sequence that the grammar allows decodes to a valid Piece. What a tokenizer can do that not all can is a member with a
default, so that callers ask for the ability and never for the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import Piece
from musicgen.schemas import filled
from musicgen.tokenizers.bars.voices import Voice
from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.vocabulary import Field, Vocabulary

__all__ = ["PartForm", "Spelled", "TextForm", "Tokenizer"]


class Spelled(NamedTuple):
    """The notes that ids spell, one array entry a note, in their order."""

    at: np.ndarray  # where the note stands in the ids
    bar: np.ndarray  # counted from 0 among the bars in the ids
    position: np.ndarray  # grid steps from the bar's start
    program: np.ndarray  # 0..127, DRUMS for drums; of a tokenizer with parts the number of the part
    pitch: np.ndarray
    velocity: np.ndarray
    duration: np.ndarray  # grid steps


class TextForm(Protocol):
    """A tokenizer whose ids are the characters of a text."""

    def encode_text(self, text: str) -> np.ndarray:
        """One tune's text as ids, (T,) uint16, from BOS to EOS."""

    def text(self, ids: np.ndarray) -> str:
        """The characters among `ids`."""

    def report_text(self, text: str) -> list[str]:
        """What `encode_text` leaves out, one line each."""

    def opening(self, text: str) -> str:
        """The first notes of a tune as they are written, by which it is known; empty for a short one."""


class PartForm(Protocol):
    """A tokenizer whose steps say which part of the piece plays, by number."""

    def encode(
        self,
        piece: Piece,
        *,
        until: int | None = None,
        voices: tuple[Voice, ...] | None = None,
        played: bool | None = None,
    ) -> np.ndarray:
        """As `Tokenizer.encode`, with the parts and the style given instead of found in the piece."""

    def past_and_prompt(self, ids: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """`ids` in two: the last bars that fit into `room` steps, and what is recalled of all before them."""


class Tokenizer(ABC):
    """Piece <-> ids: of shape (T,), or (T, F) where a step has F fields. Made of one frozen dataclass, `Settings`.

    Stateless: one object serves all threads. `vocabulary` holds the tokens and their ids; `len(vocabulary)` is V.
    """

    name: ClassVar[str]
    Settings: ClassVar[type]
    settings: Any
    vocabulary: Vocabulary

    # The fields of a step, each with the kind with which its ids begin; none where a step is one id.
    steps_of: ClassVar[tuple[tuple[str, str], ...]] = ()
    # The kinds whose values are the pitches 0..127 that `transposed` moves; their ids are consecutive.
    pitched: ClassVar[tuple[str, ...]] = ("pitch",)
    velocity_step: ClassVar[int] = 1  # velocities are told no finer than this
    tells_tasks: ClassVar[bool] = False  # whether `as_task` has other orders to tell a piece in

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings or self.Settings()
        self.vocabulary = Vocabulary(self._kinds())

    @abstractmethod
    def _kinds(self) -> dict[str, int]:
        """The kinds of tokens in the order of their ids, and how many values each has."""

    @property
    def spec(self) -> dict[str, Any]:
        """JSON-able settings, with the tokenizer's `name`, from which `load_tokenizer` rebuilds it."""
        return {"name": self.name, **asdict(self.settings)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """Rebuild from `spec`. Raises UsageError for a key that is no setting, or a value of the wrong kind."""
        settings = {k: v for k, v in spec.items() if k != "name"}
        unknown = set(settings) - {f.name for f in fields(cls.Settings)}
        if unknown:
            raise UsageError(f"the tokenizer {cls.name} has no setting {min(unknown)!r}")
        return cls(filled(cls.Settings, settings, where=None, error=UsageError, hint=None))

    # ---- what it is able to ----------------------------------------------------------------------

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a step in the order in which they are chosen; a single one that holds all ids is flat."""
        v = self.vocabulary
        if not self.steps_of:
            return (Field("token", 0, len(v)),)
        edges = [*(v.base[kind] for _, kind in self.steps_of), len(v)]
        return tuple(Field(name, edges[n], edges[n + 1] - edges[n]) for n, (name, _) in enumerate(self.steps_of))

    @property
    def as_text(self) -> TextForm | None:
        """Itself, where ids are the characters of a text; a corpus then gives it the text of .abc files."""
        return None

    @property
    def as_parts(self) -> PartForm | None:
        """Itself, where steps say which part plays."""
        return None

    @property
    def has_programs(self) -> bool:
        """Whether ids say which instruments play, drums among them."""
        return "program" in self.vocabulary.sizes

    @property
    def steps(self) -> int:
        """Positions of the grid in a quarter note; 0 where time isn't counted in beats."""
        return 0

    @property
    def durations(self) -> np.ndarray:
        """The durations that notes may have, in grid steps, ascending; empty where `steps` is 0."""
        return np.empty(0, np.int64)

    @property
    def frames_per_quarter(self) -> int:
        """Frames of a quarter note into which tables of frames are read: sixteenths unless it has its own."""
        return 4

    @property
    def period(self) -> int:
        """After BOS a unit (a frame) begins at every so many ids; 1 where units are of no fixed length."""
        return 1

    @property
    def following(self) -> np.ndarray | None:
        """Boolean (V, V): row i says which ids may come after id i; None for a grammar too rich for a table."""
        return None

    @property
    def layout(self) -> dict[str, int | bool] | None:
        """How frames are spelled, for models that read a frame at a time; None for music that isn't cut into frames."""
        return None

    @property
    def memory(self) -> dict[str, int] | None:
        """What a model has to know of the ids to compare places of a piece; None where it can't."""
        return None

    @property
    def held_steps_a_quarter(self) -> int:
        """Ids that a quarter takes where notes that are held are told again; 0 where they are told once."""
        return 0

    # ---- pieces ----------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids: shape (T,) or (T, F), uint16. Begins with BOS, ends with EOS.

        Silence after the last note is left out but for what lies before tick `until`.
        """

    @abstractmethod
    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` spell, in the tokenizer's own ticks_per_quarter."""

    def on_grid(self, piece: Piece) -> Piece:
        """The piece as the tokenizer can say it: the nearest one that survives a round trip unchanged."""
        return self.decode(self.encode(piece))

    @abstractmethod
    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` had to clamp or merge, one line each; empty when nothing was lost but timing."""

    @abstractmethod
    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program value or part of each): what `ids`, drawn after `prompt`, spell."""

    @abstractmethod
    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> Grammar:
        """A walker at the beginning of a sequence (before BOS), or `inside` one, where a bar may begin."""

    # ---- on ids ----------------------------------------------------------------------------------

    @abstractmethod
    def count_notes(self, ids: np.ndarray) -> int:
        """How many notes `ids` hold."""

    @abstractmethod
    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices into `ids` at which a bar begins: good places to begin a window."""

    @abstractmethod
    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """The end of `ids`, at most about `room` steps, begun where a reader finds its place (a bar, say)."""

    def notes(self, ids: np.ndarray) -> Spelled | None:
        """The notes in `ids`, which may begin and end anywhere; None where ids don't place them on a grid of bars."""
        return None

    def frame_of(self, ids: np.ndarray) -> np.ndarray | None:
        """The number of the frame that each id belongs to, -1 for none; None for music that isn't cut into frames."""
        return None

    def transposed(self, ids: np.ndarray, semitones: int) -> np.ndarray:
        """`ids` with every pitch but the drums' moved; a shift that leaves 0..127 is folded by octaves."""
        if not self.pitched:
            return ids
        low = self.vocabulary.base[self.pitched[0]]
        is_key = (ids >= low) & (ids < low + 128 * len(self.pitched))
        key = ids[is_key].astype(np.int64) - low
        if not len(key):
            return ids
        pitch = key % 128
        while semitones > 0 and pitch.max() + semitones > 127:
            semitones -= 12
        while semitones < 0 and pitch.min() + semitones < 0:
            semitones += 12
        if pitch.max() + semitones > 127:  # the pitches span too much for any shift by so many
            return ids
        out = ids.copy()
        out[is_key] = key + semitones + low
        return out

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` faster by `steps` twelfths of an octave; as they are where they say nothing of tempo."""
        return ids

    def with_programs(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with other instruments, as drawn; as they are where they name none."""
        return ids

    def with_loudness(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with other dynamics, as drawn; as they are where the tokenizer doesn't vary them."""
        return ids

    def as_task(
        self, ids: np.ndarray, rng: np.random.Generator, *, length: int, infill: float, accompany: float
    ) -> np.ndarray:
        """A piece up to the end of a window of `length` steps, in another order than time, as drawn with the chances
        `infill` and `accompany`; the same object where it stays as it is."""
        return ids

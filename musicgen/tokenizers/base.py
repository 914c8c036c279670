"""The interface of all tokenizers: encoding, decoding, operations on ids, and optional abilities.

`encode` and `decode` work on whole arrays. `decode(encode(p))` equals `on_grid(p)`, and a second pass changes nothing.
Any sequence that the grammar allows decodes to a valid Piece. Optional abilities are members with a default, so that
callers test for the ability and never for the class.
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
    """The notes in a sequence of ids, in their order: arrays with one entry a note."""

    at: np.ndarray  # the note's index in the ids
    bar: np.ndarray  # counted from 0 among the bars in the ids
    position: np.ndarray  # grid steps from the bar's start
    program: np.ndarray  # 0..127, DRUMS for drums; for a tokenizer with parts, the part number
    pitch: np.ndarray
    velocity: np.ndarray
    duration: np.ndarray  # grid steps


class TextForm(Protocol):
    """A tokenizer whose ids are the characters of a text."""

    def encode_text(self, text: str) -> np.ndarray:
        """One tune's text as ids, (T,) uint16, from BOS to EOS."""

    def text(self, ids: np.ndarray) -> str:
        """The text of `ids`, without ids that are no characters."""

    def report_text(self, text: str) -> list[str]:
        """What `encode_text` drops, one line for each kind of loss."""

    def opening(self, text: str) -> str:
        """The letters of a tune's first notes, by which copies are recognised; empty for a tune too short for that."""


class PartForm(Protocol):
    """A tokenizer whose steps name the part that plays, by number."""

    def encode(
        self,
        piece: Piece,
        *,
        until: int | None = None,
        voices: tuple[Voice, ...] | None = None,
        played: bool | None = None,
    ) -> np.ndarray:
        """As `Tokenizer.encode`, with the option to give the parts and the style, else they are found in the piece."""

    def voices(self, piece: Piece) -> tuple[Voice, ...]:
        """The parts that `encode` finds in a piece, in the order of their numbers."""

    def past_and_prompt(self, ids: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Split `ids` into (past, prompt): the prompt is the last bars that fit into `room` steps."""


class Tokenizer(ABC):
    """Piece <-> ids of shape (T,), or (T, F) where a step has F fields. Configured by a frozen dataclass, `Settings`.

    Stateless: one object serves all threads. `vocabulary` holds the tokens and their ids; `len(vocabulary)` is V.

    >>> from musicgen.io import read
    >>> from musicgen.tokenizers import Notes
    >>> ids = Notes().encode(read("schubert-unfinished"))
    >>> ids.ndim, Notes().decode(ids).n_notes == Notes().count_notes(ids)
    (2, True)
    """

    name: ClassVar[str]
    Settings: ClassVar[type]
    settings: Any
    vocabulary: Vocabulary

    # (field name, first kind of its id range) of each field of a step; empty where a step is one id.
    steps_of: ClassVar[tuple[tuple[str, str], ...]] = ()
    # The kinds whose values are the pitches 0..127 that `transposed` shifts; their ids are consecutive.
    pitched: ClassVar[tuple[str, ...]] = ("pitch",)
    velocity_step: ClassVar[int] = 1  # the resolution of encoded velocities
    has_tasks: ClassVar[bool] = False  # whether `as_task` can reorder a piece
    shuffles: ClassVar[bool] = False  # whether `with_notes_shuffled` can put notes in another order

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings or self.Settings()
        self.vocabulary = Vocabulary(self._kinds())

    @abstractmethod
    def _kinds(self) -> dict[str, int]:
        """{kind of token: number of its values}, in the order of ids."""

    @property
    def spec(self) -> dict[str, Any]:
        """JSON-able settings, with the tokenizer's `name`, from which `load_tokenizer` rebuilds it."""
        return {"name": self.name, **asdict(self.settings)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """Rebuild a tokenizer from its `spec`. Raises UsageError for an unknown setting or a value of a wrong type."""
        settings = {k: v for k, v in spec.items() if k != "name"}
        unknown = set(settings) - {f.name for f in fields(cls.Settings)}
        if unknown:
            raise UsageError(f"the tokenizer {cls.name} has no setting {min(unknown)!r}")
        return cls(filled(cls.Settings, settings, where=None, error=UsageError, hint=None))

    # ---- abilities -------------------------------------------------------------------------------

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a step in the order in which they are sampled; a flat tokenizer has one field with all ids."""
        v = self.vocabulary
        if not self.steps_of:
            return (Field("token", 0, len(v)),)
        edges = [*(v.base[kind] for _, kind in self.steps_of), len(v)]
        return tuple(Field(name, edges[n], edges[n + 1] - edges[n]) for n, (name, _) in enumerate(self.steps_of))

    @property
    def as_text(self) -> TextForm | None:
        """The tokenizer itself if ids are characters of text (a corpus then gives it the text of .abc files)."""
        return None

    @property
    def as_parts(self) -> PartForm | None:
        """The tokenizer itself if its steps name parts, else None."""
        return None

    @property
    def has_programs(self) -> bool:
        """Whether ids encode instruments (programs and drums)."""
        return "program" in self.vocabulary.sizes

    @property
    def steps(self) -> int:
        """Grid steps in a quarter note; 0 where time isn't counted in beats."""
        return 0

    @property
    def durations(self) -> np.ndarray:
        """The possible note durations in grid steps, ascending; empty where `steps` is 0."""
        return np.empty(0, np.int64)

    @property
    def frames_per_quarter(self) -> int:
        """Frames in a quarter note when piano rolls are read: 4 (sixteenths) unless the tokenizer sets it."""
        return 4

    @property
    def period(self) -> int:
        """Ids in a frame: after BOS a frame begins at each multiple of this. 1 where there is no fixed length."""
        return 1

    @property
    def following(self) -> np.ndarray | None:
        """Boolean (V, V): row i masks the ids that may follow id i; None if the grammar depends on more than one id."""
        return None

    @property
    def layout(self) -> dict[str, int | bool] | None:
        """How frames are encoded, for models that read a frame at a time; None for a tokenizer without frames."""
        return None

    @property
    def memory(self) -> dict[str, int] | None:
        """The id layout that a model needs to compare positions of a piece; None where that isn't supported."""
        return None

    @property
    def held_steps_a_quarter(self) -> int:
        """Ids in a quarter of dense music where held notes are repeated each frame; 0 where notes are encoded once."""
        return 0

    # ---- pieces ----------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids: shape (T,) or (T, F), uint16. Begins with BOS, ends with EOS.

        Silence after the last note is left out, except up to tick `until`.
        """

    @abstractmethod
    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode, in the tokenizer's own ticks_per_quarter."""

    def on_grid(self, piece: Piece) -> Piece:
        """The piece as the tokenizer can represent it: `decode(encode(piece))`."""
        return self.decode(self.encode(piece))

    @abstractmethod
    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` had to clamp or merge, one line each; empty when nothing was lost but timing."""

    @abstractmethod
    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program or part number of each) of the `ids` sampled after `prompt`."""

    @abstractmethod
    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> Grammar:
        """A grammar state at the beginning of a sequence (before BOS), or `inside` one, where a bar may begin."""

    # ---- on ids ----------------------------------------------------------------------------------

    @abstractmethod
    def count_notes(self, ids: np.ndarray) -> int:
        """The number of notes in `ids`."""

    @abstractmethod
    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices into `ids` at which a bar begins, where training windows may begin."""

    @abstractmethod
    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """The end of `ids`, at most about `room` steps, beginning at a suitable point such as a bar."""

    def notes(self, ids: np.ndarray) -> Spelled | None:
        """The notes in any slice of ids; None where ids don't place notes on a grid of bars."""
        return None

    def frame_of(self, ids: np.ndarray) -> np.ndarray | None:
        """The frame number of each id, -1 for none; None for a tokenizer without frames."""
        return None

    def transposed(self, ids: np.ndarray, semitones: int) -> np.ndarray:
        """`ids` transposed, drums excepted; a shift that would leave 0..127 is changed by octaves until it doesn't.

        Where no such shift fits, the ids stay as they are.
        """
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
        if pitch.max() + semitones > 127:  # the pitches span too much for any such shift
            return ids
        out = ids.copy()
        out[is_key] = key + semitones + low
        return out

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` with each tempo multiplied by 2 ** (steps / 12); unchanged where ids don't encode tempo."""
        return ids

    def with_programs(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with randomly drawn instruments; unchanged where ids don't encode instruments."""
        return ids

    def with_loudness(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with randomly changed velocities; unchanged where the tokenizer doesn't support that."""
        return ids

    def with_notes_shuffled(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with their notes in random order; unchanged where the tokenizer doesn't support that (`shuffles`)."""
        return ids

    def as_task(
        self, ids: np.ndarray, rng: np.random.Generator, *, length: int, infill: float, accompany: float
    ) -> np.ndarray:
        """Reorder a piece, up to the end of a window of `length` steps, for an infilling or accompaniment task.

        The task is drawn with the probabilities `infill` and `accompany`; else the same object is returned.
        """
        return ids

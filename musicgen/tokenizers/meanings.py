"""Tokens in words, and where the bars of a piece are among its tokens: for people who look at them.

Positions and durations are counted in quarter notes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from musicgen.errors import UsageError
from musicgen.gm import DRUM_NAMES, pitch_name, program_name
from musicgen.piece import Piece
from musicgen.tokenizers.abc.grammar import ALPHABET
from musicgen.tokenizers.bars.grid import DENOMINATORS
from musicgen.tokenizers.bars.music import SPAN_QUARTERS, TEMPO_LOWEST, TEMPOS_PER_OCTAVE
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.performance.grammar import STEPS_PER_SECOND

__all__ = ["bar_offsets", "meaning"]

FIRST_DRUM = 35  # the key of the first of DRUM_NAMES
# Kinds with one value, and those whose values are words.
PLAIN = {
    "pad": "nothing",
    "bos": "beginning",
    "eos": "end",
    "bar": "bar",
    "span": f"{SPAN_QUARTERS} quarters on",
    "enter": "part enters",
    "after": "after hole",
    "here": "hole",
    "again": "bar again",
    "end": "frame ends",
    "rest": "voice rests",
}
CHOICES = {"style": ("on grid", "played"), "pedal": ("pedal up", "pedal down")}
# Kinds whose values are counted: the value in words. Those of BarMusic ask the tokenizer for its grid.
VALUES: dict[str, Callable[[Tokenizer, int], str]] = {
    "pitch": lambda _, value: f"pitch {pitch_name(value)}",
    "drum": lambda _, value: f"drum {_drum(value)}",
    "on": lambda _, value: f"note on {pitch_name(value)}",
    "off": lambda _, value: f"note off {pitch_name(value)}",
    "program": lambda _, value: f"program {program_name(value)}",
    "part": lambda _, value: f"part {value}",
    "meter": lambda _, value: f"meter {value // len(DENOMINATORS) + 1}/{DENOMINATORS[value % len(DENOMINATORS)]}",
    "tempo": lambda _, value: f"tempo {TEMPO_LOWEST * 2 ** (value / TEMPOS_PER_OCTAVE):.0f}",
    "position": lambda form, value: f"position {_mixed(Fraction(value, form.steps))}",
    "duration": lambda form, value: f"duration {_mixed(Fraction(int(form.durations[value]), form.steps))}",
    "velocity": lambda form, value: f"velocity {value * form.velocity_step + form.velocity_step // 2}",
    "ioi": lambda _, value: f"after {value} ms",
    "length": lambda _, value: f"length {value} ms",
    "shift": lambda _, value: f"wait {1000 * (value + 1) // STEPS_PER_SECOND} ms",
    "char": lambda _, value: "line break" if ALPHABET[value] == "\n" else f"character {ALPHABET[value]}",
}


def meaning(tokenizer: Tokenizer, token_id: int) -> str:
    """What an id stands for, in words that begin with its kind where it has a value.

    Positions and durations are in quarter notes, velocities the middle of their step, tempi quarters a minute. A token
    of a kind that isn't known here is called by its name. Raises UsageError for an id outside the vocabulary.

    >>> from musicgen.tokenizers import Remi
    >>> remi = Remi()
    >>> [meaning(remi, remi.vocabulary.id(kind, value)) for kind, value in (("pitch", 60), ("position", 36))]
    ['pitch C4', 'position 1 1/2']
    """
    v = tokenizer.vocabulary
    name = v.token(token_id)
    kind, _, number = name.rpartition("_")
    value = int(number)
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in CHOICES:
        return CHOICES[kind][value]
    return VALUES[kind](tokenizer, value) if kind in VALUES else name


def _drum(key: int) -> str:
    named = 0 <= key - FIRST_DRUM < len(DRUM_NAMES)
    return DRUM_NAMES[key - FIRST_DRUM] if named else str(key)


def _mixed(number: Fraction) -> str:
    """A fraction as musicians say it.

    >>> _mixed(Fraction(3, 2)), _mixed(Fraction(1, 4)), _mixed(Fraction(2))
    ('1 1/2', '1/4', '2')
    """
    whole, rest = divmod(number, 1)
    return " ".join(str(part) for part in (whole, rest) if part) or "0"


def bar_offsets(tokenizer: Tokenizer, piece: Piece, ids: np.ndarray) -> np.ndarray:
    """The index in `ids`, the whole of `piece`, of the first step of each bar, (bars,) int64; bar 1 begins at step 0.

    So the first bar has BOS and what stands before the music. A wait over a bar line belongs to the bar in which it
    begins; of steps with fields, a bar's first has the last note before it (see `notes.py`). Raises UsageError for a
    tokenizer whose ids tell no time.
    """
    v, ids = tokenizer.vocabulary, np.asarray(ids).astype(np.int64)
    if "bar" in v.sizes:
        found = tokenizer.bar_positions(ids)
    else:
        starts, _ = piece.bar_starts(max(0, piece.end - 1))
        frame = tokenizer.frame_of(ids)
        if frame is not None:
            at = np.floor(starts * tokenizer.frames_per_quarter / piece.ticks_per_quarter + 0.5)
            time = np.maximum.accumulate(frame)
        elif "shift" in v.sizes:
            at = np.floor(piece.to_seconds(starts) * STEPS_PER_SECOND + 0.5)
            passed = np.where(v.is_kind(ids, "shift"), ids - v.base["shift"] + 1, 0)
            time = np.cumsum(passed) - passed
        else:
            what = f"the tokens of {tokenizer.name} don't tell where bars begin"
            raise UsageError(what, hint="leave the bars out, or take another tokenizer")
        found = np.searchsorted(time, at)
    return np.concatenate([np.zeros(1, np.int64), found[1:]])

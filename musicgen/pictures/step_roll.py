"""A piano roll whose time axis is a model's steps, so that it can be drawn above the model's activations at each step.

A note begins at the step at which its pitch is read. It ends at the step that ends it (a note-off, the first frame
without it) or, if there is none, at the next step that reads an onset at or after its end: this is only approximate,
since steps don't measure time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["StepNotes", "bar_lines", "pitch_kind", "step_notes"]


class StepNotes(NamedTuple):
    """Arrays with one entry per note, which lasts over the steps begin .. end - 1."""

    begin: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    is_drum: np.ndarray


def pitch_kind(tokenizer: Tokenizer) -> str | None:
    """The kind of token that encodes a pitch (value = MIDI pitch): `pitch` or `on`; None if there is none."""
    sizes = tokenizer.vocabulary.sizes
    return next((kind for kind in ("pitch", "on") if sizes.get(kind) == 128), None)


def step_notes(tokenizer: Tokenizer, ids: np.ndarray) -> StepNotes | None:
    """The notes that `ids`, (T,) or (T, F), encode, in steps; None if the tokenizer can't map steps to notes."""
    kind, sizes = pitch_kind(tokenizer), tokenizer.vocabulary.sizes
    if kind == "on":
        return _pressed(tokenizer.vocabulary, np.asarray(ids).astype(np.int64))
    if (frame := tokenizer.frame_of(ids)) is not None:
        return _framed(tokenizer.vocabulary, frame, np.asarray(ids).astype(np.int64))
    if (spelled := tokenizer.notes(ids)) is None:
        return None
    # If steps have fields, a row holds the position of the next row's note; `at` is the row of the position.
    begin = spelled.at + int(len(tokenizer.fields) > 1)
    piece = tokenizer.decode(ids)
    per_step = piece.ticks_per_quarter // tokenizer.steps
    starts, _ = piece.bar_starts()
    onset = starts[spelled.bar] + spelled.position * per_step
    # Onsets are made non-decreasing, so that the first one at or after a note's end is found by bisection.
    later = np.searchsorted(np.maximum.accumulate(onset), onset + spelled.duration * per_step)
    end = np.append(begin, len(ids))[later]
    drums = spelled.program == DRUMS
    if "part" in sizes:  # a part's number doesn't tell drums from pitches, the kind of its pitch token does
        drums = tokenizer.vocabulary.is_kind(np.asarray(ids)[begin, 0], "drum")
    return StepNotes(begin, np.maximum(end, begin + 1), spelled.pitch, drums)


def bar_lines(tokenizer: Tokenizer, ids: np.ndarray) -> np.ndarray:
    """The steps at which bars begin, or lines of `abc`; empty if ids don't encode bars (`performance`, `frames`)."""
    sizes = tokenizer.vocabulary.sizes
    if pitch_kind(tokenizer) and "bar" not in sizes:
        return np.zeros(0, np.int64)
    return np.asarray(tokenizer.bar_positions(ids), np.int64)


def _pressed(vocabulary: Vocabulary, ids: np.ndarray) -> StepNotes:
    """Notes from the step with the note-on to the one with the next note-off or note-on of the same pitch."""
    low = vocabulary.base["on"]  # of the 128 note-ons; the 128 note-offs follow
    at = np.flatnonzero((ids >= low) & (ids < low + 256))
    at = at[np.argsort((ids[at] - low) % 128, kind="stable")]  # sorted by pitch, then by step
    pitch, on = (ids[at] - low) % 128, ids[at] < low + 128
    last = np.append(pitch[1:] != pitch[:-1], True)[: len(at)]
    end = np.where(last, len(ids), np.append(at[1:], 0)[: len(at)])
    return StepNotes(at[on], end[on], pitch[on], np.zeros(int(on.sum()), bool))


def _framed(v: Vocabulary, frame: np.ndarray, ids: np.ndarray) -> StepNotes:
    """A pitch of a frame lasts until the next frame reads it again, or else until the next frame begins."""
    at = np.flatnonzero(v.is_kind(ids, "pitch"))
    pitch = ids[at] - v.base["pitch"]
    reached = np.maximum.accumulate(frame)
    end = np.searchsorted(np.where(frame < 0, reached + 1, reached), frame[at] + 1)  # EOS ends the last frame
    key = pitch << 40 | frame[at]
    order = np.argsort(key, kind="stable")
    held = np.flatnonzero(np.diff(key[order]) == 1)
    end[order[held]] = at[order[held + 1]]
    return StepNotes(at, np.maximum(end, at + 1), pitch, np.zeros(len(at), bool))

"""The `parts` tokenizer: one step for each note, which names a numbered part of the piece instead of a program.

| pitch | duration | velocity | onset | part | program |
|---|---|---|---|---|---|
| - | - | - | bos | tempo | on the grid, or played |
| - | - | - | enter | part 0 | its program |
| - | - | - | enter | part 1 | ... |
| - | - | - | bar | meter | - |
| - | - | - | position in the bar | part of the first note | - |
| its pitch, or drum | its duration | its velocity | position of the second note | its part | - |
| ... | | | bar | meter | - |

As in `notes`, a row ends with the next note's position and part. Parts are numbered by ascending mean pitch, drums
last, so that two violins are two parts and tracks that share a program stay apart. Programs are given once, before the
first bar. There is one tempo for the whole piece.

Three marks allow orders other than time (`tasks.py`): `after` and `here` enclose the bars that follow a hole, and
`again` returns to the beginning of a bar for the parts that are still to be written.

Sources: the steps are those of `notes`; parts apart from programs as in Ens and Pasquier 2020, "MMM" (one track a
part), though in one sequence by time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from musicgen.piece import NOTE, TEMPO, Piece, Track
from musicgen.tokenizers.bars.grid import DENOMINATORS, BarGrid
from musicgen.tokenizers.bars.music import (
    N_TEMPOS,
    SPAN_QUARTERS,
    TEMPO_LOWEST,
    TEMPOS_PER_OCTAVE,
    Items,
    tempo_values,
)
from musicgen.tokenizers.bars.notes import Notes
from musicgen.tokenizers.bars.parts_grammar import PartsGrammar
from musicgen.tokenizers.bars.tasks import drawn_task
from musicgen.tokenizers.bars.voices import MOST_PARTS, Voice, is_kit, is_played, voices_of
from musicgen.tokenizers.constraints import DRUMS, Constraints

__all__ = ["Parts"]

PITCH, DURATION, VELOCITY, ONSET, PART, PROGRAM = range(6)
LONGEST_PAST = 32_768  # most steps before a prompt that are kept: more than an opera has
GRID, PLAYED = 0, 1


class Parts(Notes):
    """Piece <-> rows of six ids."""

    name = "parts"
    player = "part"
    steps_of = (*Notes.steps_of, ("program", "program"))
    has_tasks = True

    def _kinds(self) -> dict[str, int]:
        return {
            "pad": 1,
            "pitch": 128,
            "drum": 128,
            "duration": len(self.durations),
            "velocity": 32,
            "bos": 1,
            "eos": 1,
            "bar": 1,
            "span": 1,
            "enter": 1,
            "after": 1,
            "here": 1,
            "again": 1,
            "position": SPAN_QUARTERS * self.steps,
            "meter": 64 * len(DENOMINATORS),
            "tempo": N_TEMPOS,
            "part": MOST_PARTS,
            "program": 129,
            "style": 2,
        }

    @property
    def as_parts(self) -> Self:
        return self

    @property
    def memory(self) -> dict[str, int]:
        """The id layout that a model needs to compare positions of a piece: the first id of each kind, V, the grid
        steps in a quarter and in a span."""
        kinds = (
            "pitch",
            "drum",
            "duration",
            "velocity",
            "bos",
            "bar",
            "span",
            "enter",
            "after",
            "here",
            "again",
            "position",
        )
        first = {kind: self.vocabulary.base[kind] for kind in (*kinds, "meter", "tempo", "part", "program", "style")}
        return {**first, "size": len(self.vocabulary), "steps": self.steps, "span_steps": SPAN_QUARTERS * self.steps}

    # ---- piece -> rows ---------------------------------------------------------------------------

    def voices(self, piece: Piece) -> tuple[Voice, ...]:
        """The parts that `encode` finds in a piece, in the order of their numbers."""
        found = voices_of(piece) or (Voice(0),)
        order = _from_below(found, self.items(piece, None, voiced=_notes_by_voice(piece, found)))
        return tuple(found[number] for number in order)

    def voiced_notes(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        return _notes_by_voice(piece, voices_of(piece))

    def tempo_items(self, piece: Piece, bars: BarGrid, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """No items: the tempo is given before the first bar."""
        none = np.empty(0, np.int64)
        return none, none, none

    def encode(
        self,
        piece: Piece,
        *,
        until: int | None = None,
        voices: tuple[Voice, ...] | None = None,
        played: bool | None = None,
    ) -> np.ndarray:
        """The piece as rows, (T, 6) uint16, from BOS to EOS. `until`: see `items`.

        `voices` replaces the parts that `voices_of` finds, for example to add one; a piece without parts gets a piano
        part without notes. `played` says whether the piece is a performance rather than a score; None decides it from
        the piece's own ticks (`is_played`), so a piece already on the grid may count as a score.
        """
        v = self.vocabulary
        given = voices is not None
        voices = (voices_of(piece) or (Voice(0),)) if voices is None else voices
        i = self.items(piece, until, voiced=_notes_by_voice(piece, voices))
        if not given and (order := _from_below(voices, i)) != list(range(len(voices))):
            voices = tuple(voices[number] for number in order)
            i = self.items(piece, until, voiced=_notes_by_voice(piece, voices))
        head = 1 + len(voices)
        at = np.arange(head, len(i.slot) + head) + np.cumsum(i.spans)  # span rows precede the onset they lead to
        rows = np.zeros((len(i.slot) + int(i.spans.sum()) + head + 1, 6), np.uint16)
        rows[0, ONSET], rows[-1, ONSET] = v.id("bos"), v.id("eos")
        rows[0, PART] = v.base["tempo"] + _longest_tempo(piece)
        rows[0, PROGRAM] = v.id("style", PLAYED if (is_played(piece) if played is None else played) else GRID)
        rows[1:head, ONSET] = v.id("enter")
        rows[1:head, PART] = v.base["part"] + np.arange(len(voices))
        rows[1:head, PROGRAM] = v.base["program"] + np.array([voice.program for voice in voices], np.int64)
        for back in range(1, int(i.spans.max(initial=0)) + 1):
            rows[at[i.spans >= back] - back, ONSET] = v.id("span")
        rows[at, ONSET] = np.where(
            i.is_bar, v.id("bar"), v.base["position"] + i.position % (SPAN_QUARTERS * self.steps)
        )
        rows[at[i.is_bar], PART] = v.base["meter"] + i.meter
        leading, part = at[i.is_note], i.program[i.is_note]  # the rows with each note's position and part
        rows[leading, PART] = v.base["part"] + part
        drums = np.array([voice.program == DRUMS for voice in voices], bool)
        rows[leading + 1, PITCH] = np.where(drums[part], v.base["drum"], v.base["pitch"]) + i.pitch if len(part) else 0
        rows[leading + 1, DURATION] = v.base["duration"] + i.duration
        rows[leading + 1, VELOCITY] = v.base["velocity"] + i.velocity
        return rows

    # ---- rows -> piece ---------------------------------------------------------------------------

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` encode: one track for each part with notes; 480 ticks a quarter."""
        v = self.vocabulary
        rows = np.asarray(ids).astype(np.int64)
        meter = rows[rows[:, ONSET] == v.id("bar"), PART] - v.base["meter"]
        none = np.empty(0, np.int64)
        spelled = self.notes(rows)
        plain = self.piece_of(spelled, meter=meter, tempo=(none, none, none))  # one track for each part, by part number
        enter = rows[:, ONSET] == v.id("enter")
        program = dict(
            zip(
                (rows[enter, PART] - v.base["part"]).tolist(),
                (rows[enter, PROGRAM] - v.base["program"]).tolist(),
                strict=True,
            )
        )
        tracks = []
        for number, track in zip(np.unique(spelled.program).tolist(), plain.tracks, strict=True):
            value = program.get(number, 0)
            tracks.append(Track("", 0 if value == DRUMS else value, value == DRUMS, track.notes))
        values = rows[v.is_kind(rows[:, PART], "tempo"), PART] - v.base["tempo"]
        tempos = np.zeros(min(1, len(values)), TEMPO)
        tempos["microseconds"] = np.rint(60e6 / (TEMPO_LOWEST * 2 ** (values[:1] / TEMPOS_PER_OCTAVE)))
        return replace(plain, tracks=tuple(tracks), tempos=tempos)

    def _places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(bar, grid position) of every row; bars are numbered from 0, -1 before the first."""
        v = self.vocabulary
        onset = rows[:, ONSET]
        begins = (onset == v.id("bar")) | (onset == v.id("again"))
        span = np.cumsum(onset == v.id("span"))
        bar_at = np.maximum.accumulate(np.where(begins, np.arange(len(rows)), 0))
        window = (span - span[bar_at]) * (SPAN_QUARTERS * self.steps)
        return np.cumsum(onset == v.id("bar")) - 1, onset - v.base["position"] + window

    # ---- on rows ---------------------------------------------------------------------------------

    def with_loudness(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with velocities of a randomly drawn mean and spread; the spread is zero with probability 0.15."""
        base = self.vocabulary.base["velocity"]
        is_velocity = self.vocabulary.is_kind(ids, "velocity")
        scale = 0.0 if rng.random() < 0.15 else rng.uniform(0.5, 1.5)
        value = ids[is_velocity].astype(np.float64) - base
        if not len(value):
            return ids
        mean = value.mean()
        wanted = np.clip(mean + rng.uniform(-8, 8), 4, 29)
        out = ids.copy()
        out[is_velocity] = np.clip(np.rint(wanted + scale * (value - mean)), 0, 31).astype(np.int64) + base
        return out

    def as_task(
        self, ids: np.ndarray, rng: np.random.Generator, *, length: int, infill: float, accompany: float
    ) -> np.ndarray:
        """Reorder a piece, up to the end of a window of `length` rows, for a randomly drawn task; see `drawn_task`."""
        return drawn_task(ids, self, rng, length=length, infill=infill, accompany=accompany)

    def past_and_prompt(self, ids: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
        """Split `ids` into (past, prompt): the prompt is the last bars that fit into `room` steps, or the last `room`
        steps if no whole bar fits.

        A past longer than LONGEST_PAST is cut to what precedes the first bar and its last bars, to bound the time that
        reading it takes.
        """
        if len(ids) <= room:
            return ids[:0], ids
        bars = self.bar_positions(ids)
        begin = self._first_bar_within(bars, len(ids), room)
        past = ids[:begin]
        if begin > LONGEST_PAST:
            past = np.concatenate([past[: bars[0]], past[self._first_bar_within(bars, begin, LONGEST_PAST) :]])
        return past, ids[begin:]

    @staticmethod
    def _first_bar_within(bars: np.ndarray, end: int, room: int) -> int:
        """The first of `bars` that lies at most `room` steps before `end`; `end` - `room` if there is none."""
        fitting = bars[(bars >= end - room) & (bars < end)]
        return int(fitting[0]) if len(fitting) else end - room

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> PartsGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a piece (after BOS)."""
        walker = PartsGrammar(self.vocabulary, self.steps, self.durations, constraints)
        if inside:
            walker.enter_inside()
        return walker


def _notes_by_voice(piece: Piece, voices: tuple[Voice, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(notes of all parts, concatenated; the part number of each)."""
    tables, numbers = [np.empty(0, NOTE)], [np.empty(0, np.int64)]
    for number, voice in enumerate(voices):
        for track in voice.tracks:
            tables.append(piece.tracks[track].notes)
            numbers.append(np.full(len(tables[-1]), number))
    return np.concatenate(tables), np.concatenate(numbers)


def _from_below(voices: tuple[Voice, ...], items: Items) -> list[int]:
    """The part numbers sorted as `voices_of` sorts parts, but by the mean pitch of the notes on the grid.

    That may differ from the original mean, as unisons are merged and several tracks may share a part number.
    """
    part = items.program[items.is_note]
    total = np.bincount(part, weights=items.pitch, minlength=len(voices))
    mean = total / np.maximum(1, np.bincount(part, minlength=len(voices)))
    return sorted(range(len(voices)), key=lambda number: (is_kit(voices[number]), float(mean[number])))


def _longest_tempo(piece: Piece) -> int:
    """The tempo value in effect for most of the piece; 120 before the first tempo change."""
    ticks, us = piece.tempos["tick"], piece.tempos["microseconds"]
    if not len(ticks) or ticks[0] > 0:
        ticks, us = np.append(0, ticks), np.append(500_000, us)
    lasts = np.maximum(0, np.diff(np.append(ticks, max(piece.end, int(ticks[-1]) + 1))))
    values = tempo_values(us)
    return int(np.argmax(np.bincount(values, weights=lasts, minlength=N_TEMPOS)))

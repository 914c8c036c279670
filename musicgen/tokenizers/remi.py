"""The `remi` tokenizer: bar, meter, position, tempo, program, pitch, velocity, duration.

A bar is `bar meter`, then its onsets in order: `position`, perhaps a `tempo`, then the notes that begin there,
each `[program] pitch velocity duration`. A program token stands only where the program differs from the note
before it in the bar. Notes on one onset ascend by (program, pitch); drums come last, with pitches of their own.

Grid: `positions_per_quarter` (24 holds 32nds and triplets, 48 triplet 32nds too) within the bar; bars begin
where the meters put them, exact to a 64th note. Positions count up to eight quarters; in longer bars `span`
moves on by eight. Tracks of one program merge, and of two equal onsets the longer note stays. Velocities fall
into 32 steps, tempi into twelfths of an octave from 20 to 320, durations into a table up to 16 quarters.

Source: Huang and Yang 2020, "Pop Music Transformer", section 3 (REMI); meter, program and span are additions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import METER, NOTE, TEMPO, Piece, Track
from musicgen.tokenizers.bar_grid import DENOMINATORS, BarGrid
from musicgen.tokenizers.remi_grammar import Constraints, RemiGrammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["DRUMS", "Remi", "RemiNotes", "RemiSettings"]

TICKS_PER_QUARTER = 480  # of decoded pieces: holds both grids and 64th notes
DRUMS = 128  # the program value that stands for the drum channel
SPAN_QUARTERS = 8
VELOCITY_STEP = 4
TEMPO_LOWEST, TEMPOS_PER_OCTAVE, N_TEMPOS = 20.0, 12, 49


@dataclass(frozen=True)
class RemiSettings:
    """The grid: 24 or 48 positions a quarter note."""

    positions_per_quarter: int = 24

    def __post_init__(self) -> None:
        if self.positions_per_quarter not in (24, 48):
            raise UsageError(f"positions_per_quarter is {self.positions_per_quarter}, must be 24 or 48")


class RemiNotes(NamedTuple):
    """The notes that ids spell, one array entry a note, in token order."""

    at: np.ndarray  # where the note's pitch token stands in the ids
    bar: np.ndarray  # counted from 0 among the bar tokens in the ids
    position: np.ndarray  # grid steps from the bar's start
    program: np.ndarray  # 0..127, DRUMS for drums
    pitch: np.ndarray
    velocity: np.ndarray
    duration: np.ndarray  # grid steps


class Remi:
    """Piece <-> ids with the tokens of `remi`. Stateless: one object serves all threads."""

    name = "remi"

    def __init__(self, settings: RemiSettings | None = None) -> None:
        self.settings = settings or RemiSettings()
        self.steps = self.settings.positions_per_quarter
        # Every step up to two quarters, then sixteenths up to four, eighths to eight, quarters to sixteen.
        r = self.steps
        self.durations = np.concatenate(
            [
                np.arange(1, 2 * r + 1),
                np.arange(2 * r + r // 4, 4 * r + 1, r // 4),
                np.arange(4 * r + r // 2, 8 * r + 1, r // 2),
                np.arange(9 * r, 16 * r + 1, r),
            ]
        )
        midpoints = (self.durations[1:] + self.durations[:-1] + 1) // 2
        self._nearest_duration = np.searchsorted(midpoints, np.arange(16 * r + 1), side="right")
        self._vocabulary = Vocabulary(
            {
                "pad": 1,
                "bos": 1,
                "eos": 1,
                "bar": 1,
                "span": 1,
                "meter": 64 * len(DENOMINATORS),
                "tempo": N_TEMPOS,
                "position": SPAN_QUARTERS * r,
                "program": 129,
                "pitch": 128,
                "drum": 128,
                "velocity": 128 // VELOCITY_STEP,
                "duration": len(self.durations),
            }
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    @property
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self.settings)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Remi:
        """Rebuild from `spec`; keys that are not settings are an error."""
        settings = {k: v for k, v in spec.items() if k != "name"}
        unknown = set(settings) - {f.name for f in fields(RemiSettings)}
        if unknown:
            raise UsageError(f"the tokenizer remi has no setting {sorted(unknown)[0]!r}")
        return cls(RemiSettings(**settings))

    # ---- piece -> ids ----------------------------------------------------------------------------

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids, uint16, from BOS to EOS.

        Bars reach to the one of the last onset, or to the one before tick `until` when that is given and later.
        """
        v, r = self._vocabulary, self.steps
        notes, program = _all_notes(piece)
        last = max(int(notes["start"].max()) if len(notes) else 0, (until or 1) - 1)
        bars = BarGrid(piece, last + 1, r)
        note_bar, note_position = bars.place(notes["start"])
        tempo_bar, tempo_position, tempo_value = self._tempos(piece, bars, last)
        count = max(bars.of_tick(until - 1) + 1 if until else 0, int(note_bar.max()) + 1 if len(notes) else 0, 1)
        keep = tempo_bar < count
        tempo_bar, tempo_position, tempo_value = tempo_bar[keep], tempo_position[keep], tempo_value[keep]

        step = bars.step
        steps = (2 * notes["duration"] * (16 * r) + step) // (2 * step)
        duration = self._nearest_duration[np.clip(steps, 1, 16 * r)]
        # One key a note orders and identifies it: bar, slot in the bar (0: the bar itself), program, pitch,
        # and the longest first, so that of equal onsets the first one stays.
        key = _key(note_bar, note_position + 1, program + 1, notes["pitch"]) * 1024 + (1023 - duration)
        order = np.argsort(key, kind="stable")
        key = key[order]
        keep = np.append(True, key[1:] // 1024 != key[:-1] // 1024) if len(key) else np.zeros(0, bool)
        order, key = order[keep], key[keep]

        zeros_bar, zeros_tempo = np.zeros(count, np.int64), np.zeros(len(tempo_bar), np.int64)
        keys = [_key(np.arange(count), zeros_bar, zeros_bar, zeros_bar) * 1024]
        keys += [_key(tempo_bar, tempo_position + 1, zeros_tempo, zeros_tempo) * 1024, key]
        kinds = np.repeat(np.arange(3), [count, len(tempo_bar), len(key)])
        merged = np.concatenate(keys)
        at = np.argsort(merged, kind="stable")  # item order: bars, tempi and notes
        merged, kinds = merged[at], kinds[at]
        slots = merged >> 25  # bar and slot
        position = (slots & 0x3FFF) - 1
        item_program = ((merged >> 17) & 0xFF) - 1
        is_bar, is_tempo, is_note = kinds == 0, kinds == 1, kinds == 2

        new_slot = np.append(True, slots[1:] != slots[:-1]) & ~is_bar
        window = np.maximum(position, 0) // (SPAN_QUARTERS * r)
        spans = np.where(new_slot, window - np.concatenate([[0], window[:-1]]), 0)
        # The program of the note before it in the bar; tempi have -1 and bars reset, so look back past tempi.
        running = _last_note_program(item_program, is_note, is_bar)
        new_program = is_note & (item_program != running)

        width = np.where(is_bar, 2, spans + new_slot + np.where(is_tempo, 1, 3 + new_program))
        begin = 1 + np.cumsum(width) - width
        ids = np.empty(int(width.sum()) + 2, np.uint16)
        ids[0], ids[-1] = v.id("bos"), v.id("eos")
        ids[begin[is_bar]] = v.id("bar")
        ids[begin[is_bar] + 1] = v.base["meter"] + bars.meter_value[:count]
        for extra in range(1, int(spans.max(initial=0)) + 1):
            ids[begin[spans >= extra] + extra - 1] = v.id("span")
        cursor = begin + spans
        ids[cursor[new_slot]] = v.base["position"] + position[new_slot] % (SPAN_QUARTERS * r)
        cursor = cursor + new_slot
        ids[cursor[is_tempo]] = v.base["tempo"] + tempo_value
        ids[cursor[new_program]] = v.base["program"] + item_program[new_program]
        cursor = (cursor + new_program)[is_note]
        pitch = notes["pitch"][order].astype(np.int64)
        ids[cursor] = np.where(program[order] == DRUMS, v.base["drum"], v.base["pitch"]) + pitch
        ids[cursor + 1] = v.base["velocity"] + notes["velocity"][order].astype(np.int64) // VELOCITY_STEP
        ids[cursor + 2] = v.base["duration"] + duration[order]
        return ids

    def _tempos(self, piece: Piece, bars: BarGrid, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(bar, position, value) of the tempo tokens: at the first bar, then wherever the value changes."""
        ticks, us = piece.tempos["tick"], piece.tempos["microseconds"]
        if not len(ticks) or ticks[0] > 0:
            ticks, us = np.append(0, ticks), np.append(500_000, us)
        ticks, us = ticks[ticks <= last], us[ticks <= last]
        bpm = 60e6 / us
        value = np.rint(TEMPOS_PER_OCTAVE * np.log2(bpm / TEMPO_LOWEST)).astype(np.int64).clip(0, N_TEMPOS - 1)
        bar, position = bars.place(ticks)
        slot = bar << 14 | position
        keep = np.append(slot[1:] != slot[:-1], True)  # the last of several on one slot
        bar, position, value = bar[keep], position[keep], value[keep]
        keep = np.append(True, value[1:] != value[:-1])
        return bar[keep], position[keep], value[keep]

    def on_grid(self, piece: Piece) -> Piece:
        """The piece as this tokenizer can say it."""
        return self.decode(self.encode(piece))

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` clamps or merges, beside timing."""
        notes, _ = _all_notes(piece)
        lines = []
        long = int((notes["duration"] > 16 * piece.ticks_per_quarter).sum())
        if long:
            lines.append(f"durations: {long} notes longer than 16 quarters were shortened")
        merged = len(notes) - self.count_notes(self.encode(piece))
        if merged:
            lines.append(f"unisons: {merged} notes on the same onset, pitch and program were merged")
        bpm = 60e6 / piece.tempos["microseconds"]
        if ((bpm < TEMPO_LOWEST / 1.03) | (bpm > 320 * 1.03)).any():
            lines.append("tempi: values outside 20..320 were clamped")
        bars = BarGrid(piece, int(notes["start"].max(initial=0)) + 1, self.steps)
        if bars.moved:
            lines.append(f"bars: {bars.moved} bars cut short off the 64th-note grid were adjusted")
        return lines

    # ---- ids -> piece ----------------------------------------------------------------------------

    def notes(self, ids: np.ndarray) -> RemiNotes:
        """The notes in `ids`, which may begin and end anywhere. Notes before the first bar don't count."""
        v = self._vocabulary
        ids = np.asarray(ids).astype(np.int64)
        here = np.arange(len(ids))
        bar = np.cumsum(ids == v.id("bar")) - 1
        span = np.cumsum(ids == v.id("span"))
        is_bar = ids == v.id("bar")
        bar_at = np.maximum.accumulate(np.where(is_bar, here, 0))
        is_pitch = v.is_kind(ids, "pitch") | v.is_kind(ids, "drum")
        index = np.flatnonzero(is_pitch[:-2]) if len(ids) > 2 else np.zeros(0, np.int64)
        complete = v.is_kind(ids[index + 1], "velocity") & v.is_kind(ids[index + 2], "duration") & (bar[index] >= 0)
        index = index[complete]
        position_at = np.maximum.accumulate(np.where(v.is_kind(ids, "position"), here, -1))[index]
        program_at = np.maximum.accumulate(np.where(v.is_kind(ids, "program"), here, -1))[index]
        position = np.where(position_at > bar_at[index], ids[np.maximum(position_at, 0)] - v.base["position"], 0)
        window = span[index] - span[bar_at[index]]
        program = np.where(program_at >= 0, ids[np.maximum(program_at, 0)] - v.base["program"], 0)
        is_drum = v.is_kind(ids[index], "drum")
        # A window cut out of a piece may begin between a program token and its notes; drums know themselves.
        program = np.where(is_drum, DRUMS, np.where(program == DRUMS, 0, program))
        return RemiNotes(
            index,
            bar[index],
            position + window * SPAN_QUARTERS * self.steps,
            program,
            ids[index] - np.where(is_drum, v.base["drum"], v.base["pitch"]),
            (ids[index + 1] - v.base["velocity"]) * VELOCITY_STEP + VELOCITY_STEP // 2,
            self.durations[ids[index + 2] - v.base["duration"]],
        )

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` spell: one track a program in ascending order, drums last; 480 ticks a quarter."""
        v = self._vocabulary
        ids = np.asarray(ids).astype(np.int64)
        n = self.notes(ids)
        meters, bar_start = self._meters(ids)
        per_step = TICKS_PER_QUARTER // self.steps
        table = np.zeros(len(n.at), NOTE)
        table["start"] = bar_start[n.bar] + n.position * per_step
        table["duration"], table["pitch"], table["velocity"] = n.duration * per_step, n.pitch, n.velocity
        tracks = []
        for program in np.unique(n.program).tolist():
            chosen = table[n.program == program]
            chosen = chosen[np.lexsort((chosen["pitch"], chosen["start"]))]
            tracks.append(Track("", 0 if program == DRUMS else program, program == DRUMS, chosen))

        at = np.flatnonzero(v.is_kind(ids, "tempo"))
        here = np.arange(len(ids))
        bar = np.cumsum(ids == v.id("bar")) - 1
        at = at[bar[at] >= 0]
        bar_at = np.maximum.accumulate(np.where(ids == v.id("bar"), here, 0))[at]
        position_at = np.maximum.accumulate(np.where(v.is_kind(ids, "position"), here, 0))[at]
        position = np.where(position_at > bar_at, ids[position_at] - v.base["position"], 0)
        span = np.cumsum(ids == v.id("span"))
        position = position + (span[at] - span[bar_at]) * SPAN_QUARTERS * self.steps
        tempos = np.zeros(len(at), TEMPO)
        tempos["tick"] = bar_start[bar[at]] + position * per_step
        bpm = TEMPO_LOWEST * 2 ** ((ids[at] - v.base["tempo"]) / TEMPOS_PER_OCTAVE)
        tempos["microseconds"] = np.rint(60e6 / bpm)
        return Piece(TICKS_PER_QUARTER, tuple(tracks), tempos, meters)

    def _meters(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(METER map with the changes, start tick of every bar). A bar without a meter keeps the one before it."""
        v = self._vocabulary
        bar_at = np.flatnonzero(ids == v.id("bar"))
        following = ids[np.minimum(bar_at + 1, len(ids) - 1)]
        given = v.is_kind(following, "meter")
        source = np.maximum.accumulate(np.where(given, np.arange(len(bar_at)), -1))
        four_four = 3 * len(DENOMINATORS) + DENOMINATORS.index(4)
        value = np.where(source >= 0, following[np.maximum(source, 0)] - v.base["meter"], four_four)
        numerator = value // len(DENOMINATORS) + 1
        denominator = np.array(DENOMINATORS)[value % len(DENOMINATORS)]
        length = numerator * (4 * TICKS_PER_QUARTER) // denominator
        start = np.concatenate([[0], np.cumsum(length)])
        changes = np.flatnonzero(np.append(True, value[1:] != value[:-1])) if len(value) else np.zeros(0, int)
        meters = np.zeros(len(changes), METER)
        meters["tick"], meters["numerator"] = start[changes], numerator[changes]
        meters["denominator"] = denominator[changes]
        return meters, start

    # ---- on ids ----------------------------------------------------------------------------------

    def count_notes(self, ids: np.ndarray) -> int:
        return int(self._vocabulary.is_kind(np.asarray(ids), "duration").sum())

    def transposed(self, ids: np.ndarray, semitones: int) -> np.ndarray:
        """`ids` with every pitch token moved; drums stay. A shift that leaves 0..127 is folded by octaves."""
        low, high = self._vocabulary.base["pitch"], self._vocabulary.base["pitch"] + 128
        is_pitch = (ids >= low) & (ids < high)
        pitch = ids[is_pitch].astype(np.int64) - low
        if len(pitch):
            while semitones > 0 and pitch.max() + semitones > 127:
                semitones -= 12
            while semitones < 0 and pitch.min() + semitones < 0:
                semitones += 12
            if pitch.max() + semitones > 127:
                return ids
        out = ids.copy()
        out[is_pitch] = pitch + semitones + low
        return out

    def with_tempo(self, ids: np.ndarray, steps: int) -> np.ndarray:
        """`ids` with every tempo moved by `steps` twelfths of an octave, within the range of tempi."""
        is_tempo = self._vocabulary.is_kind(ids, "tempo")
        out = ids.copy()
        base = self._vocabulary.base["tempo"]
        out[is_tempo] = (ids[is_tempo].astype(np.int64) - base + steps).clip(0, N_TEMPOS - 1) + base
        return out

    def with_programs(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`ids` with other melodic programs drawn for those in it, in the same order, so that notes stay sorted."""
        is_program = self._vocabulary.is_kind(ids, "program")
        base = self._vocabulary.base["program"]
        found = np.unique(ids[is_program].astype(np.int64) - base)
        found = found[found != DRUMS]
        others = np.arange(129)
        others[found] = np.sort(rng.choice(128, len(found), replace=False))
        out = ids.copy()
        out[is_program] = others[ids[is_program].astype(np.int64) - base] + base
        return out

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.asarray(ids) == self._vocabulary.id("bar"))

    def grammar(self, constraints: Constraints | None = None) -> RemiGrammar:
        """A walker before BOS that follows the grammar and, when given, the constraints of a request."""
        return RemiGrammar(self._vocabulary, self.steps, self.durations, constraints)


def _all_notes(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """All tracks' notes one after the other, and the program value of each."""
    tracks = [t for t in piece.tracks if len(t.notes)]
    if not tracks:
        return np.empty(0, NOTE), np.empty(0, np.int64)
    program = np.repeat([DRUMS if t.is_drum else t.program for t in tracks], [len(t.notes) for t in tracks])
    return np.concatenate([t.notes for t in tracks]), program.astype(np.int64)


def _key(bar: np.ndarray, slot: np.ndarray, program: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    return ((bar.astype(np.int64) << 14 | slot) << 8 | program) << 7 | pitch


def _last_note_program(program: np.ndarray, is_note: np.ndarray, is_bar: np.ndarray) -> np.ndarray:
    """For each item, the program of the last note before it in its bar; -1 where there is none."""
    here = np.arange(len(program))
    marks = np.where(is_note | is_bar, here, 0)  # item 0 is always a bar
    before = np.maximum.accumulate(np.concatenate([[0], marks[:-1]]))
    return np.where(is_bar[before], -1, program[before])

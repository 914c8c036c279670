"""The `frames` tokenizer: a piano roll, frames of equal length with the pitches that sound in each.

Without voices a frame is a set: its pitches strictly in order, descending or ascending, then `end`; an empty frame
is `end` alone. With n voices a frame is n ids in fixed order, the highest voice first, each a pitch or `rest`. A
note occupies the frames between its onset and its end, both rounded to the nearest frame boundary, and at least one.
A pitch in consecutive frames is one held note: repetitions, velocities, tempi and programs aren't represented. Drums
are left out.

With voices, a piece with exactly that many melodic parts has one voice for each part, in which a note ends where the
next one begins; of any other piece, the pitches of a frame are assigned to voices from the highest down.

With `following` as a mask, the product of the ids' probabilities is the exact probability of each frame. Sources:
Boulanger-Lewandowski et al. 2012, "Modeling Temporal Dependencies in High-Dimensional Sequences" (frames as sets,
nats a frame); Hadjeres et al. 2017, "DeepBach" (frames by voice).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import NOTE, Piece, Track
from musicgen.schemas import typed
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints, check_length
from musicgen.tokenizers.frames.grammar import FramesGrammar
from musicgen.words import counted, was

__all__ = ["ORDERS", "Frames", "FramesSettings"]

ORDERS = ("descending", "ascending")
TICKS_PER_QUARTER = 480  # of decoded pieces
VELOCITY = 80  # of decoded notes
MOST_VOICES = 8
FULL_FRAME = 16  # ids in a frame without voices that few frames exceed
FRAME_BITS = 40  # bits for the frame number in keys that pack (voice, pitch, frame)
LATEST = (1 << FRAME_BITS) - 1


@dataclass(frozen=True)
class FramesSettings:
    """`frames_per_quarter` divides 480; `order` is the order of pitches in a set; `voices` is 0 for sets, or 2 to 8."""

    frames_per_quarter: int = 4
    order: str = "descending"
    voices: int = 0

    def __post_init__(self) -> None:
        typed(self, where=None)
        per_quarter, voices = self.frames_per_quarter, self.voices
        if not isinstance(per_quarter, int) or not 1 <= per_quarter <= 48 or TICKS_PER_QUARTER % per_quarter:
            raise UsageError(
                f"frames_per_quarter is {per_quarter!r}", hint="choose from 1, 2, 3, 4, 6, 8, 12, 16, 24, 48"
            )
        if self.order not in ORDERS:
            raise UsageError(f"order is {self.order!r}", hint=f"choose from {', '.join(ORDERS)}")
        if not isinstance(voices, int) or voices not in (0, *range(2, MOST_VOICES + 1)):
            raise UsageError(f"voices is {voices!r}", hint=f"give 2 to {MOST_VOICES}, or 0 for sets of pitches")


class Frames(Tokenizer):
    """Piece <-> ids, (T,)."""

    name = "frames"
    Settings = FramesSettings
    settings: FramesSettings

    def _kinds(self) -> dict[str, int]:
        return {"pad": 1, "bos": 1, "eos": 1, "pitch": 128, self._mark: 1}

    @property
    def voices(self) -> int:
        """Voices, and so ids, in a frame; 0 where frames are sets."""
        return self.settings.voices

    @property
    def frames_per_quarter(self) -> int:
        return self.settings.frames_per_quarter

    @property
    def ticks(self) -> int:
        """The length of a frame in ticks of decoded pieces."""
        return TICKS_PER_QUARTER // self.settings.frames_per_quarter

    @property
    def _mark(self) -> str:
        return "rest" if self.voices else "end"

    @cached_property
    def following(self) -> np.ndarray:
        """Boolean (V, V), read-only: row i masks the ids that may follow id i by the order within frames alone.

        No row allows `pad`, `bos` or `eos`: the end of a piece is neither predicted nor scored.
        """
        v = self.vocabulary
        table = np.zeros((len(v), len(v)), bool)
        table[:, v.slice("pitch")] = table[:, v.slice(self._mark)] = True
        if not self.voices:
            pitch = np.arange(128)
            below = pitch[None] < pitch[:, None]
            table[v.slice("pitch"), v.slice("pitch")] = below if self.settings.order == "descending" else below.T
        table.setflags(write=False)
        return table

    @property
    def period(self) -> int:
        """Ids in a frame: after BOS a frame begins at each multiple of this. 1 for sets, whose size varies."""
        return self.voices or 1

    @property
    def layout(self) -> dict[str, int | bool]:
        """How frames are encoded, for models that read a frame at a time: first pitch id, id of `end` or `rest`, number
        of voices, and whether pitches descend."""
        v = self.vocabulary
        return {
            "pitch": v.base["pitch"],
            "mark": v.id(self._mark),
            "voices": self.voices,
            "descending": self.settings.order == "descending",
        }

    @property
    def held_steps_a_quarter(self) -> int:
        """Ids in a quarter note of dense music: held notes are repeated in every frame."""
        return self.settings.frames_per_quarter * (self.voices or FULL_FRAME)

    # ---- piece -> ids ----------------------------------------------------------------------------

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids, (T,) uint16, from BOS to EOS; frames continue to the boundary nearest to tick `until`."""
        parts = _parts(piece, self.voices)
        notes = np.concatenate(parts) if parts else np.empty(0, NOTE)
        last = max(float((notes["start"] + notes["duration"]).max(initial=0)), float(until or 0))
        check_length(last * self.settings.frames_per_quarter / piece.ticks_per_quarter * max(1, self.voices), "ids")
        start, stop, until_frame = self._lines(piece, notes["start"], notes["start"] + notes["duration"], until or 0)
        stop = np.maximum(stop, start + 1)
        count = max(int(stop.max(initial=0)), int(until_frame))
        pitch = notes["pitch"].astype(np.int64)
        if self.voices and len(parts) == self.voices:
            voice = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            body = self._spell_parts(voice, start, stop=stop, pitch=pitch, count=count)
        else:
            held = _united(start, stop, pitch)
            check_length(count + float((held[1] - held[0]).sum()), "ids")
            frame, pitch = _expand(*held)
            body = self._deal(frame, pitch, count) if self.voices else self._spell_sets(frame, pitch, count)
        v = self.vocabulary
        return np.concatenate([[v.id("bos")], body, [v.id("eos")]]).astype(np.uint16)

    def _lines(self, piece: Piece, *ticks: np.ndarray | int) -> list[np.ndarray]:
        """Ticks as numbers of the nearest frame boundaries; halves round up."""
        per_quarter = self.settings.frames_per_quarter
        quarter = piece.ticks_per_quarter
        return [(2 * np.asarray(t, np.int64) * per_quarter + quarter) // (2 * quarter) for t in ticks]

    def _spell_sets(self, frame: np.ndarray, pitch: np.ndarray, count: int) -> np.ndarray:
        """The ids of frames as sets, each its pitches in order, then `end`; made by sorting one key for each id."""
        rank = 127 - pitch if self.settings.order == "descending" else pitch
        key = np.sort(np.concatenate([frame << 8 | rank, np.arange(count) << 8 | 128]))
        rank = key & 255
        pitch = 127 - rank if self.settings.order == "descending" else rank
        v = self.vocabulary
        return np.where(rank == 128, v.id(self._mark), v.base["pitch"] + pitch)

    def _spell_parts(
        self, voice: np.ndarray, start: np.ndarray, *, stop: np.ndarray, pitch: np.ndarray, count: int
    ) -> np.ndarray:
        """The ids of frames with one voice for each part: of notes with equal onsets the highest is kept, and a note
        ends where the next one begins."""
        order = np.lexsort((pitch, start, voice))
        voice, start, stop, pitch = voice[order], start[order], stop[order], pitch[order]
        onset = voice << FRAME_BITS | start
        last = np.append(onset[1:] != onset[:-1], True)[: len(onset)]
        voice, start, stop, pitch, onset = voice[last], start[last], stop[last], pitch[last], onset[last]
        following = np.append(onset[1:], LATEST << 8)[: len(onset)] - (voice << FRAME_BITS)  # as a frame of this voice
        frame, at = _expand(start, np.minimum(stop, following), np.arange(len(start)))
        return self._rows(frame, voice[at], pitch[at], count)

    def _deal(self, frame: np.ndarray, pitch: np.ndarray, count: int) -> np.ndarray:
        """The ids of frames whose pitches are assigned to voices from the highest down; the lowest are dropped if there
        are more than voices."""
        order = np.lexsort((-pitch, frame))
        frame, pitch = frame[order], pitch[order]
        voice = np.arange(len(frame)) - np.searchsorted(frame, frame)
        kept = voice < self.voices
        return self._rows(frame[kept], voice[kept], pitch[kept], count)

    def _rows(self, frame: np.ndarray, voice: np.ndarray, pitch: np.ndarray, count: int) -> np.ndarray:
        ids = np.full(count * self.voices, self.vocabulary.id(self._mark), np.int64)
        ids[frame * self.voices + voice] = self.vocabulary.base["pitch"] + pitch
        return ids

    # ---- ids -> piece ----------------------------------------------------------------------------

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` spell: pianos at 120 quarters a minute, one, or one a voice."""
        voice, start, length, pitch = self._held(ids)
        notes = np.zeros(len(start), NOTE)
        notes["start"], notes["duration"] = start * self.ticks, length * self.ticks
        notes["pitch"], notes["velocity"] = pitch, VELOCITY
        order = np.lexsort((pitch, start, voice))
        notes, voice = notes[order], voice[order]
        # A voice that is silent throughout keeps its place.
        count = self.voices or int(len(notes) > 0)
        cuts = np.searchsorted(voice, np.arange(count + 1))
        tracks = tuple(Track("", 0, False, notes[cuts[k] : cuts[k + 1]]) for k in range(count))
        return Piece(TICKS_PER_QUARTER, tracks)

    def _held(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(voice, first frame, number of frames, pitch) of the held notes in `ids`; without voices, voice is 0."""
        ids = np.asarray(ids).astype(np.int64)
        v = self.vocabulary
        at = np.flatnonzero(v.is_kind(ids, "pitch"))
        frame = self.frame_of(ids)[at]
        voice = np.zeros_like(frame)
        if self.voices:
            within = v.is_kind(ids, "pitch") | v.is_kind(ids, "rest")
            voice = (np.cumsum(within)[at] - 1) % self.voices
        key = np.sort((voice << 8 | ids[at] - v.base["pitch"]) << FRAME_BITS | frame)
        key = key[np.append(True, key[1:] != key[:-1])[: len(key)]]
        first = np.flatnonzero(np.diff(key, prepend=-2) != 1)
        length = np.diff(first, append=len(key))
        return key[first] >> FRAME_BITS + 8, key[first] & LATEST, length, key[first] >> FRAME_BITS & 255

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` leaves out or merges, beside timing and velocities."""
        lines = []
        if drums := sum(len(t.notes) for t in piece.tracks if t.is_drum):
            lines.append(f"drums: {counted(drums, 'note')} {was(drums)} left out")
        programs = {t.program for t in piece.tracks if len(t.notes) and not t.is_drum}
        if programs - {0}:
            lines.append(f"programs: {counted(len(programs), 'instrument')} became piano")
        if len(piece.tempos) and set(piece.tempos["microseconds"].tolist()) != {500_000}:
            lines.append("tempi: frames are of one length, at 120 quarters a minute")
        melodic = sum(len(t.notes) for t in piece.tracks if not t.is_drum)
        if lost := melodic - self.count_notes(self.encode(piece)):
            what = "merged, or found no voice" if self.voices else "merged with one of their pitch"
            # A note that another one interrupts counts twice, so there may be more notes than before.
            were = f"{counted(abs(lost), 'note')} {was(abs(lost))}"
            lines.append(f"notes: {were} {what}" if lost > 0 else f"notes: {were} cut in two")
        return lines

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program 0 of each) of the ids sampled after `prompt`.

        Frame 0 begins at the cut. Pitches held from before the cut become new notes. Where a second voice begins a
        sounding pitch, the first voice's note ends.
        """
        _, start, length, pitch = self._held(ids)
        order = np.lexsort((-length, start, pitch))
        start, length, pitch = start[order], length[order], pitch[order]
        onset = pitch << FRAME_BITS | start
        first = np.append(True, onset[1:] != onset[:-1])[: len(onset)]
        start, length, pitch, onset = start[first], length[first], pitch[first], onset[first]
        length = np.minimum(length, np.append(onset[1:], LATEST << 8)[: len(onset)] - onset)
        per_frame = anchor.ticks_per_quarter / self.settings.frames_per_quarter
        notes = np.zeros(len(start), NOTE)
        notes["start"] = anchor.tick + np.rint(start * per_frame).astype(np.int64)
        stop = anchor.tick + np.rint((start + length) * per_frame).astype(np.int64)
        notes["duration"] = np.maximum(1, stop - notes["start"])
        notes["pitch"], notes["velocity"] = pitch, VELOCITY
        return notes[np.lexsort((pitch, start))], np.zeros(len(notes), np.int64)

    # ---- on ids ----------------------------------------------------------------------------------

    def frame_of(self, ids: np.ndarray) -> np.ndarray:
        """The frame number of each id, int64; -1 for BOS, EOS and padding.

        The first pitch or mark in `ids` is taken as the beginning of frame 0.
        """
        v, ids = self.vocabulary, np.asarray(ids).astype(np.int64)
        within = v.is_kind(ids, "pitch") | v.is_kind(ids, self._mark)
        if self.voices:
            frame = (np.cumsum(within) - 1) // self.voices
        else:
            end = ids == v.id("end")
            frame = np.cumsum(end) - end
        return np.where(within, frame, -1)

    def count_notes(self, ids: np.ndarray) -> int:
        """The number of held notes: a pitch that continues from the frame before isn't counted again."""
        return len(self._held(ids)[1])

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices at which a frame begins, as the ids don't mark bars."""
        ids = np.asarray(ids)
        if self.voices:
            begins_piece = len(ids) > 0 and ids[0] == self.vocabulary.id("bos")
            return np.arange(int(begins_piece), len(ids), self.voices)
        before = np.flatnonzero((ids[:-1] == self.vocabulary.id("end")) | (ids[:-1] == self.vocabulary.id("bos")))
        return before + 1

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """The last whole frames that fit into `room` ids; if not even one fits, the last `room` ids."""
        if len(ids) <= room:
            return ids
        at = self.bar_positions(ids)
        at = at[at >= len(ids) - room]
        return ids[int(at[0]) if len(at) else len(ids) - room :]

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> FramesGrammar:
        """The grammar, with a request's constraints, at the beginning of a sequence or `inside` a piece (after BOS)."""
        return FramesGrammar(
            self.vocabulary,
            constraints,
            frames_per_quarter=self.settings.frames_per_quarter,
            voices=self.voices,
            descending=self.settings.order == "descending",
            inside=inside,
        )


def _parts(piece: Piece, voices: int) -> list[np.ndarray]:
    """The notes of each melodic part. Parts without notes are included only if that gives exactly `voices` parts."""
    every = [t.notes for t in piece.tracks if not t.is_drum]
    sounding = [notes for notes in every if len(notes)]
    return every if len(every) == voices != len(sounding) else sounding


def _united(start: np.ndarray, stop: np.ndarray, pitch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, stop, pitch) of the union of notes on each pitch: overlapping and adjacent ones are merged."""
    order = np.lexsort((start, pitch))
    begin = pitch[order] << FRAME_BITS | start[order]
    reach = np.maximum.accumulate(pitch[order] << FRAME_BITS | stop[order])
    fresh = np.append(True, begin[1:] > reach[:-1])[: len(begin)]
    last = np.append(fresh[1:], True)[: len(fresh)]
    return begin[fresh] & LATEST, reach[last] & LATEST, begin[fresh] >> FRAME_BITS


def _expand(start: np.ndarray, stop: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frame, value) for every frame of each interval [start, stop)."""
    length = stop - start
    row = np.repeat(np.arange(len(length)), length)
    frame = np.arange(len(row)) - (np.cumsum(length) - length)[row] + start[row]
    return frame, value[row]

"""A piece of music: tracks of notes in integer ticks, with tempo, meter and key maps.

Time is in ticks of the piece's own `ticks_per_quarter`; seconds are computed only for rendering.
A note sounds in [start, start + duration). Pitch and velocity are MIDI numbers. Bars are counted from 0;
a meter change always begins a new bar, even when the bar before it is cut short.
Notes and events are rows of numpy arrays, not Python objects.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.chords import chord_of, transposed_symbol
from musicgen.errors import MusicgenError, ResourceError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from musicgen.notebook import Player

__all__ = ["BEND", "CHORD", "CONTROL", "KEY", "METER", "NOTE", "TEMPO", "Piece", "Span", "Track", "notes_array"]

NOTE = np.dtype([("start", "<i8"), ("duration", "<i8"), ("pitch", "u1"), ("velocity", "u1")])
CONTROL = np.dtype([("tick", "<i8"), ("number", "u1"), ("value", "u1")])
BEND = np.dtype([("tick", "<i8"), ("value", "<i2")])  # -8192..8191, 0 is the centre
TEMPO = np.dtype([("tick", "<i8"), ("microseconds", "<i4")])  # microseconds a quarter
METER = np.dtype([("tick", "<i8"), ("numerator", "u1"), ("denominator", "u1")])
KEY = np.dtype([("tick", "<i8"), ("fifths", "i1"), ("minor", "?")])  # fifths: -7 (flats) .. 7 (sharps)
# A chord symbol: root and bass as pitch classes (-1: no chord), a bit mask of pitch classes, and the written symbol.
CHORD = np.dtype([("tick", "<i8"), ("root", "i1"), ("bass", "i1"), ("pitches", "<u2"), ("symbol", "<U24")])

DEFAULT_TEMPO = 500_000  # 120 quarters a minute, the default of the MIDI file specification
MOST_BARS = 2**19  # three hours of forty-eight bars a second
MIN_MICROSECONDS, MAX_MICROSECONDS = 60_000, 15_000_000  # 1000 and 4 quarters a minute


def notes_array(rows: Sequence[tuple[int, int, int, int]] | np.ndarray = ()) -> np.ndarray:
    """Rows of (start, duration, pitch, velocity) as a `NOTE` array sorted by (start, pitch).

    >>> notes_array([(480, 240, 64, 80), (0, 480, 60, 80)])["pitch"].tolist()
    [60, 64]
    """
    notes = rows.copy() if isinstance(rows, np.ndarray) else np.array(list(rows), dtype=NOTE)
    return notes[np.lexsort((notes["pitch"], notes["start"]))]


@dataclass(frozen=True, eq=False)
class Track:
    """One part: `notes` (NOTE, sorted by start then pitch), `controls` (CONTROL) and `bends` (BEND) by tick.

    Controls and bends are those of the part's MIDI channel; parts that share a channel have the same. On one tick notes
    end, then controls act in their order, then bends, and then notes begin. `musicgen.io.controllers` defines their
    meaning. The order of notes with equal start and pitch is not significant.

    >>> Track("Flute", 73, notes=notes_array([(0, 480, 72, 80)])).end
    480
    """

    name: str = ""
    program: int = 0
    is_drum: bool = False
    notes: np.ndarray = field(default_factory=lambda: np.empty(0, NOTE))
    controls: np.ndarray = field(default_factory=lambda: np.empty(0, CONTROL))
    bends: np.ndarray = field(default_factory=lambda: np.empty(0, BEND))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Track):
            return NotImplemented
        return (
            (self.name, self.program, self.is_drum) == (other.name, other.program, other.is_drum)
            and all(np.array_equal(getattr(self, k), getattr(other, k)) for k in ("controls", "bends"))
            and (
                np.array_equal(self.notes, other.notes)
                or (len(self.notes) == len(other.notes) and np.array_equal(np.sort(self.notes), np.sort(other.notes)))
            )
        )

    @property
    def end(self) -> int:
        """The tick at which the last note ends; 0 without notes."""
        return int((self.notes["start"] + self.notes["duration"]).max()) if len(self.notes) else 0


@dataclass(frozen=True, eq=False)
class Piece:
    """Tracks and maps. `tempos`, `meters` and `keys` are sorted by tick and may be empty.

    An empty tempo map means 120 quarters a minute, an empty meter map 4/4.

    >>> Piece(480, (Track(notes=notes_array([(0, 480, 60, 80), (480, 960, 64, 80)])),))
    Piece(1 part, 2 notes, 1 bar, 1.5 s, 4/4)
    """

    ticks_per_quarter: int = 480
    tracks: tuple[Track, ...] = ()
    tempos: np.ndarray = field(default_factory=lambda: np.empty(0, TEMPO))
    meters: np.ndarray = field(default_factory=lambda: np.empty(0, METER))
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, KEY))
    warnings: tuple[str, ...] = ()  # named warnings of the reader: "name: what was done"
    chords: np.ndarray = field(default_factory=lambda: np.empty(0, CHORD))  # symbols of a lead sheet, by tick

    def __eq__(self, other: object) -> bool:
        """Whether resolution, tracks and maps are equal; warnings and chord symbols are not compared."""
        if not isinstance(other, Piece):
            return NotImplemented
        return (
            self.ticks_per_quarter == other.ticks_per_quarter
            and self.tracks == other.tracks
            and all(np.array_equal(getattr(self, k), getattr(other, k)) for k in ("tempos", "meters", "keys"))
        )

    # ---- in a notebook -------------------------------------------------------------------------

    def __repr__(self) -> str:
        """One line: parts with notes, notes, bars, seconds, the meter that lasts longest, the first written key."""
        from musicgen.overview import in_words

        return f"Piece({in_words(self)})"

    def _repr_html_(self) -> str | None:
        """Piano roll and player as HTML that asks nothing of any network; None for a piece that no page can hold."""
        from musicgen.notebook import shown

        return shown(self)

    def play(self, *, soundfont: str | os.PathLike[str] | None = None) -> Player:
        """The player with piano roll, for the last line of a notebook's cell; its sound is rendered now.

        Raises UsageError outside a notebook, UnreadableError where there is no SoundFont.

        >>> Piece().play()
        Traceback (most recent call last):
        musicgen.errors.UsageError: a piece is played in a notebook; here, save it as sound: piece.save('piece.wav')
        """
        from musicgen.notebook import play

        return play(self, soundfont=soundfont)

    def plot(self) -> Figure:
        """The piano roll as a matplotlib figure: bars from 1, pitches as MIDI numbers, a colour a part.

        Raises UsageError without matplotlib, ResourceError for too many bars.

        >>> Piece().plot().axes[0].get_xlabel()
        'bar'
        """
        from musicgen.pictures.piece_roll import draw

        return draw(self)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the piece to a file: as MIDI (.mid), or as sound (.wav, .flac, .ogg at 44,100 Hz).

        Raises UsageError for another suffix and for a file that exists without `overwrite`, UnreadableError for sound
        where there is no SoundFont, ResourceError on a full disk.

        >>> Piece().save("a.mp3")
        Traceback (most recent call last):
        musicgen.errors.UsageError: a.mp3: a piece is saved as MIDI or sound; end the name in .mid, .wav, .flac or .ogg
        """
        from musicgen.notebook import save

        save(self, path, overwrite=overwrite)

    @property
    def notes(self) -> np.ndarray:
        """The notes of all tracks as one structured array, (n_notes,), sorted by start, then part, then pitch; a copy.

        Its fields are `part` (the track's index), `program`, `is_drum`, and those of NOTE, in ticks.

        >>> Piece(480, (Track(program=40, notes=notes_array([(0, 480, 60, 80)])),)).notes.tolist()
        [(0, 40, False, 0, 480, 60, 80)]
        """
        from musicgen.overview import note_table

        return note_table(self)

    def to_dataframe(self) -> Any:
        """The notes of all tracks as a `pandas.DataFrame`, in the order of `notes`, with a row a note.

        The columns are those of `notes`, in ticks, then `name` (of the part), `start_s` and `duration_s` (seconds by
        the tempo map). Raises UsageError without pandas.

        >>> Piece().to_dataframe().columns.tolist()  # doctest: +SKIP
        ['part', 'program', 'is_drum', 'start', 'duration', 'pitch', 'velocity', 'name', 'start_s', 'duration_s']
        """
        from musicgen.io.interop_pandas import to_dataframe

        return to_dataframe(self)

    def to_symusic(self) -> Any:
        """This piece as a `symusic.Score` in ticks: a track a part, controls, bends, tempi, meters and keys.

        Raises UsageError without symusic, and for ticks past 2^31 - 1, which it can't hold.

        >>> Piece(480, (Track("lead"),)).to_symusic().tracks[0].name
        'lead'
        """
        from musicgen.io.interop_symusic import to_symusic

        return to_symusic(self)

    @classmethod
    def from_pretty_midi(cls, midi: Any) -> Piece:
        """A `pretty_midi.PrettyMIDI` object as a Piece, in that object's own ticks."""
        from musicgen.io.interop import from_pretty_midi

        return from_pretty_midi(midi)

    def to_pretty_midi(self) -> Any:
        """This piece as a `pretty_midi.PrettyMIDI` object, in seconds.

        Raises UsageError for a tempo map that pretty_midi refuses.

        >>> Piece(480, (Track("lead"),)).to_pretty_midi().instruments[0].name
        'lead'
        """
        from musicgen.io.interop import to_pretty_midi

        return to_pretty_midi(self)

    @classmethod
    def from_music21(cls, stream: Any) -> Piece:
        """A `music21.stream.Score`, or another music21 stream, as a Piece: one track a part, repeats written out."""
        from musicgen.io.interop_music21 import from_music21

        return from_music21(stream)

    def to_music21(self) -> Any:
        """This piece as a `music21.stream.Score`: a part a track, with notes, meters, keys and tempi; in quarters.

        >>> len(Piece(480, (Track("lead"), Track("bass"))).to_music21().parts)
        2
        """
        from musicgen.io.interop_music21 import to_music21

        return to_music21(self)

    # ---- sizes ---------------------------------------------------------------------------------

    @property
    def n_notes(self) -> int:
        return sum(len(t.notes) for t in self.tracks)

    @property
    def end(self) -> int:
        """The tick at which the last note ends; 0 without notes."""
        return max((t.end for t in self.tracks), default=0)

    @property
    def seconds(self) -> float:
        """Time from tick 0 to the end of the last note, in seconds."""
        return float(self.to_seconds(self.end))

    # ---- time ----------------------------------------------------------------------------------

    def to_seconds(self, ticks: Any) -> Any:
        """Convert ticks (a number or an array) to seconds since tick 0 by the tempo map."""
        starts, us = self._tempo_segments()
        spans = np.diff(starts).astype(np.float64) * us[:-1]  # of far ticks the product is beyond an int64
        at_start = np.concatenate([[0.0], np.cumsum(spans)])
        ticks = np.asarray(ticks, dtype=np.int64)
        i = np.clip(np.searchsorted(starts, ticks, side="right") - 1, 0, None)
        return (at_start[i] + (ticks - starts[i]) * us[i].astype(np.float64)) / (1e6 * self.ticks_per_quarter)

    def tempo_at(self, tick: int) -> int:
        """The tempo in effect at `tick`, in microseconds a quarter."""
        starts, us = self._tempo_segments()
        return int(us[max(0, int(np.searchsorted(starts, tick, side="right")) - 1)])

    def meter_at(self, tick: int) -> tuple[int, int]:
        """The meter (numerator, denominator) in effect at `tick`."""
        i = int(np.searchsorted(self.meters["tick"], tick, side="right")) - 1
        return (int(self.meters["numerator"][i]), int(self.meters["denominator"][i])) if i >= 0 else (4, 4)

    def _tempo_segments(self) -> tuple[np.ndarray, np.ndarray]:
        ticks, us = self.tempos["tick"], self.tempos["microseconds"].astype(np.int64)
        if not len(ticks) or ticks[0] > 0:
            ticks, us = np.concatenate([[0], ticks]), np.concatenate([[DEFAULT_TEMPO], us])
        return ticks, us

    def bar_starts(self, until: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(start of each bar in ticks as float64, index of its meter in `meter_segments`).

        Covers tick 0 to the bar that contains `until` (default: the end of the last note), inclusive; at least
        one bar. Starts are exact multiples of a 64th note, so they may not be whole ticks. Raises ResourceError for
        more than MOST_BARS.
        """
        until = self.end if until is None else until
        ticks, nums, dens = self.meter_segments()
        segments = max(1, int(np.searchsorted(ticks, until, side="right")))
        begin = ticks[:segments]
        length = 4.0 * self.ticks_per_quarter * nums[:segments] / dens[:segments]
        stop = np.append(begin[1:], until + 1)
        count = np.maximum(1, np.ceil((stop - begin) / length - 1e-9))
        if count.sum() > MOST_BARS:  # before there is room taken for them
            what = f"the piece has {count.sum():,.0f} bars, and more than {MOST_BARS:,} are no music"
            raise ResourceError(what, hint="cut the silence out, or write a longer meter")
        count = count.astype(np.int64)
        if segments == 1:  # the usual piece; a corpus has many short ones
            return begin[0] + np.arange(count[0]) * length[0], np.zeros(count[0], np.int64)
        rows = np.repeat(np.arange(segments), count)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)  # within its segment
        return begin[rows] + number * length[rows], rows

    def meter_segments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ticks, numerators, denominators) of the meter map, with 4/4 at tick 0 if it has no meter there."""
        m = self.meters
        if not len(m):
            return np.zeros(1, np.int64), np.full(1, 4), np.full(1, 4)
        if len(m) == 1 and m["tick"][0] == 0:  # the usual piece; a corpus has many short ones
            return tuple(m[k].astype(np.int64) for k in ("tick", "numerator", "denominator"))  # type: ignore[return-value]
        # Several changes on one tick: the last one holds.
        last = np.append(m["tick"][1:] != m["tick"][:-1], True) if len(m) else np.zeros(0, bool)
        ticks, nums, dens = (m[k][last].astype(np.int64) for k in ("tick", "numerator", "denominator"))
        if not len(ticks) or ticks[0] > 0:
            ticks, nums, dens = (np.concatenate([[d], a]) for d, a in ((0, ticks), (4, nums), (4, dens)))
        return ticks, nums, dens

    # ---- changes -------------------------------------------------------------------------------

    def until(self, tick: int) -> Piece:
        """The piece with only the notes that begin before `tick`, shortened to end there; maps and controls stay."""
        tracks = []
        for track in self.tracks:
            notes = track.notes[track.notes["start"] < tick].copy()
            notes["duration"] = np.minimum(notes["duration"], tick - notes["start"])
            tracks.append(replace(track, notes=notes))
        return replace(self, tracks=tuple(tracks))

    def transposed(self, semitones: int) -> Piece:
        """The same piece `semitones` higher; drums stay. Raises MusicgenError when a pitch leaves 0..127."""
        tracks = []
        for track in self.tracks:
            notes = track.notes
            if not track.is_drum and len(notes):
                pitch = notes["pitch"].astype(np.int64) + semitones
                if pitch.min() < 0 or pitch.max() > 127:
                    raise MusicgenError(f"transposing by {semitones} semitones leaves the MIDI pitches 0..127")
                notes = notes.copy()
                notes["pitch"] = pitch
            tracks.append(replace(track, notes=notes))
        chords = self.chords.copy()
        for chord in chords:
            chord["symbol"] = transposed_symbol(str(chord["symbol"]), semitones)
            chord["root"], chord["bass"], chord["pitches"] = (chord_of(str(chord["symbol"])) or (-1, -1, 0))[:3]
        return replace(self, tracks=tuple(tracks), chords=chords)

    def validate(self) -> None:
        """Raise MusicgenError unless the invariants of the class hold (ranges, order, durations of 1 or more)."""
        if self.ticks_per_quarter < 1:
            raise MusicgenError(f"ticks_per_quarter is {self.ticks_per_quarter}, must be at least 1")
        for n, track in enumerate(self.tracks):
            notes = track.notes
            if not len(notes):
                continue
            where = f"track {n}"
            if notes["start"].min() < 0 or notes["duration"].min() < 1:
                raise MusicgenError("a note starts before tick 0 or lasts less than one tick", where=where)
            if notes["pitch"].max() > 127 or notes["velocity"].max() > 127:
                raise MusicgenError("a pitch or velocity is above 127", where=where)
            if not np.array_equal(np.lexsort((notes["pitch"], notes["start"])), np.arange(len(notes))):
                raise MusicgenError("notes are not sorted by (start, pitch)", where=where)
        us = self.tempos["microseconds"]
        if len(us) and not (us.min() >= MIN_MICROSECONDS and us.max() <= MAX_MICROSECONDS):
            raise MusicgenError("a tempo is outside 4..1000 quarters a minute")
        for part in ("numerator", "denominator"):
            if len(self.meters) and not (self.meters[part].min() >= 1 and self.meters[part].max() <= 64):
                raise MusicgenError(f"a meter's {part} is outside 1..64")


@dataclass(frozen=True)
class Span:
    """The ticks `begin` .. `end` - 1 of a piece that new music fills.

    If `is_open`, the piece is cut at `begin`, and nothing of it follows the new music. Else the span is a hole, and the
    music before it and from `end` on stays.
    """

    begin: int
    end: int
    is_open: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end:
            raise MusicgenError(f"a span from tick {self.begin} to {self.end}: it must begin at 0 or later, then end")

    def is_before(self, ticks: np.ndarray) -> np.ndarray:
        """Boolean mask of the ticks before the span."""
        return ticks < self.begin

    def is_after(self, ticks: np.ndarray) -> np.ndarray:
        """Boolean mask of the ticks at or after the span's end; all False for an open span."""
        return (ticks >= self.end) & (not self.is_open)

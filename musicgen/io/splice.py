"""Insert new music into a MIDI file and keep the rest of the file unchanged.

Every event of the source before the span of the new music is kept, with its tick and in order.

An open span continues the file. At its beginning, sounding notes are ended; then come the events that prepare the
channels (see `seam`), then the new notes and their controllers, on the tracks and channels that they continue. The
source's events from there on are dropped, except that a cut at the end keeps its texts.

A closed span is a hole in the file. Only the source's notes that begin in it (and their key pressure) are removed; a
note that begins before it sounds on for as long as it did, unless it only overlaps into it, as in legato. Controllers,
programs, bends, tempi and texts stay, and no events are inserted on channels that the source uses, so that the music
after the hole sounds as before.
After the hole every event is kept, except the note-offs of notes that began in it. Where a new note shares its key with
one that stays, the old note keeps its start and length: see `Keys.fitted`. (Notes that the source never switches off
end with whatever comes next on their key, as in any file.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicgen.gm import program_name
from musicgen.io.channels import Channels
from musicgen.io.homes import OWN_DATA, TRACK_NAME
from musicgen.io.keys import Keys
from musicgen.io.midi import resolution
from musicgen.io.midi_writing import (
    KEY_SIGNATURE,
    SET_TEMPO,
    TIME_SIGNATURE,
    control_events,
    event_order,
    midi_from_piece,
    note_events,
)
from musicgen.io.seam import NewPart, Row, Seam, Seat
from musicgen.io.smf import END_OF_TRACK, EVENT, META, Events, MidiFile
from musicgen.io.sounding import sounding
from musicgen.piece import METER, TEMPO, Piece, Span, Track
from musicgen.words import counted

__all__ = ["NewPart", "alone", "kept_before", "splice"]

_TEXTS = (*range(0x01, 0x08), OWN_DATA)  # texts, lyrics, markers, cues, and sequencer-specific data
LEGATO = 8  # a note that ends within an eighth of a quarter of a hole's beginning only overlaps into it
_TIMING = (SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE)


@dataclass(frozen=True)
class _Kept:
    """The kept events of the source, one EVENT array a track: `front` before the new events (with the note-offs that
    end old notes) and `back` after them; `last` is the earliest tick at which each track may end. `begun` holds the
    tracks up to the span's beginning, from which the channel state is read; `keys` the notes that stay in or around a
    hole, None for an open span."""

    front: list[np.ndarray]
    back: list[np.ndarray]
    last: list[int]
    begun: list[np.ndarray]
    keys: Keys | None


def splice(
    midi: MidiFile,
    parts: Sequence[NewPart],
    *,
    span: Span,
    at_end: bool = False,
    homes: Collection[tuple[int, int]] | None = None,
    warnings: list[str] | None = None,
    seated: list[tuple[int, int]] | None = None,
) -> MidiFile:
    """The file with the notes of `parts` inserted in `span`; in a hole they are clipped to it.

    `at_end` (open spans) says that no note of the source begins at or after the span's beginning. `homes` (holes) are
    (track number, channel 0..15) of the parts whose notes are replaced; None for all. A hole's new notes whose key is
    down already are left out, and `warnings` gets a line that says how many. `seated` gets the home of each of `parts`,
    (track number, channel 0..15) in the new file.
    """
    source = Channels(midi)
    kept = _before(source, span, at_end) if span.is_open else _around(source, span, homes)
    count = len(midi.tracks)
    tracks = [Events(rows, track.blobs) for rows, track in zip(kept.front, midi.tracks, strict=True)]
    begun = [Events(rows, track.blobs) for rows, track in zip(kept.begun, midi.tracks, strict=True)]
    seam = Seam(replace(midi, tracks=tuple(begun)), cut=span.begin, used=source.used(), is_open=span.is_open)
    seats = seam.seats(parts)
    where: list[int] = []  # the track number of each part; new tracks follow the file's own
    for seat, part in zip(seats, parts, strict=True):
        where.append(seat.track if seat.track is not None else len(tracks))
        if seat.track is None:
            head = seam.port_metas() + ([(META, TRACK_NAME, 0, part.name.encode("utf-8"))] if part.name else [])
            tracks.append(_with_rows(Events(np.empty(0, EVENT)), head, 0))
    if seated is not None:
        seated += [(track, seat.channel) for track, seat in zip(where, seats, strict=True)]
    tables = [_playable(part.notes, span) for part in parts]
    if kept.keys is not None:
        tables = [
            kept.keys.fitted(table, 16 * seat.port + seat.channel, track=track)
            for table, seat, track in zip(tables, seats, where, strict=True)
        ]
        if kept.keys.refused and warnings is not None:
            warnings.append(f"keys_down: {counted(kept.keys.refused, 'new note')} left out, as the key is down already")
    prepared, controls = _settings(seam, parts, seats, where)
    out = []
    for number, track in enumerate(tracks):
        new = [controls[number]] if number in controls else []
        new += [
            note_events(table, seat.channel)
            for table, seat, home in zip(tables, seats, where, strict=True)
            if home == number
        ]
        track = _with_rows(track, prepared[number], span.begin)
        if number < count:
            out.append(_joined(track, new, kept.back[number], kept.last[number]))
        else:
            out.append(_joined(track, new, track.rows[:0], span.end if span.is_open else 0))
    return replace(midi, tracks=tuple(out))


# ---- events kept from the source -----------------------------------------------------------------------


def _before(source: Channels, span: Span, at_end: bool) -> _Kept:
    """The events kept before an open span."""
    midi = source.midi
    kept = [track.rows[kept_before(track.rows, span.begin, at_end=at_end)] for track in midi.tracks]
    endings = _endings(source, span.begin)
    front = [np.concatenate(pair) for pair in zip(kept, endings, strict=True)]
    return _Kept(front, [rows[:0] for rows in kept], [span.end] * len(kept), kept, None)


def _around(source: Channels, span: Span, homes: Collection[tuple[int, int]] | None) -> _Kept:
    """The events kept around and in a hole."""
    quarter = resolution(source.midi.division)[0]
    played = sounding(source, ticks_per_quarter=quarter)
    rows, tick = source.rows.copy(), source.tick
    inside = ~span.is_before(tick) & ~span.is_after(tick)
    asked = np.ones(len(rows), bool)
    if homes is not None:
        asked = np.isin(32 * source.track + (rows["status"] & 15), [32 * track + channel for track, channel in homes])
    keep = (rows["status"] != META) | (rows["data1"] != END_OF_TRACK)
    keep &= ~(inside & asked & np.isin(source.kind, (0x80, 0x90, 0xA0)))
    on, off = played.on, played.off
    ended = np.where(off >= 0, tick[off], played.end)
    theirs = asked[on]
    goes = theirs & inside[on] & (off >= 0)
    keep[off[goes]] = False
    # A note that begins before the hole sounds on and ends where it did: by its own note-off, or by one that takes the
    # place of a note-on of its key that is gone. One that only overlaps into it, as in legato, ends at its beginning.
    across = theirs & span.is_before(tick[on]) & ~span.is_before(ended) & ~span.is_after(ended)
    ended = np.where(across & (ended <= span.begin + quarter // LEGATO), span.begin, ended)
    switched = across & (off >= 0)
    keep[off[switched]], rows["tick"][off[switched]] = True, ended[switched]
    ours = rows[on[across & (off < 0)]].copy()
    ours["tick"], ours["status"], ours["data2"] = ended[across & (off < 0)], 0x80 | ours["status"] & 15, 64
    of_ours = source.track[on[across & (off < 0)]]
    keys = Keys(end=span.end)
    of_rows = 128 * source.channel.astype(np.int64) + rows["data1"]
    for n in np.flatnonzero(~(theirs & inside[on]) & ~span.is_before(ended)).tolist():
        keys.add(int(of_rows[on[n]]), int(tick[on[n]]), int(ended[n]), track=int(source.track[on[n]]))
    stray = (source.kind == 0x80) | ((source.kind == 0x90) & (rows["data2"] == 0))
    stray[off[off >= 0]] = False
    stray &= keep & ~span.is_before(tick)
    keys.add_offs(of_rows[stray].tolist(), tick[stray].tolist())
    keys.add_silences(*(column.tolist() for column in source.silences()))
    after = span.is_after(rows["tick"])
    front, back, last, begun = [], [], [], []
    for number, track in enumerate(source.midi.tracks):
        mine = source.track == number
        before = rows[mine & keep & ~after]
        front.append(np.concatenate([before, ours[of_ours == number]]))
        back.append(rows[mine & keep & after])
        last.append(int(track.rows["tick"][-1]) if len(track.rows) else 0)
        begun.append(before[before["tick"] <= span.begin])
    return _Kept(front, back, last, begun, keys)


def kept_before(rows: np.ndarray, cut: int, *, at_end: bool = False) -> np.ndarray:
    """Boolean mask of the events (EVENT) of a track that stay when it is cut at tick `cut`; `at_end` as of `splice`."""
    kind, tick = rows["status"] & 0xF0, rows["tick"]
    meta = rows["status"] == META
    note_off = (kind == 0x80) | ((kind == 0x90) & (rows["data2"] == 0))
    note_on = (kind == 0x90) & (rows["data2"] > 0)
    here = tick == cut
    keep = (tick < cut) | (here & (note_off | (meta & np.isin(rows["data1"], _TIMING))))
    if at_end:
        keep |= here & ~note_on
        keep |= meta & np.isin(rows["data1"], _TEXTS)
    kept: np.ndarray = keep & ~(meta & (rows["data1"] == END_OF_TRACK))
    return kept


def _endings(channels: Channels, cut: int) -> list[np.ndarray]:
    """For each track, note-offs at the cut for the notes that sound past it or have no note-off."""
    midi = channels.midi
    played = sounding(channels, ticks_per_quarter=resolution(midi.division)[0])
    switched = np.where(played.off >= 0, channels.tick[played.off], cut + 1)
    open_ = (channels.tick[played.on] < cut) & (played.hangs | ((played.end >= cut) & (switched > cut)))
    rows = channels.rows[played.on[open_]].copy()
    rows["tick"], rows["status"], rows["data2"] = cut, 0x80 | rows["status"] & 15, 64
    track = channels.track[played.on[open_]]
    return [rows[track == number] for number in range(len(midi.tracks))]


def _settings(
    seam: Seam, parts: Sequence[NewPart], seats: Sequence[Seat], where: Sequence[int]
) -> tuple[dict[int, list[Row]], dict[int, np.ndarray]]:
    """({track: events to insert on the cut}, {track: the parts' own controllers (EVENT), once for each channel})."""
    prepared: dict[int, list[Row]] = defaultdict(list)
    controls: dict[int, np.ndarray] = {}
    lifts = seam.lifts() if seam.is_open else {}
    if where and seam.is_open:
        prepared[min(where)] += seam.master()
    by_channel: dict[int, list[int]] = defaultdict(list)
    for number, seat in enumerate(seats):
        by_channel[16 * seat.port + seat.channel].append(number)
    for channel, mine in sorted(by_channel.items()):
        if not seam.is_open and channel in seam.used:
            continue
        first = min(where[number] for number in mine)
        # A later track's events for the channel on the cut's tick would override ours, so ours go into that track.
        latest = seam.last_track(channel, on_the_cut=True)
        behind = -1 if latest is None else latest
        prepared[max(first, behind)] += lifts.pop(channel, []) + seam.restored(channel)
        brought = next((parts[n].controls for n in mine if len(parts[n].controls)), None)
        if brought is not None:
            usual = seam.last_track(channel)
            to = max(usual if usual in {where[n] for n in mine} else first, behind)
            events = control_events(brought, channel % 16)
            controls[to] = np.concatenate([controls[to], events]) if to in controls else events
    for channel, rows in lifts.items():
        prepared[seam.last_track(channel) or 0] += rows
    for number, seat in enumerate(seats):
        prepared[where[number]] += seat.before
    return prepared, controls


def _with_rows(track: Events, rows: Sequence[Row], tick: int) -> Events:
    """The track with `rows` appended at `tick`."""
    blobs, added = list(track.blobs), []
    for status, data1, data2, payload in rows:
        if payload is not None:
            blobs.append(payload)
        added.append((tick, status, data1, data2, -1 if payload is None else len(blobs) - 1))
    return Events(np.concatenate([track.rows, np.array(added, EVENT)]), tuple(blobs))


def _joined(track: Events, new: list[np.ndarray], back: np.ndarray, last: int) -> Events:
    """The track with the sorted `new` events and the source's later events `back`, closed by an end-of-track event at
    tick `last` or at the last event, whichever is later."""
    notes = np.concatenate([np.empty(0, EVENT), *new])
    joined = np.concatenate([track.rows, notes[event_order(notes)], back])
    # Stable: on one tick, the source's earlier events, then the new ones, then `back`, each in their own order.
    joined = joined[np.argsort(joined["tick"], kind="stable")]
    last = max(int(joined["tick"][-1]) if len(joined) else 0, last)
    final = np.array([(last, META, END_OF_TRACK, 0, len(track.blobs))], EVENT)
    return Events(np.concatenate([joined, final]), (*track.blobs, b""))


def _playable(notes: np.ndarray, span: Span) -> np.ndarray:
    """The notes without overlaps on one pitch, which a channel can't play: each ends at the next onset of its pitch.

    In a hole they end with it.
    """
    if not span.is_open:
        notes = notes[~span.is_before(notes["start"]) & ~span.is_after(notes["start"])].copy()
        notes["duration"] = np.minimum(notes["duration"], span.end - notes["start"])
    order = np.lexsort((notes["start"], notes["pitch"]))
    notes = notes[order].copy()
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    gap = notes["start"][1:] - notes["start"][:-1]
    notes["duration"][:-1] = np.where(same, np.minimum(notes["duration"][:-1], gap), notes["duration"][:-1])
    notes = notes[notes["duration"] > 0]
    return notes[np.lexsort((notes["pitch"], notes["start"]))]


def alone(piece: Piece, parts: Sequence[NewPart], *, cut: int) -> MidiFile:
    """A file of the new notes only, moved so that the cut is tick 0, in the tempo and meter of the cut."""
    tracks = []
    for part in parts:
        notes = part.notes.copy()
        controls = part.controls.copy()
        notes["start"] -= cut
        controls["tick"] -= cut
        tracks.append(
            Track(
                part.name or program_name(part.program, is_drum=part.is_drum).title(),
                part.program,
                part.is_drum,
                notes,
                controls,
            )
        )
    tempos = np.array([(0, piece.tempo_at(cut))], TEMPO)
    meters = np.array([(0, *piece.meter_at(cut))], METER)
    return midi_from_piece(Piece(piece.ticks_per_quarter, tuple(tracks), tempos, meters))

"""Notes of a MIDI file moved a little and struck otherwise, everything else in it left where it is.

What may change is the velocity of a note-on and the ticks of a note's two events. Every other event keeps its tick, its
track and its place among the others. Bounds hold whatever is asked:

- An onset moves by less than half of the way to the next onset of its part, so the order of onsets stays; and by at
  most a third of the way to the next note of its key on its channel.
- A note lasts at least one tick, ends before the next note of its key begins, and before its track ends.
- A note is *pinned*, and keeps its ticks, where moving it could change what it is: where no note-off of its own ends
  it, where notes of its key overlap, and where a program change, bank, bend, key pressure, registered parameter,
  channel mode or system-exclusive message for its channel stands within reach of its onset or end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicgen.io.channels import Channels
from musicgen.io.midi import note_numbers, resolution
from musicgen.io.midi_writing import control_events
from musicgen.io.smf import END_OF_TRACK, ESCAPE, META, SYSEX, Events, MidiFile
from musicgen.io.sounding import Sounding, sounding

__all__ = ["Changes", "finer", "retimed"]

WALLS = (0, 6, 32, 38, 96, 97, 98, 99, 100, 101, *range(120, 128))  # controllers that change what a note is
_OFF, _OTHER, _CONTROL, _ON, _LAST = range(5)  # order of events that share a tick: ours around the file's own


@dataclass(frozen=True)
class Changes:
    """Asked of one part's notes, in the order of its piece: `velocity` (1..127) and `shift` in ticks, negative for
    earlier."""

    velocity: np.ndarray
    shift: np.ndarray


def retimed(
    midi: MidiFile,
    changes: Sequence[Changes | None],
    *,
    reach: int,
    controls: Sequence[tuple[int, int, np.ndarray]] = (),
) -> MidiFile:
    """The file with `changes` made to its parts, None for a part that stays as it is.

    Onsets move by at most `reach` ticks. `controls` are (track number, channel 0..15, CONTROL rows) to be added, on
    one tick after the file's own events; those behind the end of their track stand on it.
    """
    channels = Channels(midi)
    played = sounding(channels, ticks_per_quarter=resolution(midi.division)[0])
    rows = channels.rows.copy()
    rank = np.full(len(rows), _OTHER)
    rank[(rows["status"] == META) & (rows["data1"] == END_OF_TRACK)] = _LAST
    if len(played.on):
        velocity, shift, part = _gathered(channels, played, changes, note_numbers(midi))
        on, end = _moved(channels, played, shift, part=part, reach=reach)
        begins, ends = played.on, played.off
        rows["data2"][begins] = velocity
        earlier = on != channels.tick[begins]
        rows["tick"][begins[earlier]], rank[begins[earlier]] = on[earlier], _ON
        other = (ends >= 0) & (end != played.end)
        rows["tick"][ends[other]], rank[ends[other]] = end[other], _OFF
    tracks = []
    for number, track in enumerate(midi.tracks):
        mine = channels.track == number
        new = [control_events(each, channel) for home, channel, each in controls if home == number]
        own = np.concatenate([rows[mine], *new])
        own_rank = np.concatenate([rank[mine], np.full(sum(map(len, new)), _CONTROL)])
        if (own_rank == _LAST).any():
            own["tick"] = np.minimum(own["tick"], own["tick"][own_rank == _LAST].max())
        tracks.append(Events(own[np.lexsort((own_rank, own["tick"]))], track.blobs))
    return replace(midi, tracks=tuple(tracks))


def finer(midi: MidiFile, factor: int) -> MidiFile:
    """The file with `factor` times as many ticks a quarter, every event at the same time as before."""
    tracks = []
    for track in midi.tracks:
        rows = track.rows.copy()
        rows["tick"] *= factor
        tracks.append(Events(rows, track.blobs))
    return replace(midi, division=midi.division * factor, tracks=tuple(tracks))


def _gathered(
    channels: Channels, played: Sounding, changes: Sequence[Changes | None], numbers: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(velocity, shift, part) of each note in file order."""
    velocity = channels.rows["data2"][played.on].astype(np.int64)
    shift, part = np.zeros(len(played.on), np.int64), np.zeros(len(played.on), np.int64)
    for number, (asked, own) in enumerate(zip(changes, numbers, strict=True)):
        part[own] = number
        if asked is not None:
            velocity[own], shift[own] = np.clip(asked.velocity, 1, 127), asked.shift
    return velocity, shift, part


def _moved(
    channels: Channels, played: Sounding, shift: np.ndarray, *, part: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """(onset, end) of each note, within the bounds of this module."""
    start, end = channels.tick[played.on], played.end
    key = 128 * channels.channel[played.on].astype(np.int64) + channels.rows["data1"][played.on]
    order = np.lexsort((end, start, key))
    pinned = _pinned(channels, played, key, order=order, reach=reach)
    room = np.minimum(_room(start, part, 2), _room(start, key, 3))
    shift = np.where(pinned, 0, np.clip(shift, -np.minimum(room, reach), np.minimum(room, reach)))
    last = _last_ticks(channels)[channels.track[played.on]]
    onset = np.where(pinned, start, np.clip(start + shift, 0, np.maximum(last - 1, 0)))
    # The ends of pinned notes stay, so what follows on their key begins no earlier. Keys are shifted apart, so that one
    # running maximum serves all.
    same = key[order[1:]] == key[order[:-1]]
    before, behind = order[:-1][same], order[1:][same]
    far = (np.cumsum(np.append(True, ~same)) - 1) * (int(end.max()) + 1)
    ended = np.maximum.accumulate(np.where(pinned[order], end[order], 0) + far) - far
    earliest = np.zeros(len(start), np.int64)
    earliest[behind] = ended[:-1][same]
    onset = np.where(pinned, onset, np.maximum(onset, earliest))
    # A note keeps its length, but for the bounds.
    ends = np.where(pinned, end, np.minimum(end + onset - start, last))
    following = np.full(len(start), np.iinfo(np.int64).max)
    following[before] = onset[behind]
    ends = np.where(pinned, ends, np.minimum(ends, following))
    return onset, np.where(pinned, ends, np.maximum(ends, onset + 1))


def _pinned(channels: Channels, played: Sounding, key: np.ndarray, *, order: np.ndarray, reach: int) -> np.ndarray:
    """Which notes may not move."""
    start, end, off = channels.tick[played.on], played.end, played.off
    pinned: np.ndarray = (off < 0) | played.hangs | (channels.tick[off] != end) | (end <= start)
    # Overlapping notes of a key: both; latest end so far within the key, keys shifted apart.
    far = np.cumsum(np.diff(key[order], prepend=-1) != 0) * (int(end.max()) + 1)
    latest = np.maximum.accumulate(end[order] + far)
    within = np.append(False, (start[order] + far)[1:] < latest[:-1])
    pinned[order[within]] = True
    pinned[order[np.append(within[1:], False)]] = True
    # Note-offs that end nothing might end a note that moves.
    spare = (channels.kind == 0x80) | ((channels.kind == 0x90) & ~channels.is_on)
    spare[off[off >= 0]] = False
    loose = 128 * channels.channel[spare].astype(np.int64) + channels.rows["data1"][spare]
    pinned |= np.isin(key, loose)
    # (which events, their group, the notes' group): what is said to a channel, to a key of it, and to all.
    whole = np.zeros(len(channels.rows), np.int64)
    said = [
        (_walls(channels), channels.channel.astype(np.int64)),
        (channels.kind == 0xA0, 128 * channels.channel.astype(np.int64) + channels.rows["data1"]),
        (np.isin(channels.rows["status"], (SYSEX, ESCAPE)), whole),
    ]
    for events, group in said:
        for when in (start, end):
            pinned |= _is_near(when, channels.tick[events], of=(group[played.on], group[events]), reach=reach)
    return pinned


def _walls(channels: Channels) -> np.ndarray:
    """A mask of the events of whole channels that notes don't cross."""
    controller = (channels.kind == 0xB0) & np.isin(channels.rows["data1"], WALLS)
    found: np.ndarray = controller | (channels.kind == 0xC0) | (channels.kind == 0xE0)
    return found


def _is_near(when: np.ndarray, tick: np.ndarray, *, of: tuple[np.ndarray, np.ndarray], reach: int) -> np.ndarray:
    """Whether an event at one of `tick` and of the same group stands within `reach` ticks of each time; `of` are the
    groups of the times, and of the events."""
    if not len(tick):
        return np.zeros(len(when), bool)
    width = int(max(when.max(initial=0), tick.max())) + 4 * reach + 4
    own, theirs = (group.astype(np.int64) * width for group in of)
    places, here = np.sort(theirs + tick), own + when
    found: np.ndarray = np.searchsorted(places, here + reach, side="right") > np.searchsorted(places, here - reach)
    return found


def _room(start: np.ndarray, group: np.ndarray, share: int) -> np.ndarray:
    """How far each onset may move: less than 1 / share of the way to the nearest other onset of its group."""
    order = np.lexsort((start, group))
    begin, of = start[order], group[order]
    gap = np.where(of[1:] == of[:-1], begin[1:] - begin[:-1], np.iinfo(np.int64).max // 4)
    onsets = np.append(True, gap > 0)
    number = np.cumsum(onsets) - 1
    between = gap[gap > 0]
    far = np.iinfo(np.int64).max // 4
    nearest = np.minimum(np.append(far, between), np.append(between, far))
    room = np.empty(len(start), np.int64)
    room[order] = (nearest[number] - 1) // share
    return room


def _last_ticks(channels: Channels) -> np.ndarray:
    """The last tick of each track."""
    return np.array([int(t.rows["tick"].max()) if len(t.rows) else 0 for t in channels.midi.tracks])

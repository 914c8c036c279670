"""What lay behind a cut, put behind the new music: every event of it, later by the length of the new music.

Notes that began before the cut ended there, so their note-offs stay out. Where the new music has left a channel
otherwise than it was at the cut (a program, controllers, a bend), events at its end restore that first.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from musicgen.io.channels import Channels
from musicgen.io.midi import resolution
from musicgen.io.smf import END_OF_TRACK, EVENT, META, Events, MidiFile
from musicgen.io.sounding import sounding
from musicgen.io.splice import kept_before
from musicgen.piece import Span

__all__ = ["with_rest"]

PROGRAM, PRESSURE, BEND, CONTROL = 0xC0, 0xD0, 0xE0, 0xB0
FIRST_MODE = 120  # controllers from here on are commands, and hold no value
PARAMETERS = (6, 38, 96, 97, 98, 99, 100, 101)  # data entry: what it means depends on events before it
USUAL = {7: 100, 8: 64, 10: 64, 11: 127}  # values of controllers that nothing has set; others are 0
Key = tuple[int, int, int]  # 16 * port + channel, kind of event, controller


def with_rest(midi: MidiFile, source: Channels, *, span: Span) -> MidiFile:
    """The file `midi`, made by `splice` for an open `span`, followed by what `source` has behind the span's begin."""
    ours = Channels(midi)
    before, now = _state(source, source.tick <= span.begin), _state(ours, ours.tick <= span.end)
    restored: dict[int, list[tuple[int, ...]]] = {}
    for key, (last_track, data1, data2) in sorted(now.items()):
        home, *values = before.get(key, (last_track, *_usual(key)))
        if values != [data1, data2]:
            restored.setdefault(home, []).append((span.end, key[1] | key[0] % 16, *values, -1))
    played = sounding(source, ticks_per_quarter=resolution(source.midi.division)[0])
    goes = np.zeros(len(source.rows), bool)
    goes[played.off[(played.off >= 0) & (source.tick[played.on] < span.begin)]] = True
    tracks = []
    for number, track in enumerate(midi.tracks):
        ending = (track.rows["status"] == META) & (track.rows["data1"] == END_OF_TRACK)
        rows = [track.rows[~ending], np.array(restored.get(number, []), EVENT)]
        if number < len(source.midi.tracks):
            old = source.midi.tracks[number].rows
            stays = ~kept_before(old, span.begin) & ~goes[source.track == number]
            behind = old[stays & (old["tick"] >= span.begin)].copy()
            behind["tick"] += span.end - span.begin
            rows.append(behind)
        joined = np.concatenate(rows)
        joined = joined[np.argsort(joined["tick"], kind="stable")]
        last = joined[(joined["status"] == META) & (joined["data1"] == END_OF_TRACK)]
        joined = joined[(joined["status"] != META) | (joined["data1"] != END_OF_TRACK)]
        end = max([int(t) for t in (*last["tick"], *track.rows["tick"][ending], *joined["tick"][-1:])], default=0)
        final = np.array([(end, META, END_OF_TRACK, 0, len(track.blobs))], EVENT)
        tracks.append(Events(np.concatenate([joined, final]), (*track.blobs, b"")))
    return replace(midi, tracks=tuple(tracks))


def _state(channels: Channels, of: np.ndarray) -> dict[Key, tuple[int, int, int]]:
    """{key: (track, data1, data2) of its last event} among the events chosen by `of` (bool)."""
    kind, number = channels.kind, channels.rows["data1"].astype(np.int64)
    is_value = (kind == CONTROL) & (number < FIRST_MODE) & ~np.isin(number, PARAMETERS)
    at = np.flatnonzero(of & (is_value | np.isin(kind, (PROGRAM, PRESSURE, BEND))))
    at = at[np.argsort(channels.tick[at], kind="stable")]
    found = {}
    for row in at.tolist():
        what = int(kind[row])
        key = int(channels.channel[row]), what, int(number[row]) if what == CONTROL else -1
        found[key] = int(channels.track[row]), int(number[row]), int(channels.rows["data2"][row])
    return found


def _usual(key: Key) -> tuple[int, int]:
    """The values (data1, data2) of a key that nothing has set."""
    _, kind, number = key
    if kind == CONTROL:
        return number, USUAL.get(number, 0)
    return (0, 64) if kind == BEND else (0, 0)

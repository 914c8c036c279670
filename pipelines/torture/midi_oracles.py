"""Our MIDI reader against mido, pretty_midi and symusic, note for note, over a folder of real files.

    python pipelines/torture/midi_oracles.py --data ../shared/data --limit 3000

mido is the oracle for events: its messages, paired first on, first off, must give our notes exactly, with track,
channel and ticks; where a pitch has a note that is never switched off, or its channel is silenced, all but the ends.
pretty_midi and symusic pair notes themselves; each note in which they differ is put into a category that the file's
own events explain. Files are spread over the subfolders. The table goes to stdout, tab-
separated. Exit code 1 when a difference has no explanation.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mido
import pretty_midi
import symusic

from musicgen.errors import MusicgenError, printable
from musicgen.io.midi import Limits, piece_and_homes, read_midi_file

LIMITS = Limits(megabytes=100, notes=10**7, tracks=10_000, hours=1000)
UNEXPLAINED = "unexplained"


def spread(folder: Path, limit: int, rng: random.Random) -> list[Path]:
    """Up to `limit` MIDI files, taken in turn from each folder directly under `folder`."""
    groups = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mid", ".midi")):
        groups[path.relative_to(folder).parts[0]].append(path)
    queues = [rng.sample(paths, len(paths)) for paths in groups.values()]
    chosen: list[Path] = []
    while len(chosen) < limit and any(queues):
        chosen += [q.pop() for q in queues if q][: limit - len(chosen)]
    return chosen


class Oracle:
    """mido's events of one file as notes (track, channel, start, end, pitch, velocity), with what is odd about each.

    The end is None where the pitch has a note that is never switched off, and on channels that are silenced."""

    def __init__(self, midi: mido.MidiFile) -> None:
        self.notes: Counter[tuple] = Counter()
        self.odd: dict[tuple, set[str]] = defaultdict(set)  # (start, pitch, velocity) -> traits
        self.silenced = {
            message.channel
            for messages in midi.tracks
            for message in messages
            if message.type == "control_change" and (message.control == 120 or message.control >= 123)
        }
        for number, messages in enumerate(midi.tracks):
            self._read_track(number, messages)

    def _read_track(self, number: int, messages: Iterable[Any]) -> None:
        tick, program = 0, [0] * 16
        sounding: dict[tuple[int, int], deque] = defaultdict(deque)
        ended: dict[tuple[int, int], list[tuple]] = defaultdict(list)
        for message in messages:
            tick += message.time
            if message.type == "program_change":
                program[message.channel] = message.program
            if message.type not in ("note_on", "note_off"):
                continue
            waiting = sounding[message.channel, message.note]
            if message.type == "note_on" and message.velocity > 0:
                waiting.append((tick, message.velocity, program[message.channel]))
                if len(waiting) > 1:
                    for start, velocity, _ in waiting:
                        self.odd[start, message.note, velocity].add("overlap")
            elif waiting:
                ended[message.channel, message.note].append((waiting.popleft(), tick, program[message.channel]))
        for (channel, pitch), found in [*ended.items(), *((key, []) for key in sounding if key not in ended)]:
            hanging = sounding[channel, pitch]
            unsure = bool(hanging) or channel in self.silenced
            for note, end, at_end in [*found, *((note, tick, note[2]) for note in hanging)]:
                if unsure:
                    self.odd[note[0], pitch, note[1]].add("hanging")
                self._add(number, channel, pitch, note, None if unsure else end, at_end)

    def _add(self, number: int, channel: int, pitch: int, note: tuple, tick: int | None, program: int) -> None:
        start, velocity, program_on = note
        end = None if tick is None else max(start + 1, tick)
        self.notes[number, channel, start, end, pitch, velocity] += 1
        if tick == start:
            self.odd[start, pitch, velocity].add("zero_length")
        if program != program_on:
            self.odd[start, pitch, velocity].add("program_at_end")

    def lost(self, notes: Counter[tuple]) -> int:
        """How many notes are not those of the oracle, or the other way round."""
        unsure = {(n[0], n[1], n[4]) for n in self.notes if n[3] is None}
        own = Counter[tuple]()
        for note, count in notes.items():
            own[(*note[:3], None, *note[4:]) if (note[0], note[1], note[4]) in unsure else note] += count
        return (own - self.notes).total() + (self.notes - own).total()


def ours(path: Path) -> tuple[Counter[tuple], Counter[tuple], tuple[str, ...]]:
    """Our notes with track and channel, our notes with program and drums, and the warnings."""
    midi = read_midi_file(path, limits=LIMITS)
    piece, homes = piece_and_homes(midi, where=path, limits=LIMITS)
    by_home: Counter[tuple] = Counter()
    by_program: Counter[tuple] = Counter()
    for home, part in zip(homes, piece.tracks, strict=True):
        for start, duration, pitch, velocity in part.notes.tolist():
            by_home[*home, start, start + duration, pitch, velocity] += 1
            by_program[part.program, part.is_drum, start, start + duration, pitch, velocity] += 1
    return by_home, by_program, piece.warnings


def of_pretty_midi(midi: pretty_midi.PrettyMIDI) -> Iterator[tuple]:
    for part in midi.instruments:
        for n in part.notes:
            start, end = midi.time_to_tick(n.start), midi.time_to_tick(n.end)
            yield part.program, part.is_drum, start, end, n.pitch, n.velocity


def of_symusic(score: symusic.Score) -> Iterator[tuple]:
    for part in score.tracks:
        for n in part.notes:
            yield part.program, part.is_drum, n.time, n.time + n.duration, n.pitch, n.velocity


def categories(mine: Counter[tuple], theirs: Counter[tuple], oracle: Oracle) -> Counter[str]:
    """Why each note of ours is missing from theirs, or the other way round."""
    counts: Counter[str] = Counter()
    missing, extra = mine - theirs, theirs - mine
    without_program = Counter(n[1:] for n in extra.elements())
    as_drums = Counter(n[2:] for n in extra.elements())
    for note in missing.elements():
        traits = oracle.odd.get((note[2], note[4], note[5]), set())
        if without_program[note[1:]]:
            without_program[note[1:]] -= 1
            counts["program at the end of the note" if "program_at_end" in traits else "program of another track"] += 1
        elif as_drums[note[2:]] and not without_program[note[1:]]:
            as_drums[note[2:]] -= 1
            counts["drums by bank or message"] += 1
        elif "hanging" in traits:
            counts["hanging notes left out or ended elsewhere"] += 1
        elif "overlap" in traits:
            counts["overlapping notes of a pitch end together"] += 1
        elif "zero_length" in traits:
            counts["notes without length left out or 0 long"] += 1
        else:
            counts[UNEXPLAINED] += 1
    # An extra note that stands for no missing one would be a note that we lost.
    starts = Counter((n[2], n[4], n[5]) for n in missing.elements())
    for note in extra.elements():
        if not starts[note[2], note[4], note[5]]:
            counts[UNEXPLAINED] += 1
        starts[note[2], note[4], note[5]] -= 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    warnings.simplefilter("ignore")

    files, notes, ours_warned = 0, 0, Counter[str]()
    agree: dict[str, Counter[str]] = defaultdict(Counter)
    why: dict[str, Counter[str]] = defaultdict(Counter)
    files_with: dict[str, Counter[str]] = defaultdict(Counter)

    def settle(reader: str, path: Path, differences: Counter[str]) -> None:
        agree[reader]["differ" if differences else "agree"] += 1
        why[reader] += differences
        files_with[reader].update(differences.keys())
        if differences[UNEXPLAINED]:
            print(f"{UNEXPLAINED}\t{reader}\t{printable(path)}", file=sys.stderr)

    for path in spread(settings.data, settings.limit, random.Random(settings.seed)):
        files += 1
        try:
            by_home, by_program, warned = ours(path)
        except MusicgenError as error:
            settle("musicgen", path, Counter({f"refused: {error.what}": 1}))
            continue
        notes += by_home.total()
        ours_warned.update(w.split(":")[0] for w in warned)
        try:
            midi = mido.MidiFile(path)
        except Exception as error:  # whatever a foreign reader raises is its answer
            settle("mido", path, Counter({f"refused: {type(error).__name__}: {error}": 1}))
            continue
        oracle = Oracle(midi)
        lost = oracle.lost(by_home)
        settle("mido", path, Counter({UNEXPLAINED: lost} if lost else {}))
        for reader, read in (
            ("pretty_midi", lambda midi=midi: of_pretty_midi(pretty_midi.PrettyMIDI(mido_object=midi))),
            ("symusic", lambda path=path: of_symusic(symusic.Score(str(path), ttype="tick"))),
        ):
            try:
                theirs = Counter(read())
            except Exception as error:
                settle(reader, path, Counter({f"refused: {type(error).__name__}: {error}": 1}))
            else:
                settle(reader, path, categories(by_program, theirs, oracle))

    print(f"{files} files, {notes:,} notes")
    print("\nreader\tfiles that agree\tfiles that differ")
    for reader, counts in agree.items():
        print(f"{reader}\t{counts['agree']}\t{counts['differ']}")
    print("\nreader\tnotes\tfiles\tdifference")
    for reader, differences in why.items():
        for category, count in differences.most_common():
            print(f"{reader}\t{count}\t{files_with[reader][category]}\t{printable(category)}")
    print("\nfiles\twarning of ours")
    for name, count in ours_warned.most_common():
        print(f"{count}\t{name}")
    return 1 if any(d[UNEXPLAINED] for d in why.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

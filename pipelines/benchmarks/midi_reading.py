"""Notes a second from MIDI file to piece, to ids and back: ours beside mido and pretty_midi, on the same files.

    python pipelines/benchmarks/midi_reading.py --data ../shared/data --files 40 --rounds 3

One process, process CPU time, the readers interleaved in each round; medians over the rounds, and ratios.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import pretty_midi

from musicgen.io.midi import read_midi
from musicgen.tokenizers import Remi

REMI = Remi()


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(arguments)


def with_mido(path: str) -> int:
    """Notes of a file by a plain loop over mido's messages, as a user would write it."""
    count, open_notes = 0, {}
    for track in mido.MidiFile(path).tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on" and message.velocity:
                open_notes.setdefault((message.channel, message.note), []).append(tick)
            elif message.type in ("note_on", "note_off") and open_notes.get((message.channel, message.note)):
                open_notes[message.channel, message.note].pop(0)
                count += 1
    return count


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    warnings.simplefilter("ignore")
    files = sorted(str(p) for p in Path(options.data).rglob("*.mid"))
    if not files:
        print(f"no MIDI files under {options.data}", file=sys.stderr)
        return 3
    files = random.Random(0).sample(files, min(options.files, len(files)))
    pieces = [read_midi(f) for f in files]
    ids = [REMI.encode(p) for p in pieces]
    notes = sum(p.n_notes for p in pieces)
    ways: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "musicgen: file -> Piece": (read_midi, files),
        "mido: file -> notes": (with_mido, files),
        "pretty_midi: file -> object": (pretty_midi.PrettyMIDI, files),
        "musicgen: Piece -> remi ids": (REMI.encode, pieces),
        "musicgen: remi ids -> Piece": (REMI.decode, ids),
        "musicgen: file -> remi ids": (lambda f: REMI.encode(read_midi(f)), files),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (way, items) in ways.items():
            begun = time.process_time()
            for item in items:
                way(item)
            speeds[name].append(notes / (time.process_time() - begun))
    base = statistics.median(speeds["mido: file -> notes"])
    print(f"{len(files)} files, {notes:,} notes, {options.rounds} rounds, medians")
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"{name:<32}{median:>12,.0f} notes/s {median / base:>8.1f} x mido")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

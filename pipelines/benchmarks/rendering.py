"""How many times faster than it sounds a piece is rendered: our player beside FluidSynth, by CPU time.

    python pipelines/benchmarks/rendering.py --seconds 180 --rounds 3

Nine tracks (see `generated.nine_tracks`), the same SoundFont and rate for both, into memory or to the null device:
reading the SoundFont and the piece counts, writing audio doesn't. FluidSynth is measured with its reverberation and
chorus off, since ours has none, and as it comes. Ours renders its loudest blocks first, to set the level.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated import nine_tracks
from measure import header, interleave, parser, ratio, table, versus

from musicgen.io import write
from musicgen.piece import Piece
from musicgen.render.soundfont import find_soundfont
from musicgen.render.synth import synthesize

TARGET = 40  # times real time


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended: FluidSynth is one."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ours(piece: Piece, soundfont: Path, rate: int) -> Callable[[], Any]:
    """A way to measure: every block of the piece, by the player of ours."""

    def way() -> None:
        for _ in synthesize(piece, soundfont=soundfont, rate=rate, engine="numpy"):
            pass

    return way


def fluidsynth(program: str, midi: Path, soundfont: Path, *, rate: int, effects: bool) -> Callable[[], Any]:
    """A way to measure: the `fluidsynth` command on one core, 16-bit samples to the null device."""
    switch = "1" if effects else "0"
    command = [program, "-n", "-i", "-q", "-r", str(rate), "-R", switch, "-C", switch]
    command += ["-o", "synth.cpu-cores=1", "-T", "raw", "-F", os.devnull, str(soundfont), str(midi)]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, help="length of the piece")
    made.add_argument("--rate", type=int, default=44100, help="frames a second")
    made.add_argument("--soundfont", help="an .sf2 file; default: the one that musicgen finds")
    chosen = made.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    piece = nine_tracks(chosen.seconds or (60.0 if chosen.quick else 180.0))
    font, rate = find_soundfont(chosen.soundfont), chosen.rate
    header("Rendering", "numpy")
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder, "nine.mid")
        write(piece, midi)
        ways = {"musicgen's player": ours(piece, font, rate)}
        program = shutil.which("fluidsynth")
        if program is None:
            print("no column for FluidSynth: there is no `fluidsynth` command here (Debian: apt install fluidsynth)\n")
        else:
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            print(next((line for line in version.splitlines() if "version" in line), "FluidSynth of unknown version"))
            ways["FluidSynth, effects off"] = fluidsynth(program, midi, font, rate=rate, effects=False)
            ways["FluidSynth as it comes"] = fluidsynth(program, midi, font, rate=rate, effects=True)
        seconds = interleave(ways, rounds=rounds, clock=cpu_seconds)
    print(f"{len(piece.tracks)} tracks, {piece.n_notes:,} notes, {piece.seconds:.0f} s at {rate} Hz, {font.name}\n")
    own = next(iter(seconds.values()))
    rows = []
    for name, spent in seconds.items():
        speed = spent.each(lambda s: piece.seconds / s)
        rows.append([name, spent.show(".2f"), speed.show(".0f"), f"{ratio(own, spent):.2f} x"])
    table(["player", "s of CPU", "times real time", "speed against ours"], rows)
    print(f"\nours: {versus(piece.seconds / own.median, TARGET, unit='x real time', form='.0f')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

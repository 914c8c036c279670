"""`continue` over varied real files: zero failures, and every source event before the cut is there, tick for tick.

    python pipelines/torture/continue_many.py --data ../shared/data --limit 40

Prints a line a file: notes, resolution, format, meter, minutes, seconds taken, new notes, verdict. The preservation
check reads both files with mido, not with our reader. Exit code 1 when anything failed.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from pathlib import Path
from typing import Any

import mido
import torch

from musicgen.composer import Composer, Source
from musicgen.errors import MusicgenError
from musicgen.io.smf import smf_bytes
from musicgen.sampling.request import Request

FOLDERS = ("mutopia_pd", "giantmidi_piano", "piano_midi_de", "nottingham", "polish_scores", "noncommercial")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="default")
    parser.add_argument("files", nargs="*")
    return parser.parse_args(arguments)


def choose(data: Path, limit: int, seed: int) -> list[Path]:
    """The longest file and a random sample of every folder."""
    rng, chosen = random.Random(seed), []
    folders = [data / name for name in FOLDERS if (data / name).is_dir()]
    for folder in folders:
        files = sorted(folder.rglob("*.mid"))
        share = max(1, limit // len(folders))
        chosen += [max(files, key=lambda p: p.stat().st_size), *rng.sample(files, min(share, len(files)))]
    return chosen[: limit + len(folders)]


def events(data: bytes, until: int) -> list[list[tuple[int, Any]]]:
    """(tick, message) of every event before a tick, by track, as mido reads them."""
    midi = mido.MidiFile(file=io.BytesIO(data), clip=True)
    tracks = []
    for track in midi.tracks:
        tick, kept = 0, []
        for message in track:
            tick += message.time
            if tick < until and message.type != "end_of_track":
                kept.append((tick, message.copy(time=0)))
        tracks.append(kept)
    return tracks


def verdict(source: bytes, result: bytes, cut: int) -> str:
    """`kept`, or what is missing."""
    before, after = events(source, cut), events(result, cut)
    if len(after) < len(before):
        return f"{len(before) - len(after)} tracks missing"
    for number, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return f"track {number} differs"
    return "kept"


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    composer = Composer.load(options.model)
    files = [Path(f) for f in options.files] or choose(Path(options.data), options.limit, options.seed)
    failed, slowest = 0, 0.0
    print("notes\ttpq\tformat\tmeter\tminutes\tseconds\tadded\tverdict\tfile")
    for number, path in enumerate(files):
        begun = time.monotonic()
        try:
            source = Source.read(path)
            take = next(composer.takes(source, request=Request(), seed=number))
            result = smf_bytes(take.midi)
            seconds = time.monotonic() - begun
            said = verdict(path.read_bytes(), result, take.facts["cut_tick"])
            if take.faults:
                said = "; ".join(take.faults)
            piece = source.piece
            meter = "{}/{}".format(*piece.meter_at(piece.end))
            row = [piece.n_notes, piece.ticks_per_quarter, source.midi.format, meter, f"{piece.seconds / 60:.1f}"]
            print(*row, f"{seconds:.2f}", take.facts["notes_added"], said, path.name, sep="\t", flush=True)
            failed += said != "kept"
            slowest = max(slowest, seconds)
        except (MusicgenError, OSError, ValueError, KeyError, EOFError) as error:
            failed += 1
            print(f"FAILED\t{path}\t{type(error).__name__}: {error}", flush=True)
    print(f"{len(files)} files, {failed} failed, slowest {slowest:.2f} s", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

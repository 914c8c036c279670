"""Continue every MIDI file of a folder: skip what is done, report a line for each, go on after failures.

    python pipelines/continue_folder.py drafts/ --out continued/ --bars 8 --takes 1 --seed 0

The report goes to stdout, tab-separated: status, file, new notes, seconds, message. Exit code 1 when some files
failed, 0 otherwise. Run it again to do what is missing: a file is done when all its takes are there, each of which
appears with its facts. The seed of a file is --seed plus its number in the sorted list, so a run is repeatable.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from musicgen.composer import Composer
from musicgen.corpus.scan import MIDI_SUFFIXES, find_files
from musicgen.errors import CheckError, MusicgenError, UnreadableError, printable
from musicgen.io.atomic import keep_inputs


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--out", required=True, help="outputs lie here in the same subfolders")
    parser.add_argument("--model", default="default")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--takes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=None, help="only the first N files")
    return parser.parse_args(arguments)


def continue_one(composer: Composer, path: Path, outputs: list[Path], *, bars: int, seed: int) -> int:
    """Write all takes of one file. Returns the number of new notes. Raises MusicgenError."""
    outputs[0].parent.mkdir(parents=True, exist_ok=True)
    takes = composer.continue_(path, bars=bars, seed=seed, takes=len(outputs))
    added = sum(take.save(output, overwrite=True)["notes_added"] for output, take in zip(outputs, takes, strict=True))
    if broken := sum(bool(take.faults) for take in takes):
        raise CheckError(f"{broken} of {len(takes)} takes failed their check, as their .json say")
    return int(added)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    composer = Composer.load(options.model)
    files = [found.path for found in find_files([options.folder], suffixes=MIDI_SUFFIXES)][: options.limit]
    if not files:
        raise UnreadableError("no MIDI files in this folder", where=options.folder, hint="check the path")
    counts = {"done": 0, "skipped": 0, "failed": 0}
    numbers = [""] if options.takes == 1 else [f".{k + 1}" for k in range(options.takes)]
    print("status\tfile\tnotes_added\tseconds\tmessage")
    for number, path in enumerate(files):
        name = path.relative_to(options.folder)
        outputs = [Path(options.out, name.parent, f"{name.stem}.continued{k}.mid") for k in numbers]
        begun, added, message, status = time.monotonic(), 0, "", "skipped"
        try:
            keep_inputs(outputs, files)
            if not all(output.is_file() for output in outputs):
                seed = options.seed + number * options.takes
                added, status = continue_one(composer, path, outputs, bars=options.bars, seed=seed), "done"
        except MusicgenError as error:
            status, message = "failed", str(error)
        counts[status] += 1
        print(f"{status}\t{printable(name)}\t{added}\t{time.monotonic() - begun:.2f}\t{message}", flush=True)
    print(", ".join(f"{count} {status}" for status, count in counts.items()), file=sys.stderr)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MusicgenError as error:
        print(f"continue_folder: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""Continue every MIDI file of a folder: skip what is done, report a line for each, go on after failures.

    python pipelines/continue_folder.py drafts/ --out continued/ --bars 8 --takes 1 --seed 0

The report goes to stdout, tab-separated: status, file, new notes, seconds, message. Exit code 1 when some files
failed, 0 otherwise. Run it again to do what is missing: a file is done when its sidecar is there, which is written
last. The seed of a file is --seed plus its number in the sorted list, so a run is repeatable.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from musicgen.composer import Composer, Source, read_source
from musicgen.corpus.scan import MIDI_SUFFIXES, find_files
from musicgen.errors import CheckError, MusicgenError, UnreadableError, printable
from musicgen.io.atomic import json_bytes, keep_inputs, together
from musicgen.io.smf import smf_bytes
from musicgen.resources import run_files
from musicgen.sampling.continuation import Request


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


def outputs(target: Path, takes: int) -> list[tuple[Path, Path]]:
    """The MIDI file and the sidecar of each take."""
    names = [target.name] if takes == 1 else [f"{target.name}.{k + 1}" for k in range(takes)]
    return [(target.with_name(f"{name}.mid"), target.with_name(f"{name}.json")) for name in names]


def continue_one(
    composer: Composer, source: Source, target: Path, *, request: Request, seed: int, takes: int, inputs: list[Path]
) -> int:
    """Write all takes of one file; the sidecars last. Returns the number of new notes. Raises MusicgenError."""
    added, broken = 0, 0
    files = outputs(target, takes)
    keep_inputs([path for pair in files for path in pair], inputs)
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = composer.takes(source, request=request, seed=seed, count=takes)
    for (midi, sidecar), take in zip(files, drawn, strict=True):
        with together([midi, sidecar], overwrite=True) as (music, facts):
            music.write_bytes(smf_bytes(take.midi))
            facts.write_bytes(json_bytes(take.facts))
        added += take.facts["notes_added"]
        broken += bool(take.faults)
    if broken:
        raise CheckError(f"{broken} of {takes} takes failed their check, as their .json say")
    return added


def is_done(target: Path, takes: int) -> bool:
    return all(sidecar.is_file() for _, sidecar in outputs(target, takes))


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    torch.set_num_threads(1)
    composer = Composer.load(options.model)
    request = Request(bars=options.bars)
    files = [found.path for found in find_files([options.folder], suffixes=MIDI_SUFFIXES)][: options.limit]
    if not files:
        raise UnreadableError("no MIDI files in this folder", where=options.folder, hint="check the path")
    counts = {"done": 0, "skipped": 0, "failed": 0}
    print("status\tfile\tnotes_added\tseconds\tmessage")
    for number, path in enumerate(files):
        name = path.relative_to(options.folder)
        target = Path(options.out) / name.with_suffix(".continued")
        begun, added, message = time.monotonic(), 0, ""
        if is_done(target, options.takes):
            status = "skipped"
        else:
            try:
                added = continue_one(
                    composer,
                    read_source(path),
                    target,
                    request=request,
                    seed=options.seed + number * options.takes,
                    takes=options.takes,
                    inputs=[*files, *run_files(options.model)],
                )
                status = "done"
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

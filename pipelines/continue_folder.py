"""Continue every MIDI file of a folder: skip what is done, report a line for each, go on after failures.

    python pipelines/continue_folder.py drafts/ --out continued/ --bars 8 --takes 1 --seed 0

The report goes to stdout, tab-separated: status, file, new notes, seconds, message. Exit code 1 when some files
failed, 0 otherwise. Run it again to do what is missing: a file is done when all its takes are there, each of which
appears with its facts. The seed of a file is --seed plus its number in the sorted list, so a run is repeatable. Files
are continued in processes of their own: one that crashes or hangs is reported, and the others go on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from continuing import Continuing, Done, Draft

from musicgen.checkpoint import load_run
from musicgen.corpus.scan import MIDI_SUFFIXES, find_files
from musicgen.errors import MusicgenError, UnreadableError, printable
from musicgen.io.atomic import keep_inputs
from musicgen.workers import Failure, Pool


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--out", required=True, help="outputs lie here in the same subfolders")
    parser.add_argument("--model", default="default")
    parser.add_argument("--bars", type=int, default=8)
    parser.add_argument("--takes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes that work at once")
    parser.add_argument("--seconds", type=float, default=600.0, help="after which a file is given up")
    parser.add_argument("--limit", type=int, default=None, help="only the first N files")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    files = [found.path for found in find_files([options.folder], suffixes=MIDI_SUFFIXES)][: options.limit]
    if not files:
        raise UnreadableError("no MIDI files in this folder", where=options.folder, hint="check the path")
    load_run(options.model)  # one that isn't there is told once, not for every file
    numbers = [""] if options.takes == 1 else [f".{k + 1}" for k in range(options.takes)]
    known: dict[Path, Done | None] = {}  # of files that are not to be continued; None: they are done
    drafts: list[Draft] = []
    for number, path in enumerate(files):
        name = path.relative_to(options.folder)
        outputs = [Path(options.out, name.parent, f"{name.stem}.continued{k}.mid") for k in numbers]
        try:
            keep_inputs(outputs, files)
        except MusicgenError as error:
            known[path] = Done(0, 0.0, str(error))
            continue
        if all(output.is_file() for output in outputs) or any(draft.outputs == outputs for draft in drafts):
            known[path] = None
        else:
            drafts.append(Draft(path, outputs, options.seed + number * options.takes))
    pool = Pool(jobs=options.jobs, wall_s=options.seconds, memory=None, in_order=True)
    came = pool.each(Continuing(options.model, options.bars), drafts)
    counts = {"done": 0, "skipped": 0, "failed": 0}
    print("status\tfile\tnotes_added\tseconds\tmessage")
    for path in files:
        got = known[path] if path in known else next(came)[1]
        done = Done(0, 0.0, got.reason) if isinstance(got, Failure) else got or Done(0, 0.0)
        status = "skipped" if got is None else "failed" if done.error else "done"
        counts[status] += 1
        name = printable(path.relative_to(options.folder))
        print(f"{status}\t{name}\t{done.notes_added}\t{done.seconds:.2f}\t{done.error}", flush=True)
    print(", ".join(f"{count} {status}" for status, count in counts.items()), file=sys.stderr)
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MusicgenError as error:
        print(f"continue_folder: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

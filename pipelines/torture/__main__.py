"""All that is done to musicgen on purpose, as one table; what `make torture` runs.

    python pipelines/torture
    python pipelines/torture --only oracles --share 0.1

To add to it: a module in this folder with `rows(plan)`, and its name in MODULES (see `table.py`). Exit code 1 when
anything failed.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from table import Plan, Row, print_table

MODULES = ("runs", "builds", "folders", "oracles", "midi_files", "scores")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODULES, metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of tries, such as 0.1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Plan().data)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        for name in options.only or MODULES:
            plan = Plan(options.share, options.seed, options.data, Path(scratch, name))
            plan.scratch.mkdir()
            for row in importlib.import_module(name).rows(plan):
                print(f"{row.name}: {row.failed:,} of {row.tried:,} failed, {row.seconds:.0f} s", file=sys.stderr)
                rows.append(row)
    print_table(rows)
    return 1 if any(row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Keeps the course in docs/course/ true: its line numbers, notebooks, figures and pictures.

    python pipelines/course pages --write          after a refactoring, or when a page was edited
    python pipelines/course figures [LESSON ..]    runs the lessons' code with three seeds: 25 minutes of one core
    python pipelines/course notebooks [LESSON ..]  runs the notebooks on the short budget; --full as a reader does
    python pipelines/course commands [LESSON ..]   runs the commands of the pages in a new folder

Without --write, `pages` says what is stale and exits with 1. LESSON is the beginning of a name, such as 03.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lessons import COURSE, ROOT, Lesson, Stale, lessons, notebook_text, with_figures, with_lines

FIGURES = COURSE / "figures.json"
SEEDS = (0, 1, 2)
CHECK_FAILED = 4
# Runs a lesson's code and prints what it leaves in `figures` as the last line of its output.
HARNESS = """\
import json, sys
exec(sys.stdin.read())
print("\\n" + json.dumps({name: float(value) for name, value in figures.items()}))
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pages", "figures", "notebooks", "commands"])
    parser.add_argument("lessons", nargs="*", metavar="LESSON")
    parser.add_argument("--write", action="store_true", help="pages: write what is stale")
    parser.add_argument("--jobs", type=int, default=1, help="figures: seeds at a time")
    parser.add_argument("--full", action="store_true", help="notebooks: on the full budget")
    options = parser.parse_args(arguments)
    chosen = [page for page in lessons() if not options.lessons or page.name.startswith(tuple(options.lessons))]
    if options.what == "pages":
        return pages(write=options.write)
    if options.what == "figures":
        return measured(chosen, jobs=options.jobs) or pages(write=True)
    return notebooks(chosen, full=options.full) if options.what == "notebooks" else commands(chosen)


# ---- pages -------------------------------------------------------------------------------------------------


def pages(*, write: bool) -> int:
    """Bring all pages and notebooks up to date, or say which aren't; the exit code."""
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    wrong = 0
    for path, text in expected(known):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if write:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        else:
            wrong += 1
            print(f"{path.relative_to(ROOT)} is stale: run `python pipelines/course pages --write`")
    return 1 if wrong else 0


def expected(known: dict[str, dict[str, list[float]]]) -> Iterable[tuple[Path, str]]:
    """(path, what should be in it) of every page and notebook; `known` are the figures by lesson."""
    for path in sorted(COURSE.glob("*.md")):
        text = with_lines(path.read_text(encoding="utf-8"))
        if path.stem in known:
            text = with_figures(text, known[path.stem])
        yield path, text
        lesson = Lesson(path, text)
        if lesson in lessons() or (lesson.code and path.name[0].isdigit()):
            yield path.with_suffix(".ipynb"), notebook_text(lesson)


# ---- figures -----------------------------------------------------------------------------------------------


def measured(chosen: list[Lesson], *, jobs: int) -> int:
    """Run the lessons' code with each seed, `jobs` at a time; keep figures, and the pictures of the first seed."""
    with tempfile.TemporaryDirectory(prefix="course-") as work, ThreadPoolExecutor(jobs) as pool:
        for lesson in chosen:
            begun = time.perf_counter()
            values: dict[str, list[float]] = {}
            for seed, done in zip(SEEDS, pool.map(partial(_with_seed, lesson, work=work), SEEDS), strict=True):
                if done.returncode:
                    print(done.stderr[-3000:], file=sys.stderr)
                    print(f"{lesson.name}, seed {seed}: failed", file=sys.stderr)
                    return 1
                for name, value in json.loads(done.stdout.splitlines()[-1]).items():
                    values.setdefault(name, []).append(float(f"{value:.6g}"))
            for picture in sorted(Path(work, str(SEEDS[0])).glob(f"pictures/{lesson.name[:2]}-*.png")):
                (COURSE / "pictures" / picture.name).write_bytes(picture.read_bytes())
            known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
            known = dict(sorted({**known, lesson.name: values}.items()))
            FIGURES.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{lesson.name}: {time.perf_counter() - begun:.0f} s", flush=True)
    return 0


def _with_seed(lesson: Lesson, seed: int, *, work: str) -> subprocess.CompletedProcess[str]:
    """Run a lesson's code as a program of its own, in a folder of the seed's own."""
    path = os.pathsep.join(filter(None, [str(COURSE), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    course = {"COURSE_SEED": str(seed), "COURSE_WORK": str(Path(work, str(seed))), "COURSE_BUDGET": "full"}
    whole = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path, **course}
    command = [sys.executable, "-c", HARNESS]
    return subprocess.run(
        command, input=lesson.code, env=whole, cwd=COURSE, capture_output=True, text=True, check=False
    )


# ---- as a reader does --------------------------------------------------------------------------------------


def notebooks(chosen: list[Lesson], *, full: bool) -> int:
    """Run the notebooks by a kernel, as Jupyter does; say how long each took."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    failed = 0
    with tempfile.TemporaryDirectory(prefix="course-") as work:
        os.environ |= {"COURSE_WORK": work, "COURSE_BUDGET": "full" if full else "short"}
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        for lesson in chosen:
            begun = time.perf_counter()
            notebook = nbformat.read(lesson.path.with_suffix(".ipynb"), as_version=4)
            try:
                NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(COURSE)}}).execute()
                verdict = "ok"
            except CellExecutionError as error:
                failed, verdict = failed + 1, f"failed: {error}"
            print(f"{lesson.name}: {verdict}, {time.perf_counter() - begun:.0f} s", flush=True)
    return 1 if failed else 0


def commands(chosen: list[Lesson]) -> int:
    """Run the commands of the pages one after another in one new folder, as a reader of a fresh clone does."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        (Path(folder) / "docs").symlink_to(ROOT / "docs")
        bin_folder = Path(folder) / "bin"
        bin_folder.mkdir()
        script = bin_folder / "musicgen"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m musicgen "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
        sources = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        for lesson in chosen:
            for command in lesson.commands:
                begun = time.perf_counter()
                environment = {**os.environ, "PATH": path, "PYTHONPATH": sources}
                done = subprocess.run(
                    ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                # A small model's music may fail its check; it is written all the same.
                good = done.returncode == 0 or (done.returncode == CHECK_FAILED and " continue " in command)
                verdict = "ok" if done.returncode == 0 else f"exit code {done.returncode}"
                failed += not good
                print(f"{verdict:>12}  {time.perf_counter() - begun:5.1f} s  {command}", flush=True)
                if not good:
                    print(done.stdout[-2000:] + done.stderr[-2000:])
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stale as error:
        sys.exit(str(error))

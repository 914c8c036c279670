"""The course in docs/course/: its pages agree with the code, the notebooks with the pages, and all of it runs."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from musicgen.cli.main import cli

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "docs" / "course"
PAGES = sorted(COURSE.glob("*.md"))
LESSONS = [path.stem for path in PAGES if path.with_suffix(".ipynb").exists()]
FIGURES = json.loads((COURSE / "figures.json").read_text(encoding="utf-8"))
PARTS = ("The idea", "The lines that compute it", "By hand", "The commands", "What to expect", "Exercises")
REFRESH = "run `python pipelines/course pages --write`"


@pytest.fixture
def script(module):
    return module("course", "lessons")


@pytest.fixture
def lessons(script):
    return {page.name: page for page in script.lessons()}


def shown(text: str) -> list[str]:
    """The pictures that a page shows."""
    return re.findall(r"\(pictures/([\w-]+\.png)\)", text)


# ---- pages and notebooks ---------------------------------------------------------------------------------


def test_there_are_ten_lessons_and_each_has_its_figures():
    assert len(LESSONS) == 10
    assert sorted(FIGURES) == LESSONS


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_quoted_lines_stand_where_the_page_says(script, path):
    text = path.read_text(encoding="utf-8")
    assert script.with_lines(text) == text, f"line numbers have moved: {REFRESH}"


@pytest.mark.parametrize("name", LESSONS)
def test_a_page_has_the_figures_that_were_measured_and_its_notebook_is_made_of_it(script, lessons, name):
    page = lessons[name]
    assert script.with_figures(page.text, FIGURES[name]) == page.text, f"the table is stale: {REFRESH}"
    notebook = page.path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert script.notebook_text(page) == notebook, f"the notebook is stale: {REFRESH}"


def test_notebooks_are_valid_and_their_cells_are_the_page(lessons):
    import nbformat

    for page in lessons.values():
        notebook = nbformat.read(page.path.with_suffix(".ipynb"), as_version=4)
        nbformat.validate(notebook)
        assert "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code") == page.code
        assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_all_its_parts(lessons, script, name):
    page = lessons[name]
    headings = re.findall(r"^## (.*)$", page.text, re.M)
    assert [part for part in PARTS if not any(heading.startswith(part) for heading in headings)] == []
    assert page.text.count("$$") >= 2
    assert script.QUOTE.search(page.text)
    assert page.commands
    assert "blation" in page.text
    assert page.text.count("<details><summary>Solution</summary>") == 2
    assert len(page.solutions) == 2
    assert "**Sources.**" in page.text


def test_links_lead_somewhere_and_pictures_are_small():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (COURSE / target).exists(), f"{path.name} links to {target}"
    pictures = list((COURSE / "pictures").glob("*.png"))
    assert {name for path in PAGES for name in shown(path.read_text(encoding="utf-8"))} == {p.name for p in pictures}
    assert max(path.stat().st_size for path in pictures) < 60_000
    assert sum(path.stat().st_size for path in pictures) < 2_000_000


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_equations_have_nothing_that_markdown_takes_for_its_own(path):
    """GitHub reads Markdown first: a backslash before punctuation vanishes, and `<` may begin a tag."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    text = re.sub(r"`[^`\n]*`", "", text)
    blocks = re.findall(r"\$\$(.*?)\$\$", text, re.S)
    inline = re.findall(r"\$([^$\n]+)\$", re.sub(r"\$\$.*?\$\$", "", text, flags=re.S))
    for equation in [*blocks, *inline]:
        assert not re.search(r"\\[^A-Za-z]|[<>*]", equation), equation
        assert equation.count("{") == equation.count("}"), equation
        assert len(re.findall(r"\\left(?![a-z])", equation)) == len(re.findall(r"\\right(?![a-z])", equation)), equation


# ---- quoted lines ----------------------------------------------------------------------------------------


def test_a_line_that_moved_gets_its_new_number(script):
    text = "[`musicgen/seeds.py:1`](../../musicgen/seeds.py#L1): `MOST_SEED = `"
    mended = script.with_lines(text)
    number = int(re.search(r":(\d+)`", mended)[1])
    assert "MOST_SEED = " in (ROOT / "musicgen" / "seeds.py").read_text().splitlines()[number - 1]
    assert f"seeds.py#L{number})" in mended


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("musicgen/seeds.py", "no such line", "musicgen/seeds.py has 0 lines with this code: quote one"),
        ("musicgen/seeds.py", "SEED", "lines with this code: quote one that it has once: SEED"),
        ("musicgen/nowhere.py", "x = 1", "there is no musicgen/nowhere.py: quote the line where it is now"),
    ],
)
def test_a_line_that_is_gone_is_told(script, path, code, said):
    with pytest.raises(script.Stale, match=re.escape(said)):
        script.with_lines(f"[`{path}:1`](../../{path}#L1): `{code}`")


def test_a_table_of_figures_has_mean_and_spread(script):
    lines = script.table({"nats": [1.0, 2.0, 3.0], "tiny": [1e-9, 3e-9], "steps": [1200.0, 1200.0]}).splitlines()
    assert lines[2:] == ["| nats | 2.000 | 1.000 |", "| tiny | 2.0e-09 | 1.4e-09 |", "| steps | 1,200 | 0 |"]


# ---- what readers run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("course")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_and_its_solutions_run_on_the_short_budget(lessons, name, work, monkeypatch, capsys):
    import matplotlib.pyplot as plt

    monkeypatch.setenv("COURSE_BUDGET", "short")
    monkeypatch.setenv("COURSE_WORK", str(work))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.syspath_prepend(COURSE)
    monkeypatch.delitem(sys.modules, "lesson", raising=False)
    page, names = lessons[name], {}
    exec(compile(page.code, name, "exec"), names)
    assert list(names["figures"]) == list(FIGURES[name]), "the page has figures that were not measured"
    assert all(math.isfinite(value) for value in names["figures"].values())
    assert {path.name for path in (work / "pictures").glob(f"{name[:2]}-*.png")} == set(shown(page.text))
    for number, solution in enumerate(page.solutions, 1):
        exec(compile(solution, f"{name}, solution {number}", "exec"), names)
    plt.close("all")


def test_commands_are_ones_that_musicgen_has(lessons):
    """Parsed as click does, without being run."""
    commands = [line for page in lessons.values() for line in page.commands]
    research = (COURSE / "11-research.md").read_text(encoding="utf-8")
    commands += [line[2:] for line in research.splitlines() if line.startswith("$ ")]
    assert len(commands) > 20
    for line in commands:
        name, *words = shlex.split(line)
        assert name == "musicgen"
        group: click.Command = cli
        while isinstance(group, click.Group):
            word, *words = words
            group = group.get_command(click.Context(group), word) or pytest.fail(line)
        group.make_context(word, words)

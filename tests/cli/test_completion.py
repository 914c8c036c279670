"""What a shell offers, as bash asks for it; and that asking costs little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from musicgen import plugins
from musicgen.cli import completion
from musicgen.cli.task_options import TASK_OPTIONS
from musicgen.corpus.catalog import catalogue
from musicgen.gm import find_program
from musicgen.models.presets import PRESETS, SIZES
from musicgen.models.tasks.registry import TASK_MODELS
from musicgen.plugins import BUILT_IN
from musicgen.tasks.registry import TASKS
from musicgen.tokenizers import TOKENIZERS
from musicgen.training.board import LOGS

ASK = """
import sys
from musicgen.cli.main import main
try:
    main()
finally:
    heavy = {"torch", "numpy", "music21", "soundfile", "pretty_midi", "rich"} & set(sys.modules)
    sys.stderr.write(" ".join(sorted(heavy)))
"""


def offered(words: str, folder: Path) -> list[str]:
    """What may follow `words`, the last of which has begun (it is empty behind a space); `file` for files."""
    count = len(words.split(" ")) - 1
    asked = {"_MUSICGEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **asked}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "", f"imported {done.stderr}"
    rows = [line.split(",", 1) for line in done.stdout.splitlines() if line]
    return [value if kind == "plain" else kind for kind, value in rows]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("musicgen con", ["continue"]),
        ("musicgen train songs --model ", list(PRESETS)),
        ("musicgen train songs --model c", ["cnn", "cnn-lstm"]),
        ("musicgen train songs --preset ", list(SIZES)),
        ("musicgen train songs --task cl", ["classify"]),
        ("musicgen train songs --tokenizer p", ["parts", "performance"]),
        ("musicgen corpus build songs --tokenizer r", ["remi"]),
        ("musicgen train songs --from d", ["default"]),
        ("musicgen train bach", ["bach-chorales"]),
        ("musicgen corpus build songs open", ["openewld-pd", "openscore-lieder", "openscore-stringquartets"]),
        ("musicgen corpus fetch v", ["vienna4x22"]),
        ("musicgen continue schu", ["schubert-unfinished"]),
        ("musicgen inspect schu", ["schubert-unfinished"]),
        ("musicgen render schu", ["schubert-unfinished"]),
        ("musicgen continue x.mid -m d", ["default"]),
        ("musicgen models show d", ["default"]),
        ("musicgen evaluate d", ["default"]),
        ("musicgen evaluate default --split t", ["train", "test"]),
        ("musicgen continue x.mid --device c", ["cpu", "cuda"]),
        ("musicgen continue x.mid -f mid,", ["mid,mid", "mid,wav", "mid,flac", "mid,ogg", "mid,html", "mid,abc"]),
        ("musicgen generate --tracks violin,ce", ["violin,cello"]),
        ("musicgen continue x.mid --played ", ["auto", "yes", "no"]),
        ("musicgen continue songs/", ["file"]),
        ("musicgen inspect x.mid --pictu", ["--pictures"]),
    ],
)
def test_a_shell_is_offered_what_is_known(tmp_path, words, expected):
    assert offered(words, tmp_path) == expected


def test_files_stand_beside_names(tmp_path):
    (tmp_path / "schumann.mid").touch()
    (tmp_path / "schubert").mkdir()
    (tmp_path / ".schu.mid").touch()
    found = offered("musicgen continue schu", tmp_path)
    assert found == ["schubert-unfinished", "schubert/", "schumann.mid"]
    assert "schumann.mid" in offered("musicgen continue ", tmp_path)


def test_runs_of_ones_own_are_models(tmp_path):
    (tmp_path / "folk").mkdir()
    (tmp_path / "folk" / "recipe.toml").touch()
    assert offered("musicgen continue x.mid -m fo", tmp_path)[0] == "folk"


def test_a_wrong_command_before_it_is_no_crash(tmp_path):
    assert offered("musicgen cont x.mid --ba", tmp_path) == []


def test_the_names_are_those_that_there_are():
    assert list(BUILT_IN[plugins.FAMILIES]) == list(PRESETS)
    assert completion.SIZES == SIZES
    assert completion.LOGS == LOGS
    assert sorted(completion.TASKS) == sorted(TASK_MODELS) == sorted(TASK_OPTIONS) == sorted(TASKS)
    assert sorted(BUILT_IN[plugins.TOKENIZERS]) == sorted(TOKENIZERS)
    assert completion.catalogue_names() == [entry.name for entry in catalogue()]
    assert all(find_program(name) >= 0 for name in completion.instruments())


@pytest.mark.parametrize(("shell", "said"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")])
def test_shells_get_their_script(tmp_path, shell, said):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "_MUSICGEN_COMPLETE": f"{shell}_source"}
    command = [sys.executable, "-m", "musicgen"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert said in done.stdout

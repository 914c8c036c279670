"""What a type checker says of a program that uses the public names."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = """
from pathlib import Path

import musicgen
from musicgen import Composer, Corpus, Evaluation, Listener, MusicgenError, Piece, Request, Source, Studying, Take
from musicgen import Track, Trained, build_corpus, evaluate, read, render_file, train, write, write_page

piece: Piece = read("piece.mid")
notes: int = piece.n_notes
tracks: tuple[Track, ...] = piece.tracks
takes: list[Take] = Composer.load().continue_(Path("piece.mid"), bars=4, seed=3, studying=Studying(updates=9))
take = next(Composer.load().takes(Source.of_piece(piece), request=Request(bars=4)))
whole: Piece = take.piece
facts = take.save("more.mid", formats=["wav"], overwrite=True)
notes = int(facts["notes_added"])
write(whole, "whole.mid")
warned: tuple[str, ...] = write_page([take, whole, "more.mid"], "heard.html", overwrite=True).warnings
seconds: float = render_file(whole, "whole.wav", rate=48000)
corpus: Corpus = build_corpus(["songs"], "corpus", jobs=2)
trained: Trained = train("corpus", output="run", model="lstm", changes={"train.carry": True}, listener=print)
nats: float | None = trained.valid_nats_per_token
measured: Evaluation = evaluate(trained.folder, split="test", baseline=True)
perplexity: float = measured.figures.perplexity
problem: MusicgenError
version: str = musicgen.__version__
"""
MISTAKES = [
    ("words: str = piece.n_notes", 'expression has type "int", variable has type "str"'),
    ("read(7)", 'Argument 1 to "read" has incompatible type "int"'),
    ('musicgen.train("songs", "run")', 'Too many positional arguments for "train"'),
    ("musicgen.raed", 'Module has no attribute "raed"'),
    ("take.safe", '"Take" has no attribute "safe"'),
]


def checked(program: str, folder: Path) -> str:
    """What mypy prints, but for its last line. The project's own settings and cache, for torch takes long to read."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--show-error-codes"]
    command += ["--cache-dir", ROOT / ".mypy_cache", "--no-error-summary", folder / "program.py"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_public_names_have_their_types_and_mistakes_are_found(tmp_path):
    found = checked(PROGRAM + "\n".join(line for line, _ in MISTAKES) + "\n", tmp_path).splitlines()
    errors = [line for line in found if ": error: " in line]
    assert len(errors) == len(MISTAKES), found  # none in the program, and one in each line behind it
    for error, (_, text) in zip(errors, MISTAKES, strict=True):
        assert text in error

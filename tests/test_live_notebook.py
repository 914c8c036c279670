"""A notebook in a live kernel: a piece is shown and played, a model trains with one bar, and a take is heard."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CELLS = (
    "import musicgen\npiece = musicgen.read('schubert-unfinished')\npiece",
    "piece.play()",
    "for n in range(6):\n    piece.transposed(n).save(f'tunes/{n}.mid')",
    "changes = {'model.width': 8, 'model.layers': 1, 'train.batch': 2, 'train.length': 32, 'train.evaluate_every': 2}\n"
    "musicgen.train('tunes', output='run', model='gru', preset='tiny', steps=4, changes=changes, device='cpu',\n"
    "               callbacks=[musicgen.ProgressBar()])",
    "(take,) = musicgen.Composer.load('run').continue_(piece, bars=1, seed=1)\ntake",
)


def test_a_notebook_shows_what_people_expect_and_nothing_else(tmp_path, monkeypatch):
    try:
        found = [version(name) for name in ("nbclient", "nbformat", "ipykernel")]
    except PackageNotFoundError:
        pytest.skip("nbclient, nbformat and ipykernel are not installed: pip install nbclient nbformat ipykernel")
    assert found
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "tunes").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown, played, _, trained, taken = (cell.outputs for cell in notebook.cells)
    assert shown[0].data["text/plain"] == "Piece(1 part, 36 notes, 10 bars, 15.3 s, 3/4, G major)"
    assert all(each[0].data["text/html"].startswith("<iframe sandbox") for each in (shown, played, taken))
    warned = "".join(output.text for output in trained if output.output_type == "stream")
    assert warned.splitlines()[0] == "building a corpus from tunes at run/corpus"
    bars = [output for output in trained if output.output_type == "display_data"]
    assert len(bars) == 1
    assert re.search(r'<progress value="4" max="4"></progress> <code>step 4 of 4  loss \d', bars[0].data["text/html"])
    assert re.match(r"Trained\(folder=.*floor=", trained[-1].data["text/plain"])
    assert re.match(r"Take\(\d+ new notes in 1 bar; Piece\(", taken[0].data["text/plain"])

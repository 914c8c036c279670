"""The benchmark of translators goes from a corpus to its table."""

from __future__ import annotations

import re
import sys

from translate_pieces import corpus_of

from musicgen.models.tasks.translate_layout import CHORDS


def test_the_table_has_a_row_with_attention_one_without_and_one_by_counting(tmp_path, monkeypatch, capsys, module):
    corpus = corpus_of(CHORDS, tmp_path)
    words = ["--corpus", str(corpus.folder), "--work", str(tmp_path / "runs"), "--quick", "--bars", "2", "16"]
    monkeypatch.setattr(sys, "argv", ["translating.py", *words])
    module("benchmarks", "translating").main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    assert columns == ["bars", "", "excerpts", "nats a step", "exact", "root", "overlap", "changes a bar"]
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["attention", "one vector", "counting; as written"]
    assert re.search(r"\| \d\.\d{3} ± \d\.\d{3} \|", lines[2])

"""What training logged is read, and a file that isn't such a log is named."""

from __future__ import annotations

import math

import pytest

from musicgen.errors import UnreadableError
from musicgen.pictures.logs import read_columns, read_gradients


def test_logs_are_read_and_what_is_none_is_named(tmp_path):
    log, gradients = tmp_path / "log.csv", tmp_path / "gradients.csv"
    log.write_text("step,valid\n4,\n8,2.5\n9")
    columns = read_columns(log)
    assert columns["step"].tolist() == [4, 8]
    assert math.isnan(columns["valid"][0])
    gradients.write_text("step,layer,norm\n4,embedding,0.5\n4,head,1\n8,embedding,0.25\n8,head,2\n")
    layers = read_gradients(gradients)
    assert list(layers) == ["embedding", "head"]
    assert layers["embedding"][1].tolist() == [0.5, 0.25]
    log.write_text("step\nfour\n")
    with pytest.raises(UnreadableError, match=r"log.csv: 'four' is not a number; train the run again"):
        read_columns(log)
    gradients.write_text("step,norm\n")
    with pytest.raises(UnreadableError, match="has no column 'layer'"):
        read_gradients(gradients)
    log.write_text("")
    with pytest.raises(UnreadableError, match="can't be read"):
        read_columns(log)

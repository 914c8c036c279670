"""Files are found by name, once, whatever the order of the listing."""

from __future__ import annotations

import os

import pytest

from musicgen.corpus.scan import find_files, iter_pieces
from musicgen.errors import UnreadableError, UsageError
from musicgen.io.midi import midi_bytes
from musicgen.piece import Piece, Track, notes_array


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "music"
    for name in ("b/2.mid", "b/1.MIDI", "a.kar", "c/d/x.mxl", "c/notes.txt", ".hidden.mid", ".git/y.mid"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names(found):
    return [f.name for f in found]


def test_sorted_by_relative_path_and_hidden_ones_skipped(folder):
    assert names(find_files([folder])) == ["music/a.kar", "music/b/1.MIDI", "music/b/2.mid", "music/c/d/x.mxl"]
    assert names(find_files([folder], recursive=False)) == ["music/a.kar"]
    assert names(find_files([folder], suffixes=(".mid",), label="L")) == ["L/b/2.mid"]


def test_each_file_once_and_links_in_a_circle_end(folder):
    os.symlink(folder, folder / "b" / "loop")
    os.symlink(folder / "a.kar", folder / "z.mid")
    found = names(find_files([folder / "b", folder, folder / "a.kar"]))
    assert len(found) == 4
    assert found == names(find_files([folder / "a.kar", folder, folder / "b"]))


def test_a_link_that_leads_out_is_not_followed(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "in").mkdir(parents=True)
    (elsewhere / "in" / "secret.mid").write_bytes(b"")
    before = names(find_files([folder]))
    os.symlink(elsewhere, folder / "out")
    os.symlink(elsewhere / "in" / "secret.mid", folder / "b" / "3.mid")
    os.symlink("../../elsewhere/in", folder / "b" / "up")
    os.symlink(tmp_path / "music-of-others", folder / "gone.mid")  # whose name begins alike
    os.symlink(folder / "c", folder / "b" / "stays")
    os.symlink(folder / "self.mid", folder / "self.mid")
    outside = []
    found = names(find_files([folder], outside=outside))
    assert [name for name in found if name not in ("music/self.mid",)] == [
        name.replace("music/c/d", "music/b/stays/d") for name in before
    ]
    assert sorted(path.name for path in outside) == ["3.mid", "gone.mid", "out", "up"]
    # What the user names is followed, whatever it is.
    assert names(find_files([folder / "out"])) == ["elsewhere/in/secret.mid"]
    assert names(find_files([folder / "b" / "3.mid"])) == ["b/3.mid"]


def test_a_missing_source_is_said(tmp_path):
    with pytest.raises(UsageError, match="none: no such file or folder; check the path"):
        find_files([tmp_path / "none"])


def test_pieces_are_read_by_suffix(tmp_path):
    piece = Piece(480, (Track("", 0, False, notes_array([(0, 480, 60, 72)])),))
    (tmp_path / "a.mid").write_bytes(midi_bytes(piece))
    (tmp_path / "a.abc").write_text("X:1\nT:One\nK:C\nC D|\n\nX:2\nT:Two\nK:C\nE|\n")
    ((name, read),) = iter_pieces(tmp_path / "a.mid")
    assert name == ""
    assert read.tracks[0].notes.tolist() == piece.tracks[0].notes.tolist()
    assert [(name, p.n_notes) for name, p in iter_pieces(tmp_path / "a.abc")] == [("1 One", 2), ("2 Two", 1)]
    (tmp_path / "bad.mid").write_bytes(b"no")
    ((_, error),) = iter_pieces(tmp_path / "bad.mid")
    assert isinstance(error, UnreadableError)
    ((_, error),) = iter_pieces(tmp_path / "a.txt")
    assert "is not a music file" in str(error)


def test_the_suffixes_are_those_of_the_score_reader():
    from musicgen import io
    from musicgen.io.scores import files

    assert set(io.SCORE_SUFFIXES) == set(files.SCORE_SUFFIXES)

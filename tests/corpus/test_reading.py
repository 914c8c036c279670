"""Of many files each that can be read gives its pieces, whatever the others do to the process that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from worker_tasks import pieces

from musicgen.corpus import reading
from musicgen.corpus.reading import Readings, read_pieces
from musicgen.errors import UnreadableError
from musicgen.events import Event, Warned
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for count, name in enumerate(("a", "die", "m", "sleep", "z"), 1):
        write(
            Piece(480, (Track("", 0, notes=notes_array([(n * 480, 480, 60, 80) for n in range(count)])),)),
            f"{name}.mid",
        )
    monkeypatch.setattr(reading, "iter_pieces", pieces)
    return tmp_path


def test_a_file_that_crashes_or_hangs_is_named_and_left_out(here):
    Path("m.mid").write_bytes(b"MThd")
    events: list[Event] = []
    found = read_pieces(sorted(Path().glob("*.mid")), wall_s=1.0, listener=events.append)
    assert [piece.n_notes for piece in found.pieces] == [1, 5]
    assert (found.files, found.full) == (5, False)
    died, broken, late = [event.text for event in events if isinstance(event, Warned)]
    assert died == "die.mid: crashed its worker (SIGKILL); leave it out"
    assert broken.startswith("m.mid: ")
    assert late == "sleep.mid: took longer than 1 s; leave it out"


def test_a_required_file_that_fails_is_an_error(here):
    files = [Path("a.mid"), Path("die.mid")]
    with pytest.raises(UnreadableError, match=r"^die\.mid: crashed its worker \(SIGKILL\); leave it out$"):
        read_pieces(files, required=files)
    assert len(read_pieces(files, required=files[:1]).pieces) == 1


def test_there_may_be_a_bound_to_the_notes(here):
    files = [Path("a.mid"), Path("m.mid"), Path("z.mid")]
    for most, count, full in ((9, 3, False), (8, 2, True), (4, 2, True), (3, 1, True), (0, 0, True)):
        found = read_pieces(files, most_notes=most)
        assert (len(found.pieces), found.files, found.full) == (count, count, full)
    assert read_pieces([]) == Readings((), 0, full=False)

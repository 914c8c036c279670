"""What a piece gives to a notebook: one line, a player in a frame, tables, files, a picture."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import types
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import symusic

import musicgen
from musicgen import notebook
from musicgen.errors import UsageError
from musicgen.io import read
from musicgen.overview import PART_NOTE
from musicgen.piece import BEND, CONTROL, KEY, METER, TEMPO, Piece, Track, notes_array


def in_frame(shown: str) -> str:
    """The page that a browser would load into the frame."""
    (source,) = re.findall(r'srcdoc="([^"]*)"', shown)
    return html.unescape(source)


@pytest.fixture
def piece() -> Piece:
    rng = np.random.default_rng(3)
    rows = [(int(s), 100, int(p), 80) for s, p in zip(rng.integers(0, 4000, 60), rng.integers(40, 90, 60), strict=True)]
    return Piece(
        480,
        (
            Track("lead <b>", 73, False, notes_array(rows[:40]), np.array([(0, 64, 127)], CONTROL)),
            Track("silent", 5),
            Track("", 0, True, notes_array(rows[40:]), bends=np.array([(10, -8192), (20, 8191)], BEND)),
        ),
        np.array([(0, 400_000), (960, 731_234)], TEMPO),
        np.array([(0, 3, 4), (1440, 4, 4)], METER),
        np.array([(0, -3, True)], KEY),
    )


@pytest.fixture
def kernel(monkeypatch):
    """As in a kernel of Jupyter."""
    ipython = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_a_piece_is_one_line(piece):
    assert repr(piece) == f"Piece(2 parts, 60 notes, 3 bars, {piece.seconds:.1f} s, 4/4, C minor)"
    assert repr(Piece()) == "Piece(0 parts, 0 notes, 0 bars, 0.0 s, 4/4)"
    upbeat = replace(piece, meters=np.array([(0, 1, 4), (480, 3, 4)], METER))
    assert "3/4" in repr(upbeat)
    far = np.array([(2**62, 1, 60, 1)], notes_array().dtype)
    for odd in (piece, Piece(1, (Track(notes=far),)), Piece(32767, (Track(notes=far),) * 256)):
        assert len(repr(odd)) < 100
        assert "\n" not in repr(odd)


def test_the_page_in_the_frame_asks_nothing_of_a_network(piece):
    page = in_frame(piece._repr_html_())
    assert not re.findall(r"""https?:|(?:src|href)=["']?(?!data:)[^"'\s>]""", page)
    assert "default-src 'none'" in page
    assert "<audio" in page


def test_two_pieces_of_one_notebook_share_no_names(piece):
    """All ids, styles and scripts are quoted within the frame, which may not reach out of it."""
    outer = re.sub(r'srcdoc="[^"]*"', "", piece._repr_html_())
    assert not re.findall(r"\bid=|<style|<script|allow-same-origin", outer)
    assert outer.count("<") == 2


def test_a_minute_of_a_band_takes_less_than_a_megabyte(monkeypatch):
    """Eight parts, five notes a second each, with drums: an eighth of a minute in an eighth of the bytes."""
    monkeypatch.setattr(notebook, "BYTES_A_SECOND", notebook.BYTES_A_SECOND // 8)
    notes = [[(192 * k, 180, 38 + 5 * n + k % 7, 90) for k in range(75)] for n in range(8)]
    band = Piece(960, tuple(Track("", 8 * n, n == 7, notes_array(rows)) for n, rows in enumerate(notes)))
    assert band.seconds == pytest.approx(7.5, abs=0.1)
    shown = band._repr_html_()
    assert "<audio" in in_frame(shown)
    assert 60_000 < len(shown) < 1_000_000 / 8


def test_long_music_is_shown_without_sound_and_says_how_to_get_it(piece):
    slow = replace(piece, tempos=np.array([(0, 15_000_000)], TEMPO), ticks_per_quarter=120)
    assert slow.seconds > notebook.MOST_SECONDS
    page = in_frame(slow._repr_html_())
    assert "<audio" not in page
    assert "of music take a while to render: piece.play() makes the sound." in page


def test_a_piece_that_no_page_can_hold_is_its_one_line():
    far = np.array([(2**62, 1, 60, 1)], notes_array().dtype)
    assert Piece(1, (Track(notes=far),))._repr_html_() is None


def test_play_is_for_notebooks(piece, monkeypatch):
    with pytest.raises(UsageError) as caught:
        piece.play()
    told = "a piece is played in a notebook; here, save it as sound: piece.save('piece.wav')"
    assert str(caught.value) == told
    in_a_terminal = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", in_a_terminal)
    with pytest.raises(UsageError):
        piece.play()


@pytest.mark.usefixtures("kernel")
def test_play_brings_the_sound_of_any_piece(piece, tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "MOST_NOTES", 10)
    assert "<audio" not in in_frame(piece._repr_html_())
    player = piece.play()
    assert "<audio" in in_frame(player._repr_html_())
    assert re.fullmatch(r"Player\(\d\.\d MB of HTML\)", repr(player))
    (tmp_path / "no.sf2").write_bytes(b"no")
    with pytest.raises(musicgen.MusicgenError, match=r"no\.sf2"):
        piece.play(soundfont=tmp_path / "no.sf2")


def test_notes_are_one_table_of_all_tracks(piece):
    table = piece.notes
    assert table.dtype == PART_NOTE
    assert np.array_equal(table, table[np.lexsort((table["pitch"], table["part"], table["start"]))])
    for number, track in enumerate(piece.tracks):
        mine = table[table["part"] == number]
        assert np.array_equal(mine[list(track.notes.dtype.names)].astype(track.notes.dtype), track.notes)
        assert set(mine["program"]) <= {track.program}
        assert set(mine["is_drum"]) <= {track.is_drum}
    table["pitch"] = 0  # a copy
    assert piece.notes["pitch"].min() > 0
    assert Piece().notes.shape == (0,)


COLUMNS = {
    "part": "int32", "program": "uint8", "is_drum": "bool", "start": "int64", "duration": "int64", "pitch": "uint8",
    "velocity": "uint8", "name": "object", "start_s": "float64", "duration_s": "float64",
}  # fmt: skip


def test_the_columns_of_a_dataframe(piece, monkeypatch):
    """Where there is no pandas, the columns that it would be given."""
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=dict))
    for each in (piece, Piece()):
        table = each.to_dataframe()
        assert {name: str(column.dtype) for name, column in table.items()} == COLUMNS
        assert {len(column) for column in table.values()} == {each.n_notes}
    table = piece.to_dataframe()
    assert set(table["name"]) == {"lead <b>", ""}
    assert (table["start_s"] + table["duration_s"]).max() == pytest.approx(piece.seconds)


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_a_real_dataframe_has_the_notes_in_order(piece):
    table = piece.to_dataframe()
    assert list(table.columns) == list(COLUMNS)
    wanted = {name: dtype for name, dtype in COLUMNS.items() if name != "name"}  # of text pandas has types of its own
    assert {name: str(table[name].dtype) for name in wanted} == wanted
    assert table["pitch"].tolist() == piece.notes["pitch"].tolist()


def test_a_dataframe_without_pandas_names_the_package(piece, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError) as caught:
        piece.to_dataframe()
    assert str(caught.value) == "tables of notes need pandas; install it with pip install pandas"


def test_symusic_holds_what_the_piece_holds(piece):
    score = piece.to_symusic()
    assert score.ticks_per_quarter == piece.ticks_per_quarter
    assert [(t.name, t.program, t.is_drum) for t in score.tracks] == [
        (t.name, t.program, t.is_drum) for t in piece.tracks
    ]
    for theirs, ours in zip(score.tracks, piece.tracks, strict=True):
        assert [(n.time, n.duration, n.pitch, n.velocity) for n in theirs.notes] == ours.notes.tolist()
        assert [(c.time, c.number, c.value) for c in theirs.controls] == ours.controls.tolist()
        assert [(b.time, b.value) for b in theirs.pitch_bends] == ours.bends.tolist()
    assert [(t.time, t.mspq) for t in score.tempos] == piece.tempos.tolist()
    assert [(m.time, m.numerator, m.denominator) for m in score.time_signatures] == piece.meters.tolist()
    assert [(k.time, k.key, bool(k.tonality)) for k in score.key_signatures] == piece.keys.tolist()


def test_symusic_is_not_given_what_it_would_cut():
    late = Piece(480, (Track(controls=np.array([(2**31, 7, 1)], CONTROL)),))
    with pytest.raises(UsageError, match=r"symusic can't hold ticks past 2\^31 - 1; cut the silence out"):
        late.to_symusic()
    assert isinstance(symusic.Score(480), type(Piece(480).to_symusic()))


def test_without_symusic_the_package_is_named(piece, monkeypatch):
    monkeypatch.setitem(sys.modules, "symusic", None)
    with pytest.raises(UsageError, match="scores of symusic need symusic; install it with pip install symusic"):
        piece.to_symusic()


def test_save_goes_by_suffix_and_replaces_nothing_unasked(piece, tmp_path):
    piece.save(tmp_path / "a.mid")
    assert read(tmp_path / "a.mid").notes["pitch"].tolist() == piece.notes["pitch"].tolist()
    piece.save(tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFF"
    for name in ("a.mid", "a.wav"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(UsageError, match=f"{name}: already exists; pass `overwrite` to replace it"):
            Piece().save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
        Piece().save(tmp_path / name, overwrite=True)
        assert (tmp_path / name).read_bytes() != before
    with pytest.raises(UsageError, match="a piece is saved as MIDI or sound; end the name in"):
        piece.save(tmp_path / "a.txt")


def test_a_take_is_one_line_and_its_page_marks_what_is_new():
    take = musicgen.humanise("schubert-unfinished")
    assert repr(take).startswith("Take(")
    assert len(repr(take)) < 120
    shown = html.unescape(take._repr_html_())
    assert shown.startswith("<iframe sandbox=")
    assert "Kept as it was" in shown
    assert "Kept as it was" not in html.unescape(take.piece._repr_html_())


def test_completion_shows_public_names_alone():
    shown = {name for name in dir(musicgen) if not name.startswith("__")}
    assert shown == set(musicgen.__all__)


def test_importing_musicgen_and_reading_a_piece_stays_light():
    code = (
        "import sys, musicgen; dir(musicgen); piece = musicgen.read('schubert-unfinished'); repr(piece); piece.notes\n"
        "sys.exit(f'{heavy}' if (heavy := {'torch', 'matplotlib', 'pandas', 'music21', 'soundfile'} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

"""Files of frames: every row is one frame of the ids, a file's own splits stay, and a broken file is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from musicgen.corpus.build import build_corpus
from musicgen.corpus.frames import check_reader, frame_pieces
from musicgen.corpus.store import Corpus
from musicgen.errors import ResourceError, UnreadableError
from musicgen.io.midi import midi_bytes
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import Frames, FramesSettings

SETS = Frames()
BENCHMARKS = {
    "JSB_Chorales.trainvalid.mat": {"train": (229, 13_807), "valid": (76, 4_602)},
    "Jsb16thSeparated.trainvalid.json": {"train": (229, 55_228), "valid": (76, 18_408)},
    "Piano_midi.trainvalid.mat": {"train": (87, 75_911), "valid": (12, 8_540)},
    "Nottingham.trainvalid.mat": {"train": (694, 176_561), "valid": (173, 45_513)},
    "MuseData.trainvalid.mat": {"train": (524, 245_202), "valid": (135, 82_755)},
}


def roll(seed: int, frames: int = 20) -> np.ndarray:
    """(T, 88): few notes, some held, silence at both ends."""
    rng = np.random.default_rng(seed)
    rows = (rng.random((frames, 88)) < 0.04).astype(np.uint8)
    rows[1:] |= rows[:-1] & (rng.random((frames - 1, 88)) < 0.5)
    rows[[0, -1]] = 0
    return rows


def cells(*matrices: object) -> np.ndarray:
    array = np.empty((1, len(matrices)), object)
    array[0, :] = matrices
    return array


def mat(path: Path, **splits: object) -> Path:
    scipy.io.savemat(path, splits, do_compression=True)
    return path


def rows_of(tokenizer: Frames, ids: np.ndarray) -> np.ndarray:
    """(T, 88) of ids."""
    frame, v = tokenizer.frame_of(ids), tokenizer.vocabulary
    pitch = v.is_kind(ids, "pitch")
    rows = np.zeros((frame.max() + 1, 88), np.uint8)
    rows[frame[pitch], ids[pitch].astype(int) - v.base["pitch"] - 21] = 1
    return rows


@pytest.fixture
def rolls() -> dict[str, list[np.ndarray]]:
    train = [roll(0), roll(1, 30), roll(0), np.zeros((3, 88), np.uint8)]  # twice the same, and one silent
    return {"train": train, "valid": [roll(2)], "test": [roll(3), roll(4)]}


@pytest.mark.parametrize("settings", [FramesSettings(), FramesSettings(24, "ascending"), FramesSettings(1)])
def test_each_row_is_a_frame_and_splits_are_the_files_own(rolls, settings, tmp_path):
    file = mat(tmp_path / "b.mat", **{f"{name}data": cells(*each) for name, each in rolls.items()})
    tokenizer = Frames(settings)
    corpus = build_corpus([file], tmp_path / "c", tokenizer=tokenizer, jobs=1)
    assert corpus.meta["rejected"] == corpus.meta["duplicates"] == []
    for split, each in rolls.items():
        records = corpus.pieces(split)
        assert len(records) == len(each), "nothing is dropped for being short or there twice"
        for record, rows in zip(records, each, strict=True):
            assert np.array_equal(rows_of(tokenizer, corpus.ids(record)), rows)
            assert record.notes == int((np.diff(rows.astype(int), axis=0, prepend=0) == 1).sum())
    assert len({r.work for r in corpus.records}) == len(corpus.records)
    assert corpus.records[0].source.endswith("/b.mat#train 0")


@pytest.mark.parametrize("names", [("traindata", "testdata"), ("train", "valid"), ("validdata", "testdata")])
def test_a_file_with_two_splits(names, tmp_path):
    file = mat(tmp_path / "b.mat", **{name: cells(roll(n)) for n, name in enumerate(names)})
    corpus = build_corpus([file], tmp_path / "c", tokenizer=SETS, jobs=1)
    assert [r.split for r in corpus.records] == [name.removesuffix("data") for name in names]


def test_other_files_beside_it_are_split_by_work(rolls, tmp_path):
    music = tmp_path / "music"
    music.mkdir()
    mat(music / "b.mat", traindata=cells(*rolls["train"]), validdata=cells(*rolls["valid"]))
    for n in range(5):
        notes = notes_array([(i * 240, 240, 50 + (i * (n + 1)) % 19, 80) for i in range(20)])
        (music / f"p{n}.mid").write_bytes(midi_bytes(Piece(480, (Track(notes=notes),))))
    corpus = build_corpus([music], tmp_path / "c", tokenizer=SETS, jobs=1)
    split = {r.source: r.split for r in corpus.records}
    assert [split[f"music/b.mat#train {n}"] for n in range(4)] == ["train"] * 4
    assert sorted(split[f"music/p{n}.mid"] for n in range(5)) == ["test", "train", "train", "train", "valid"]
    others = build_corpus([music], tmp_path / "d", tokenizer={"name": "remi"}, jobs=1)
    assert not [r for r in others.records if "b.mat" in r.source], "unnamed, such files count for frames alone"
    named = build_corpus([music / "b.mat"], tmp_path / "e", tokenizer={"name": "remi"}, jobs=1)
    assert len(named.records) == 5


VOICES = {
    "train": [[[72, 64, -1, 48], [72, 62, 60, 48], [74, 62, 60, None]], [[60], []]],
    "valid": [[[60.0, float("nan")]]],
}


def test_chorales_by_voice(tmp_path):
    file = tmp_path / "v.json"
    file.write_text(json.dumps(VOICES))
    four = Frames(FramesSettings(voices=4))
    v = four.vocabulary
    corpus = build_corpus([file], tmp_path / "c", tokenizer=four, jobs=1)
    got = [
        np.where(v.is_kind(ids, "rest"), 0, ids.astype(int) - v.base["pitch"])
        for ids in map(corpus.ids, corpus.records)
    ]
    assert [ids[1:-1].tolist() for ids in got] == [
        [72, 64, 0, 48, 72, 62, 60, 48, 74, 62, 60, 0],
        [60, 0, 0, 0, 0, 0, 0, 0],
        [60, 0, 0, 0],
    ]
    assert [r.split for r in corpus.records] == ["train", "train", "valid"]
    sets = build_corpus([file], tmp_path / "d", tokenizer=SETS, jobs=1)
    assert rows_of(SETS, sets.ids(sets.records[0])).sum(axis=1).tolist() == [3, 4, 3]


BROKEN = {
    "text.mat": (b"just some words, no numbers", r"is not a MATLAB file, or damaged \(\w+: "),
    "empty.mat": (b"", r"is not a MATLAB file, or damaged \(MatReadError"),
    "no.json": (b"{", r"is not JSON \("),
    "list.json": (b"[1]", "holds a JSON list, not an object"),
    "keys.json": (b'{"a": 1}', "has none of train, valid and test; found 'a'"),
    "flat.json": (b'{"train": [1, 2]}', "train: is not a list of lists of frames"),
    "frame.json": (b'{"train": [[60]]}', "train, piece 0: has a frame that is no list of pitches"),
    "pitch.json": (b'{"train": [[[60.5]]]}', "train, piece 0: holds '60.5', not a MIDI pitch"),
    "high.json": (b'{"valid": [[[60]], [[128]]]}', "valid, piece 1: holds '128', not a MIDI pitch"),
    "twice.json": (b'{"valid": [[[60]]], "validdata": [[[60]]]}', "has a split twice: valid, validdata"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_isnt_right_is_said(name, tmp_path):
    content, text = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match=text) as caught:
        list(frame_pieces(tmp_path / name, frames_per_quarter=4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((5, 88)), "traindata: an array of 5 x 88 float64, not an array of matrices"),
        (cells(np.zeros((5, 87))), "traindata, piece 0: an array of 5 x 87 .*, not a matrix of T x 88"),
        (cells(roll(0), np.zeros((0, 88))), "traindata, piece 1: an array of 0 x 88 .*, not a matrix of T x 88"),
        (cells(roll(0) * 2), "traindata, piece 0: holds other values than 0 and 1"),
        (cells(roll(0) * np.nan), "traindata, piece 0: holds other values than 0 and 1"),
        (cells("word"), "traindata, piece 0: an array of 1 <U4, not a matrix of T x 88"),
    ],
)
def test_a_mat_file_of_other_things(value, text, tmp_path):
    file = mat(tmp_path / "a.mat", traindata=value)
    with pytest.raises(UnreadableError, match=text):
        list(frame_pieces(file, frames_per_quarter=4))


def test_a_damaged_mat_file_at_any_byte(tmp_path):
    whole = mat(tmp_path / "a.mat", traindata=cells(roll(0), roll(1))).read_bytes()
    rng = np.random.default_rng(0)
    for n in range(40):
        data = bytearray(whole)
        if n % 2:
            data = data[: int(rng.integers(len(whole)))]
        else:
            data[int(rng.integers(128, len(whole)))] ^= int(rng.integers(1, 256))
        (tmp_path / "b.mat").write_bytes(data)
        try:
            list(frame_pieces(tmp_path / "b.mat", frames_per_quarter=4))
        except UnreadableError as error:
            assert "\n" not in str(error)


def test_without_scipy_it_says_what_to_install(monkeypatch, tmp_path):
    file = mat(tmp_path / "a.mat", traindata=cells(roll(0)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ResourceError, match=r"reading .mat files needs scipy; pip install 'musicgen-symbolic\[frames\]'"
    ):
        build_corpus([file], tmp_path / "c", tokenizer=SETS)
    check_reader([tmp_path / "a.json"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_published_counts(name, shared_data):
    file = shared_data.parent / "benchmarks" / name
    if not file.is_file():
        pytest.skip(f"{name} is not in ../shared/benchmarks")
    counts: dict[str, list[int]] = {}
    for split, _, _, end in frame_pieces(file, frames_per_quarter=4):
        counts.setdefault(split, []).append(end // 120)
    assert {split: (len(each), sum(each)) for split, each in counts.items()} == BENCHMARKS[name]


def test_the_rows_of_a_published_file(shared_data, tmp_path):
    file = shared_data.parent / "benchmarks" / "JSB_Chorales.trainvalid.mat"
    if not file.is_file():
        pytest.skip("JSB_Chorales is not in ../shared/benchmarks")
    corpus: Corpus = build_corpus([file], tmp_path / "c", tokenizer=SETS, jobs=1)
    table = scipy.io.loadmat(file)
    for split in ("train", "valid"):
        for record, rows in zip(corpus.pieces(split), table[f"{split}data"].ravel(), strict=True):
            assert np.array_equal(rows_of(SETS, corpus.ids(record)), rows)

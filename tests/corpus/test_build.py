"""A corpus is the same bytes however it is built, holds each piece once, and is there whole or not at all."""

from __future__ import annotations

import json
import os
import random
import shutil

import numpy as np
import pytest
from worker_tasks import EvilEncoder

from musicgen.corpus import build, store
from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.store import Corpus, PieceRecord, write_corpus
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Began, Finished
from musicgen.io.midi import midi_bytes
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer

SPEC = {"name": "remi"}
FILES = ("tokens.npy", "pieces.jsonl", "corpus.json")


def melody(seed, *, count=40, shift=0):
    pitches = np.random.default_rng(seed).integers(50, 70, count) + shift
    rows = [(i * 240, 240, int(p), 72) for i, p in enumerate(pitches)]
    return Piece(480, (Track("", 0, False, notes_array(rows)),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "music"
    (root / "sub").mkdir(parents=True)
    pieces = {f"sub/p{i}.mid": melody(i) for i in range(12)}
    pieces |= {"p take 2.mid": melody(50), "p.mid": melody(51)}  # one work by name
    pieces |= {"same.mid": melody(3)}  # a duplicate of sub/p3, and before it by name
    pieces |= {"high.mid": melody(4, shift=7)}  # one work with sub/p4 by its notes
    pieces |= {"short.mid": melody(60, count=3)}
    for name, piece in pieces.items():
        (root / name).write_bytes(midi_bytes(piece))
    (root / "broken.mid").write_bytes(b"MThd no")
    tunes = ["C2 D2 E2 F2|G2 A2 B2 c2|", "c2 B2 A2 G2|F2 E2 D2 C2|"]
    (root / "tunes.abc").write_text("".join(f"X:{i}\nT:T{i}\nL:1/8\nK:C\n{t * 3}\n\n" for i, t in enumerate(tunes)))
    return root


@pytest.fixture(scope="module")
def corpus(folder, tmp_path_factory):
    settings = BuildSettings(licence="CC0")
    return build_corpus([folder], tmp_path_factory.mktemp("out") / "c", tokenizer=SPEC, jobs=1, settings=settings)


def content(path):
    return [(path / name).read_bytes() for name in FILES]


def test_bytes_dont_depend_on_workers_or_listing(folder, corpus, tmp_path, monkeypatch):
    walk = os.walk

    def shuffled(*args, **options):
        for at, folders, files in walk(*args, **options):
            random.Random(1).shuffle(files)
            yield at, folders, files

    monkeypatch.setattr(os, "walk", shuffled)
    moved = tmp_path / "elsewhere" / "music"
    shutil.copytree(folder, moved)
    tokenizer = load_tokenizer(SPEC)
    again = build_corpus([moved], tmp_path / "d", tokenizer=tokenizer, jobs=2, settings=BuildSettings(licence="CC0"))
    assert content(again.folder) == content(corpus.folder)


def test_the_pieces_are_what_the_tokenizer_says(corpus):
    tokenizer = load_tokenizer(corpus.spec)
    assert corpus.tokens.dtype == np.uint16
    assert isinstance(corpus.tokens, np.memmap)
    by_source = {r.source: r for r in corpus.pieces()}
    record = by_source["music/sub/p7.mid"]
    assert corpus.ids(record).tolist() == tokenizer.encode(melody(7)).tolist()
    assert (record.notes, record.licence, record.work) == (40, "CC0", "music/sub/p7")
    assert [r.source for r in corpus.pieces()] == sorted(by_source)


def test_duplicates_are_left_out(corpus):
    assert corpus.meta["duplicates"] == [{"source": "music/sub/p3.mid", "same_as": "music/same.mid"}]
    assert "music/sub/p3.mid" not in {r.source for r in corpus.pieces()}


def test_rejected_files_have_their_reasons(corpus):
    reasons = {r["source"]: r["reason"] for r in corpus.info()["rejected"]}
    assert set(reasons) == {"music/broken.mid", "music/short.mid"}
    assert reasons["music/short.mid"] == "too short: 3 notes, at least 8 are needed"
    assert "/" not in reasons["music/broken.mid"]


def test_splits_are_by_work(corpus):
    split = {r.source: r.split for r in corpus.pieces()}
    work = {r.source: r.work for r in corpus.pieces()}
    assert work["music/p.mid"] == work["music/p take 2.mid"] == "music/p"
    assert work["music/high.mid"] == work["music/sub/p4.mid"] == "music/high"
    assert len({(work[s], split[s]) for s in split}) == len(set(work.values()))
    assert all(corpus.pieces(name) for name in ("train", "valid", "test"))
    assert sum(len(corpus.pieces(name)) for name in ("train", "valid", "test")) == len(corpus.pieces())


def test_info_has_the_keys_that_scripts_rely_on(corpus):
    info = corpus.info()
    assert list(info)[:7] == ["pieces", "notes", "tokens", "splits", "rejected", "licences", "tokenizer"]
    assert info["pieces"] == len(corpus.pieces()) == 17
    assert info["tokens"] == len(corpus.tokens) == sum(s["tokens"] for s in info["splits"].values())
    assert info["notes"] == sum(r.notes for r in corpus.pieces())
    assert info["licences"] == {"CC0": 17}
    assert info["tokenizer"] == load_tokenizer(SPEC).spec
    json.dumps(info)


# ---- failures ------------------------------------------------------------------------------------------------


def test_a_crash_or_a_hang_costs_one_file(folder, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "Encoder", EvilEncoder)
    heard = []
    settings = BuildSettings(timeout_s=1.5)
    built = build_corpus([folder], tmp_path / "c", tokenizer=SPEC, jobs=2, settings=settings, listener=heard.append)
    lost = {"music/sub/p1.mid": "crashed its worker (SIGKILL)", "music/sub/p2.mid": "took longer than 1.5 s"}
    reasons = {row["source"]: row["reason"] for row in built.meta["rejected"]}
    assert reasons == {row["source"]: row["reason"] for row in corpus.meta["rejected"]} | lost
    assert {r.source for r in built.pieces()} == {r.source for r in corpus.pieces()} - set(lost)
    began, *each, finished = heard
    assert (began, finished) == (Began("corpus", "file", 19), Finished("corpus"))
    assert [(event.done, event.of, event.unit) for event in each] == [(i, 19, "file") for i in range(1, 20)]
    assert {event.about for event in each} == {file.name for file in build.find_sources([folder])[0]}


def test_nothing_usable_is_said(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(UnreadableError, match="no music files in the sources; files end in "):
        build_corpus([tmp_path / "m"], tmp_path / "c", tokenizer=SPEC)
    (tmp_path / "m" / "a.mid").write_bytes(b"no")
    with pytest.raises(UnreadableError, match=r"no usable piece in 1 file; the first one, m/a\.mid: "):
        build_corpus([tmp_path / "m"], tmp_path / "c", tokenizer=SPEC)
    with pytest.raises(UsageError, match="no corpus 'nottinham' in the catalogue; did you mean 'nottingham'"):
        build_corpus(["nottinham"], tmp_path / "c", tokenizer=SPEC)
    settings = BuildSettings(fetched=str(tmp_path))
    with pytest.raises(UsageError, match="nottingham is not here yet; musicgen corpus fetch nottingham"):
        build_corpus(["nottingham"], tmp_path / "c", tokenizer=SPEC, settings=settings)
    with pytest.raises(UsageError, match=r"mutopia-pd holds \.ly files, which can't be read"):
        build_corpus(["mutopia-pd"], tmp_path / "c", tokenizer=SPEC, settings=settings)
    assert not (tmp_path / "c").exists()


def test_only_a_corpus_is_overwritten(folder, corpus, tmp_path):
    with pytest.raises(UsageError, match="already exists; pass `overwrite`"):
        build_corpus([folder], corpus.folder, tokenizer=SPEC)
    settings = BuildSettings(overwrite=True)
    with pytest.raises(UsageError, match="exists and is not a corpus folder"):
        build_corpus([folder], folder, tokenizer=SPEC, settings=settings)
    assert (folder / "p.mid").exists()


def test_catalogue_entries_keep_their_licence(tmp_path, folder):
    (tmp_path / "nottingham").mkdir()
    shutil.copytree(folder / "sub", tmp_path / "nottingham" / "MIDI")
    shutil.copytree(folder / "sub", tmp_path / "nottingham" / "MIDI" / "chords")
    settings = BuildSettings(fetched=str(tmp_path), licence="mine")
    files, entries = build.find_sources(["nottingham", folder / "p.mid"], settings=settings)
    assert [e.name for e in entries] == ["nottingham"]
    assert {f.licence for f in files if f.name.startswith("nottingham/")} == {entries[0].licence}
    assert [(f.name, f.licence) for f in files][0] == ("music/p.mid", "mine")
    assert len(files) == 13


# ---- reading what isn't right ----------------------------------------------------------------------------


@pytest.fixture
def copy(corpus, tmp_path):
    return shutil.copytree(corpus.folder, tmp_path / "copy")


def opened(folder):
    with pytest.raises(UnreadableError) as caught:
        Corpus.open(folder)
    text = str(caught.value)
    assert text.endswith("musicgen corpus build")
    return text


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    assert f"{name}: is missing" in opened(copy)


def test_another_format_version_is_refused(copy):
    meta = json.loads((copy / "corpus.json").read_text())
    (copy / "corpus.json").write_text(json.dumps({**meta, "format_version": 99}))
    assert "has format version 99, this program reads 1" in opened(copy)
    (copy / "corpus.json").write_text("{}")
    assert "is not a description of a corpus" in opened(copy)
    (copy / "corpus.json").write_text("{")
    assert "corpus.json: is not JSON" in opened(copy)


def test_sizes_that_disagree_are_refused(copy):
    tokens = np.load(copy / "tokens.npy")
    np.save(copy / "tokens.npy", tokens[:-1])
    assert f"has {len(tokens) - 1:,} tokens, corpus.json says {len(tokens):,}" in opened(copy)
    np.save(copy / "tokens.npy", tokens.astype(np.int64))
    assert "doesn't hold an array or rows of uint16" in opened(copy)
    (copy / "tokens.npy").write_bytes(b"junk")
    assert "tokens.npy: is damaged" in opened(copy)


def test_records_that_disagree_are_refused(copy):
    path = copy / "pieces.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "pieces.jsonl: accounts for" in opened(copy)
    path.write_text("".join(lines[1:]))
    assert "doesn't begin where the piece before it ends" in opened(copy)
    path.write_text(lines[0] + "{broken\n")
    assert "pieces.jsonl: line 2 is damaged" in opened(copy)


def test_unknown_folders_and_splits(corpus, tmp_path):
    with pytest.raises(UnreadableError, match="no such corpus folder"):
        Corpus.open(tmp_path / "none")
    with pytest.raises(UsageError, match="no split 'dev'; splits are train, valid, test"):
        corpus.pieces("dev")


def test_a_piece_may_be_drawn_more_often_than_others(tmp_path):
    often = PieceRecord(0, 3, 1, "x", "0", "x", "train", "CC0", weight=2.5)
    plain = PieceRecord(3, 2, 1, "y", "1", "y", "train", "CC0")
    about = {"tokenizer": SPEC, "rejected": [], "duplicates": []}
    write_corpus(tmp_path / "c", [often, plain], tokens=[np.zeros(3, np.uint16), np.zeros(2, np.uint16)], about=about)
    corpus = Corpus.open(tmp_path / "c")
    assert corpus.weights("train").tolist() == [2.5, 1.0]
    assert corpus.weights("test").tolist() == []
    lines = tmp_path / "c" / "pieces.jsonl"
    lines.write_text(lines.read_text().replace(', "weight": 2.5', ""))
    assert Corpus.open(tmp_path / "c").weights("train").tolist() == [1.0, 1.0], "older folders weigh all alike"


def test_what_was_left_out_is_listed_as_far_as_a_reader_takes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST_ROWS", 3)
    record = PieceRecord(0, 3, 1, "x", "0", "x", "train", "CC0")
    rows = [{"source": str(n), "reason": "broken"} for n in range(5)]
    about = {"tokenizer": SPEC, "rejected": rows, "duplicates": rows[:3]}
    write_corpus(tmp_path / "c", [record], tokens=[np.zeros(3, np.uint16)], about=about)
    info = Corpus.open(tmp_path / "c").info()
    assert (info["rejected"], info["all_rejected"]) == (rows[:3], 5)
    assert info["duplicates"] == rows[:3]
    assert "all_duplicates" not in info


def test_a_failed_write_leaves_the_old_corpus(copy):
    before = content(copy)
    record = PieceRecord(0, 3, 1, "x", "0", "x", "train", "CC0")

    def tokens():
        yield np.zeros(3, np.uint16)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_corpus(copy, [record], tokens=tokens(), about={}, overwrite=True)
    assert content(copy) == before
    assert os.listdir(copy.parent) == ["copy"]


def test_records_tell_what_pieces_say_of_themselves_and_a_corpus_from_before_says_nothing(corpus, tmp_path):
    said = {record.source: record.said for record in corpus.records}
    (tune,) = (name for name in said if name.endswith(" T0"))
    assert said[tune] == {"key": "C major", "mode": "major", "meter": "4/4", "played": "quantised"}
    assert said["music/p.mid"] == {"played": "quantised"}
    shutil.copytree(corpus.folder, tmp_path / "old")
    lines = [json.loads(line) for line in (tmp_path / "old" / "pieces.jsonl").read_text().splitlines()]
    old = [{key: value for key, value in line.items() if key != "said"} for line in lines]
    (tmp_path / "old" / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert [record.said for record in Corpus.open(tmp_path / "old").records] == [{}] * len(old)

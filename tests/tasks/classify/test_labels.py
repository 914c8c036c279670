"""Labels come from folders, from what pieces say, or from an index file; what has none, or too few, is told."""

from __future__ import annotations

import json

import pytest
from classify_tunes import make_corpus

from musicgen.corpus.store import Corpus
from musicgen.errors import UnreadableError, UsageError
from musicgen.tasks.classify.labels import labels_of


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("tunes"))


def test_folders_and_what_the_pieces_say_are_labels(corpus):
    assert labels_of(corpus, label="folder").classes == labels_of(corpus, label="top-folder").classes
    assert set(labels_of(corpus, label="folder").classes) == {"high", "low"}
    assert labels_of(corpus, label="played").classes == ("quantised",)
    assert labels_of(corpus, label="mode").without == 24  # no key is written


def test_each_split_has_its_own_pieces_with_their_class(corpus):
    found = labels_of(corpus, label="folder")
    for split in ("train", "valid"):
        assert [record for record, _ in found.of(split)] == corpus.pieces(split)
        assert all(found.classes[number] in record.source for record, number in found.of(split))


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("path", ["tunes/high/high3.mid", "high3.mid", "elsewhere/tunes/high/high3.mid", "./high3.mid"])
def test_an_index_names_pieces_by_their_path_or_its_end(corpus, tmp_path, kind, path):
    rows = [{"path": path, "year": "1790"}, {"path": "other/high4.mid", "year": "1800"}]
    text = {
        "csv": "path,year\n" + "".join(f"{row['path']},{row['year']}\n" for row in rows),
        "json": json.dumps(rows),
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }
    (tmp_path / f"index.{kind}").write_text(text[kind])
    found = labels_of(corpus, label="year", labels=str(tmp_path / f"index.{kind}"))
    assert [(record.source, label) for record, label in found.pieces] == [("tunes/high/high3.mid", "1790")]
    assert found.without == 23


def test_a_short_name_that_fits_two_labels_fits_none(corpus, tmp_path):
    (tmp_path / "index.csv").write_text("path,label\na/tunes/high/high1.mid,x\nb/tunes/high/high1.mid,y\n")
    assert labels_of(corpus, label="label", labels=str(tmp_path / "index.csv")).pieces == ()


def test_classes_with_too_few_pieces_are_left_out_and_told(corpus, tmp_path):
    rows = [f"{kind}{n}.mid,{kind if n else 'rare'}" for kind in ("high", "low") for n in range(12)]
    (tmp_path / "index.csv").write_text("file,label\n" + "\n".join(rows[:-1]))
    found = labels_of(corpus, label="label", labels=str(tmp_path / "index.csv"), least=5)
    assert set(found.classes) == {"high", "low"}
    assert found.left_out() == [
        "1 piece without a label left out",
        "1 class with too few pieces left out: rare (2)",
    ]
    assert {found.classes[number] for _, number in found.of("train")} == {"high", "low"}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.csv", None, "gone.csv: is missing; check the path"),
        ("index.txt", "", "is no index file of labels; give one that ends in .csv, .json or .jsonl"),
        ("index.csv", "name,label\na,b\n", "has no column 'path' or 'source' or 'file'"),
        ("index.csv", "path,composed\na,b\n", "has no column 'composer'; did you mean 'composed'?"),
        ("index.json", '{"a.mid": "b"}', "is not a list of objects"),
        ("index.jsonl", '{"path": 1\n', "is not JSON"),
        ("index.csv", "path,composer\n\udcff,b\n", "is no table"),
    ],
)
def test_an_index_that_cannot_be_used_is_refused_in_a_line(corpus, tmp_path, name, text, told):
    if text is not None:
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises((UsageError, UnreadableError)) as error:
        labels_of(corpus, label="composer", labels=str(tmp_path / name))
    assert told in str(error.value)


def test_a_label_that_does_not_exist_offers_the_nearest(corpus):
    with pytest.raises(UsageError, match=r"there is no label 'metre'; did you mean 'meter'.*need an index file"):
        labels_of(corpus, label="metre")
    with pytest.raises(UsageError, match="a label to classify by is needed"):
        labels_of(corpus, label="")

"""Small files from strangers are bounded before they are parsed, and every fault is one line."""

from __future__ import annotations

import json
import os

import pytest

from musicgen.errors import UnreadableError
from musicgen.io.bounded import DEEPEST, read_json, read_small, read_toml


def refused(read, path, **how) -> str:
    with pytest.raises(UnreadableError) as caught:
        read(path, **how)
    assert "\n" not in str(caught.value)
    return caught.value.what


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def test_what_is_sound_is_read(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": [1, 2.5, True, None, "naïve \N{MUSICAL SYMBOL G CLEF} \\"], "b": {"c": {}}}
    for ascii_only in (True, False):
        path.write_text(json.dumps(value, ensure_ascii=ascii_only), encoding="utf-8")
        assert read_json(path) == value
    path.write_text(nested(DEEPEST))
    assert read_json(path)
    (tmp_path / "a.toml").write_text("[a]\nb = [1, 2]\nc.d.e = 1979-05-27\n")
    assert list(read_toml(tmp_path / "a.toml")["a"]) == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (nested(DEEPEST + 1), f"is nested more than {DEEPEST} deep"),
        ("[" * 5000, f"is nested more than {DEEPEST} deep"),
        ("[" + "[]," * 100_000 + "1]", "holds more values than such a file ever does"),
        ("[1]", "is not a JSON object"),
        ("", "is not JSON (Expecting value"),
        ("{", "is not JSON (Expecting property name"),
        ('{"a": Infinity}', "is not JSON (Infinity is no number of JSON)"),
        ('{"a": -NaN}', "is not JSON ("),
        ('{"a": "\\udc00"}', "is not JSON ("),
        ('{"a": ' + "1" * 5000 + "}", "is not JSON (Exceeds the limit"),
        ('{"a": "x\ny"}', "is not JSON (Invalid control character"),
    ],
)
def test_json_that_is_refused(tmp_path, text, told):
    path = tmp_path / "a.json"
    path.write_text(text)
    assert refused(read_json, path).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = [" * 100, "not a TOML file ("),
        ("a = " + "[" * 2000, f"is nested more than {DEEPEST} deep"),
        ("a." * 400 + "b = 1", f"is nested more than {DEEPEST} deep"),
        ("a." * 20_000 + "b = 1", f"is nested more than {DEEPEST} deep"),
        ("a = " + "{b = " * 2000, f"is nested more than {DEEPEST} deep"),
        ("a = 1\na = 2", "not a TOML file (Cannot overwrite a value"),
        ("a = " + "1" * 5000, "not a TOML file (Exceeds the limit"),
    ],
)
def test_toml_that_is_refused(tmp_path, text, told):
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert refused(read_toml, path).startswith(told)


def test_no_more_than_may_be_is_read(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1000)
    assert read_small(path, most=1000) == b"x" * 1000
    assert refused(read_small, path, most=999) == "is larger than 0.999 kB, which such a file never is"
    os.truncate(path, 10**12)  # a terabyte of holes
    assert refused(read_small, path, most=2_000_000) == "is larger than 2 MB, which such a file never is"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("loop", tmp_path / "loop")
    assert refused(read_small, tmp_path / "pipe", most=9) == "is not a regular file"
    assert refused(read_small, "/dev/zero", most=9) == "is not a regular file"
    assert refused(read_small, tmp_path, most=9) == "is a folder"
    assert refused(read_small, tmp_path / "none", most=9) == "is missing"
    assert refused(read_small, tmp_path / "loop", most=9).startswith("can't be read (too many levels of symbolic links")
    assert refused(read_small, "a\0b", most=9) == "can't be read (embedded null byte)"

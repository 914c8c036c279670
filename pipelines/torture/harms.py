"""What a stranger's folder can have in it: each harm changes a good run folder or corpus, and is to be refused.

A harm is a function of the folder. Where it changes a file that a manifest names, the manifest is made to agree, so
that what is refused is what the file says. `HARMS` lists them all with what the refusal is to say of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CORPUS", "HARMS", "RUN", "TOKENS", "Harm", "make_corpus", "make_run", "seal"]

RUN, CORPUS, TOKENS = "run", "corpus", "tokens"  # what it is done to; of TOKENS it shows only where they are read
PARTS = ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json")


@dataclass(frozen=True)
class Harm:
    """`text` is part of the one line that refuses the folder."""

    name: str
    kind: str
    do: Callable[[Path], None]
    text: str


def seal(run: Path) -> None:
    """Make the manifest of a run folder name the files as they are."""
    manifest = json.loads((run / "manifest.json").read_text())
    for part in PARTS:
        if (run / part).is_file():
            manifest["sha256"][part] = hashlib.sha256((run / part).read_bytes()).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))


# ---- ways to harm ----------------------------------------------------------------------------------------


def written(name: str, data: bytes | str) -> Callable[[Path], None]:
    """The file is this."""

    def do(folder: Path) -> None:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        if name in PARTS:
            seal(folder)

    return do


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A piece of the file's text is another."""

    def do(folder: Path) -> None:
        text = (folder / name).read_text()
        if old not in text:
            raise ValueError(f"{name} has no {old!r}")
        written(name, text.replace(old, new, 1))(folder)

    return do


def changed(name: str, /, **values: Any) -> Callable[[Path], None]:
    """Some keys of the JSON object are these; ... takes a key away."""

    def do(folder: Path) -> None:
        table = {**json.loads((folder / name).read_text()), **values}
        written(name, json.dumps({key: value for key, value in table.items() if value is not ...}))(folder)

    return do


def huge(name: str, begin: bytes = b"") -> Callable[[Path], None]:
    """The file has 100 MB, most of them holes."""

    def do(folder: Path) -> None:
        written(name, begin)(folder)
        os.truncate(folder / name, 100_000_000)

    return do


def special(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    """In the place of the file there is something that is no file."""

    def do(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return do


def header(
    change: Callable[[dict[str, Any]], None], *, data: Callable[[bytes], bytes] = bytes
) -> Callable[[Path], None]:
    """The header of the weights is changed, and what lies behind it."""

    def do(folder: Path) -> None:
        path = folder / "model.safetensors"
        whole = path.read_bytes()
        length = int.from_bytes(whole[:8], "little")
        table = json.loads(whole[8 : 8 + length])
        change(table)
        text = json.dumps(table).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data(whole[8 + length :]))
        seal(folder)

    return do


def first(**values: Any) -> Callable[[dict[str, Any]], None]:
    """The first tensor of a header says this of itself."""

    def change(table: dict[str, Any]) -> None:
        table[min(name for name in table if name != "__metadata__")].update(values)

    return change


def raw(data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The bytes of the weights are changed as a whole."""

    def do(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(data(path.read_bytes()))
        seal(folder)

    return do


def numbers(value: float) -> Callable[[Path], None]:
    """The last weight is this number."""
    return raw(lambda data: data[:-4] + struct.pack("<f", value))


def renamed(table: dict[str, Any]) -> None:
    name = min(name for name in table if name != "__metadata__")
    table["another"] = table.pop(name)


def overlap(table: dict[str, Any]) -> None:
    """Two tensors of one size lie on one another."""
    sizes: dict[int, str] = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        if size in sizes:
            entry["data_offsets"] = table[sizes[size]]["data_offsets"]
            return
        sizes[size] = name


def twice(data: bytes) -> bytes:
    """The header names its first tensor twice."""
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip()
    name = min(name for name in json.loads(text) if name != "__metadata__")
    entry = json.dumps({name: json.loads(text)[name]}).encode()[1:-1]
    text = text[:-1] + b"," + entry + b"}"
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def tokens(change: Callable[[np.ndarray], np.ndarray], *, digests: bool = False) -> Callable[[Path], None]:
    """The array of tokens is another; with `digests` the lines name it as it is."""

    def do(folder: Path) -> None:
        array = change(np.load(folder / "tokens.npy"))
        np.save(folder / "tokens.npy", array)
        if digests:
            lines = [json.loads(line) for line in (folder / "pieces.jsonl").read_text().splitlines()]
            for line in lines:
                piece = array[line["offset"] : line["offset"] + line["length"]]
                line["sha256"] = hashlib.sha256(piece.astype("<u2").tobytes()).hexdigest()
            (folder / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return do


def array_header(text: str, data: bytes = b"") -> Callable[[Path], None]:
    """tokens.npy has this header."""
    line = text.encode() + b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return written("tokens.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + data)


def line(**values: Any) -> Callable[[Path], None]:
    """The second line of pieces.jsonl says this; ... takes a key away."""

    def do(folder: Path) -> None:
        path = folder / "pieces.jsonl"
        lines = path.read_text().splitlines()
        table = {**json.loads(lines[1]), **values}
        lines[1] = json.dumps({key: value for key, value in table.items() if value is not ...})
        path.write_text("\n".join(lines) + "\n")

    return do


def bumped(array: np.ndarray) -> np.ndarray:
    array[len(array) // 2] += 1
    return array


def out_of_range(array: np.ndarray) -> np.ndarray:
    array[len(array) // 2] = 65_535
    return array


# ---- what is harmed ----------------------------------------------------------------------------------------


def make_run(folder: Path) -> None:
    """A run folder as training leaves it, of a tiny model that has learned nothing."""
    from musicgen.checkpoint import model_for, save_run
    from musicgen.recipe import Recipe, TrainSettings
    from musicgen.tokenizers import load_tokenizer

    shape = {"family": "lstm", "width": 16, "layers": 2, "context": 32, "dropout": 0.0}
    recipe, tokenizer = Recipe(shape, TrainSettings(steps=1, batch=2, length=32)), load_tokenizer({"name": "remi"})
    card = {"title": "tiny", "licence": "CC0", "data": []}
    save_run(folder, model=model_for(recipe, tokenizer), tokenizer=tokenizer, recipe=recipe, card=card)


def make_corpus(folder: Path) -> None:
    """A corpus folder of three little pieces, for that run."""
    from musicgen.corpus.store import PieceRecord, write_corpus
    from musicgen.piece import Piece, Track, notes_array
    from musicgen.tokenizers import load_tokenizer

    tokenizer = load_tokenizer({"name": "remi"})
    records, ids = [], []
    for number, split in enumerate(("train", "valid", "valid")):
        notes = notes_array([(480 * k, 480, 60 + (k * (number + 3)) % 12, 80) for k in range(16)])
        ids.append(tokenizer.encode(Piece(480, (Track(notes=notes),))))
        digest, offset = hashlib.sha256(ids[-1].astype("<u2").tobytes()).hexdigest(), sum(map(len, ids[:-1]))
        records.append(PieceRecord(offset, len(ids[-1]), 16, f"{number}.mid", digest, str(number), split, "CC0"))
    about: dict[str, Any] = {"tokenizer": tokenizer.spec, "rejected": [], "duplicates": [], "origins": [], "files": 3}
    write_corpus(folder, records, tokens=ids, about=about)


# ---- the harms -------------------------------------------------------------------------------------------

DEEP = b"[" * 100_000
ODD_FILES = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to itself": lambda path: os.symlink(path, path),
    "a link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
}
# The model that is harmed: see `folders.py`.
WIDTH, LAYERS = "width = 16", "layers = 2"
RECIPES = {
    "width = 1048576": (WIDTH, "the recipe says width = 1,048,576"),
    "width = 65536": (WIDTH, "the recipe says width = 65,536, and there is no tensor wider than"),
    "width = 17": (WIDTH, "and the recipe asks for"),
    'width = "16"': (WIDTH, "width is '16'; give a whole number"),
    "width = true": (WIDTH, "width is True; give a whole number"),
    "width = 16.0": (WIDTH, "width is 16.0; give a whole number"),
    f"width = 1{'0' * 5000}": (WIDTH, "not a TOML file"),
    "layers = 1000000000": (LAYERS, "the recipe says layers = 1,000,000,000, and there are"),
    "layers = 3": (LAYERS, "lacks the tensor"),
    "layers = 1": (LAYERS, "the recipe's model has no tensor"),
    "layers = 2\nhorizon = 1000000000": (LAYERS, "the recipe says horizon = 1,000,000,000"),
    "layers = 2\nhorizon = 2": (LAYERS, "lacks the tensor 'ahead.0"),
    "layers = 2\nlook_back = 1000000000": (LAYERS, "look_back is 1000000000; give a whole number up to 64"),
    "layers = 2\nheads = 1000000000": (LAYERS, "heads is 1000000000; give a whole number up to"),
    "layers = 2\nlayer = 2": (LAYERS, "there is no setting 'layer'; did you mean 'layers'?"),
    "context = 1000000000": ("context = 32", "context is 1000000000; give a whole number up to 65,536"),
    "dropout = nan": ("dropout = 0.0", "dropout is nan; give a number from 0 to below 1"),
    'dropout = "0"': ("dropout = 0.0", "dropout is '0'; give a number from 0 to below 1"),
    'family = "lst"': ('family = "lstm"', "there is no model family 'lst'; did you mean 'lstm'?"),
    "family = 3": ('family = "lstm"', "family is 3; give text"),
    'family = "lstm"\nembedding = []': ('family = "lstm"', "there is no embedding []"),
    "steps = 1e400": ("steps = 1", "[train] steps is inf; give a whole number"),
    "batch = 1000000000000": ("batch = 2", "[train] batch is 1000000000000; give a whole number up to 65,536"),
    "step = 1": ("steps = 1", "[train] has no 'step'; did you mean 'steps'?"),
    "learning_rate = nan": ("learning_rate = ", "[train] learning_rate is nan; give a finite number"),
    "seed = -1\n": ("seed = 0\n", "[train] seed is -1; give a whole number of at least 0"),
    "seed = 4611686018427387904\n": ("seed = 0\n", "[train] seed is 4611686018427387904; give a whole number up to"),
    "transpose_low = -1000000": ("transpose_low = -5", "[augment] transpose_low is -1000000; give a whole number"),
    "programs = 2.0": ("programs = 0.0", "[augment] programs is 2.0; give a share from 0 to 1"),
    'corpus_sha256 = ["a"]\n': ('corpus_sha256 = "', "[data] corpus_sha256 is a list; give text"),
}


def _recipe(old: str, new: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        lines = (folder / "recipe.toml").read_text().splitlines(keepends=True)
        at = next(n for n, text in enumerate(lines) if text.startswith(old.rstrip("\n")))
        lines[at] = new.rstrip("\n") + "\n"
        written("recipe.toml", "".join(lines))(folder)

    return do


HARMS: list[Harm] = [
    *(Harm(new[:40].strip(), RUN, _recipe(old, new), text) for new, (old, text) in RECIPES.items()),
    *(
        Harm(f"{name} is {kind}", RUN, special(name, make), "is missing" if name[0] == "m" else "nor a run folder")
        for name in ("recipe.toml", "manifest.json", "model.safetensors")
        for kind, make in ODD_FILES.items()
    ),
    Harm("recipe of 100 MB", RUN, huge("recipe.toml"), "is larger than 64 kB"),
    Harm("recipe, 60,000 brackets", RUN, written("recipe.toml", b"a = " + DEEP[:60_000]), "is nested more than 32"),
    Harm("recipe, 25,000 tables", RUN, written("recipe.toml", b"a." * 25_000 + b"a = 1"), "is nested more than 32"),
    Harm("recipe not UTF-8", RUN, written("recipe.toml", b"a = '\xff'"), "not a TOML file"),
    Harm("recipe of a model that is no table", RUN, written("recipe.toml", "model = 3"), "model is 3; make it a table"),
    Harm("recipe of a train that is no table", RUN, written("recipe.toml", "train = 3"), "[train] is 3, not a table"),
    Harm("recipe with another table", RUN, written("recipe.toml", "[modle]"), "there is no table [modle]; did you"),
    Harm("manifest of 100 MB", RUN, huge("manifest.json"), "is larger than 1 MB"),
    Harm("manifest, 100,000 brackets", RUN, written("manifest.json", DEEP), "holds more values than"),
    Harm("manifest, 9,000 brackets", RUN, written("manifest.json", DEEP[:9000]), "is nested more than 32 deep"),
    Harm("manifest, 100 tables", RUN, written("manifest.json", b'{"a":' * 100 + b"1" + b"}" * 100), "is nested more"),
    Harm("manifest of commas", RUN, written("manifest.json", b"[" + b"0," * 499_000 + b"0]"), "holds more values"),
    Harm("manifest is a list", RUN, written("manifest.json", "[]"), "is not a JSON object"),
    Harm("manifest not UTF-8", RUN, written("manifest.json", b'{"format": "\xff"}'), "is not JSON"),
    Harm("manifest with half a character", RUN, written("manifest.json", '{"\\ud800": 1}'), "is not JSON"),
    Harm("manifest with NaN", RUN, written("manifest.json", '{"format": NaN}'), "is not JSON (NaN is no number"),
    Harm("manifest without digests", RUN, changed("manifest.json", sha256=...), "lacks 'sha256'"),
    Harm("manifest, digests a list", RUN, changed("manifest.json", sha256=["a"]), "sha256 is a list, not a table"),
    Harm("manifest, a digest a number", RUN, changed("manifest.json", sha256={"a": 1}), "sha256.a is 1, not text"),
    Harm(
        "manifest, no digest of weights", RUN, changed("manifest.json", sha256={}), "is not the file that its manifest"
    ),
    Harm("manifest, format a text", RUN, changed("manifest.json", format="1"), "format is '1', not a whole number"),
    Harm("manifest, format true", RUN, changed("manifest.json", format=True), "format is True, not a whole number"),
    Harm("manifest of another format", RUN, changed("manifest.json", format=2), "unknown run format 2; update"),
    Harm("tokenizer is a list", RUN, written("tokenizer.json", "[]"), "tokenizer.json: is not a JSON object"),
    Harm("tokenizer without a name", RUN, changed("tokenizer.json", name=...), "no tokenizer None"),
    Harm("tokenizer called 3", RUN, changed("tokenizer.json", name=3), "no tokenizer 3"),
    Harm("tokenizer called a list", RUN, changed("tokenizer.json", name=["remi"]), "no tokenizer ['remi']"),
    Harm("tokenizer, another", RUN, changed("tokenizer.json", name="rmi"), "no tokenizer 'rmi'; did you mean 'remi'?"),
    Harm(
        "tokenizer, positions a text",
        RUN,
        changed("tokenizer.json", positions_per_quarter="24"),
        "is '24'; give a whole",
    ),
    Harm("tokenizer, positions", RUN, changed("tokenizer.json", positions_per_quarter=10**9), "must be 24 or 48"),
    Harm("tokenizer, another key", RUN, changed("tokenizer.json", grid=1), "the tokenizer remi has no setting 'grid'"),
    Harm("card of 100 MB", RUN, huge("card.json"), "is larger than 8 MB"),
    Harm("card, 100,000 brackets", RUN, written("card.json", DEEP), "holds more values than"),
    Harm("card, sharpness a text", RUN, changed("card.json", sharpness="x"), "sharpness is 'x', not a list"),
    Harm("card, sharpness of texts", RUN, changed("card.json", sharpness=["x"]), "sharpness.0 is 'x', not a number"),
    Harm("card, sharpness 0", RUN, changed("card.json", sharpness=[0]), "the card's sharpness doesn't fit the model"),
    Harm(
        "card, sharpness 1e400", RUN, replaced("card.json", "1.0", "1e400"), "sharpness.0 is inf, not a finite number"
    ),
    Harm("card, licence a number", RUN, changed("card.json", licence=3), "licence is 3, not text"),
    Harm("card, data of numbers", RUN, changed("card.json", data=[3]), "data.0 is 3, not a table"),
    Harm("card, a loss a text", RUN, changed("card.json", valid_nats_per_token="x"), "per_token is 'x', not a number"),
    Harm("card, steps true", RUN, changed("card.json", steps=True), "steps is True, not a whole number"),
    Harm("weights empty", RUN, raw(lambda data: b""), "ends inside its header"),
    Harm("weights cut in the header", RUN, raw(lambda data: data[:100]), "ends inside its header"),
    Harm("weights cut", RUN, raw(lambda data: data[:-1]), "bytes of data, its header accounts for"),
    Harm("weights with more behind", RUN, raw(lambda data: data + b"x"), "bytes of data, its header accounts for"),
    Harm("weights, header of 2^63", RUN, raw(lambda data: b"\xff" * 7 + b"\x7f" + data[8:]), "ends inside its header"),
    Harm(
        "weights, header of 50 MB",
        RUN,
        huge("model.safetensors", struct.pack("<Q", 50_000_000)),
        "a header of",
    ),
    Harm("weights, header no JSON", RUN, written("model.safetensors", struct.pack("<Q", 4) + b"{{{{"), "is not JSON"),
    Harm(
        "weights, header a list",
        RUN,
        written("model.safetensors", struct.pack("<Q", 2) + b"[]"),
        "has a header that is",
    ),
    Harm(
        "weights, header nested",
        RUN,
        written("model.safetensors", struct.pack("<Q", 9000) + DEEP[:9000]),
        "nested more",
    ),
    Harm("weights, a name twice", RUN, raw(twice), "names a tensor twice in its header"),
    Harm("weights, a tensor renamed", RUN, header(renamed), "the recipe's model has no tensor 'another'"),
    Harm("weights, tensors that overlap", RUN, header(overlap), "the one before it ends at"),
    Harm("weights, a gap", RUN, header(first(data_offsets=[4, 8], shape=[1])), "begins at byte"),
    Harm(
        "weights, a shape that lies", RUN, header(first(shape=[10**9, 10**9])), "of shape 1000000000 x 1000000000 has"
    ),
    Harm("weights, shape 0", RUN, header(first(shape=[0, 2**60])), "of shape 0 x"),
    Harm("weights, shape negative", RUN, header(first(shape=[-1, -16])), "is not described as one"),
    Harm("weights, shape of floats", RUN, header(first(shape=[16.0])), "is not described as one"),
    Harm("weights, shape true", RUN, header(first(shape=[True])), "is not described as one"),
    Harm("weights, no offsets", RUN, header(first(data_offsets=None)), "is not described as one"),
    Harm("weights of integers", RUN, header(first(dtype="I32")), "holds I32, not floats"),
    Harm("weights of an unknown kind", RUN, header(first(dtype="F12")), "is not described as one"),
    Harm("weights with NaN", RUN, numbers(float("nan")), "has 1 numbers that are NaN or infinite"),
    Harm("weights with infinity", RUN, numbers(float("-inf")), "has 1 numbers that are NaN or infinite"),
    *(Harm(f"corpus.json is {kind}", CORPUS, special("corpus.json", make), "") for kind, make in ODD_FILES.items()),
    *(Harm(f"tokens.npy is {kind}", CORPUS, special("tokens.npy", make), "") for kind, make in ODD_FILES.items()),
    *(Harm(f"pieces.jsonl is {kind}", CORPUS, special("pieces.jsonl", make), "") for kind, make in ODD_FILES.items()),
    Harm("corpus.json of 100 MB", CORPUS, huge("corpus.json"), "is larger than 64 MB"),
    Harm(
        "corpus.json of commas", CORPUS, written("corpus.json", b"[" + b"[]," * 3_000_000 + b"0]"), "holds more values"
    ),
    Harm("corpus.json, brackets", CORPUS, written("corpus.json", DEEP), "holds more values than"),
    Harm("corpus.json, version a text", CORPUS, changed("corpus.json", format_version="1"), "has format version 1"),
    Harm("corpus.json, tokens a text", CORPUS, changed("corpus.json", tokens="9"), "tokens is '9', not a whole number"),
    Harm("corpus.json, tokens true", CORPUS, changed("corpus.json", tokens=True), "tokens is True, not a whole number"),
    Harm("corpus.json, other tokens", CORPUS, changed("corpus.json", tokens=10**30), "corpus.json says 1,000,000"),
    Harm("corpus.json, splits a list", CORPUS, changed("corpus.json", splits=[1]), "splits is a list, not a table"),
    Harm("corpus.json, no split", CORPUS, changed("corpus.json", splits={}), "splits.train lacks 'notes'"),
    Harm(
        "corpus.json, counts texts", CORPUS, changed("corpus.json", splits={"train": {"pieces": "x"}}), "is 'x', not a"
    ),
    Harm("corpus.json, rejected", CORPUS, changed("corpus.json", rejected=[{"source": 3}]), "source is 3, not text"),
    Harm("corpus.json, licences", CORPUS, changed("corpus.json", licences={"MIT": "x"}), "licences.MIT is 'x', not a"),
    Harm("corpus.json, no tokenizer", CORPUS, changed("corpus.json", tokenizer=...), "lacks 'tokenizer'"),
    Harm("corpus.json, a tokenizer", CORPUS, changed("corpus.json", tokenizer={"name": "x"}), "no tokenizer 'x'"),
    Harm("corpus.json, a tokenizer 3", CORPUS, changed("corpus.json", tokenizer=3), "tokenizer is 3, not a table"),
    Harm("tokens in a zip", CORPUS, written("tokens.npy", b"PK\x03\x04" + b"\0" * 100), "is damaged"),
    Harm("tokens cut", CORPUS, written("tokens.npy", b"\x93NUMPY"), "is damaged"),
    Harm(
        "tokens of floats", CORPUS, tokens(lambda array: array.astype("<f8")), "doesn't hold an array or rows of uint16"
    ),
    Harm("tokens the other way round", CORPUS, tokens(lambda array: array.astype(">u2")), "doesn't hold an array"),
    Harm(
        "tokens in columns", CORPUS, tokens(lambda a: np.asfortranarray(np.stack([a, a], 1))), "doesn't hold an array"
    ),
    Harm("tokens in a cube", CORPUS, tokens(lambda array: array[:, None, None]), "doesn't hold an array"),
    Harm("tokens that are one", CORPUS, tokens(lambda array: np.array(3, "<u2")), ""),
    Harm(
        "tokens of objects",
        CORPUS,
        array_header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
        "is damaged",
    ),
    Harm(
        "tokens, header of a terabyte",
        CORPUS,
        array_header("{'descr': '<u2', 'fortran_order': False, 'shape': (500000000000,), }"),
        "is damaged",
    ),
    Harm(
        "tokens, negative",
        CORPUS,
        array_header("{'descr': '<u2', 'fortran_order': False, 'shape': (-3,), }"),
        "is damaged",
    ),
    Harm("tokens, header nested", CORPUS, array_header("(" * 9000), "is damaged"),
    Harm("tokens, header calls", CORPUS, array_header("__import__('os').abort()"), "is damaged"),
    Harm("a piece less", CORPUS, tokens(lambda array: array[:-1]), "tokens, corpus.json says"),
    Harm("line, offset a text", CORPUS, line(offset="3"), "line 2: offset is '3', not a whole number"),
    Harm("line, offset beyond", CORPUS, line(offset=10**15), "doesn't begin where the piece before it ends"),
    Harm("line, length negative", CORPUS, line(length=-5), "doesn't begin where the piece before it ends, or reaches"),
    Harm("line, length beyond", CORPUS, line(length=2**62), "or reaches beyond the last"),
    Harm("line, length true", CORPUS, line(length=True), "line 2: length is True, not a whole number"),
    Harm("line, no work", CORPUS, line(work=...), "line 2: lacks 'work'"),
    Harm("line, licence a list", CORPUS, line(licence=["a"]), "line 2: licence is a list, not text"),
    Harm("line, another split", CORPUS, line(split="dev"), "line 2: has a split, count or weight that can't be"),
    Harm("line, weight negative", CORPUS, line(weight=-1.0), "line 2: has a split, count or weight that can't be"),
    Harm("line, weight NaN", CORPUS, line(weight=float("nan")), "line 2 is damaged (is not JSON (NaN"),
    Harm("lines, one of 100 MB", CORPUS, huge("pieces.jsonl"), "line 1 is longer than 16,384 bytes"),
    Harm("lines, nested", CORPUS, written("pieces.jsonl", DEEP[:10_000]), "line 1 is damaged (is nested more"),
    Harm("lines, none", CORPUS, written("pieces.jsonl", b""), "accounts for 0 of"),
    Harm("lines, lists", CORPUS, written("pieces.jsonl", b"[]\n"), "line 1: is a list, not a table"),
    Harm("another token", TOKENS, tokens(bumped), "is not what its digest in pieces.jsonl says"),
    Harm("a token out of range", TOKENS, tokens(out_of_range, digests=True), "has the id 65535 at token"),
]

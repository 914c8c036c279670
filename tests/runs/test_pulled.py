"""Models fetched from a folder or a server: checked before they can be seen, and never anywhere else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicgen.checkpoint import load_run, save_run
from musicgen.cli.main import cli
from musicgen.errors import MusicgenError, ResourceError, UnreadableError, UsageError
from musicgen.models import ModelSettings, build_model
from musicgen.recipe import Recipe
from musicgen.resources import known_models
from musicgen.runs.pulled import pull
from musicgen.tokenizers import Abc


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tiny"
    settings = {"family": "lstm", "width": 8, "layers": 1, "context": 16}
    model = build_model(ModelSettings.from_dict({**settings, "vocabulary_size": len(Abc().vocabulary)}), seed=0)
    save_run(folder, model=model, tokenizer=Abc(), recipe=Recipe(settings), card={"title": "Tiny", "family": "lstm"})
    return folder


def packed(files: dict[str, bytes], *, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name == link:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def files_of(run: Path, within: str = "tiny/") -> dict[str, bytes]:
    return {f"{within}{path.name}": path.read_bytes() for path in run.iterdir()}


def offered(folder: Path, data: bytes) -> str:
    """Put an archive and its listing into a folder; its sha256."""
    digest = hashlib.sha256(data).hexdigest()
    (folder / "tiny.tar.gz").write_bytes(data)
    (folder / "models.json").write_text(json.dumps({"tiny": {"file": "tiny.tar.gz", "sha256": digest}}))
    return digest


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MUSICGEN_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def server(tmp_path):
    """(a folder, the address under which it is served on this machine)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("within", ["", "tiny/"])
def test_a_model_from_a_folder_is_found_by_its_name(run, tmp_path, store, within):
    offered(tmp_path, packed(files_of(run, within)))
    done = CliRunner().invoke(cli, ["models", "pull", "tiny", "--from", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{store / 'tiny'}: use it with -m tiny\n"
    assert load_run("tiny").sha256 == load_run(run).sha256
    listed = json.loads(CliRunner().invoke(cli, ["models", "list", "--json"]).stdout)
    (card,) = [card for card in listed if card["name"] == "tiny"]
    assert (card["comes_along"], card["clean"], card["title"]) == (False, None, "Tiny")
    assert [path.name for path in store.iterdir()] == ["tiny"], "nothing else is left"
    again = CliRunner().invoke(cli, ["models", "pull", "tiny", "--from", str(tmp_path)])
    assert again.exit_code == 2
    assert "exists already; remove it first" in again.stderr


def test_a_model_from_a_server_by_name_and_by_address(run, server, tmp_path):
    folder, address = server
    digest = offered(folder, packed(files_of(run)))
    assert pull("tiny", source=address) == known_models()["tiny"]
    assert pull(f"{address}/tiny.tar.gz", digest=digest, output=tmp_path / "mine") == tmp_path / "mine"
    assert load_run(tmp_path / "mine").sha256 == load_run(run).sha256
    with pytest.raises(ResourceError, match="can't be fetched"):
        pull("other", source=f"{address}/nowhere")
    with pytest.raises(UnreadableError, match=r"lists no model 'other' with a file and a sha256; it has tiny"):
        pull("other", source=address)


@pytest.mark.parametrize(
    ("model", "asked", "error", "text"),
    [
        ("tiny", {}, UsageError, "where is 'tiny' to come from\\?; add `source`"),
        ("tiny", {"source": "http://example.org"}, UsageError, "only https is spoken"),
        ("tiny", {"source": "ftp://127.0.0.1"}, UsageError, "only https is spoken"),
        ("../tiny", {"source": "."}, UsageError, "'../tiny' is no name of a model"),
        ("https://example.org/tiny.tar.gz", {}, UsageError, "doesn't say what it should hold; add `sha256`"),
        ("https://example.org/tiny.tar.gz", {"digest": "abc"}, UsageError, "'abc' is no sha256"),
        ("tiny", {"source": "nowhere"}, UnreadableError, "can't be read .*; check `source`"),
    ],
)
def test_a_request_that_is_not_safe_is_refused(model, asked, error, text, store):
    with pytest.raises(error, match=text):
        pull(model, **asked)
    assert not store.exists() or not list(store.iterdir())


@pytest.mark.parametrize(
    ("extra", "link", "text"),
    [
        ({"../../card.json": b"{}"}, "", "holds '../../card.json', which is no file of a run folder"),
        ({"/etc/card.json": b"{}"}, "", "holds '/etc/card.json', which is no file"),
        ({"tiny/evil.py": b"1"}, "", "holds 'tiny/evil.py'"),
        ({"tiny/log.csv": b""}, "tiny/log.csv", "holds 'tiny/log.csv', which is no file"),
        ({"card.json": b"{}"}, "", "holds 'card.json' twice"),
        ({"tiny/log.csv": bytes(2_000_000)}, "", "unpacks to more than 1 MB"),
        ({"tiny/card.json": b'{"title": "other"}'}, "", "card.json is not the file that its manifest names"),
        ({"tiny/model.safetensors": b"0"}, "", "model.safetensors is not the file that its manifest names"),
    ],
)
def test_an_archive_that_is_not_a_run_folder_is_refused_and_nothing_is_left(run, tmp_path, store, extra, link, text):
    offered(tmp_path, packed({**files_of(run), **extra}, link=link))
    with pytest.raises(UnreadableError) as caught:
        pull("tiny", source=str(tmp_path), most_megabytes=1)
    assert text in str(caught.value)
    assert list(store.iterdir()) == []
    assert "tiny" not in known_models()


def test_an_archive_with_another_digest_is_refused(run, tmp_path, store):
    offered(tmp_path, packed(files_of(run)))
    (tmp_path / "tiny.tar.gz").write_bytes(b"something else")
    with pytest.raises(MusicgenError, match=r"has the sha256 .*, not "):
        pull("tiny", source=str(tmp_path))
    offered(tmp_path, b"something else")
    with pytest.raises(UnreadableError, match=r"is no \.tar\.gz archive"):
        pull("tiny", source=str(tmp_path))
    assert list(store.iterdir()) == []

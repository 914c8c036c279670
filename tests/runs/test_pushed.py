"""Models passed on and fetched again: whole, from a folder and from a Hub that is a folder here; nothing else comes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from musicgen.checkpoint import load_run, save_run
from musicgen.cli.main import cli
from musicgen.errors import ResourceError, UnreadableError, UsageError
from musicgen.models import ModelSettings, build_model
from musicgen.recipe import Recipe
from musicgen.resources import RUN_FILES
from musicgen.runs.hub import Repository
from musicgen.runs.model_card import model_card
from musicgen.runs.pulled import pull
from musicgen.runs.pushed import push
from musicgen.tokenizers import Abc

CARD = {
    "title": "Tiny: tunes & “more”",
    "family": "lstm",
    "licence": "CC BY 4.0",
    "parameters": 1234,
    "steps": 7,
    "tokens_seen": 900,
    "valid_nats_per_token": 1.25,
    "data": [
        {"name": "folk-tunes", "title": "Folk\ntunes", "licence": "CC BY 4.0", "pieces": 3},
        {"corpus": "/home/me/x"},
    ],
    "shipping": {"may_ship": True, "reasons": []},
}
KEPT = {"recipe.toml", "tokenizer.json", "model.safetensors", "card.json", "manifest.json"}


@pytest.fixture
def run(tmp_path) -> Path:
    return made(tmp_path / "tiny")


def made(folder: Path, **card: object) -> Path:
    settings = {"family": "lstm", "width": 8, "layers": 1, "context": 16}
    model = build_model(ModelSettings.from_dict({**settings, "vocabulary_size": len(Abc().vocabulary)}), seed=0)
    save_run(folder, model=model, tokenizer=Abc(), recipe=Recipe(settings), card={**CARD, **card})
    return folder


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MUSICGEN_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


class Hub:
    """What of huggingface_hub is used, over folders: repository -> {commit: folder}, the last one the newest."""

    def __init__(self, root: Path) -> None:
        self.root, self.private, self.asked = root, {}, []

    def package(self) -> SimpleNamespace:
        return SimpleNamespace(HfApi=lambda: self, hf_hub_download=self.hf_hub_download)

    def commits(self, name: str) -> list[Path]:
        return sorted((self.root / name).iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def create_repo(self, name: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        assert repo_type == "model"
        (self.root / name).mkdir(parents=True, exist_ok=exist_ok)
        self.private.setdefault(name, private)

    def model_info(
        self, name: str, *, revision: str | None = None, files_metadata: bool = False, timeout: float
    ) -> SimpleNamespace:
        if not (self.root / name).is_dir():
            raise OSError(f"404 Client Error\nno {name}")
        found = [path for path in self.commits(name) if revision is None or path.name.startswith(revision)]
        files = (
            [SimpleNamespace(rfilename=path.name, size=path.stat().st_size) for path in found[-1].iterdir()]
            if found
            else []
        )
        return SimpleNamespace(
            sha=found[-1].name if found else None, siblings=files, private=self.private.get(name, False)
        )

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> SimpleNamespace:
        assert commit_message
        sha = f"{len(self.commits(repo_id)):040x}"
        shutil.copytree(folder_path, self.root / repo_id / sha)
        return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/{sha}")

    def hf_hub_download(self, name: str, file: str, *, revision: str, cache_dir: str) -> str:
        self.asked.append((file, revision))
        return str(self.root / name / revision / file)


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", made.package())
    return made


def command(*arguments: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, ["models", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


# ---- folders ---------------------------------------------------------------------------------------------


def test_a_run_is_pushed_to_a_folder_and_pulled_whole(run, tmp_path, store):
    (run / "log.csv").write_text("step\n")
    (run / "checkpoints").mkdir()
    (run / "notes.txt").write_text("mine")
    said, _ = command("push", run, tmp_path / "shelf")
    digest = load_run(run).sha256
    assert said == f"{tmp_path / 'shelf'}: sha256 {digest}; fetch it with `musicgen models pull {tmp_path / 'shelf'}`\n"
    assert {path.name for path in (tmp_path / "shelf").iterdir()} == KEPT | {"log.csv", "README.md"}
    assert (tmp_path / "shelf" / "README.md").read_text() == model_card(
        load_run(run).card, name="shelf", tokenizer="abc"
    )
    said, _ = command("pull", tmp_path / "shelf")
    assert said == f"{store / 'shelf'}: use it with -m shelf\n"
    assert {path.name for path in (store / "shelf").iterdir()} == KEPT | {"log.csv", "origin.json"}
    assert load_run("shelf").sha256 == digest
    origin = json.loads((store / "shelf" / "origin.json").read_text())
    assert origin == {"from": str(tmp_path / "shelf"), "revision": None, "sha256": digest}
    assert json.loads(command("show", "shelf", "--json")[0])["origin"] == origin


@pytest.mark.parametrize("part", sorted(KEPT - {"manifest.json"}))
def test_a_folder_that_is_not_what_its_manifest_says_is_not_passed_on_nor_fetched(part, run, tmp_path, store):
    data = bytearray((run / part).read_bytes())
    data[-2] ^= 1
    (run / part).write_bytes(data)
    with pytest.raises(UnreadableError):
        push(run, tmp_path / "shelf")
    with pytest.raises(UnreadableError):
        pull(str(run))
    assert not (tmp_path / "shelf").exists()
    assert list(store.iterdir()) == []


def test_links_of_a_folder_are_not_followed(run, store, tmp_path):
    (tmp_path / "secret").write_text("step\n")
    os.symlink(tmp_path / "secret", run / "log.csv")
    assert "log.csv" not in {path.name for path in pull(str(run)).iterdir()}


def test_what_is_there_is_not_written_over(run, tmp_path):
    (tmp_path / "shelf").mkdir()
    with pytest.raises(UsageError, match=r"shelf: exists already; remove it first, or choose another folder"):
        push(run, tmp_path / "shelf")
    pull(str(run))
    with pytest.raises(UsageError, match="exists already"):
        pull(str(run))


def test_a_digest_may_be_asked_for_of_a_folder(run, store):
    with pytest.raises(UnreadableError, match=r"its weights have the sha256 [0-9a-f]{64}, not 0{64}; don't use it"):
        pull(str(run), digest="0" * 64)
    assert pull(str(run), digest=load_run(run).sha256.upper()) == store / "tiny"
    with pytest.raises(UnreadableError, match="is too large"):
        pull(str(run), output=store / "other", most_megabytes=0.001)


def test_what_may_not_be_passed_on_is_refused_unless_it_is_asked_for(tmp_path):
    no = made(tmp_path / "no", shipping={"may_ship": False, "reasons": ["CC BY-NC 4.0: for non-commercial use only"]})
    _, said = command("push", no, tmp_path / "shelf", code=2)
    assert "its card says that it may not be passed on (CC BY-NC 4.0: for non-commercial use only)" in said
    assert "--allow-restricted does it all the same, if you have the right" in said
    assert not (tmp_path / "shelf").exists()
    command("push", no, tmp_path / "shelf", "--allow-restricted")
    unknown = made(
        tmp_path / "unknown", shipping={"may_ship": None, "reasons": ["unknown: what it allows isn't known"]}
    )
    _, said = command("push", unknown, tmp_path / "other")
    assert said == "you must know whether it may be passed on: unknown: what it allows isn't known\n"


# ---- the Hub ---------------------------------------------------------------------------------------------


def test_a_repository_is_private_and_a_pull_pins_the_commit(run, hub, store):
    said, _ = command("push", run, "hf://ada/tunes")
    assert said.startswith(f"https://hub.example/ada/tunes/commit/{0:040x}: sha256")
    assert hub.private == {"ada/tunes": True}
    (hub.root / "ada/tunes" / f"{0:040x}" / "evil.py").write_text("1/0")
    folder = pull("hf://ada/tunes")
    assert {path.name for path in folder.iterdir()} == KEPT | {"origin.json"}
    assert {name for name, _ in hub.asked} <= set(RUN_FILES)
    assert {revision for _, revision in hub.asked} == {f"{0:040x}"}
    assert json.loads((folder / "origin.json").read_text())["revision"] == f"{0:040x}"
    assert load_run("tunes").sha256 == load_run(run).sha256
    push(run, "hf://ada/tunes")
    pull(f"hf://ada/tunes@{0:040x}", output=store / "old")
    assert json.loads((store / "old" / "origin.json").read_text())["from"] == f"hf://ada/tunes@{0:040x}"
    assert (
        json.loads((pull("hf://ada/tunes", output=store / "new") / "origin.json").read_text())["revision"]
        == f"{1:040x}"
    )


def test_a_public_repository_takes_a_model_only_where_that_is_said(run, hub):
    push(run, "hf://ada/open", public=True)
    assert hub.private == {"ada/open": False}
    with pytest.raises(UsageError, match=r"hf://ada/open: is a public repository; pass `public` if everybody may"):
        push(run, "hf://ada/open")
    assert len(hub.commits("ada/open")) == 1
    push(run, "hf://ada/open", public=True)


def test_what_the_hub_says_is_one_line(run, hub):
    with pytest.raises(ResourceError) as caught:
        pull("hf://ada/nothing")
    assert str(caught.value) == (
        "hf://ada/nothing: the Hub can't be reached or says no (404 Client Error); check the name, and `hf auth whoami`"
    )
    (hub.root / "ada/empty" / f"{0:040x}").mkdir(parents=True)
    with pytest.raises(UnreadableError, match=r"has no model\.safetensors, so it is no model of musicgen"):
        pull("hf://ada/empty")
    push(run, "hf://ada/tunes")
    with pytest.raises(UnreadableError, match=r"is larger than 0\.001 MB; raise `max_megabytes`"):
        pull("hf://ada/tunes", most_megabytes=0.001)
    weights = hub.root / "ada/tunes" / f"{0:040x}" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(UnreadableError, match=r"hf://ada/tunes: model\.safetensors is not the file that its manifest"):
        pull("hf://ada/tunes")


@pytest.mark.parametrize(
    "address", ["hf://ada", "hf://", "hf://../x", "hf://ada/x/y", "hf://ada/x@", "hf://ada/x@../y"]
)
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(UsageError, match="is no address of a model on the Hub; write hf://owner/name"):
        Repository.of(address)


def test_without_the_package_it_says_which_extra_brings_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: pull("hf://ada/tunes"), lambda: push(run, "hf://ada/tunes")):
        with pytest.raises(
            UsageError, match=r"needs the package huggingface_hub; install the extra: pip install 'music"
        ):
            call()


# ---- the model card --------------------------------------------------------------------------------------


def test_the_card_is_one_that_the_hub_reads():
    try:
        version("huggingface_hub")
    except PackageNotFoundError:
        pytest.skip("the extra hub is not installed")
    from huggingface_hub import ModelCard

    read = ModelCard(model_card(CARD, name="tiny", tokenizer="abc"))
    data = read.data
    assert (data.license, data.library_name) == ("cc-by-4.0", "musicgen-symbolic")
    assert data.tags == ["symbolic-music", "music-generation", "midi", "lstm", "abc"]
    assert data.datasets == ["folk-tunes"]  # and no path of a disk
    assert data.model_name == CARD["title"]
    (nats, perplexity) = data.eval_results
    assert (nats.metric_type, nats.metric_value, perplexity.metric_type) == ("nats_per_token", 1.25, "perplexity")
    assert perplexity.metric_value == pytest.approx(3.49034)
    assert "# Tiny: tunes & “more”" in read.text
    assert "- Folk tunes, 3 pieces: CC BY 4.0" in read.text
    assert "The weights may be passed on." in read.text


@pytest.mark.parametrize("name", ["default", "folk"])
def test_the_cards_of_models_that_come_along_have_their_figures_and_licences(name):
    text = model_card(load_run(name).card, name=name, tokenizer="x")
    assert 'license: "other"\nlicense_name: "MIT (weights); data:' in text
    assert '- name: "test' not in text
    assert "| test | nats a note | " in text
    assert "- Bach chorales: public domain (music21's corpus)" in text


def test_a_card_of_nothing_is_still_a_card():
    text = model_card({}, name="bare", tokenizer="notes")
    assert 'license: "other"\nlicense_name: "unknown"' in text
    assert "model-index" not in text

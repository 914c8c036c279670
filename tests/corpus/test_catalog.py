"""The catalogue names real sources with licences; fetching gives exactly the commit asked for, or nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicgen.cli.main import cli
from musicgen.corpus import catalog, checkout
from musicgen.corpus.build import BuildSettings, find_sources
from musicgen.corpus.catalog import CorpusEntry, Source, catalogue, fetch, find_entry, package_files
from musicgen.errors import ResourceError, UnreadableError, UsageError

ROOT = Path(__file__).parents[2]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs the program git")


def test_every_entry_is_complete():
    entries = catalogue()
    names = [e.name for e in entries]
    assert names == sorted(names)
    wanted = (
        "bach-chorales freedoom-rock giantmidi-piano groove-midi hauptstimme mit-irish mutopia-more mutopia-pd "
        "nottingham openewld-pd openscore-lieder openscore-stringquartets polish-scores vienna4x22"
    )
    assert set(wanted.split()) <= set(names)
    for entry in entries:
        assert entry.title
        assert entry.description
        assert entry.pieces > 0
        assert entry.notes > 0
        assert entry.licence
        assert entry.licence_url.startswith("https://")
        if entry.source.kind == "git":
            assert entry.source.address.startswith("https://github.com/")
            assert re.fullmatch("[0-9a-f]{40}", entry.source.commit), entry.name
            assert entry.source.suffixes


def test_only_what_its_licence_allows_is_for_shipped_models():
    closed = {e.name for e in catalogue() if not e.shippable}
    assert closed == {"mit-irish", "nottingham"}
    for entry in catalogue():
        if entry.shippable:
            assert "GPL" not in entry.licence
            assert "NC" not in entry.licence


def test_whose_name_is_asked_for_stands_in_the_notice():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for entry in catalogue():
        if entry.shippable:
            assert entry.title in notice, f"{entry.name} is not in NOTICE"
            assert entry.source.address in notice
            assert entry.licence.partition(" (")[0] in notice
        if entry.shippable and entry.licence.startswith(("CC BY", "BSD", "public domain, CC BY")):
            assert entry.attribution, f"{entry.name} lacks an attribution"


def test_a_corpus_may_be_part_of_a_repository(tmp_path):
    openewld, hauptstimme = find_entry("openewld-pd").source, find_entry("hauptstimme").source
    assert len(openewld.only) == find_entry("openewld-pd").pieces
    song = "Stephen_Foster/Oh!_Susanna/Oh!_Susanna.mxl"
    assert openewld.holds(song)
    assert openewld.holds(unicodedata.normalize("NFD", "Claude_Debussy/Rêverie/Rêverie.mxl"))
    assert not openewld.holds("Al_Dubin-Harry_Warren/Shadow_Waltz/Shadow_Waltz.mxl")
    assert hauptstimme.holds("Bach/1/Bach_1.mxl")
    assert not hauptstimme.holds("Bach/1/Bach_1_melody.mxl")

    folder = tmp_path / "hauptstimme" / "data"
    folder.mkdir(parents=True)
    for name in ("a.mxl", "a_melody.mxl"):
        (folder / name).write_bytes(b"")
    files, _ = find_sources(["hauptstimme"], settings=BuildSettings(fetched=str(tmp_path)))
    assert [f.name for f in files] == ["hauptstimme/a.mxl"]


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UsageError, match=r"no corpus 'bach-choral' in the catalogue; did you mean 'bach-chorales'\?"):
        find_entry("bach-choral")
    with pytest.raises(UsageError, match="known are bach-chorales, "):
        find_entry("zzzzzz")


def test_a_broken_description_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "resource", lambda *parts: tmp_path)
    with pytest.raises(ResourceError, match="the catalogue is missing"):
        catalogue()
    (tmp_path / "x.toml").write_text('name = "x"\nlicense = "MIT"\n[source]\nkind = "git"\n')
    with pytest.raises(UnreadableError, match=r"x\.toml: has no 'license'; did you mean 'licence'\?"):
        catalogue()
    (tmp_path / "x.toml").write_text('name = "x"\n[source]\nkind = "git"\ncommit = 12\n')
    with pytest.raises(UnreadableError, match=r"x\.toml: \[source\] commit is 12, not text; see corpora/"):
        catalogue()


def test_the_chorales_come_with_music21():
    files = package_files(find_entry("bach-chorales"))
    assert len(files) > 300
    assert len(set(files)) == len(files)
    assert files == sorted(files)
    assert all(f.name.startswith("bwv") and f.is_file() for f in files)
    with pytest.raises(UsageError, match="nottingham doesn't come with a package"):
        package_files(find_entry("nottingham"))


# ---- fetching, from a repository made here ---------------------------------------------------------------


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *arguments]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """(entry of the first of two commits, its number), in a repository that lies here."""
    monkeypatch.setattr(checkout, "PROTOCOL", "file")
    folder = tmp_path / "origin"
    (folder / "scores").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "scores" / "a.mid").write_bytes(b"one\n")
    (folder / ".gitattributes").write_text("*.mid text eol=crlf\n")
    os.symlink("/etc/passwd", folder / "scores" / "out.mid")
    git(folder, "-c", "core.autocrlf=false", "add", ".")
    git(folder, "commit", "-qm", "one")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / "scores" / "a.mid").write_bytes(b"two")
    git(folder, "commit", "-qam", "two")
    source = Source("git", address=folder.as_uri(), commit=commit, subfolder="scores", suffixes=(".mid",))
    return CorpusEntry("tiny", "Tiny", "for tests", 1, 1, "CC0", "https://x", True, source), commit


@needs_git
def test_fetch_gives_the_commit_in_one_step(origin, tmp_path):
    entry, _ = origin
    folder = fetch(entry, tmp_path / "corpora")
    assert folder == tmp_path / "corpora" / "tiny"
    assert (folder / "scores" / "a.mid").read_bytes() == b"one\n", "the bytes of the commit, whatever it asks for"
    assert os.listdir(folder.parent) == ["tiny"]
    assert fetch(entry, tmp_path / "corpora") == folder  # again: kept


@needs_git
def test_a_link_in_a_repository_leads_nowhere(origin, tmp_path):
    entry, _ = origin
    link = fetch(entry, tmp_path / "corpora") / "scores" / "out.mid"
    assert not link.is_symlink()
    assert link.read_bytes() == b"/etc/passwd"


def change(folder):
    (folder / "scores" / "a.mid").write_bytes(b"uno\n")


def add(folder):
    (folder / "scores" / "more.mid").write_bytes(b"")


def remove(folder):
    (folder / "scores" / "a.mid").unlink()


def link(folder):
    (folder / "scores" / "a.mid").unlink()
    os.symlink("/etc/passwd", folder / "scores" / "a.mid")


def swap(folder):
    (folder / "scores").rename(folder.parent / "elsewhere")
    os.symlink("../elsewhere", folder / "scores")


@needs_git
@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (change, "scores/a.mid was changed"),
        (add, "scores/more.mid is none of its files"),
        (remove, "scores/a.mid is missing"),
        (link, "scores/a.mid was changed"),
        (swap, "scores is a link"),
    ],
)
def test_what_was_fetched_is_compared_with_its_commit(origin, tmp_path, monkeypatch, harm, text):
    entry, _ = origin
    monkeypatch.setattr(catalog, "find_entry", lambda name: entry)
    settings = BuildSettings(fetched=str(tmp_path / "corpora"))
    folder = fetch(entry, tmp_path / "corpora")
    assert len(find_sources(["tiny"], settings=settings)[0]) == 2
    harm(folder)
    for again in (lambda: fetch(entry, tmp_path / "corpora"), lambda: find_sources(["tiny"], settings=settings)):
        with pytest.raises(
            UnreadableError, match=f"is not what was fetched: {text}; move it away, then musicgen corpus"
        ):
            again()


@needs_git
@pytest.mark.parametrize(
    "address", ["http://x.org/a", "file:///tmp/a", "ext::sh -c id", "-x", "git@x.org:a", "https://a b"]
)
def test_nothing_but_https_is_spoken(tmp_path, address):
    source = Source("git", address=address, commit="0" * 40, suffixes=(".mid",))
    with pytest.raises(UsageError, match="is no address to fetch from; give one that begins with https://"):
        fetch(CorpusEntry("tiny", "Tiny", "for tests", 1, 1, "CC0", "https://x", True, source), tmp_path)


@needs_git
def test_a_redirect_to_another_protocol_is_refused(origin, tmp_path, monkeypatch):
    """git itself is told: here, an address that a configuration turns into another."""
    entry, _ = origin
    monkeypatch.setattr(checkout, "PROTOCOL", "https")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    (tmp_path / "config").write_text(f'[url "{entry.source.address}"]\n\tinsteadOf = https://tiny.org/a\n')
    moved = replace(entry, source=replace(entry.source, address="https://tiny.org/a"))
    with pytest.raises(UnreadableError, match="transport 'file' not allowed"):
        fetch(moved, tmp_path / "corpora")


@needs_git
def test_a_missing_commit_or_repository_leaves_nothing(origin, tmp_path):
    entry, _ = origin
    for wrong in (
        replace(entry.source, commit="0123456789" * 4),
        replace(entry.source, address=(tmp_path / "none").as_uri()),
    ):
        with pytest.raises(UnreadableError) as caught:
            fetch(replace(entry, source=wrong), tmp_path / "corpora")
        assert str(caught.value).startswith(f"{wrong.address}: git ")
        assert "\n" not in str(caught.value)
        assert os.listdir(tmp_path / "corpora") == []


@needs_git
def test_what_lies_there_is_not_touched(origin, tmp_path):
    entry, _ = origin
    mine = tmp_path / "corpora" / "tiny"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="already exists and is something else"):
        fetch(entry, tmp_path / "corpora")
    assert (mine / "mine.txt").read_text() == "keep"


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog.shutil, "which", lambda name: None)
    with pytest.raises(ResourceError, match="the program git is needed"):
        fetch(find_entry("nottingham"), tmp_path)


@needs_git
def test_a_commit_is_never_an_option(origin, tmp_path):
    entry, _ = origin
    for commit in ("--upload-pack=x", entry.source.commit[:12], "main", ""):
        with pytest.raises(UsageError, match="is not a commit; give its 40 hex digits"):
            fetch(replace(entry, source=replace(entry.source, commit=commit)), tmp_path)


def test_fetch_says_how_a_part_of_a_repository_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "fetch", lambda entry, folder: tmp_path / entry.name)
    done = CliRunner().invoke(cli, ["corpus", "fetch", "openewld-pd", "-o", str(tmp_path)])
    assert done.exit_code == 0
    assert f"MUSICGEN_CORPORA={tmp_path} musicgen corpus build openewld-pd -o openewld-pd-corpus" in done.output

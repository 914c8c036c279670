"""Takes are made again from their sidecars, and gone on from."""

from __future__ import annotations

import json

import pytest
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Source
from musicgen.errors import UnreadableError, UsageError
from musicgen.io import write
from musicgen.replaying import recalled, varied


@pytest.fixture
def made(tmp_path):
    """(the piece's file, a take of it with many settings, its sidecar)."""
    write(song(), tmp_path / "song.mid")
    (take,) = composer().continue_(
        tmp_path / "song.mid",
        bars=4,
        start=8,
        end=True,
        tracks=["Melody", "Bass"],
        key="G",
        pitch_range=(30, 90),
        temperature=0.9,
        field_temperatures={"pitch": 1.1},
        seed=5,
    )
    take.save(tmp_path / "take.mid")
    return tmp_path / "song.mid", take, tmp_path / "take.json"


def test_a_take_is_made_again(made):
    path, take, sidecar = made
    again = composer().replay(sidecar, path)
    assert again.facts == take.facts
    assert [t.rows.tolist() for t in again.midi.tracks] == [t.rows.tolist() for t in take.midi.tracks]


def changed(sidecar, **facts):
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **facts}))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"model_sha256": "1"}, "made by another model, 'fake'; name it with -m"),
        ({"source_sha256": "1"}, "made of another file than this, 'song.mid'"),
        ({"source_sha256": ""}, "made from nothing; generate it with its --seed"),
        ({"study": {"updates": 4, "pieces": 3, "whole": False}}, "other music was studied for this take"),
    ],
)
def test_what_is_another_than_it_was_is_refused(made, facts, message):
    path, _, sidecar = made
    changed(sidecar, **facts)
    with pytest.raises(UsageError, match=message):
        composer().replay(sidecar, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "has no 'settings'"), ("[]", "is not a JSON object"), ("nothing", "is not JSON")],
)
def test_other_files_are_no_sidecars(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UnreadableError, match=message):
        recalled(tmp_path / "x.json")


def test_a_setting_that_is_unknown_is_refused(made):
    _, take, sidecar = made
    changed(sidecar, settings={**take.facts["settings"], "swing": 3})
    with pytest.raises(UnreadableError, match="settings has 'swing', which is unknown here"):
        recalled(sidecar)


def test_a_take_is_gone_on_from(made):
    _, take, sidecar = made
    told = recalled(sidecar)
    source = Source.read(told.music)
    request = varied(told, source.piece, bar=2)
    assert (request.start, request.bars, request.keeps.key) == (10, 2, "G")
    (other,) = composer().takes(source, request=request, sampling=told.sampling, seed=9)
    assert other.midi.end == take.midi.end == 12 * BAR
    for old, new in zip(take.piece.tracks, other.piece.tracks, strict=True):
        assert (
            new.notes[new.notes["start"] < 10 * BAR][["start", "pitch"]]
            == old.notes[old.notes["start"] < 10 * BAR][["start", "pitch"]]
        ).all()
    with pytest.raises(UsageError, match="the take has no new bar 5; give one of its 4 new bars"):
        varied(told, source.piece, bar=4)

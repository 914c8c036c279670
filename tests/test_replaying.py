"""Takes are made again from their sidecars, and gone on from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from part_pieces import PARTS
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Keeps, Request, SamplingSettings
from musicgen.errors import UnreadableError, UsageError
from musicgen.io import write
from musicgen.replaying import Recalled, recalled
from musicgen.sampling.request import OPEN
from musicgen.studied import digest

RECALLED = Recalled(Path("take.json"), {}, Request(), OPEN, SamplingSettings(), 0, False, 4, (), False)


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
        ({"model_sha256": "1"}, "made by another model, 'fake'; name that one"),
        ({"source_sha256": "1"}, "made of another file than this, 'song.mid'"),
        (
            {"study": {"updates": 4, "pieces": 3, "whole": False, "also": ["1", "2"]}},
            "of 2 pieces studied for this take 2 are missing; name the same music to study",
        ),
    ],
)
def test_what_is_another_than_it_was_is_refused(made, facts, message):
    path, _, sidecar = made
    changed(sidecar, **facts)
    with pytest.raises(UsageError, match=message):
        composer().replay(sidecar, path)


def test_weights_of_8_bits_are_refused_for_a_take_without(made):
    path, take, sidecar = made
    changed(sidecar, settings={**take.facts["settings"], "int8": True})
    with pytest.raises(UsageError, match="drawn with weights of 8 bits; load the model with `int8` true"):
        composer().replay(sidecar, path)


def test_a_sidecar_must_say_which_pieces_were_studied(made):
    path, _, sidecar = made
    changed(sidecar, study={"updates": 4, "pieces": 3, "whole": False})
    with pytest.raises(UnreadableError, match="doesn't say which pieces were studied; make the take anew"):
        composer().replay(sidecar, path)


def test_studied_music_is_found_by_what_it_is_and_not_by_its_number_or_order():
    one, two, three = song(), song(tonic=3), song(tonic=5)
    told = replace(RECALLED, studied=(digest(PARTS, two), digest(PARTS, one)))
    assert told.chosen(PARTS, [one, three, two]) == (two, one)
    with pytest.raises(UsageError, match="of 2 pieces studied for this take 1 is missing"):
        told.chosen(PARTS, [one, three])


@pytest.mark.parametrize("asked", [{}, {"tempo": 91.5, "meter": "6/8"}])
def test_a_take_from_nothing_is_made_again_without_a_piece(tmp_path, asked):
    (take,) = composer().generate(bars=3, tracks="violin,cello", seed=4, end=True, **asked)
    take.save(tmp_path / "new.mid")
    again = composer().replay(tmp_path / "new.json")
    assert again.facts == take.facts
    assert [t.rows.tolist() for t in again.midi.tracks] == [t.rows.tolist() for t in take.midi.tracks]


def test_a_take_of_a_piece_needs_it(made):
    with pytest.raises(UsageError, match="the piece that this take goes on from is needed; name its file"):
        composer().replay(made[2])


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
    one, two = composer().vary(sidecar, start=2, seed=9, takes=2)
    assert one.notes.tolist() != two.notes.tolist()
    for other in (one, two):
        assert (other.facts["bars_added"], other.facts["cut_tick"], other.midi.end) == (2, 10 * BAR, take.midi.end)
        assert other.facts["settings"]["key"] == "G"
        assert other.facts["ending"]["key"] == "G"
        for old, new in zip(take.piece.tracks, other.piece.tracks, strict=True):
            before, kept = (t.notes[t.notes["start"] < 10 * BAR][["start", "pitch"]] for t in (old, new))
            assert before.tolist() == kept.tolist()
    with pytest.raises(UsageError, match="the take has no new bar 5; give one of its 4 new bars"):
        composer().vary(sidecar, start=4)


def test_a_take_is_gone_on_from_wherever_the_piece_is(made, tmp_path):
    made[0].unlink()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("take.json", "take.mid"):
        (tmp_path / name).rename(folder / name)
    assert composer().vary(folder / "take.json", start=3)[0].facts["bars_added"] == 1
    (folder / "take.mid").unlink()
    with pytest.raises(UsageError, match="the take's MIDI file isn't beside its facts; keep both together"):
        composer().vary(folder / "take.json", start=3)


def test_new_music_alone_and_changed_files_are_no_takes_to_go_on_from(made, tmp_path):
    take = made[1]
    take.save(tmp_path / "alone.mid", only_new=True)
    with pytest.raises(UsageError, match="isn't what it was, or holds the new music alone; vary a take"):
        composer().vary(tmp_path / "alone.json", start=1)


def test_what_followed_the_new_bars_stays_behind_them(tmp_path):
    (take,) = composer().continue_(song(), bars=4, start=8, keep_rest=True, seed=2)
    take.save(tmp_path / "take.mid")
    (other,) = composer().vary(tmp_path / "take.json", start=1, seed=3)
    assert other.midi.end == take.midi.end
    for old, new in zip(take.piece.tracks, other.piece.tracks, strict=True):
        for begin, end in ((0, 9 * BAR), (12 * BAR, 16 * BAR)):
            before, after = (t.notes[(t.notes["start"] >= begin) & (t.notes["start"] < end)] for t in (old, new))
            assert before[["start", "pitch"]].tolist() == after[["start", "pitch"]].tolist()
    assert other.notes.tolist() != take.notes.tolist()


def test_chords_go_on_where_they_were(tmp_path):
    (take,) = composer().continue_(song(), bars=4, keeps=Keeps(chords="C F,G Am Dm"), seed=2)
    take.save(tmp_path / "take.mid")
    (other,) = composer().vary(tmp_path / "take.json", start=1, seed=3)
    assert other.facts["settings"]["chords"] == "F G | Am | Dm | C"

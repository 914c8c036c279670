"""Going on by parts: who plays, on which track, and within what each has played; with small untrained models."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from memory_models import build
from part_pieces import PARTS

from musicgen.composer import Composer, Source
from musicgen.errors import UsageError
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.notes import NoteWriter
from musicgen.sampling.request import Request
from musicgen.sampling.voices import open_voices, part_pitches, voice_polyphony
from musicgen.tokenizers import Notes, Remi
from musicgen.tokenizers.bars.voices import MOST_PARTS, Voice

HIGH, LOW = (79, 81, 83, 81), (60, 62, 64, 62)


def line(pitches, *, bars: int = 8, step: int = 480, begin: int = 0) -> np.ndarray:
    count = bars * 1920 // step
    return notes_array([(begin + i * step, step, pitches[i % len(pitches)], 80) for i in range(count)])


def piece(*tracks: Track, meter=(4, 4)) -> Piece:
    return Piece(480, tracks, np.array([(0, 500_000)], TEMPO), np.array([(0, *meter)], METER))


BAND = piece(
    Track("First", 40, notes=line(HIGH)),
    Track("Second", 40, notes=line(LOW)),
    Track("Hands", 0, notes=notes_array([(i * 960, 960, p, 80) for i in range(16) for p in (48, 52)])),
    Track("Kit", 0, True, line((36, 42, 38, 42))),
)
# In the order of pitch: hands, second, first, kit.
VOICES = (Voice(0, (2,)), Voice(40, (1,)), Voice(40, (0,)), Voice(128, (3,)))


def opened(*names: str, of: Piece = BAND, before: Piece | None = None, recent: float = 0):
    warnings: list[str] = []
    return *open_voices(of, of if before is None else before, names, recent=recent, warnings=warnings), warnings


def test_tokenizers_with_parts():
    assert PARTS.as_parts is PARTS
    assert Notes().as_parts is None
    assert Remi().as_parts is None


def test_all_that_played_of_late_play_on():
    assert opened() == (VOICES, frozenset(range(4)), [])
    short = Track("First", 40, notes=line(HIGH, bars=2))
    silent = piece(short, *BAND.tracks[1:])
    voices, chosen, warnings = opened(of=silent, recent=4 * 1920)
    assert voices == VOICES
    assert chosen == {0, 1, 3}
    assert warnings == ["silent_parts: not continued, silent for long: First"]
    assert opened(of=piece(short), recent=4 * 1920)[1] == {0}, "where none has played of late, all do"


@pytest.mark.parametrize(
    ("names", "numbers"),
    [(("1",), {2}), (("second",), {1}), (("violin",), {1, 2}), (("drums", "3"), {0, 3}), (("Kit", "kit"), {3})],
)
def test_parts_are_named_by_number_name_or_instrument(names, numbers):
    assert opened(*names) == (VOICES, frozenset(numbers), [])


def test_an_instrument_that_is_not_there_joins_once():
    voices, chosen, _ = opened("trumpet", "First", "trumpet")
    assert voices == (*VOICES, Voice(56))
    assert chosen == {2, 4}


def test_a_track_that_has_not_played_yet_is_where_its_part_goes():
    late = piece(*BAND.tracks, Track("Horn", 60, notes=line(LOW, bars=1, begin=6 * 1920)))
    before = piece(*BAND.tracks, Track("Horn", 60))
    for name in ("horn", "5"):
        voices, chosen, _ = opened(name, of=late, before=before)
        assert voices == (*VOICES, Voice(60, (4,)))
        assert chosen == {4}


def test_from_nothing():
    assert opened(of=piece()) == ((Voice(0),), frozenset({0}), [])
    assert opened("violin", "drums", of=piece())[:2] == ((Voice(40), Voice(128)), frozenset({0, 1}))
    nothing_yet = piece(*(Track(t.name, t.program, t.is_drum) for t in BAND.tracks))
    assert opened(before=nothing_yet)[:2] == (VOICES, frozenset(range(4)))


def test_what_is_not_there_is_said():
    with pytest.raises(UsageError, match="there is no part 9; parts are 1 “First” "):
        opened("9")
    with pytest.raises(UsageError, match="no instrument 'kazo'"):
        opened("kazo")
    full = piece(*(Track("", 40, notes=line((30 + n,), bars=1)) for n in range(MOST_PARTS)))
    with pytest.raises(UsageError, match="64 parts are there already; name one of them"):
        opened("trumpet", of=full)
    assert len(opened("violin", of=full)[0]) == MOST_PARTS


def test_lines_are_told_from_chords():
    legato = line(HIGH)
    legato["duration"] += 40
    stops = np.concatenate([line(LOW, bars=20), notes_array([(960, 480, 72, 80)])])
    tracks = (Track(notes=legato), Track(notes=stops), Track(notes=line((50,))), BAND.tracks[2], Track())
    voices = tuple(Voice(0, (n,)) for n in range(5))
    assert voice_polyphony(piece(*tracks), (*voices, Voice(56), Voice(40))) == {0: 1, 1: 1, 2: 1, 3: 2, 5: 1}
    two_tracks = piece(Track(notes=line(HIGH)), Track(notes=line(LOW)))
    assert voice_polyphony(two_tracks, (Voice(0, (0, 1)),)) == {0: 2}


def test_a_part_stays_near_what_it_has_played_and_drums_with_their_kit():
    found = {n: np.flatnonzero(mask).tolist() for n, mask in part_pitches(BAND, (*VOICES, Voice(56)))}
    assert found.pop(4) == list(range(54, 85)), "a trumpet that is still to come"
    assert found == {0: list(range(43, 58)), 1: list(range(55, 70)), 2: list(range(74, 89)), 3: [36, 38, 42]}
    assert dict(part_pitches(BAND, (Voice(56),), reach=False)) == {}
    few = piece(Track("", 0, True, line((36, 42), bars=2)), Track("", 0, notes=line((0, 127))))
    assert [(n, int(mask.sum())) for n, mask in part_pitches(few, (Voice(128, (0,)), Voice(0, (1,))))] == [(1, 128)]


# ---- with models ------------------------------------------------------------------------------------------


def composer(family: str = "gru") -> Composer:
    run = SimpleNamespace(
        model=build(family, context=64), tokenizer=PARTS, name="tiny", sha256="0", folder=None, card={"licence": "none"}
    )
    return Composer(run, device="cpu")


def take_of(p: Piece, *, seed: int = 0, by: Composer | None = None, count: int = 1, **request):
    source = Source.of_piece(p)
    bold = SamplingSettings(temperature=1.3)  # what repeats itself would only be repeated
    return list((by or composer()).takes(source, request=Request(**request), sampling=bold, seed=seed, count=count))


def new_on(take, track: int) -> np.ndarray:
    notes = take.piece.tracks[track].notes
    return notes[notes["start"] >= take.facts["cut_tick"]]


@pytest.mark.parametrize("family", ["gru", "transformer"])
@pytest.mark.parametrize("start", [None, 3])
def test_every_part_goes_on_where_it_was(family, start):
    by = composer(family)
    first, second = take_of(BAND, by=by, bars=2, start=start, count=2, seed=5)
    cut = 8 * 1920 if start is None else start * 1920
    for take in (first, second):
        assert take.facts["cut_tick"] == cut
        assert [(t.name, t.program, t.is_drum) for t in take.piece.tracks] == [
            (t.name, t.program, t.is_drum) for t in BAND.tracks
        ]
        for old, new in zip(BAND.tracks, take.piece.tracks, strict=True):
            assert new.notes[new.notes["start"] < cut].tolist() == old.notes[old.notes["start"] < cut].tolist()
        new = [new_on(take, n) for n in range(4)]
        assert sum(map(len, new)) == take.facts["notes_added"] > 0
        ranges = ((74, 88), (55, 69), (43, 57))
        for notes, (low, high) in zip(new, ranges, strict=False):
            assert ((notes["pitch"] >= low) & (notes["pitch"] <= high)).all()
        assert set(new[3]["pitch"].tolist()) <= {36, 38, 42} or start is not None  # a kit of few notes isn't known
        for notes in new[:2]:  # lines stay lines
            assert (notes["start"][1:] >= (notes["start"] + notes["duration"])[:-1]).all()
        assert all((n["start"] + n["duration"] <= cut + 2 * 1920).all() for n in new)
    assert any(len(new_on(take, n)) for take in (first, second) for n in (0, 1))
    (alone,) = take_of(BAND, by=by, bars=2, start=start, seed=6)
    assert np.array_equal(alone.notes, second.notes), "a take is the same alone or among others"
    assert not np.array_equal(first.notes, second.notes)


def test_a_new_instrument_has_a_track_of_its_own():
    (take,) = take_of(BAND, bars=2, tracks=("second", "trumpet"))
    tracks = take.piece.tracks
    assert [t.program for t in tracks] == [40, 40, 0, 0, 56]
    assert [len(new_on(take, n)) for n in (0, 2, 3)] == [0, 0, 0]
    assert len(new_on(take, 1)) + len(new_on(take, 4)) == take.facts["notes_added"]
    assert len(new_on(take, 4)) > 0


def test_a_bar_that_is_longer_than_the_prompt_keeps_its_meter():
    """The cut stands in a bar of 2/4 whose beginning the trunk doesn't read; the memory and the grammar do."""
    busy = [(i * 10, 10, 60 + i % 12, 80) for i in range(96)]  # a bar
    p = piece(
        Track("", 0, notes=notes_array([*busy, *((960 + start, *rest) for start, *rest in busy[:72])])), meter=(2, 4)
    )
    writer = NoteWriter(Source.of_piece(p), PARTS, request=Request(bars=1), sampling=SamplingSettings(), context=64)
    plan = writer.plan
    assert plan.anchor.fills
    assert len(plan.reading.prompt) <= 48
    assert not len(PARTS.bar_positions(plan.reading.prompt))
    grammar = writer._read(composer().decoder).grammar
    positions = np.flatnonzero(grammar.allowed()[PARTS.vocabulary.slice("position")])
    assert positions.tolist() == list(range(37, 48))
    assert grammar.entered == [0]


def test_the_prompt_may_be_gone_on_from_again():
    by = composer()
    a, b = (take_of(BAND, by=by, bars=1, seed=seed)[0] for seed in (1, 2))
    again = take_of(BAND, by=by, bars=1, seed=1)[0]
    assert np.array_equal(a.notes, again.notes)
    assert not np.array_equal(a.notes, b.notes)


def test_from_nothing_each_instrument_has_a_track():
    (take,) = take_of(piece(), bars=2, tracks=("violin", "drums"))
    assert {(t.program, t.is_drum) for t in take.piece.tracks if len(t.notes)} <= {(40, False), (0, True)}
    assert take.facts["notes_added"] > 0

"""Infilling and accompanying: what stays is untouched, what is written lies where it was asked for. The model is a fake
with uniform logits, so that only the grammar and the constraints shape the music."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from part_pieces import PARTS, tune
from uniform_parts import composer

from musicgen.composer import Request, SamplingSettings, Source
from musicgen.errors import UsageError
from musicgen.gm import program_name
from musicgen.io.midi import midi_from_piece
from musicgen.io.smf import END_OF_TRACK, META, MidiFile
from musicgen.piece import CONTROL, METER, Piece, Track, notes_array
from musicgen.sampling.hole_notes import HoleWriter
from musicgen.tokenizers import Remi

BAR = 960  # ticks of tune()


def song() -> Piece:
    """A tune with names, controllers and a note that is held over bar lines."""
    piece = tune(5, bars=12)
    names = ("Low", "High", "Keys", "Kit")
    pedal = np.array([(100, 64, 127), (3 * BAR + 7, 64, 0), (8 * BAR, 64, 90)], CONTROL)
    tracks = []
    for name, track in zip(names, piece.tracks, strict=True):
        notes = track.notes
        if name == "Keys":
            notes = notes_array(np.concatenate([notes, notes_array([(3 * BAR + 480, 2 * BAR, 30, 70)])]))
        tracks.append(Track(name, track.program, track.is_drum, notes, pedal if name == "Keys" else track.controls))
    return Piece(480, tuple(tracks), piece.tempos, np.array([(0, 2, 4), (6 * BAR, 3, 4)], METER))


def events(midi: MidiFile, number: int) -> Counter:
    track = midi.tracks[number]
    return Counter(
        (int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), track.payload(r))
        for r in track.rows
        if (r["status"], r["data1"]) != (META, END_OF_TRACK)
    )


def notes_of(piece: Piece, name: str) -> list[tuple[int, ...]]:
    return [tuple(int(x) for x in n) for t in piece.tracks if t.name == name for n in t.notes]


@pytest.mark.parametrize("seed", range(3))
def test_outside_a_hole_every_event_stays(seed):
    piece, source = song(), Source.of_piece(song())
    (take,) = composer().infill(piece, begin=4, end=6, seed=seed)
    begin, end = 4 * BAR, 6 * BAR
    assert (take.facts["cut_tick"], take.facts["end_tick"]) == (begin, end)
    for number in range(len(source.midi.tracks)):
        old, new = events(source.midi, number), events(take.midi, number)
        for what, times in ((old - new, "gone"), (new - old, "added")):
            assert all(begin <= tick <= end and 0x80 <= status < 0xA0 for tick, status, *_ in what), times
    for track in piece.tracks:
        kept = [note for note in notes_of(piece, track.name) if not begin <= note[0] < end]
        assert kept == [note for note in notes_of(take.piece, track.name) if not begin <= note[0] < end]
    assert len(take.notes)
    assert take.notes["start"].min() >= begin
    assert (take.notes["start"] + take.notes["duration"]).max() <= end


def test_parts_that_are_not_named_stay():
    piece = song()
    (take,) = composer().infill(piece, begin=2, end=10, tracks="High,Kit", seed=1)
    for name in ("Low", "Keys"):
        assert notes_of(take.piece, name) == notes_of(piece, name)
    for name in ("High", "Kit"):
        assert notes_of(take.piece, name) != notes_of(piece, name)
    assert sorted(take.facts["parts_written"]) == ["High", "Kit"]
    kept = sum(len(track.notes) for track in take.piece.tracks) - take.facts["notes_added"]
    assert take.facts["notes_kept"] == kept == piece.n_notes - take.facts["notes_removed"]


def test_the_parts_that_were_written_are_told_by_number_where_names_are_shared():
    piece = song()
    twins = Piece(
        480, tuple(replace(t, name="" if n < 2 else t.name) for n, t in enumerate(piece.tracks)), piece.tempos
    )
    (take,) = composer().infill(twins, begin=2, end=4, tracks="2", seed=1)
    assert (take.facts["parts_written"], take.facts["part_numbers"]) == (["Violin"], [2])
    (take,) = composer().accompany(twins, add="flute", rewrite="3", seed=1)
    names = [take.piece.tracks[n - 1].name for n in take.facts["part_numbers"]]
    assert sorted(names) == sorted(take.facts["parts_written"]) == ["Flute", "Keys"]


def test_statistics_and_originality_are_of_what_was_written_alone():
    piece = song()
    (take,) = composer().accompany(piece, add="flute", begin=2, end=8, seed=1)
    statistics = take.facts["statistics"]
    assert statistics["new"]["notes"] == take.facts["notes_added"] == len(take.notes)
    assert statistics["before"]["notes"] == 0
    assert statistics["reference"]["kind"] == "tune"
    (take,) = composer().infill(piece, begin=4, end=6, tracks="Low", seed=1)
    before = [note for note in notes_of(piece, "Low") if note[0] < 4 * BAR]
    assert take.facts["statistics"]["before"]["notes"] == len(before)
    assert take.facts["statistics"]["new"]["notes"] == take.facts["notes_added"]


def test_new_parts_come_beside_all_others():
    piece, source = song(), Source.of_piece(song())
    (take,) = composer().accompany(piece, add="bass,flute", seed=2)
    assert [track.name for track in take.piece.tracks[:4]] == [track.name for track in piece.tracks]
    for number in range(len(source.midi.tracks)):
        assert events(take.midi, number) == events(source.midi, number)
    new = take.piece.tracks[4:]
    assert sorted(track.program for track in new) == [33, 73]
    last = piece.bar_starts(piece.end - 1)[0]
    for track in new:  # no new part rests for more than two bars
        bars = np.unique(np.searchsorted(last, track.notes["start"] + 0.5, side="right"))
        assert np.diff(np.concatenate([[0], bars, [len(last) + 1]])).max() <= 3
        assert (np.diff(track.notes["start"]) > 0).all()  # one note at a time


def test_rewriting_a_part_keeps_the_others_and_can_keep_to_some_bars():
    piece = song()
    (take,) = composer().accompany(piece, rewrite=["Low"], begin=2, end=4, seed=3)
    assert notes_of(take.piece, "High") == notes_of(piece, "High")
    outside = [note for note in notes_of(piece, "Low") if not 2 * BAR <= note[0] < 4 * BAR]
    assert [n for n in notes_of(take.piece, "Low") if not 2 * BAR <= n[0] < 4 * BAR] == outside


def test_a_take_is_the_same_alone_and_among_others():
    piece = song()
    several = composer().infill(piece, begin=1, end=9, tracks="Low", seed=1, takes=3)
    (alone,) = composer().infill(piece, begin=1, end=9, tracks="Low", seed=3)
    assert alone.notes.tolist() == several[2].notes.tolist()
    assert alone.facts["candidates"] == several[2].facts["candidates"]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"begin": 5, "end": 5}, "bars 6 to 5 are no bars; give the first bar, then the last: 9-12"),
        ({"begin": 4, "end": 99}, "the piece ends with bar 10, and bar 99 is beyond it"),
        ({"begin": 30, "end": 31}, "there is no bar 31; the piece has 10 bars"),
        ({"begin": 1, "end": 2, "tracks": "trombone"}, "no part plays 'trombone'"),
        ({"begin": 1, "end": 2, "tracks": "Hi there"}, "no part and no instrument 'Hi there'"),
        ({"begin": 0, "end": 10}, "no music is left around what is to be written"),
    ],
)
def test_holes_that_cannot_be_filled_are_refused(asked, text):
    with pytest.raises(UsageError) as caught:
        composer().infill(song(), **asked)
    assert text in str(caught.value)


def test_models_without_parts_are_refused():
    with pytest.raises(UsageError, match="a model with the tokenizer remi only continues"):
        composer(Remi()).infill(song(), begin=1, end=2)
    with pytest.raises(UsageError, match="no part is named; name instruments to add, or parts to write anew"):
        composer().accompany(song())


def test_what_is_held_across_the_beginning_sounds_on():
    piece = song()
    (take,) = composer().infill(piece, begin=4, end=6, tracks="Keys", seed=0)
    assert (3 * BAR + 480, 2 * BAR, 30, 70) in notes_of(take.piece, "Keys")
    assert midi_from_piece(take.piece)


def test_a_named_part_plays_in_a_hole_of_one_bar():
    for seed in range(3):
        (take,) = composer().accompany(song(), add="flute", begin=3, end=4, seed=seed)
        new = take.piece.tracks[-1]
        assert new.program == 73
        assert len(new.notes)


def test_notes_left_out_because_their_key_is_down_are_told():
    """A note that is held through the hole holds its key; new ones of that pitch can't be struck."""
    held = notes_array([(0, 12 * BAR, pitch, 80) for pitch in range(21, 109)])
    piece = Piece(480, (Track("Keys", 0, notes=held), Track("Top", 0, notes=notes_array([(0, 12 * BAR, 60, 80)]))))
    (take,) = composer().infill(piece, begin=2, end=4, tracks="Keys", seed=1)
    told = [line for line in take.facts["warnings"] if line.startswith("keys_down: ")]
    assert len(told) == (len(take.notes) > take.facts["notes_added"])
    assert told


def test_drums_are_not_added_to_drums():
    for piece, add in ((song(), "drums"), (tune(5).until(8 * BAR), "bass,drums")):
        with pytest.raises(UsageError) as caught:
            composer().accompany(piece, add=add)
        assert "`add`: drums are there already, and all drums share one channel" in str(caught.value)
        assert "write them anew: `rewrite` drums" in str(caught.value)
    without = Piece(480, song().tracks[:3], song().tempos)
    (take,) = composer().accompany(without, add="drums")
    assert take.piece.tracks[-1].is_drum
    with pytest.raises(UsageError, match="drums are there already"):
        composer().accompany(without, add="drums,drums")


def test_candidates_for_unheard_parts_say_how_they_compare():
    (take,) = composer().accompany(song(), add="violin", seed=4)
    listed = take.facts["candidates"]
    assert len(listed) >= 8
    for each in listed:
        further = 2 * each["from_foreseen"] + 2 * each["from_others"] + 2.4 * each["from_given"]
        assert each["distance"] >= further - 1e-3
    (kept,) = [each for each in listed if each["kept"]]
    assert kept == min(listed, key=lambda each: (len(each["faults"]), each["distance"]))
    (heard,) = composer().accompany(song(), rewrite="High", begin=4, end=6, seed=4)
    assert not any("from_others" in each for each in heard.facts["candidates"])


def test_an_unheard_part_with_few_notes_is_a_fault():
    source = Source.of_piece(song())
    writer = HoleWriter(
        source, PARTS, request=Request(everywhere=True, add=("flute",)), sampling=SamplingSettings(), context=256
    )
    (number,) = writer.stages.roles
    lines, sound = writer.stages.lines, program_name(73)

    def faults(a_bar: int, every: int) -> list[str]:
        notes = notes_array([(int(at) + 100 * k, 90, 72, 80) for at in lines[:-1:every] for k in range(a_bar)])
        program, home = np.full(len(notes), 73), np.full(len(notes), -1 - number)
        return writer._faults(notes, program, home, writer._given())[0]

    assert writer.stages.roles[number].notes_a_bar > 2
    assert f"few notes of {sound}" in faults(1, 2)
    assert f"few notes of {sound}" not in faults(1, 1)


def test_an_unheard_part_is_a_line_where_such_parts_are():
    lines = [[(480 * n, 480, pitch + 3 * n % 7, 80) for n in range(32)] for pitch in (50, 65, 76)]
    tracks = zip(("Cello", "Second", "First"), (42, 40, 40), lines, strict=True)
    piece = Piece(480, tuple(Track(name, program, notes=notes_array(rows)) for name, program, rows in tracks))
    for seed in range(2):
        (take,) = composer().accompany(piece, add="viola", seed=seed)
        new = take.piece.tracks[-1].notes
        assert (np.diff(new["start"]) > 0).all()


def test_added_parts_are_drawn_more_freely_unless_it_is_asked_otherwise():
    def temperature(**asked) -> float:
        (take,) = composer().accompany(song(), begin=1, end=2, **asked)
        return take.facts["settings"]["temperature"]

    assert temperature(add="flute") == 0.85
    assert temperature(rewrite="High") == 0.7
    assert temperature(add="flute", sampling=SamplingSettings()) == 0.7

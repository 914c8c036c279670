"""What new music keeps to: in 200 takes of each control, drawn from a fake model with uniform logits, no decoded note
breaks it, after all steps behind drawing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from part_pieces import PARTS, tune
from uniform_parts import Uniform, composer

from musicgen.composer import Keeps, Request, SamplingSettings, Source
from musicgen.errors import UsageError
from musicgen.gm import find_drums
from musicgen.piece import CHORD, Piece, notes_array
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.hole_notes import HoleWriter
from musicgen.sampling.kept import Ground, keep
from musicgen.sampling.notes import NoteWriter
from musicgen.tonality import key_of_notes, progression, scale_pitch_classes

TAKES, BARS, QUARTER, BAR = 200, 3, 480, 960
LOW, HIGH, KEYS, KIT = range(4)  # the tracks of the piece


@cache
def piece() -> Piece:
    """Two violins, keys and drums, ten bars of 2/4."""
    return tune(5, bars=10)


def drawn(request: Request, *, source: Piece | None = None, takes: int = TAKES, penalty: float = 1.0):
    """(bar line ticks, [(notes, track of each, -1 for a new part)] of takes): candidates as they are, not the best."""
    kind = HoleWriter if request.is_hole else NoteWriter
    sampling = SamplingSettings(figure_penalty=penalty)
    writer = kind(Source.of_piece(source or piece()), PARTS, request=request, sampling=sampling, context=256)
    found = writer.candidates(EagerDecoder(Uniform()), range(takes))
    assert any(len(each.notes) for each in found)
    lines = writer.plan.cut + BAR * np.arange(writer.plan.bars + 1)
    return lines, [(each.notes, each.home) for each in found]


def keeping(**keeps) -> Request:
    return Request(bars=BARS, start=8, keeps=Keeps(**keeps))


def bars_of(notes: np.ndarray, lines: np.ndarray) -> np.ndarray:
    return np.searchsorted(lines, notes["start"], side="right") - 1


def most_at_once(notes: np.ndarray) -> int:
    starts, ends = notes["start"], notes["start"] + notes["duration"]
    return max(int(((starts <= at) & (ends > at)).sum()) for at in starts.tolist())


def melodic(takes):
    return [notes[home != KIT] for notes, home in takes]


@pytest.mark.parametrize("key", ["Gm", "A blues", "Eb dorian"])
def test_no_note_lies_outside_a_key(key):
    classes = scale_pitch_classes(key)
    _, takes = drawn(keeping(key=key))
    assert not sum(int((~np.isin(notes["pitch"] % 12, sorted(classes))).sum()) for notes in melodic(takes))


def test_a_weak_key_leaves_such_notes_rarer_by_its_share():
    def share(keeps: dict) -> float:
        notes = np.concatenate(melodic(drawn(keeping(**keeps), takes=60)[1]))
        return float((~np.isin(notes["pitch"] % 12, sorted(scale_pitch_classes("C")))).mean())

    free, weak = share({}), share({"key": "C", "key_strength": 0.8})
    odds = (weak / (1 - weak)) / (free / (1 - free))
    assert 0.1 < odds < 0.4  # about 0.2


def test_the_key_of_the_piece_is_found():
    notes = np.concatenate([t.notes for t in piece().tracks if not t.is_drum])
    classes = scale_pitch_classes(str(key_of_notes(notes["pitch"], notes["duration"])))
    _, takes = drawn(keeping(key="auto"), takes=20)
    assert np.isin(np.concatenate(melodic(takes))["pitch"] % 12, sorted(classes)).all()


CHORDS = "Am F,G7 C"


@pytest.mark.parametrize("kind", ["continue", "in eighths", "infill", "accompany"])
def test_on_beats_melodies_are_in_the_chord_and_no_note_sounds_into_another(kind):
    request = {
        "continue": keeping(chords=CHORDS),
        "in eighths": keeping(chords=CHORDS, rhythm=str(1 + next(k for k in range(9) if len(onsets(HIGH, k)) > 2))),
        "infill": Request(start=4, until=7, tracks=("1", "3"), keeps=Keeps(chords=CHORDS)),
        "accompany": Request(start=3, until=6, add=("flute", "bass"), keeps=Keeps(chords=CHORDS)),
    }[kind]
    lines, takes = drawn(request)
    segments = [
        (int(lines[bar] + n * BAR / len(chords)), chord)
        for bar, chords in enumerate(progression(CHORDS))
        for n, chord in enumerate(chords)
    ]
    basses = {-1 - n for n in range(8)} if kind == "accompany" else set()
    wrong, seen = 0, 0
    for notes, home in takes:
        for note, part in zip(notes, home.tolist(), strict=True):
            if part == KIT or (part in basses and note["pitch"] < 56):
                continue
            start, end, tone = int(note["start"]), int(note["start"] + note["duration"]), int(note["pitch"]) % 12
            now = max(n for n, (at, _) in enumerate(segments) if at <= start)
            beat = (start - lines[0]) % QUARTER
            passing = tone not in segments[now][1].tones
            on_beat = min(beat, QUARTER - beat) <= QUARTER // 48 and start + QUARTER // 48 < segments[-1][0] + BAR
            at_change = any(0 < at - start <= QUARTER // 48 for at, _ in segments)
            wrong += passing and ((on_beat and not at_change) or end - start > QUARTER // 2)
            wrong += any(start < at < end and tone not in chord.tones for at, chord in segments)
            seen += on_beat
    assert wrong == 0
    assert seen > (TAKES if kind == "in eighths" else 10)


def test_a_bass_begins_on_the_root_of_each_chord():
    chords = progression(CHORDS)
    lines, takes = drawn(Request(start=3, until=6, add=("bass",), keeps=Keeps(chords=CHORDS)))
    roots = 0
    for notes, _ in takes:
        on = np.isin(notes["start"], lines[:-1])
        for note in notes[on]:
            bar = int(np.searchsorted(lines, note["start"], side="right")) - 1
            assert note["pitch"] % 12 == chords[bar][0].bass
            roots += 1
    assert roots > 10


def test_parts_that_are_added_to_a_lead_sheet_keep_to_its_chords():
    symbols = np.zeros(2, CHORD)
    symbols["tick"], symbols["symbol"] = [0, 5 * BAR], ["Dm", "Bb"]
    sheet = Piece(480, piece().tracks, piece().tempos, piece().meters, chords=symbols)
    lines, takes = drawn(Request(start=4, until=6, add=("flute",)), source=sheet, takes=60)
    on = [notes[np.isin((notes["start"] - lines[0]) % QUARTER, [0])] for notes, _ in takes]
    for notes in on:
        first = notes["start"] < 5 * BAR
        assert np.isin(notes["pitch"][first] % 12, [2, 5, 9]).all()
        assert np.isin(notes["pitch"][~first] % 12, [10, 2, 5]).all()
    assert sum(map(len, on))
    free = drawn(Request(start=4, until=6, add=("flute",), keeps=Keeps(chords="none")), source=sheet, takes=60)[1]
    assert len(set(np.concatenate([notes["pitch"] % 12 for notes, _ in free]).tolist())) == 12


def test_ranges_of_parts_and_of_all():
    _, takes = drawn(keeping(pitch_range=(50, 80), ranges=("3=C2-G2",)))
    for notes, home in takes:
        keys = notes["pitch"][home == KEYS]
        others = notes["pitch"][(home == LOW) | (home == HIGH)]
        assert ((keys >= 36) & (keys <= 43)).all()
        assert ((others >= 50) & (others <= 80)).all()


@pytest.mark.parametrize(("density", "low", "high"), [("5-9", 5, 9), ("-3", 0, 3), ("14-", 14, 999)])
def test_each_bar_has_as_many_notes_as_the_density_says(density, low, high):
    lines, takes = drawn(keeping(density=density))
    counts = np.concatenate([np.bincount(bars_of(notes, lines), minlength=BARS) for notes, _ in takes])
    assert low <= counts.min()
    assert counts.max() <= high


def test_a_density_with_few_notes_at_once():
    lines, takes = drawn(keeping(density="4-6", max_polyphony=1, polyphony=("3=1",)), takes=60)
    for notes, _ in takes:
        counts = np.bincount(bars_of(notes, lines), minlength=BARS)
        assert 4 <= counts.min() <= counts.max() <= 6
        assert most_at_once(notes) == 1


@pytest.mark.parametrize("most", [1, 2])
def test_a_part_has_no_more_notes_at_once_than_it_may(most):
    _, takes = drawn(keeping(polyphony=(f"3={most}",)))
    assert max(most_at_once(n[h == KEYS]) for n, h in takes if (h == KEYS).any()) <= most


@pytest.mark.parametrize("rounded", [0, 1])
def test_no_more_notes_sound_at_once_where_the_manner_of_the_piece_moves_an_onset_to_before_the_end_of_another(rounded):
    drawn = notes_array([(0, 240 + rounded, 60, 80), (240, 240, 62, 80)])
    played = notes_array([(0, 239, 60, 80), (238, 242, 62, 80)])
    kept = keep(Keeps(max_polyphony=1), Ground(piece(), piece(), np.array([0, BAR]), 0, {}, PARTS))
    assert most_at_once(kept.settled(played, drawn, np.zeros(2, int))) == 1
    assert most_at_once(played) == 2


def test_drums_are_left_out_or_kept_to_a_kit():
    assert not any((home == KIT).any() for _, home in drawn(keeping(kit="none"))[1])
    _, takes = drawn(keeping(kit="kick,42"))
    struck = np.concatenate([notes["pitch"][home == KIT] for notes, home in takes])
    assert set(struck.tolist()) <= find_drums("kick") | {42}
    assert len(struck)


@pytest.mark.parametrize("velocity", ["60-90", "41", "80-81"])
def test_velocities_stay_in_their_range(velocity):
    low, high = Keeps(velocity=velocity).velocities
    for request in (
        keeping(velocity=velocity),
        Request(start=4, until=6, add=("flute",), keeps=Keeps(velocity=velocity)),
    ):
        _, takes = drawn(request, takes=TAKES // 2)
        values = np.concatenate([notes["velocity"] for notes, _ in takes])
        assert low <= values.min()
        assert values.max() <= high


def onsets(track: int, bar: int) -> list[int]:
    start = piece().tracks[track].notes["start"]
    return sorted({int(at) - bar * BAR for at in start if bar * BAR <= at < (bar + 1) * BAR})


@pytest.mark.parametrize("kind", ["continue", "infill"])
def test_a_borrowed_rhythm_has_the_onsets_of_its_bar_in_every_part(kind):
    bar = next(k for k in range(9) if sum(bool(onsets(t, k)) for t in range(4)) >= 3)
    keeps = Keeps(rhythm=str(bar + 1))
    request = Request(bars=BARS, start=8, keeps=keeps) if kind == "continue" else Request(start=7, until=9, keeps=keeps)
    lines, takes = drawn(request)
    everyone = sorted({at for track in range(4) for at in onsets(track, bar)})
    for notes, home in takes:
        at = bars_of(notes, lines)
        for track in set(range(4)):
            for new in range(len(lines) - 1):
                mine = {int(t) - int(lines[new]) for t in notes["start"][(home == track) & (at == new)]}
                own = onsets(track, bar)
                assert mine == set(own) if own else mine <= set(everyone)


def test_a_motif_comes_back_as_it_was_or_moved_into_the_key():
    bar = next(k for k in range(9) if len(onsets(HIGH, k)) >= 3)
    own = [n for n in piece().tracks[HIGH].notes if bar * BAR <= n["start"] < (bar + 1) * BAR]
    for keeps in ({}, {"key": "F#"}):
        lines, takes = drawn(keeping(motif=f"2={bar + 1}", **keeps))
        for notes, home in takes:
            there = notes[(home == HIGH) & (bars_of(notes, lines) == BARS // 2)]
            there = there[np.argsort(there["start"])]
            assert (there["start"] - lines[BARS // 2]).tolist() == [int(n["start"]) - bar * BAR for n in own]
            if not keeps:
                assert there["pitch"].tolist() == [int(n["pitch"]) for n in own]
            assert np.isin(there["pitch"] % 12, sorted(scale_pitch_classes("F#"))).all() or not keeps
            assert (
                np.sign(np.diff(there["pitch"].astype(int))) == np.sign(np.diff([int(n["pitch"]) for n in own]))
            ).all()


def test_figures_repeat_less_with_a_penalty():
    bar = next(k for k in range(9) if len(onsets(LOW, k)) >= 3)
    keeps = Keeps(rhythm=f"1={bar + 1}", ranges=("1=C4-D4",))
    request = Request(bars=6, start=8, tracks=("1",), keeps=keeps)

    def repeats(penalty: float) -> int:
        lines, takes = drawn(request, takes=40, penalty=penalty)
        bars = [[tuple(notes["pitch"][bars_of(notes, lines) == k].tolist()) for k in range(6)] for notes, _ in takes]
        return sum(6 - len(set(each)) for each in bars)

    assert 2 * repeats(1000.0) < repeats(1.0)


@pytest.mark.parametrize(
    ("keeps", "text"),
    [
        ({"kit": "kick"}, "`kit`: no drums get new notes"),
        ({"ranges": ("1=C4-C#4",), "key": "F#"}, None),
        ({"ranges": ("1=C4-C4",), "key": "F#"}, "no note of F# lies between C4 and C4, where violin is to play"),
        ({"chords": "Am E7", "key": "C"}, "the chord E7 has Ab, which is outside the key C; leave `key` out"),
        ({"chords": "Am F", "pitch_range": (62, 64)}, "acoustic grand piano has no note for F between D4 and E4"),
        ({"chords": "file"}, "`chords` file: the piece has no chord symbols; write them, as in `chords` 'Am F C G'"),
        ({"motif": "99"}, "`motif`: there is no bar 99; the piece has 11 bars"),
        ({"motif": "1@3"}, "`motif`: bar 3 is no new bar; new bars are 9 to 11"),
        ({"rhythm": "99"}, "`rhythm`: there is no bar 99"),
        ({"ranges": ("Tuba=C2-C3",)}, "`ranges`: 'Tuba' gets no new notes; those who do are"),
        ({"density": "300-400"}, "no bar holds 300 notes; its grid has room for"),
        ({"key": "H"}, "no key and no scale 'H'"),
        ({"key": "D dorean"}, "no scale 'dorean'; did you mean 'dorian'?"),
        ({"chords": "Am X7"}, "no chord 'X7'; write chords like Am"),
        ({"density": "9-4"}, "density '9-4' is no range; give the fewest and the most notes of a bar"),
        ({"velocity": "0-200"}, "velocity '0-200' is no range; give LO-HI within 1-127"),
        ({"polyphony": ("Piano=0",)}, "'0' is no number of notes for Piano; give 1 to 128"),
        ({"ranges": ("E1-G2",)}, "'E1-G2' names no part; write it like Bass=E1-G2"),
        ({"kit": "triangel"}, "no drum 'triangel'; did you mean"),
        ({"rhythm": "0"}, "`rhythm` '0' is no bar; bars count from 1"),
        ({"key_strength": 2.0}, "key strength is 2; give 0 to 1"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(keeps, text):
    def ask() -> None:
        tracks = ("1", "2", "3") if "kit" in keeps else ()
        request = Request(bars=BARS, start=8, tracks=tracks, keeps=Keeps(**keeps))
        NoteWriter(Source.of_piece(piece()), PARTS, request=request, sampling=SamplingSettings(), context=256)

    if text is None:
        return ask()
    with pytest.raises(UsageError) as caught:
        ask()
    assert text in str(caught.value)
    return None


def test_bars_without_a_melody_are_refused():
    silent = next(k for k in range(10) if not onsets(HIGH, k))
    with pytest.raises(UsageError, match=f"`motif`: bar {silent + 1} has no melody"):
        drawn(keeping(motif=f"2={silent + 1}"), takes=1)
    with pytest.raises(UsageError, match="no drums may play, and drums are all that is to play"):
        drawn(Request(bars=2, tracks=("4",), keeps=Keeps(kit="none")), takes=1)


def test_the_sidecar_tells_what_was_asked_and_nothing_else():
    (take,) = composer().takes(Source.of_piece(piece()), request=keeping(chords="Am F", key_strength=0.5))
    settings = take.facts["settings"]
    assert settings["chords"] == "Am F"
    assert settings["key_strength"] == 0.5
    assert not {"density", "kit", "typical_p", "figure_penalty"} & set(settings)

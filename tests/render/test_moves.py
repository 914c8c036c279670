"""What pedals, wheel and controllers do to sound, in our player and in what FluidSynth is sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sounds import db_of_peak, frequency, partial, rms, sound_of

from musicgen.io.midi import piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import BEND, CONTROL, Piece, Track, notes_array
from musicgen.render import fluid
from musicgen.render.moves import releases

PIANO, ORGAN, CLARINET = 0, 16, 71


def controls(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(sorted(rows, key=lambda row: row[0]), CONTROL)


def track(*notes: tuple[int, int, int], turned=(), **fields) -> Track:
    """A part of (start, duration, pitch); at 500 ticks a quarter and 120 quarters a minute a tick is a millisecond."""
    rows = notes_array([(start, duration, pitch, 100) for start, duration, pitch in notes])
    return Track(notes=rows, bends=np.array(list(turned), BEND), **fields)


def play(*tracks: Track) -> np.ndarray:
    return sound_of(Piece(500, tracks))


def released(*rows: tuple[int, int, int], notes=((0, 1000, 60),)) -> list[int]:
    """The ticks at which notes of a piece of 20 s are let go."""
    part = track(*notes, (20_000, 1, 90), controls=controls(*rows))
    return releases(Piece(500, (part,)), part, 1000)[: len(notes)].tolist()


# ---- pedals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], 1000),
        ([(0, 64, 127), (3000, 64, 0)], 3000),
        ([(0, 64, 127), (1000, 64, 0)], 1000),
        ([(1000, 64, 127), (3000, 64, 0)], 1000),  # too late: on one tick notes end first
        ([(0, 64, 63), (3000, 64, 0)], 1000),
        ([(0, 64, 127), (2000, 121, 0), (3000, 64, 0)], 2000),
        ([(500, 66, 127), (3000, 66, 0)], 3000),
        ([(0, 66, 127), (3000, 66, 0)], 1000),  # down before the note began
        ([(1000, 66, 127), (3000, 66, 0)], 1000),
        ([(500, 66, 127), (800, 66, 0), (3000, 66, 0)], 1000),
        ([(500, 66, 127), (800, 66, 0), (900, 66, 127), (3000, 66, 0)], 3000),
        ([(500, 66, 127), (900, 66, 100), (3000, 66, 0)], 3000),
        ([(0, 66, 127), (500, 66, 100), (3000, 66, 0)], 1000),  # down already: it catches nothing more
        ([(500, 66, 127), (2000, 121, 0)], 2000),
        ([(500, 66, 127), (1500, 64, 127), (2000, 66, 0), (4000, 64, 0)], 4000),  # handed from pedal to pedal
        ([(500, 66, 127), (1500, 64, 127), (1800, 64, 0), (2000, 66, 0)], 2000),
        ([(500, 67, 127), (3000, 67, 0)], 1000),
    ],
)
def test_pedals_hold_notes(rows, expected):
    assert released(*rows) == [expected]


def test_sostenuto_holds_only_what_sounded():
    rows = [(500, 66, 127), (5000, 66, 0)]
    assert released(*rows, notes=((0, 1000, 60), (600, 1000, 64))) == [5000, 1600]
    # The same key struck again damps what was held.
    assert released(*rows, notes=((0, 1000, 60), (2000, 1000, 60))) == [2000, 3000]


def test_a_pedal_in_another_track_sounds_as_in_ones_own():
    def file(*tracks: list[tuple[int, bytes]]) -> Piece:
        chunks = []
        for events in tracks:
            body, now = b"", 0
            for tick, data in sorted(events, key=lambda e: e[0]):
                body += bytes([(tick - now) >> 7 | 0x80, (tick - now) & 127]) + data
                now = tick
            body += b"\0\xff\x2f\0"
            chunks.append(b"MTrk" + len(body).to_bytes(4, "big") + body)
        return piece_from_midi(
            parse_smf(b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, len(tracks), 1, 0xF4]) + b"".join(chunks))
        )

    notes = [(0, b"\x90\x3c\x64"), (250, b"\x80\x3c\x40"), (3000, b"\x90\x48\x64"), (3500, b"\x80\x48\x40")]
    moves = [(0, b"\xb0\x40\x7f"), (1500, b"\xb0\x40\x00"), (0, b"\xb0\x07\x50"), (2000, b"\xe0\x00\x50")]
    sounds = [
        sound_of(file(*tracks))
        for tracks in ([notes + moves], [notes, moves], [moves, notes], [notes, moves[:2], moves[2:]])
    ]
    for sound in sounds[1:]:
        np.testing.assert_array_equal(sound, sounds[0])
    assert rms(sounds[0], 1.0, 1.4) > 50 * rms(sounds[0], 2.2, 2.6)


def test_the_soft_pedal_makes_notes_softer():
    notes = ((0, 500, 60), (1000, 500, 60), (2000, 500, 60))
    sound = play(track(*notes, program=ORGAN, controls=controls((900, 67, 127), (1800, 67, 0))))
    loud, soft, again = (rms(sound, n + 0.1, n + 0.4) for n in range(3))
    assert again == pytest.approx(loud, rel=1e-3)
    assert soft / loud == pytest.approx(0.7, rel=0.01)
    held = play(track((0, 1000, 60), program=ORGAN, controls=controls((500, 67, 127))))  # what sounds stays as it is
    assert rms(held, 0.6, 0.9) == pytest.approx(rms(held, 0.2, 0.5), rel=0.05)


def test_all_sound_off_is_silence_at_once_and_all_notes_off_lets_go():
    down = (0, 64, 127)
    notes = ((0, 900, 48), (3000, 500, 48))
    for number, dry in ((120, True), (123, False)):
        sound = play(track(*notes, program=PIANO, controls=controls(down, (1000, number, 0), (2500, 64, 0))))
        assert db_of_peak(sound, 0.8, 0.95) > -30
        assert (db_of_peak(sound, 1.02, 1.5) < -90) == dry
        assert db_of_peak(sound, 3.0, 3.4) > -20


def test_expression_and_volume_after_a_reset():
    rows = controls((0, 7, 50), (0, 11, 60), (1000, 121, 0))
    sound = play(track((0, 2000, 60), program=ORGAN, controls=rows))
    assert rms(sound, 1.2, 1.8) / rms(sound, 0.2, 0.8) == pytest.approx((127 / 60) ** 2, rel=0.05)


# ---- pitch -------------------------------------------------------------------------------------------

RANGE = ((0, 101, 0), (0, 100, 0))


@pytest.mark.parametrize(
    ("rows", "turned", "semitones"),
    [
        ((*RANGE, (0, 6, 12)), [(1000, 8191)], 12),
        ((*RANGE, (0, 6, 96)), [(1000, 1024)], 12),
        ((*RANGE, (0, 6, 127)), [(1000, -1032)], -16),
        ((*RANGE, (0, 6, 0), (0, 38, 50)), [(1000, 8191)], 0.5),
        ((*RANGE, (0, 6, 2), (0, 99, 1), (0, 98, 8), (0, 6, 64)), [(1000, 8191)], 2),
        ((*RANGE, (1000, 6, 12)), [(0, 0), (1000, 4096)], 6),
        (((1000, 101, 0), (1000, 100, 2), (1000, 6, 71)), [], 7),
        (((1000, 101, 0), (1000, 100, 1), (1000, 6, 32)), [], -0.5),
        (((1000, 101, 0), (1000, 100, 2), (1000, 96, 0), (1000, 96, 0)), [], 2),
    ],
)
def test_bends_and_tunings(rows, turned, semitones):
    sound = play(track((0, 2000, 69), program=CLARINET, controls=controls(*rows), turned=turned))
    assert frequency(sound, 0.2, 0.9, below=600) == pytest.approx(440, rel=0.006)
    hertz = 440 * 2 ** (semitones / 12)
    assert partial(sound, 1.1, 1.9, near=hertz) == pytest.approx(hertz, rel=0.006)


def test_a_reset_centres_the_wheel():
    part = track((0, 3000, 69), program=CLARINET, turned=[(1000, 8191)], controls=controls((2000, 121, 0)))
    sound = play(part)
    found = [frequency(sound, n + 0.1, n + 0.9, below=600) for n in range(3)]
    assert found == pytest.approx([440, 440 * 2 ** (2 / 12), 440], rel=0.006)


def test_coarse_tuning_leaves_drums_alone():
    rows = controls((0, 101, 0), (0, 100, 2), (0, 6, 76))
    plain, tuned = (play(track((0, 300, 38), is_drum=True, controls=c)) for c in (controls(), rows))
    np.testing.assert_array_equal(plain, tuned)


# ---- FluidSynth --------------------------------------------------------------------------------------


def sent(part: Track) -> list[tuple[int, str, int, int]]:
    """(frame, kind, a, b) of what FluidSynth gets for one part, at 1000 frames a second."""
    kinds = {fluid._OFF: "off", fluid._CONTROL: "control", fluid._BEND: "bend", fluid._ON: "on"}
    return [(frame, kinds[kind], a, b) for frame, kind, _, a, b in fluid._events(Piece(500, (part,)), 1000).tolist()]


def test_fluidsynth_gets_one_wheel_for_range_wheel_and_tuning():
    rows = (*RANGE, (0, 6, 24), (0, 99, 1), (0, 98, 8), (0, 6, 64), (500, 101, 0), (500, 100, 2), (500, 6, 65))
    events = sent(track((0, 1000, 60), controls=controls(*rows), turned=[(200, 4096), (800, 0)]))
    parameters = [(a, b) for _, kind, a, b in events if kind == "control"]
    assert parameters == [(101, 0), (100, 0), (6, 13), (101, 127), (100, 127)]
    bends = [(frame, a * 13 / 8192) for frame, kind, a, _ in events if kind == "bend"]
    assert [frame for frame, _ in bends] == [200, 500, 800]
    assert [value for _, value in bends] == pytest.approx([12, 13, 1], abs=0.002)


def test_fluidsynth_gets_resets_as_what_they_do_and_no_modes():
    rows = controls((0, 64, 127), (300, 121, 0), (400, 126, 1), (500, 123, 0), (500, 7, 9))
    events = [e for e in sent(track((0, 1000, 60), controls=rows, turned=[(100, 100)])) if e[0] >= 100]
    assert {(a, b) for frame, kind, a, b in events if (frame, kind) == (300, "control")} == {
        (64, 0), (66, 0), (67, 0), (1, 0), (11, 127)
    }  # fmt: skip
    assert [(frame, a) for frame, kind, a, _ in events if kind == "bend"] == [(100, 100), (300, 0)]
    assert [(a, b) for frame, kind, a, b in events if kind == "control" and frame > 300] == [(123, 0), (7, 9)]


def test_fluidsynth_gets_softer_notes_under_the_soft_pedal():
    events = sent(track((0, 100, 60), (500, 100, 60), controls=controls((300, 67, 127))))
    assert [b for _, kind, _, b in events if kind == "on"] == [100, round(100 * 0.7**0.5)]


@pytest.mark.skipif(not fluid.works(), reason="pyfluidsynth and its library are not installed")
def test_fluidsynth_bends_as_our_player_does():
    part = track((0, 2000, 69), program=CLARINET, controls=controls(*RANGE, (0, 6, 48)), turned=[(1000, 2048)])
    for engine in ("numpy", "fluidsynth"):
        sound = sound_of(Piece(500, (replace(part),)), engine=engine)
        assert partial(sound, 1.1, 1.9, near=880) == pytest.approx(880, rel=0.006)

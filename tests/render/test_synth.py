"""Rendering, with the small General MIDI font that comes with pretty_midi."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sounds import FONT, RATE, sound_of

from musicgen.errors import UnreadableError, UsageError
from musicgen.piece import BEND, CONTROL, TEMPO, Piece, Track, notes_array
from musicgen.render.schedule import TAIL_S
from musicgen.render.synth import CEILING, synthesize

FLUTE, ORGAN, PIANO, STRINGS, CLARINET = 73, 19, 0, 48, 71


def controls(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(list(rows), CONTROL)


def bends(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(list(rows), BEND)


def piece(*tracks: Track, tempos: np.ndarray | None = None) -> Piece:
    """A piece of 500 ticks a quarter: at 120 quarters a minute a tick is a millisecond."""
    return Piece(500, tracks, **({} if tempos is None else {"tempos": tempos}))


def one(pitch: int, *, start: int = 0, duration: int = 1000, velocity: int = 100, **fields) -> Track:
    return Track(notes=notes_array([(start, duration, pitch, velocity)]), **fields)


def play(p: Piece, *, rate: int = RATE) -> np.ndarray:
    return sound_of(p, rate=rate)


def rms(audio: np.ndarray, start_s: float, stop_s: float) -> float:
    return float(np.sqrt(np.mean(audio[int(start_s * RATE) : int(stop_s * RATE)].astype(np.float64) ** 2)))


def frequency(audio: np.ndarray, start_s: float, stop_s: float, *, below: float = 1e9) -> float:
    """The strongest frequency (Hz) of a stretch of sound."""
    part = audio[int(start_s * RATE) : int(stop_s * RATE)].mean(axis=1)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 8 * len(part)))
    hertz = np.arange(len(spectrum)) * RATE / (8 * len(part))
    return float(hertz[np.where(hertz < below, spectrum, 0).argmax()])


@pytest.fixture(scope="module")
def band() -> Piece:
    """Four parts with drums, pedal, volume changes, pan and bends, six seconds long."""
    rng = np.random.default_rng(1)
    melody = notes_array([(250 * n, 240, int(rng.integers(60, 80)), int(rng.integers(40, 127))) for n in range(24)])
    chords = notes_array([(1000 * n, 900, p, 80) for n in range(6) for p in (48, 55, 60, 64)])
    drums = notes_array([(250 * n, 50, (36, 42, 38, 46)[n % 4], 100) for n in range(24)])
    pedal = controls(*((1000 * n + d, 64, v) for n in range(6) for d, v in ((10, 127), (950, 0))))
    swell = controls((0, 7, 100), (0, 10, 20), *((200 * n, 11, 60 + 2 * n) for n in range(30)))
    return piece(
        Track(program=FLUTE, notes=melody, bends=bends((1000, 4096), (1500, 0), (3000, -8192), (3100, 0))),
        Track(program=PIANO, notes=chords, controls=pedal),
        Track(program=STRINGS, notes=chords, controls=swell),
        Track(is_drum=True, notes=drums),
    )


def test_shape_and_level(band):
    audio = play(band)
    assert audio.dtype == np.float32
    assert audio.ndim == 2
    assert audio.shape[1] == 2
    assert np.isfinite(audio).all()
    assert 0.6 < np.abs(audio).max() < 1
    assert rms(audio, 0, 6) > 0.03
    assert band.seconds <= len(audio) / RATE <= band.seconds + TAIL_S


def test_same_piece_same_samples(band):
    assert np.array_equal(play(band), play(band))


@pytest.mark.parametrize("block_s", [0.1, 0.73, 30.0])
def test_blocks_add_up_to_the_whole(band, block_s):
    blocks = list(synthesize(band, soundfont=FONT, rate=RATE, engine="numpy", block_s=block_s))
    assert {len(b) for b in blocks[:-1]} <= {int(block_s * RATE)}
    # Small blocks find the level from a part of the piece only.
    whole, parts = play(band), np.concatenate(blocks)
    scale = np.abs(whole).max() / np.abs(parts).max()
    if block_s > 0.5:
        assert scale == 1
        np.testing.assert_allclose(parts, whole, atol=1e-6)
    else:
        assert parts.shape == whole.shape
        assert 0.8 < scale < 1.25


@pytest.mark.parametrize(("pitch", "hertz"), [(69, 440.0), (81, 880.0), (74, 587.33)])
def test_pitch(pitch, hertz):
    audio = play(piece(one(pitch, program=FLUTE)))
    assert frequency(audio, 0.2, 0.9, below=1.5 * hertz) == pytest.approx(hertz, rel=0.006)  # within 10 cents


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_rate(rate):
    audio = play(piece(one(69, program=FLUTE)), rate=rate)
    part = audio[rate // 5 : rate].mean(axis=1)
    hertz = np.abs(np.fft.rfft(part, 8 * len(part)))[: int(4800 * len(part) / rate)].argmax() * rate / (8 * len(part))
    assert hertz == pytest.approx(440, rel=0.01)


def test_pitch_bend_and_its_range():
    def bent(track_controls: np.ndarray) -> float:
        track = one(69, duration=2000, program=CLARINET, bends=bends((1000, 8191)), controls=track_controls)
        audio = play(piece(track))
        assert frequency(audio, 0.2, 0.9, below=600) == pytest.approx(440, rel=0.006)
        return frequency(audio, 1.1, 1.9, below=1000)

    assert bent(controls()) == pytest.approx(440 * 2 ** (2 / 12), rel=0.006)
    octave = controls((0, 101, 0), (0, 100, 0), (0, 6, 12))
    assert bent(octave) == pytest.approx(880, rel=0.006)


def test_never_silent_never_clipped():
    soft = play(piece(one(60, velocity=1, controls=controls((0, 7, 10)))))
    assert np.abs(soft).max() > 0.5
    loud = play(piece(*(one(p, velocity=127, program=ORGAN) for p in range(30, 100))))
    assert 0.6 < np.abs(loud).max() <= CEILING


def test_velocity_and_volume_make_it_louder():
    notes = notes_array([(0, 400, 69, 40), (1000, 400, 69, 120)])
    audio = play(piece(Track(program=ORGAN, notes=notes)))
    ratio = rms(audio, 1.1, 1.4) / rms(audio, 0.1, 0.4)
    assert ratio == pytest.approx((120 / 40) ** 2, rel=0.05)  # amplitude grows with the square of velocity
    for number in (7, 11):
        changing = controls((0, number, 50), (1000, number, 100))
        audio = play(piece(one(69, duration=2000, program=ORGAN, controls=changing)))
        assert rms(audio, 1.2, 1.8) / rms(audio, 0.2, 0.8) == pytest.approx(4, rel=0.15)


def test_pan():
    left = play(piece(one(60, controls=controls((0, 10, 0)))))
    right = play(piece(one(60, controls=controls((0, 10, 127)))))
    assert rms(left[:, :1], 0, 1) > 5 * rms(left[:, 1:], 0, 1)
    assert rms(right[:, 1:], 0, 1) > 5 * rms(right[:, :1], 0, 1)


def test_pedal_lengthens_notes():
    note = notes_array([(0, 200, 60, 100), (3000, 100, 90, 100)])
    dry = play(piece(Track(notes=note)))
    held = play(piece(Track(notes=note, controls=controls((0, 64, 127), (2000, 64, 0)))))
    assert rms(held, 1.0, 1.9) > 30 * rms(dry, 1.0, 1.9)
    assert rms(held, 2.7, 2.95) < 0.05 * rms(held, 1.0, 1.9)  # and lifted, it lets go


def test_a_pedal_never_lifted_ends_in_time():
    p = piece(one(60, duration=100, program=ORGAN, controls=controls((0, 64, 127))))
    audio = play(p)
    assert p.seconds <= len(audio) / RATE <= p.seconds + TAIL_S
    assert np.abs(audio[-10:]).max() < 1e-3


def test_drums_sound_and_hats_choke():
    kick = play(piece(one(36, duration=50, is_drum=True)))
    snare = play(piece(one(38, duration=50, is_drum=True)))
    assert frequency(kick, 0, 0.2) < 150
    assert np.abs(snare).max() > 0.5
    spectrum = np.abs(np.fft.rfft(snare[: RATE // 5, 0])) ** 2
    assert spectrum[len(spectrum) // 4 :].sum() > 0.01 * spectrum.sum()
    hats = notes_array([(0, 50, 46, 120), (200, 50, 42, 10), (4000, 50, 36, 120)])
    free = notes_array([(0, 50, 46, 120), (4000, 50, 36, 120)])
    choked, ringing = (play(piece(Track(is_drum=True, notes=n))) for n in (hats, free))
    assert rms(choked, 0.3, 0.45) < 0.3 * rms(ringing, 0.3, 0.45)


def test_the_last_note_is_not_faded():
    """A drum struck at the very end is as loud as one in the middle."""
    audio = play(piece(Track(is_drum=True, notes=notes_array([(0, 50, 38, 100), (2000, 50, 38, 100)]))))
    assert rms(audio, 2.0, 2.1) == pytest.approx(rms(audio, 0, 0.1), rel=1e-3)


def test_tempo_map_is_respected():
    tempos = np.array([(0, 500_000), (1000, 1_000_000)], TEMPO)  # 120, from the third quarter on 60
    notes = notes_array([(0, 100, 38, 100), (1000, 100, 38, 100), (2000, 100, 38, 100)])
    audio = play(piece(Track(is_drum=True, notes=notes), tempos=tempos))
    for onset, following in pairwise((0.0, 1.0, 3.0, 3.2)):
        assert rms(audio, onset, onset + 0.05) > 0.05
        assert following == 3.2 or rms(audio, following - 0.05, following) < 0.01


def test_silence_and_leading_rest():
    for empty in (piece(), piece(Track())):
        audio = play(empty)
        assert 0 < len(audio) <= 2 * RATE
        assert not audio.any()
    late = play(piece(one(60, start=3000)))
    assert not late[: int(2.9 * RATE)].any()
    assert late.any()


def test_slow_tempo_and_long_notes_stream():
    """A quarter of an hour in one note: blocks stay small, and it sounds to the end."""
    tempos = np.array([(0, 15_000_000)], TEMPO)
    p = piece(one(60, duration=60 * 500, program=ORGAN), tempos=tempos)
    sizes, heard = [], []
    for block in synthesize(p, soundfont=FONT, rate=8000, engine="numpy"):
        sizes.append(len(block))
        heard.append(np.abs(block).max())
    assert max(sizes) <= 16000
    assert 900 <= sum(sizes) / 8000 <= 910
    assert min(heard[:445]) > 0.1


def test_every_program_and_drum_key_plays():
    tracks = [one(60, start=100 * n, duration=90, program=n) for n in range(128)]
    tracks.append(Track(is_drum=True, notes=notes_array([(100 * n, 50, n, 100) for n in range(128)])))
    audio = play(piece(*tracks), rate=8000)
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() < 1
    assert min(np.abs(audio[n * 800 : n * 800 + 800]).max() for n in range(128)) > 1e-4


def test_unusable_arguments_say_so(tmp_path):
    p = piece(one(60))
    with pytest.raises(UsageError, match="unknown engine 'fluid'; use one of auto, fluidsynth, numpy"):
        synthesize(p, engine="fluid")
    with pytest.raises(UsageError, match="a rate of 10 Hz can't be rendered; use 8000 to 192000"):
        synthesize(p, rate=10)
    with pytest.raises(UnreadableError, match="no such SoundFont file"):
        synthesize(p, soundfont=tmp_path / "none.sf2")
    bad = tmp_path / "bad.sf2"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableError, match="not a SoundFont 2 file"):
        synthesize(p, soundfont=bad)


def test_fluidsynth_where_it_is_installed(band):
    from musicgen.render import fluid

    if not fluid.works():
        with pytest.raises(UsageError, match="FluidSynth isn't installed; install pyfluidsynth"):
            synthesize(band, soundfont=FONT, engine="fluidsynth")
        return
    audio = sound_of(band, engine="fluidsynth")
    assert audio.dtype == np.float32
    assert audio.shape[1] == 2
    assert 0.5 < np.abs(audio).max() < 1
    assert band.seconds <= len(audio) / RATE <= band.seconds + TAIL_S


def test_tracks_do_not_disturb_each_other():
    """A controller of one track leaves the other alone."""
    plain = one(69, program=ORGAN)
    quiet = replace(one(40, start=5000), controls=controls((0, 7, 0), (0, 64, 127)))
    alone, together = play(piece(plain)), play(piece(plain, quiet))
    np.testing.assert_allclose(together[:RATE], alone[:RATE], atol=1e-6)

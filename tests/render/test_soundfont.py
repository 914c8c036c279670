"""The SoundFont reader, on a tiny font built here: one second of a 441 Hz sine, and on damaged ones."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sounds import sound_of

from musicgen.errors import UnreadableError
from musicgen.piece import Piece, Track, notes_array
from musicgen.render import soundfont
from musicgen.render.soundfont import SoundFont, find_soundfont

RATE = 44100
KEY_RANGE, VELOCITY_RANGE, PAN, INSTRUMENT, SAMPLE = 43, 44, 17, 41, 53
COARSE, FINE, MODES, SCALE, ROOT, ATTENUATION = 51, 52, 54, 56, 58, 48


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def zones(kind: bytes, lists: list[list[dict[int, int]]]) -> tuple[list[int], bytes]:
    """Bag and generator chunks; the first bag of each list of zones."""
    firsts, bags, gens = [], b"", b""
    for group in lists:
        firsts.append(len(bags) // 4)
        for zone in group:
            bags += struct.pack("<HH", len(gens) // 4, 0)
            gens += b"".join(struct.pack("<HH", g, a & 0xFFFF) for g, a in zone.items())
    firsts.append(len(bags) // 4)
    bags += struct.pack("<HH", len(gens) // 4, 0)
    return firsts, chunk(kind + b"bag", bags) + chunk(kind + b"mod", bytes(10)) + chunk(kind + b"gen", gens + bytes(4))


def font_bytes(
    preset: list[dict[int, int]] | None = None, instrument: list[dict[int, int]] | None = None, *, flags: int = 1
) -> bytes:
    """A font with one preset (bank 0, program 5), one instrument and one looped sine of 441 Hz, root key 69."""
    preset = preset or [{INSTRUMENT: 0}]
    instrument = instrument or [{MODES: 1, SAMPLE: 0}]
    wave = np.rint(16000 * np.sin(np.arange(RATE) * (2 * np.pi / 100))).astype("<i2").tobytes() + bytes(92)
    first_p, pdta_p = zones(b"p", [preset])
    first_i, pdta_i = zones(b"i", [instrument])
    phdr = struct.pack("<20sHHH12x", b"Sine", 5, 0, first_p[0]) + struct.pack("<20sHHH12x", b"EOP", 0, 0, first_p[1])
    inst = struct.pack("<20sH", b"Sine", first_i[0]) + struct.pack("<20sH", b"EOI", first_i[1])
    shdr = struct.pack("<20sIIIIIBbHH", b"sine", 0, RATE, 0, RATE - 100, RATE, 69, 0, 0, flags) + bytes(46)
    body = b"sfbk" + chunk(b"LIST", b"sdta" + chunk(b"smpl", wave))
    pdta = chunk(b"phdr", phdr) + pdta_p + chunk(b"inst", inst) + pdta_i + chunk(b"shdr", shdr)
    return chunk(b"RIFF", body + chunk(b"LIST", b"pdta" + pdta))


@pytest.fixture
def write(tmp_path: Path):
    def write(data: bytes) -> Path:
        path = tmp_path / "tiny.sf2"
        path.write_bytes(data)
        return path

    return write


def note(pitch: int, *, velocity: int = 100, seconds: float = 2.0) -> Piece:
    return Piece(500, (Track(program=5, notes=notes_array([(0, int(seconds * 1000), pitch, velocity)])),))


def frequency(audio: np.ndarray) -> float:
    """The strongest frequency (Hz) of the second half second."""
    mono = audio[RATE // 2 : RATE, 0]
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono)), 16 * len(mono)))
    return float(spectrum.argmax() * RATE / (16 * len(mono)))


def play(path: Path, piece: Piece) -> np.ndarray:
    return sound_of(piece, font=path, rate=RATE)


def test_reads_presets_and_samples(write):
    font = SoundFont(write(font_bytes()))
    assert font.programs == [(0, 5)]
    region = font.preset(5).regions[0]
    assert (region.sample.name, region.sample.rate_hz, region.sample.pitch) == ("sine", RATE, 69)
    assert (region.keys, region.velocities, region["sampleModes"], region["pan"]) == ((0, 127), (0, 127), 1, 0)
    assert font.samples.dtype == np.int16
    assert len(font.samples) == RATE + 46
    assert not font.samples.flags.owndata  # a view of the file


def test_global_zones_and_sums(write):
    preset = [{PAN: 100}, {KEY_RANGE: 0x6420, ATTENUATION: 30, INSTRUMENT: 0}]
    instrument = [
        {PAN: -250, VELOCITY_RANGE: 0x4000},
        {KEY_RANGE: 0x3C00, SAMPLE: 0},
        {KEY_RANGE: 0x7F3D, PAN: 40, ATTENUATION: 5, SAMPLE: 0},
    ]
    low, high = SoundFont(write(font_bytes(preset, instrument))).preset(5).regions
    assert (low.keys, high.keys, low.velocities) == ((0x20, 0x3C), (0x3D, 0x64), (0, 0x40))
    assert (low["pan"], high["pan"]) == (-150, 140)  # a zone's own value beats the global one, presets add
    assert (low["initialAttenuation"], high["initialAttenuation"]) == (30, 35)


def test_regions_match_both_ends(write):
    preset = SoundFont(write(font_bytes(None, [{KEY_RANGE: 0x3C30, VELOCITY_RANGE: 0x6420, SAMPLE: 0}]))).preset(5)
    assert [len(preset.matching(k, 64)) for k in (47, 48, 60, 61)] == [0, 1, 1, 0]
    assert [len(preset.matching(50, v)) for v in (31, 32, 100, 101)] == [0, 1, 1, 0]


def test_a_missing_program_falls_back(write):
    font = SoundFont(write(font_bytes()))
    assert font.preset(40).program == 5
    assert font.preset(0, bank=128).program == 5


@pytest.mark.parametrize(("pitch", "hertz"), [(69, 441.0), (81, 882.0), (57, 220.5), (70, 467.22)])
def test_pitch_follows_the_key(write, pitch, hertz):
    assert frequency(play(write(font_bytes()), note(pitch))) == pytest.approx(hertz, rel=1e-3)


@pytest.mark.parametrize(
    ("zone", "hertz"),
    [
        ({COARSE: 12}, 882.0),
        ({FINE: 50}, 441 * 2 ** (1 / 24)),
        ({ROOT: 81}, 220.5),
        ({SCALE: 50}, 441 * 2 ** (-6 / 12)),  # one octave below the root key
    ],
)
def test_tuning_generators(write, zone, hertz):
    audio = play(write(font_bytes(None, [{MODES: 1, **zone, SAMPLE: 0}])), note(57 if SCALE in zone else 69))
    assert frequency(audio) == pytest.approx(hertz, rel=1e-3)


def test_loops_go_on_and_single_shots_end(write):
    looped = play(write(font_bytes()), note(69, seconds=5))
    single = play(write(font_bytes(None, [{MODES: 0, SAMPLE: 0}])), note(69, seconds=5))
    late = slice(int(4.0 * RATE), int(4.9 * RATE))
    assert np.abs(looped[late]).max() > 0.5
    assert np.abs(single[late]).max() == 0
    assert np.abs(single[: RATE // 2]).max() > 0.5


def test_a_loop_has_no_seam(write):
    """A sine looped over whole periods stays a sine: nothing but the one line in the spectrum."""
    audio = play(write(font_bytes()), note(69, seconds=5))[2 * RATE : 4 * RATE, 0]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    peak = int(spectrum.argmax())
    assert spectrum[: peak - 20].sum() + spectrum[peak + 20 :].sum() < 1e-6 * spectrum.sum()


def test_pan_generator_is_stereo(write):
    audio = play(write(font_bytes(None, [{PAN: -500, MODES: 1, SAMPLE: 0}])), note(69))
    assert np.abs(audio[:, 0]).max() > 0.5
    assert np.abs(audio[:, 1]).max() < 1e-6


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: b"MThd" + d[4:], "not a SoundFont 2 file; give a SoundFont 2 file"),
        (lambda d: b"RIFF", "not a SoundFont 2 file"),
        (lambda d: b"", "is empty"),
        (lambda d: d[: len(d) // 2], "cut short"),
        (lambda d: d.replace(b"shdr", b"xxxx"), "has no shdr chunk"),
        (lambda d: d.replace(b"smpl" + d[28:32], b"smpl\xff\xff\xff\x7f", 1), "runs past its end"),
        (lambda d: d.replace(b"shdr" + struct.pack("<I", 92), b"shdr" + struct.pack("<I", 90)), "is damaged"),
    ],
)
def test_damaged_files_say_so(write, damage, text):
    path = write(damage(font_bytes()))
    with pytest.raises(UnreadableError, match=text) as caught:
        SoundFont(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_random_damage_never_crashes(write, tmp_path):
    rng = np.random.default_rng(0)
    whole = font_bytes()
    heads = len(whole) - 500  # the tables are at the end
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(heads, len(whole), 3):
            data[at] = rng.integers(256)
        with suppress(UnreadableError):
            preset = SoundFont(write(bytes(data))).preset(5)
            sound_of(note(60, seconds=0.1), font=tmp_path / "tiny.sf2", rate=8000)
            assert len(preset.matching(60, 100)) <= len(preset.regions)


def test_compressed_samples_are_refused(write):
    with pytest.raises(UnreadableError, match="compressed"):
        SoundFont(write(font_bytes(flags=0x11)))


def test_missing_and_odd_files(tmp_path):
    with pytest.raises(UnreadableError, match=r"nowhere\.sf2: no such SoundFont file; check the path"):
        find_soundfont(tmp_path / "nowhere.sf2")
    os.mkfifo(tmp_path / "pipe.sf2")
    with pytest.raises(UnreadableError, match="not a file"):
        SoundFont(tmp_path / "pipe.sf2")


def test_finding_a_font(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfont, "SYSTEM_FOLDERS", (str(tmp_path),))
    if find_spec("pretty_midi"):
        assert find_soundfont().name == "TimGM6mb.sf2"
    for name in ("aaa.sf2", "FluidR3_GM.sf2"):
        (tmp_path / name).write_bytes(b"")
    assert find_soundfont().name == "FluidR3_GM.sf2"
    assert find_soundfont(tmp_path / "aaa.sf2").name == "aaa.sf2"
    monkeypatch.setattr(soundfont, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(soundfont, "find_spec", lambda name: None)
    with pytest.raises(UnreadableError, match="pass one with `soundfont`"):
        find_soundfont()

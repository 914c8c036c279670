"""Sound files: what was given comes back, and failures leave nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen.errors import ResourceError, UsageError
from musicgen.io import audio
from musicgen.io.audio import write_audio

RATE = 22050


def tone(n: int = RATE, *, channels: int = 2) -> np.ndarray:
    t = np.arange(n)[:, None] / RATE
    return (0.5 * np.sin(2 * np.pi * np.array([440.0, 550.0])[:channels] * t)).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "kind", "subtype"),
    [(".wav", "WAV", "PCM_16"), (".flac", "FLAC", "PCM_16"), (".ogg", "OGG", "VORBIS"), (".WAV", "WAV", "PCM_16")],
)
def test_formats_by_suffix(tmp_path, suffix, kind, subtype):
    path, sound = tmp_path / f"out{suffix}", tone()
    assert write_audio(path, [sound[:1000], sound[1000:]], rate=RATE) == RATE
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (kind, subtype, RATE, 2)
    back, _ = soundfile.read(path, dtype="float32")
    assert back.shape == sound.shape
    assert np.abs(back - sound).max() < (2e-4 if subtype == "PCM_16" else 0.1)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_same_samples_same_bytes(tmp_path, suffix):
    for name in ("a", "b"):
        write_audio(tmp_path / (name + suffix), iter([tone()]), rate=RATE)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_blocks_do_not_show(tmp_path):
    sound = tone()
    write_audio(tmp_path / "a.wav", [sound], rate=RATE)
    write_audio(tmp_path / "b.wav", np.array_split(sound, 7), rate=RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_mono_and_nothing(tmp_path):
    assert write_audio(tmp_path / "mono.wav", [tone()[:, 0]], rate=RATE) == RATE
    assert soundfile.info(tmp_path / "mono.wav").channels == 1
    assert write_audio(tmp_path / "nothing.wav", [], rate=RATE) == 0
    assert soundfile.info(tmp_path / "nothing.wav").frames == 0


def test_a_long_ogg_block(tmp_path):
    """One block of several minutes: libsndfile's encoder crashes on such a call."""
    assert write_audio(tmp_path / "long.ogg", [tone(180 * 8000)], rate=8000) == 180 * 8000


def test_unknown_suffix(tmp_path):
    with pytest.raises(UsageError) as caught:
        write_audio(tmp_path / "out.mp3", [tone()], rate=RATE)
    assert str(caught.value).endswith("out.mp3: unknown sound file suffix '.mp3'; use one of .wav, .flac, .ogg")
    assert os.listdir(tmp_path) == []


def test_unusable_rate(tmp_path):
    with pytest.raises(UsageError, match="can't write FLAC with 2 channels at 2000000 Hz"):
        write_audio(tmp_path / "out.flac", [tone()], rate=2_000_000)
    assert os.listdir(tmp_path) == []


def test_an_existing_file_fails_before_any_work(tmp_path):
    (tmp_path / "out.wav").write_bytes(b"old")

    def blocks():
        pytest.fail("rendering began")
        yield tone()

    with pytest.raises(UsageError, match=r"already exists; pass `overwrite`"):
        write_audio(tmp_path / "out.wav", blocks(), rate=RATE)
    assert (tmp_path / "out.wav").read_bytes() == b"old"
    assert write_audio(tmp_path / "out.wav", [tone()], rate=RATE, overwrite=True) == RATE


def test_an_error_in_the_music_leaves_nothing(tmp_path):
    def blocks():
        yield tone()
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        write_audio(tmp_path / "out.wav", blocks(), rate=RATE)
    assert os.listdir(tmp_path) == []


def test_four_gibibytes(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "WAV_BYTES", 10_000)
    with pytest.raises(ResourceError, match=r"a WAV file can't pass 4 GiB; write \.flac instead"):
        write_audio(tmp_path / "out.wav", [tone()], rate=RATE)
    assert write_audio(tmp_path / "out.flac", [tone()], rate=RATE) == RATE


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_disk_that_fills_up(tmp_path, suffix):
    """A limit on the size of files; on a full disk, too, writes come back short. Which of both it is is told."""
    script = (
        "import resource, sys, numpy as np\n"
        "from musicgen.errors import ResourceError\n"
        "from musicgen.io.audio import write_audio\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "noise = np.random.default_rng(0).uniform(-0.5, 0.5, (200000, 2)).astype(np.float32)\n"
        "try:\n    write_audio(sys.argv[1], [noise], rate=22050)\n"
        "except ResourceError as error:\n    sys.exit(str(error))\n"
    )
    root = Path(audio.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / f"out{suffix}")], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the file would be larger than is allowed here; raise the limit" in done.stderr
    assert "no space left" in str(audio._full(tmp_path / "out.wav", Path(__file__)))
    assert os.listdir(tmp_path) == []

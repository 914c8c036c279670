"""The small MIDI files of the folder ../shared/cases, each with the right answer beside it, as commands answer them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sounds import FONT, RATE, db_of_peak, frequency, partial

from musicgen.cli.main import cli
from musicgen.io.channels import Channels
from musicgen.io.midi import read_midi, read_midi_file
from musicgen.piece import Piece

CASES = Path(__file__).parents[3] / "shared" / "cases"
READ = ("20-all-notes-off", "24-retrigger")


@pytest.fixture
def case(request) -> Path:
    folder = CASES / request.param
    if not folder.is_dir():
        pytest.skip("the folder ../shared/cases with files and their right answers is not here")
    return folder


def named(name: str):
    return pytest.mark.parametrize("case", [name], indirect=True, ids=[name])


def inspected(path: Path) -> dict:
    done = CliRunner().invoke(cli, ["inspect", str(path), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def played(path: Path, folder: Path) -> np.ndarray:
    """The sound that `musicgen render` makes of a file, (n, 2)."""
    import soundfile

    out = folder / f"{path.stem}.wav"
    done = CliRunner().invoke(cli, ["render", str(path), "-o", str(out), "--soundfont", str(FONT), "--rate", str(RATE)])
    assert done.exit_code == 0, done.output
    sound, rate = soundfile.read(out)
    assert rate == RATE
    return sound


def continued(path: Path, folder: Path) -> tuple[Path, dict]:
    out = folder / f"{path.stem}.out.mid"
    done = CliRunner().invoke(cli, ["continue", str(path), "-o", str(out), "--bars", "2", "--seed", "1"])
    assert done.exit_code == 0, done.output
    return out, json.loads(out.with_suffix(".json").read_text())


def quarters(piece: Piece) -> list[list[float]]:
    notes = sorted(n for t in piece.tracks for n in t.notes.tolist())
    per = piece.ticks_per_quarter
    return [[pitch, start / per, length / per] for start, length, pitch, _ in notes]


@pytest.mark.parametrize("case", READ, indirect=True)
def test_notes(case):
    expected = json.loads((case / "expected.json").read_text())["expected_notes_pitch_onset_length_in_quarters"]
    assert quarters(read_midi(case / "t.mid")) == expected


@named("21-xg-gs-gm2-drums")
def test_a_drum_bank_makes_drums(case):
    (part,) = inspected(case / "t.mid")["tracks"]
    assert part["is_drum"] is True


@named("23-ports")
def test_the_second_port_never_chose_a_program(case):
    assert [part["program"] for part in inspected(case / "t.mid")["tracks"]] == [40, 0]


@named("31-pedal-in-other-track")
def test_a_pedal_in_another_track(case, tmp_path):
    same, other = (played(case / f"{name}.mid", tmp_path) for name in ("01bpedalsame", "01pedalother"))
    np.testing.assert_array_equal(same, other)
    assert -30 < db_of_peak(other, 1.0, 1.75) < -23


@named("32-volume-bend-in-other-track")
def test_volume_and_wheel_in_another_track(case, tmp_path):
    faded = played(case / "11gvolother.mid", tmp_path)
    assert db_of_peak(faded, 0.2, 0.9) > -12
    assert db_of_peak(faded, 1.05, 2.0) < -80
    bent = played(case / "11hbendother.mid", tmp_path)
    assert frequency(bent, 0.2, 0.9, below=600) == pytest.approx(440, rel=0.006)
    assert frequency(bent, 1.1, 1.9, below=600) == pytest.approx(440 * 2 ** (2 / 12), rel=0.006)


@named("33-nrpn-after-rpn0")
def test_an_nrpn_is_no_rpn(case, tmp_path):
    sound = played(case / "11nrpn.mid", tmp_path)
    assert frequency(sound, 0.2, 0.9, below=600) == pytest.approx(440, rel=0.006)
    assert frequency(sound, 1.1, 1.9, below=600) == pytest.approx(493.9, rel=0.006)
    assert partial(sound, 1.1, 1.9, near=1481.6) == pytest.approx(1481.6, rel=0.006)


@named("34-bend-range-48")
def test_a_bend_of_four_octaves(case, tmp_path):
    sound = played(case / "11brange48.mid", tmp_path)
    assert partial(sound, 0.2, 0.9, near=220) == pytest.approx(220, rel=0.006)
    assert partial(sound, 1.1, 1.9, near=440) == pytest.approx(440, rel=0.006)


@named("36-reset-all-controllers")
def test_a_reset_lifts_the_pedal(case, tmp_path):
    sound = played(case / "07cc121.mid", tmp_path)
    assert db_of_peak(sound, 0.7, 0.95) > -35
    assert db_of_peak(sound, 1.5, 2.0) < db_of_peak(sound, 0.7, 0.95) - 30


@named("37-bend-range-cents")
def test_a_bend_of_fifty_cents(case, tmp_path):
    sound = played(case / "11clsb50.mid", tmp_path)
    before, after = (frequency(sound, *span, below=600) for span in ((0.2, 0.9), (1.1, 1.9)))
    assert after / before == pytest.approx(1.0293, rel=0.002)


@named("39-bend-in-other-track-continue")
def test_the_wheel_is_centred_at_the_cut(case, tmp_path):
    out, facts = continued(case / "31bendother.mid", tmp_path)
    (lead,) = read_midi(out).tracks
    at_cut = lead.bends[lead.bends["tick"] <= facts["cut_tick"]]
    assert at_cut["value"].tolist() == [-8192, 0]
    assert at_cut["tick"][-1] == facts["cut_tick"]
    # As a sequencer plays the file, track by track on a tick: the wheel turns before the first new note.
    channels = Channels(read_midi_file(out))
    order = np.lexsort((np.arange(len(channels.rows)), channels.tick))
    statuses = channels.rows["status"][order][channels.tick[order] == facts["cut_tick"]].tolist()
    assert statuses.index(0xE0) < statuses.index(0x90)


@named("41-hanging-note-far-end")
def test_a_note_that_hangs_does_not_put_the_cut_far_off(case, tmp_path):
    _, facts = continued(case / "08hang.mid", tmp_path)
    assert facts["cut_tick"] == 3360
    assert facts["bars_added"] == 2


@named("42-one-tick-a-quarter")
@pytest.mark.parametrize(("name", "division"), [("09ppq1", 1), ("09ppq3", 3)])
def test_few_ticks_a_quarter(case, tmp_path, name, division):
    out, facts = continued(case / f"{name}.mid", tmp_path)
    piece = read_midi(out)
    piece.validate()
    assert piece.ticks_per_quarter == division
    assert piece.warnings == ()
    assert facts["notes_added"] > 0
    assert piece.end <= facts["cut_tick"] + 8 * division


@named("43-gs-melody-on-channel-10")
def test_channel_10_stays_melodic(case, tmp_path):
    path = case / "04cmelody10.mid"
    (part,) = inspected(path)["tracks"]
    assert (part["is_drum"], part["program"]) == (False, 48)
    out, facts = continued(path, tmp_path)
    (track,) = read_midi(out).tracks
    assert (track.is_drum, track.program) == (False, 48)
    assert len(track.notes) == facts["notes_kept"] + facts["notes_added"] > facts["notes_kept"]


@named("45-sostenuto")
def test_sostenuto_holds_what_sounds(case, tmp_path):
    sound = played(case / "12sost.mid", tmp_path)
    assert db_of_peak(sound, 0.5, 3.9) > -15
    assert db_of_peak(sound, 4.7, 5.9) < -50

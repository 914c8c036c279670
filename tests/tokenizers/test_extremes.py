"""Pieces that no one plays: what a tokenizer makes of them is right, or refused before there is room taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.errors import ResourceError
from musicgen.piece import METER, NOTE, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import load_tokenizer
from musicgen.tokenizers.abc.spelling import spell_tune
from musicgen.tokenizers.bars import parts
from musicgen.tokenizers.constraints import MOST_STEPS

SPECS = [
    {"name": "notes"},
    {"name": "remi"},
    {"name": "parts"},
    {"name": "performance", "pedal": True},
    {"name": "frames"},
    {"name": "frames", "voices": 4},
    {"name": "frames", "frames_per_quarter": 48},
    {"name": "abc"},
]
FASTEST = np.array([(0, 60_000)], TEMPO)


def piece(rows, *, quarter: int = 480, **maps) -> Piece:
    return Piece(quarter, (Track(notes=notes_array(rows)),), **maps)


def pile(count: int, *, length: int, quarter: int = 480) -> Piece:
    """So many notes on one tick, of every pitch."""
    notes = np.zeros(count, NOTE)
    notes["duration"], notes["pitch"], notes["velocity"] = length, np.arange(count) % 128, 80
    return Piece(quarter, (Track(notes=notes_array(notes)),), FASTEST)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(
    "extreme",
    [
        piece([(0, 480, 60, 80), (2**40, 480, 62, 80)]),
        piece([(0, 2**40, 60, 80)]),
        piece([(0, 1, 60, 80), (2**40, 1, 62, 80)], quarter=1, tempos=FASTEST),
        piece([(0, 480, 60, 80), (2**60, 480, 62, 80)]),
    ],
    ids=["a rest", "a note", "a tick a quarter", "2^60"],
)
def test_a_year_of_rest_is_refused(spec, extreme):
    tokenizer = load_tokenizer(spec)
    with pytest.raises(ResourceError, match=r"bars, and more than|the most are"):
        tokenizer.encode(extreme, until=extreme.end + 1)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_an_hour_between_notes_is_kept(spec):
    hour = 480 * 7200
    extreme = piece([(n * hour, 480, 60 + n, 80) for n in range(3)])
    tokenizer = load_tokenizer(spec)
    found = tokenizer.decode(tokenizer.encode(extreme))
    starts = found.tracks[0].notes["start"] / found.ticks_per_quarter
    assert starts.tolist() == [0, 7200, 14400]
    assert found.tracks[0].notes["pitch"].tolist() == [60, 61, 62]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_key_struck_a_thousand_times_at_once_is_struck_once(spec):
    tokenizer = load_tokenizer(spec)
    found = tokenizer.decode(tokenizer.encode(pile(128_000, length=480)))
    pitches = sorted(pitch for track in found.tracks for pitch in track.notes["pitch"].tolist())
    if spec["name"] == "abc":
        assert pitches == [127 - 24], "the highest alone, folded by octaves"
    elif spec.get("voices"):
        assert pitches == [124, 125, 126, 127]
    else:
        assert pitches == list(range(128))


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec["name"] == "frames"], ids=str)
def test_frames_of_every_key_for_hours_are_refused(spec):
    long = pile(128, length=480 * 180_000)
    tokenizer = load_tokenizer(spec)
    with pytest.raises(ResourceError, match=rf"and the most are {MOST_STEPS:,}; cut it"):
        tokenizer.encode(long)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_meter_a_tick_is_read(spec):
    meters = np.array([(tick, 1 + tick % 5, 4) for tick in range(20_000)], METER)
    extreme = piece([(0, 480, 60, 80), (30_000, 480, 64, 80)], meters=meters)
    tokenizer = load_tokenizer(spec)
    ids = tokenizer.encode(extreme)
    assert tokenizer.count_notes(ids) >= 2
    assert len(ids) < 200_000


# ---- plain tunes -------------------------------------------------------------------------------------------


def test_rests_and_ties_cross_bar_lines():
    tune = piece([(0, 240, 60, 80), (3 * 1920 + 960, 1920, 67, 80)])
    assert spell_tune(tune).split("\n", 5)[-1] == "Cz7|z8|z8|z4G4-|\nG4|"
    assert spell_tune(tune, until=5 * 1920).endswith("\nG4z4|")
    assert spell_tune(tune, until=5 * 1920 - 240).endswith("\nG4z3")


def test_an_accidental_is_written_once_a_bar_and_taken_back():
    rows = [(240 * n, 240, pitch, 80) for n, pitch in enumerate((66, 66, 78, 65, 65, 66, 67, 66, 66, 65))]
    assert spell_tune(piece(rows)).split("\n", 5)[-1] == "^FFf=FF^FGF|^F=F|"


# ---- what a memory is told -----------------------------------------------------------------------------------


def test_a_long_past_begins_as_it_did_and_goes_on_with_its_last_bars(monkeypatch):
    tokenizer = parts.Parts()
    ids = tokenizer.encode(piece([(480 * n, 480, 60 + n % 7, 80) for n in range(400)]))[:-1]
    whole, prompt = tokenizer.past_and_prompt(ids, 60)
    assert np.array_equal(np.concatenate([whole, prompt]), ids)
    monkeypatch.setattr(parts, "LONGEST_PAST", 100)
    past, same = tokenizer.past_and_prompt(ids, 60)
    assert np.array_equal(same, prompt)
    first_bar = int(tokenizer.bar_positions(ids)[0])
    kept = len(past) - first_bar
    assert 95 <= kept <= 100, "as many bars as fit"
    assert np.array_equal(past[:first_bar], ids[:first_bar])
    assert np.array_equal(past[first_bar:], whole[-kept:])
    assert int(tokenizer.bar_positions(past)[0]) == first_bar

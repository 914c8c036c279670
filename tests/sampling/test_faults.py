"""What is called broken, and that nearer music has a smaller distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from musicgen.piece import notes_array
from musicgen.sampling.faults import Stretch, distance, faults

BAR, QUARTER = 1920, 480


def stretch(rows: list[tuple[int, int, int, int]], *, part=0, drum=False, bars: int = 8, begin: int = 0) -> Stretch:
    notes = notes_array(rows)
    parts, drums = (np.broadcast_to(value, len(notes)).copy() for value in (part, drum))
    return Stretch(notes, parts, drums.astype(bool), float(begin), bars, float(BAR), QUARTER)


def line(
    pitches: list[int], *, begin: int = 0, step: int = QUARTER, velocity: int = 80
) -> list[tuple[int, int, int, int]]:
    return [(begin + n * step, step, pitch, velocity) for n, pitch in enumerate(pitches)]


def chords(choices: list[list[int]]) -> list[tuple[int, int, int, int]]:
    return [(n * QUARTER, QUARTER, pitch, 80) for n, chord in enumerate(choices) for pitch in chord]


NOTHING = stretch([], bars=0)
TUNE = [60, 62, 64, 65, 67, 65, 64, 62, 60, 64, 67, 72, 71, 67, 65, 62] * 2


def test_silence_and_one_note_for_ever():
    assert faults(stretch([]), NOTHING) == ["no notes"]
    assert faults(stretch(line([60, 62, 64, 65])), NOTHING) == ["silence for two bars"]
    assert faults(stretch(line([60] * 32)), NOTHING) == ["one note over and over"]
    assert faults(stretch(line([60, 62] * 16)), NOTHING) == []
    held = stretch([(0, 8 * BAR, 60, 80), (0, 100, 64, 80)])
    assert faults(held, NOTHING) == [], "a held note is not silence"


def test_a_chord_for_ever_is_broken_unless_the_piece_did_so_before():
    stuck = stretch(chords([[48, 60, 64, 67]] * 20 + [[48, 64, 67]] * 12))
    moving = stretch(chords([[48, 60, 64, 67], [47, 62, 65, 67]] * 16))
    assert "one chord over and over" in faults(stuck, NOTHING)
    assert faults(moving, NOTHING) == []
    assert "one chord over and over" in faults(stuck, moving)
    assert "one chord over and over" not in faults(stuck, stuck)


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (line(TUNE), None),
        (line(TUNE, velocity=110), "another loudness"),
        (line([p for p in TUNE for _ in range(3)], step=QUARTER // 3), "twice as many notes"),
        (line(TUNE[:12], step=8 * BAR // 12), "half as many notes"),
        (line([p + 24 * (n % 2) for n, p in enumerate(TUNE)]), "a wider range"),
        ([(start + 20, length, p, v) for start, length, p, v in line(TUNE)], "off the beat"),
        (line([60, 62, 64, 65] * 8), "a loop"),
    ],
)
def test_what_the_music_before_did_not_do(new, found):
    before = stretch(line(TUNE))
    told = faults(stretch(new), before)
    assert (told == []) if found is None else (found in told)


def test_a_part_that_played_in_every_bar_is_missed():
    notes = line(TUNE) + line([p - 24 for p in TUNE])
    part = np.array([0, 1]).repeat(32)
    order = np.lexsort((notes_array(notes)["pitch"], notes_array(notes)["start"]))  # as notes_array sorts them
    raw = np.array([row[2] for row in sorted(notes, key=lambda row: (row[0], row[2]))])
    both = stretch(notes, part=np.where(raw < 50, 1, 0))
    alone = stretch(line(TUNE) + line(TUNE), part=0)
    assert len(order) == len(part)
    assert "part 2 is lost" in faults(alone, both)
    assert not [each for each in faults(alone, both, asked=frozenset({0})) if each.endswith("is lost")]
    assert not [each for each in faults(both, both) if each.endswith("is lost")]


def test_the_distance_orders_takes_as_an_ear_would():
    before = stretch(line(TUNE))
    same_manner = stretch(line([p + 2 for p in TUNE[8:] + TUNE[:8]]))
    elsewhere = stretch(line([90, 30] * 8, step=2 * QUARTER, velocity=20))
    assert distance(before, before) < distance(same_manner, before) < distance(elsewhere, before)
    assert distance(stretch([]), before) > distance(elsewhere, before)
    assert distance(replace(before), before) == distance(before, before)


def test_a_soft_part_that_was_asked_to_play_alone_is_as_loud_as_it_was():
    loud, soft = stretch(line(TUNE, velocity=100)), stretch(line(TUNE, velocity=50), part=1)
    both = replace(
        loud,
        notes=np.concatenate([loud.notes, soft.notes]),
        part=np.concatenate([loud.part, soft.part]),
        drum=np.concatenate([loud.drum, soft.drum]),
    )
    assert "another loudness" in faults(soft, both)
    assert faults(soft, both, asked=frozenset({1})) == []

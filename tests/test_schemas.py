"""What a file or a caller gives is checked against a shape: strictly, and with one line that says what to give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from musicgen.corpus.build import BuildSettings
from musicgen.errors import UnreadableError, UsageError
from musicgen.io.midi import Limits
from musicgen.models import ModelSettings
from musicgen.recipe import AugmentSettings, TrainSettings
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.request import Keeps, Request
from musicgen.schemas import check, filled, typed
from musicgen.tokenizers import BarSettings, FramesSettings, PerformanceSettings
from musicgen.training.study import Studying, StudySettings


@dataclass(frozen=True)
class Shape:
    name: str
    count: int = 1
    share: float = 0.5
    on: bool = False
    maybe: float | None = None
    names: tuple[str, ...] = ()
    table: dict[str, dict[str, int]] | None = None

    def __post_init__(self) -> None:
        typed(self, where=None)
        if self.count > 9:
            raise UsageError(f"count is {self.count}", hint="give up to 9")


def told(table, **how) -> str:
    with pytest.raises(UnreadableError) as caught:
        filled(Shape, table, where="a.json", **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_of_the_right_types_are_taken():
    made = filled(Shape, {"name": "a", "share": 1, "names": ["b", "c"], "table": {"d": {"e": 1}}}, where="a.json")
    assert made == Shape("a", share=1.0, names=("b", "c"), table={"d": {"e": 1}})
    assert type(made.share) is float
    assert check(Shape, {"name": "a", "more": 1}, where="a.json") == {"name": "a", "more": 1}, "unless it is closed"


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({}, "a.json: lacks 'name'; copy the folder again"),
        ([], "a.json: is a list, not a table; copy the folder again"),
        ({"name": "a", "cuont": 1}, "a.json: has no 'cuont'; did you mean 'count'?"),
        ({"name": 1}, "a.json: name is 1, not text; copy the folder again"),
        ({"name": "a", "count": True}, "a.json: count is True, not a whole number; copy the folder again"),
        ({"name": "a", "count": "1"}, "a.json: count is '1', not a whole number; copy the folder again"),
        ({"name": "a", "count": 1.0}, "a.json: count is 1.0, not a whole number; copy the folder again"),
        ({"name": "a", "count": None}, "a.json: count is None, not a whole number; copy the folder again"),
        ({"name": "a", "count": 10}, "a.json: count is 10; give up to 9"),
        ({"name": "a", "share": False}, "a.json: share is False, not a number; copy the folder again"),
        ({"name": "a", "share": math.nan}, "a.json: share is nan, not a finite number; copy the folder again"),
        ({"name": "a", "maybe": -math.inf}, "a.json: maybe is -inf, not a finite number; copy the folder again"),
        ({"name": "a", "on": 0}, "a.json: on is 0, not true or false; copy the folder again"),
        ({"name": "a", "names": "b"}, "a.json: names is 'b', not a list; copy the folder again"),
        ({"name": "a", "names": ["b", 3]}, "a.json: names.1 is 3, not text; copy the folder again"),
        (
            {"name": "a", "table": {"d": {"e": "x"}}},
            "a.json: table.d.e is 'x', not a whole number; copy the folder again",
        ),
        ({"name": ["x"] * 9999}, "a.json: name is a list, not text; copy the folder again"),
        ({"name": "a", "on": "\x1b[31m\n"}, r"a.json: on is '\x1b[31m\n', not true or false"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(table, text):
    assert text in told(table)


def test_a_long_value_makes_a_short_line():
    assert len(told({"name": "a", "on": "x" * 10**6})) < 150
    assert "on is 'xxx" in told({"name": "a", "on": "x" * 10**6})
    assert told({"name": "a", "on": 10**5000}).endswith(
        "on is a number of too many digits, not true or false; copy the folder again"
    )


def test_the_caller_says_what_stands_before_the_key_and_what_to_do():
    text = told({"name": 1}, prefix="[x] ", hint=None)
    assert text == "a.json: [x] name is 1; give text"


def test_a_caller_may_give_numbers_of_numpy_and_lists():
    made = Shape("a", count=np.int64(3), share=np.float32(0.25), names=["b"])
    assert (made.count, made.share, made.names) == (3, 0.25, ("b",))
    assert [type(value) for value in (made.count, made.share, made.names)] == [int, float, tuple]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Request(bars=2.5), "bars is 2.5; give a whole number"),
        (lambda: Request(bars=True), "bars is True; give a whole number"),
        (lambda: Request(seconds=math.nan), "seconds is nan; give a finite number"),
        (lambda: Request(start=1.0), "start is 1.0; give a whole number"),
        (lambda: Request(start=-1), "start is -1; give a bar counted from 0"),
        (lambda: Request(tracks="piano"), "tracks is 'piano'; give a list"),
        (lambda: Keeps(key_strength="1"), "key_strength is '1'; give a number"),
        (lambda: Keeps(max_polyphony="2"), "max_polyphony is '2'; give a whole number"),
        (lambda: SamplingSettings(temperature=math.nan).validate(), "temperature is nan; give a number of at least 0"),
        (lambda: SamplingSettings(top_k=2.0).validate(), "top_k is 2.0; give a whole number of at least 0"),
        (
            lambda: SamplingSettings(field_temperatures=(("pitch", math.nan),)).validate(),
            "temperature of pitch is nan; give a number of at least 0",
        ),
        (lambda: SamplingSettings(field_temperatures=(("pitch",),)).validate(), "field_temperatures.0.1"),
        (lambda: Studying(updates=math.nan), "study: updates is nan; give a whole number"),
        (lambda: StudySettings(rate=math.inf), "study: rate is inf; give a finite number"),
        (lambda: StudySettings(rows=0), "study: rows is 0; give a whole number of at least 1"),
        (lambda: TrainSettings(learning_rate=math.nan), "recipe: learning_rate is nan; give a finite number"),
        (lambda: TrainSettings(batch=65_536, length=65_536), "a batch is 4,294,967,296 tokens; give up to 67,108,864"),
        (lambda: AugmentSettings(programs=True), "recipe: programs is True; give a number"),
        (lambda: BuildSettings(timeout_s=math.nan), "build: timeout_s is nan; give a finite number"),
        (lambda: BuildSettings(min_notes=1.5), "build: min_notes is 1.5; give a whole number"),
        (lambda: Limits(hours=math.nan), "the limit of hours is nan; give a number of at least 0"),
        (lambda: Limits(notes=True), "the limit of notes is True; give a number of at least 0"),
        (lambda: ModelSettings("lstm", 100, by_frame=1), "model: by_frame is 1; give true or false"),
        (lambda: ModelSettings("lstm", 100, width=65_537), "model: width is 65537; give a whole number up to 65,536"),
        (
            lambda: ModelSettings("lstm", 100, dropout=math.nan),
            "model: dropout is nan; give a number from 0 to below 1",
        ),
        (lambda: BarSettings(24.0), "positions_per_quarter is 24.0; give a whole number"),
        (lambda: FramesSettings(voices=True), "voices is True; give a whole number"),
        (lambda: PerformanceSettings(pedal=1), "pedal is 1; give true or false"),
    ],
)
def test_no_setting_of_the_library_takes_what_is_none(make, text):
    with pytest.raises(UsageError) as caught:
        make()
    assert text in str(caught.value)


def test_a_limit_may_be_none():
    assert Limits(megabytes=math.inf, notes=2**62).hours == 3.0

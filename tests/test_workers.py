"""An item that ends its process, hangs or asks for too much costs itself alone, whatever the engine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from worker_tasks import act, letters

from musicgen.workers import AHEAD, Failure, Message, Pool, Processes


def plain(came) -> list:
    return [(item, got if isinstance(got, Failure) else got.split()[0]) for item, got in came]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("die", "crashed its worker (SIGKILL)"),
        ("exit", "crashed its worker (exit code 7)"),
        ("sleep", "took longer than 1.2 s"),
        ("grow", "needs more memory than there is"),
        ("raise", r"ValueError: not\nthis"),
        ("refuse", "x.mid: is no music; take another"),
    ],
)
def test_a_bad_item_costs_itself_alone(item, reason):
    came = plain(Pool(wall_s=1.2).each(act, ["a", item, "b"]))
    assert came == [("a", "A"), (item, Failure(reason)), ("b", "B")]


def test_a_deadline_in_cpu_time_doesnt_count_waiting():
    came = plain(Pool(cpu_s=0.2).each(act, ["slow", "burn", "slow"]))
    assert came == [("slow", "SLOW"), ("burn", Failure("took longer than 0.2 s of CPU time")), ("slow", "SLOW")]


def test_results_come_as_they_are_done_or_in_order():
    items = ["slow", "a", "die", "b", "c"]
    expected = {item: Failure("crashed its worker (SIGKILL)") if item == "die" else item.upper() for item in items}
    as_they_come = plain(Pool(jobs=2).each(act, items))
    assert dict(as_they_come) == expected
    assert [item for item, _ in as_they_come] != items, "the slow one is not the first"
    assert plain(Pool(jobs=2, in_order=True).each(act, items)) == list(expected.items())


@pytest.mark.parametrize("in_order", [False, True])
def test_several_results_of_an_item(in_order):
    items = ["abc", "", "de!f", "g"]
    came = list(Pool(jobs=2, in_order=in_order).stream(letters, items))
    for item, letters_given in zip(items, ("abc", "", "de", "g"), strict=True):
        got = [value for of, value in came if of == item]
        assert got == [*letters_given, *([Failure("crashed its worker (SIGKILL)")] if "!" in item else [])]
    if in_order:
        assert [of for of, _ in came] == sorted((of for of, _ in came), key=items.index)


def test_processes_are_used_again_and_no_more_than_needed():
    came = list(Pool(jobs=8).each(act, ["a"] * 3))
    assert len({got.split()[1] for _, got in came}) <= 3
    came = list(Pool().each(act, ["a"] * 5))
    assert len({got.split()[1] for _, got in came}) == 1


def test_nothing_to_do_starts_nothing():
    assert list(Pool(engine=no_engine).each(act, [])) == []


def no_engine(function, pool):
    engine = Processes(function, pool)
    engine.give = None
    return engine


@pytest.mark.parametrize("in_order", [False, True])
def test_no_more_is_begun_than_there_is_room_for(in_order):
    taken = []

    def items() -> Iterator[str]:
        for number in range(30):
            taken.append(number)
            yield "slow" if number == 0 else "a"

    came = 0
    for _ in Pool(jobs=2, in_order=in_order).each(act, items()):
        came += 1
        assert len(taken) - came <= (2 * AHEAD if in_order else 2)
    assert came == 30


def test_processes_end_with_the_iterator():
    began = time.monotonic()
    came = Pool(jobs=2).each(act, ["a", "sleep", "sleep"])
    next(came)
    came.close()
    assert time.monotonic() - began < 30


def test_a_slow_taker_makes_no_worker_late():
    came = Pool(jobs=2, wall_s=1.0).each(act, ["a", "b", "c", "d"])
    first = [next(came)]
    time.sleep(1.5)
    assert dict(plain([*first, *came])) == {"a": "A", "b": "B", "c": "C", "d": "D"}


def test_a_process_that_cant_start_is_said(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from musicgen.workers import Pool\nprint(list(Pool().each(len, ['a'])))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (
        "a worker process didn't start (crashed its worker (exit code 1)); in a script, call this under `if __name__ =="
        in done.stderr
    )


class InTurn:
    """An engine in this process: what any other has to keep to."""

    def __init__(self, function, pool) -> None:
        self.function, self.given, self.closed = function, [], False

    def free(self) -> bool:
        return len(self.given) < 3

    def give(self, key, item) -> None:
        self.given.append((key, item))

    def wait(self) -> Iterator[Message]:
        key, item = self.given.pop()  # the last is done first
        for value in self.function(item):
            yield Message(key, value, last=False)
        yield Message(key, Failure("is odd") if item == "odd" else None, last=True)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("in_order", [False, True])
def test_another_engine(in_order):
    engines = []

    def engine(function, pool):
        engines.append(InTurn(function, pool))
        return engines[-1]

    came = list(Pool(in_order=in_order, engine=engine).stream(list, ["ab", "odd", "", "c"]))
    expected = [
        ("ab", "a"),
        ("ab", "b"),
        ("odd", "o"),
        ("odd", "d"),
        ("odd", "d"),
        ("odd", Failure("is odd")),
        ("c", "c"),
    ]
    assert sorted(came, key=str) == sorted(expected, key=str)
    assert (came == expected) is in_order
    assert engines[0].closed


def test_processes_that_are_started_anew(spawned_workers):
    """As in use: the others of these tests are forked from a server (see `conftest`)."""
    assert plain(Pool(wall_s=30).each(act, ["a", "die", "b"])) == [
        ("a", "A"),
        ("die", Failure("crashed its worker (SIGKILL)")),
        ("b", "B"),
    ]

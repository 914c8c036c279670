"""A build that is broken off goes on where it was, to the same bytes, and holds no pieces in memory."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musicgen.corpus import build, journal
from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.encode import Seen, Work
from musicgen.corpus.journal import Journal, key_of, part_of
from musicgen.errors import ResourceError, UnreadableError, UsageError
from musicgen.events import Event, Finished, Progress, Warned
from musicgen.io.locks import Hold
from musicgen.io.midi import midi_bytes
from musicgen.piece import Piece, Track, notes_array
from musicgen.workers import Failure, Pool

FILES = ("tokens.npy", "pieces.jsonl", "corpus.json")
LATIN_1 = os.fsdecode(b"m\xfcller.mid")


def melody(seed: int, *, count: int = 30) -> bytes:
    pitches = np.random.default_rng(seed).integers(50, 70, count)
    rows = [(i * 240, 240, int(p), 72) for i, p in enumerate(pitches)]
    return midi_bytes(Piece(480, (Track("", 0, False, notes_array(rows)),)))


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("journal") / "music"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.mid").write_bytes(melody(number))
    (folder / "again.mid").write_bytes(melody(3))
    (folder / "short.mid").write_bytes(melody(9, count=3))
    (folder / "broken.mid").write_bytes(b"MThd no")
    (folder / LATIN_1).write_bytes(melody(11))
    tunes = ["C2 D2 E2 F2|G2 A2 B2 c2|", "c2 B2 A2 G2|F2 E2 D2 C2|"]
    (folder / "tunes.abc").write_text("".join(f"X:{i}\nT:T{i}\nL:1/8\nK:C\n{t * 3}\n\n" for i, t in enumerate(tunes)))
    return folder


@pytest.fixture(scope="module")
def whole(original, tmp_path_factory) -> dict[str, bytes]:
    return content(build_corpus([original], tmp_path_factory.mktemp("whole") / "c", jobs=1).folder)


@pytest.fixture
def music(original, tmp_path) -> Path:
    return shutil.copytree(original, tmp_path / "music")


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def interrupted(music: Path, out: Path, *, after: int, **options: object) -> None:
    """A build that Ctrl-C ends after so many files."""

    def listener(event: Event) -> None:
        if isinstance(event, Progress) and event.done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_corpus([music], out, jobs=1, listener=listener, **options)
    assert not out.exists()


def going_on(music: Path, out: Path, **options: object) -> tuple[dict[str, bytes], list[str], list[str]]:
    """What a build comes to, what it says, and which files it reads."""
    heard: list[Event] = []
    build_corpus([music], out, jobs=1, listener=heard.append, **options)
    assert not part_of(out).exists()
    assert heard[-1] == Finished("corpus")
    told = [event.text for event in heard if isinstance(event, Warned)]
    return content(out), told, [event.about for event in heard if isinstance(event, Progress)]


@pytest.mark.parametrize("after", [1, 5, 12])
def test_a_build_that_was_broken_off_goes_on_where_it_was(music, whole, tmp_path, after):
    out = tmp_path / "c"
    interrupted(music, out, after=after)
    made, told, read = going_on(music, out)
    assert made == whole
    assert told == [f"going on with a build that was broken off: {after} of 13 files are done"]
    assert len(read) == 13 - after
    assert sorted(os.listdir(tmp_path)) == ["c", "music"]


def test_what_is_copied_or_touched_is_not_read_again(music, whole, tmp_path):
    interrupted(music, tmp_path / "c", after=9)
    for path in music.iterdir():
        os.utime(path, ns=(1, 1))
    made, _, read = going_on(music, tmp_path / "c")
    assert (made, len(read)) == (whole, 4)


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "other notes": (lambda folder: (folder / "0.mid").write_bytes(melody(77)), ["music/0.mid"]),
    "other bytes of the same size and time": (
        lambda folder: (
            before := (folder / "0.mid").stat(),
            (folder / "0.mid").write_bytes(bytes([*melody(0)[:-10], *melody(77)[-10:]])),
            os.utime(folder / "0.mid", ns=(before.st_atime_ns, before.st_mtime_ns)),
        ),
        ["music/0.mid"],
    ),
    "a new one": (lambda folder: (folder / "00.mid").write_bytes(melody(5)), ["music/00.mid"]),
    "gone": (lambda folder: (folder / "0.mid").unlink(), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_source_that_changed_meanwhile_is_read_again(music, tmp_path, change):
    interrupted(music, tmp_path / "c", after=12)
    (left,) = {f"music/{path.name}" for path in music.iterdir()} - done_of(tmp_path / "c")
    act, again = CHANGES[change]
    act(music)
    made, _, read = going_on(music, tmp_path / "c")
    assert made == content(build_corpus([music], tmp_path / "d", jobs=1).folder)
    assert sorted(read) == sorted([*again, left])


def done_of(out: Path) -> set[str]:
    lines = (part_of(out) / "files.jsonl").read_bytes().splitlines()
    return {journal.json.loads(line[65:])["name"][0] for line in lines}


@pytest.mark.parametrize(
    "options", [{"tokenizer": "remi"}, {"settings": BuildSettings(limits=build.Limits(notes=999))}]
)
def test_work_of_other_options_is_not_used(music, tmp_path, options):
    interrupted(music, tmp_path / "c", after=9)
    made, told, read = going_on(music, tmp_path / "c", **options)
    assert made == content(build_corpus([music], tmp_path / "d", jobs=1, **options).folder)
    assert told == [f"{part_of(tmp_path / 'c')}: is of a build with other options; begun anew"]
    assert len(read) == 13


def test_options_that_choose_among_pieces_go_on_with_the_work(music, tmp_path):
    interrupted(music, tmp_path / "c", after=9)
    settings = BuildSettings(valid=0.3, licence="CC0", min_notes=2)
    made, _, read = going_on(music, tmp_path / "c", settings=settings)
    assert made == content(build_corpus([music], tmp_path / "d", jobs=1, settings=settings).folder)
    assert len(read) == 4


@pytest.mark.parametrize("name", ["files.jsonl", "ids.bin"])
@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_work_that_was_cut_short_is_done_again(music, whole, tmp_path, name, cut):
    interrupted(music, tmp_path / "c", after=9)
    path = part_of(tmp_path / "c") / name
    with open(path, "rb+") as file:
        file.truncate(max(0, path.stat().st_size - cut))
    made, _, read = going_on(music, tmp_path / "c")
    assert made == whole
    assert 5 <= len(read) <= 13


@pytest.mark.parametrize("name", ["files.jsonl", "ids.bin", "key"])
@pytest.mark.parametrize("seed", range(2))
def test_a_flipped_bit_costs_its_file_at_most(music, whole, tmp_path, name, seed):
    interrupted(music, tmp_path / "c", after=9)
    path, rng = part_of(tmp_path / "c") / name, np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    assert going_on(music, tmp_path / "c")[0] == whole


def test_a_file_that_crashed_or_was_late_is_tried_again(music, whole, tmp_path, monkeypatch):
    real = Pool.stream

    def unlucky(*arguments):
        for file, result in real(*arguments):
            if file.name == "music/0.mid" and isinstance(result, Seen):
                result = Failure("took longer than 1 s")
            yield file, result

    with monkeypatch.context() as patched:
        patched.setattr(Pool, "stream", unlucky)
        interrupted(music, tmp_path / "c", after=9)
    made, _, read = going_on(music, tmp_path / "c")
    assert made == whole
    assert "music/0.mid" in read


def test_no_more_than_one_piece_is_held(music, whole, tmp_path, monkeypatch):
    add, most = Journal.add, []

    def counting(self, file, result):
        most.append(sum(type(each) is Work for each in gc.get_objects()))
        add(self, file, result)

    monkeypatch.setattr(Journal, "add", counting)
    assert going_on(music, tmp_path / "c")[0] == whole
    assert max(most) <= 2  # this one, and the one before it that nobody has let go yet


def test_nothing_done_and_nothing_usable_leave_nothing(music, tmp_path):
    def refuse(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pool, "stream", refuse)
        with pytest.raises(KeyboardInterrupt):
            build_corpus([music], tmp_path / "c", jobs=1)
    with pytest.raises(UnreadableError, match="no usable piece in 1 file;"):
        build_corpus([music / "broken.mid"], tmp_path / "c", jobs=1)
    assert os.listdir(tmp_path) == ["music"]


def test_a_full_disk_is_told_and_the_work_stays(music, whole, tmp_path, monkeypatch):
    calls = []

    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            calls.append(data)
            if len(calls) == 5:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    begin = Journal.take_up

    def take_up(self, files):
        begin(self, files)
        self._lines = Full(self._lines)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "take_up", take_up)
        with pytest.raises(ResourceError, match=r"\.c\.part: no space left on device; free some space"):
            build_corpus([music], tmp_path / "c", jobs=1)
    made, told, _ = going_on(music, tmp_path / "c")
    assert made == whole
    assert told == ["going on with a build that was broken off: 4 of 13 files are done"]


def test_a_second_build_of_the_same_corpus_is_refused(music, tmp_path):
    with Hold(tmp_path / "c"), pytest.raises(UsageError, match=r"c: another process writes here \(process \d+ on "):
        build_corpus([music], tmp_path / "c", jobs=1)


def test_a_key_knows_options_and_program(monkeypatch, tmp_path):
    assert key_of(spec={"name": "notes"}) == key_of(spec={"name": "notes"}) != key_of(spec={"name": "remi"})
    before = key_of()
    shutil.copytree(journal.PACKAGE / "corpus", tmp_path / "corpus")
    monkeypatch.setattr(journal, "PACKAGE", tmp_path)
    other = key_of()
    (tmp_path / "corpus" / "build.py").write_text("")
    assert len({before, other, key_of()}) == 3

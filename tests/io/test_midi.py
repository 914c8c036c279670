"""MIDI files to pieces: exactly the right notes, or an error that says what, where and what to do."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict, deque

import mido
import pytest
from midi_bricks import part_homes
from midi_fixtures import (
    DAMAGED,
    ESCAPES,
    HEAVY,
    LEGAL,
    NOT_MUSIC,
    NOTES,
    TUNE,
    WARNINGS,
    event,
    file,
    meter,
    on,
    tempo,
    track,
)

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.midi import Limits, midi_bytes, piece_from_midi, read_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import Piece

NO_LIMITS = Limits(notes=10**9, hours=10**9)


def read(data: bytes, limits: Limits | None = None) -> Piece:
    return piece_from_midi(parse_smf(data, where="song.mid"), where="song.mid", limits=limits)


def notes_of(piece: Piece) -> list[tuple]:
    """The notes of all parts, sorted by start and pitch."""
    return sorted((n for t in piece.tracks for n in t.notes.tolist()), key=lambda n: (n[0], n[2], n[1], n[3]))


def names(warnings: tuple[str, ...]) -> set[str]:
    return {w.split(":")[0] for w in warnings}


# ---- every fixture -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in (*LEGAL, *DAMAGED) if n in NOTES])
def test_oddities_give_exactly_the_right_notes_and_warnings(name: str) -> None:
    piece = read((LEGAL | DAMAGED)[name])
    piece.validate()
    assert notes_of(piece) == sorted(NOTES[name], key=lambda n: (n[0], n[2], n[1], n[3]))
    assert names(piece.warnings) == WARNINGS[name]


def test_damage_is_salvaged_with_a_warning_or_refused_with_a_reason() -> None:
    for name, data in DAMAGED.items():
        try:
            piece = read(data)
        except UnreadableError as error:
            assert str(error).startswith("song.mid: "), name
            assert error.hint, name
            assert "\n" not in str(error), name
        else:
            piece.validate()
            # A file cut between two chunks lacks nothing but tracks, which the header has counted.
            assert piece.warnings or name == "only_an_empty_track", name


def test_a_cut_file_keeps_what_was_before_the_cut() -> None:
    cut = {n: d for n, d in DAMAGED.items() if n.startswith("truncated_at")}
    counts = []
    for data in cut.values():
        try:
            piece = read(data)
        except UnreadableError:
            continue
        counts.append(piece.n_notes)
        ends = {n for n in notes_of(piece) if n in NOTES["format_1"]}
        assert len(ends) >= piece.n_notes - 1  # the note that was cut ends with its track
    assert counts == sorted(counts)
    assert counts[-1] == 4


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_files_are_read_or_refused(name: str) -> None:
    try:
        piece = read(HEAVY[name])
    except UnreadableError as error:
        assert name not in NOTES
        assert "raise the limit with `Limits." in str(error)
    else:
        piece.validate()
        if name in NOTES:
            assert notes_of(piece) == sorted(NOTES[name], key=lambda n: (n[0], n[2], n[1], n[3]))
            assert names(piece.warnings) == WARNINGS[name]


def test_mutated_files_give_a_valid_piece_or_a_musicgen_error() -> None:
    rng = random.Random(2024)
    seeds = [d for d in (LEGAL | DAMAGED).values() if d]
    for _ in range(300):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    data[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del data[at : at + rng.randint(1, 9)]
                case 2:
                    data[at:at] = rng.randbytes(rng.randint(1, 9))
                case 3:
                    data[at : at + 1] = rng.choice([b"\xff", b"\x00", b"\x80", b"\x7f", b"\xf0", b"\xf7"])
                case 4:
                    data[at:at] = data[rng.randrange(len(data) + 1) :][:40]
        try:
            piece = read(bytes(data))
        except MusicgenError as error:
            assert "\n" not in str(error)
        else:
            piece.validate()
            assert len(part_homes(parse_smf(bytes(data)))) == len(piece.tracks)
            assert read(midi_bytes(piece), NO_LIMITS) == piece


# ---- what is not a file of music ---------------------------------------------------------------------


def refused(path: object) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_midi(path)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.hint
    assert caught.value.exit_code == 3
    return text


@pytest.mark.parametrize("name", NOT_MUSIC)
def test_other_files_are_refused(name: str, tmp_path) -> None:
    path = tmp_path / f"{name}.mid"
    path.write_bytes(NOT_MUSIC[name])
    assert refused(path).startswith(f"{path}: ")


def test_a_missing_file(tmp_path) -> None:
    assert refused(tmp_path / "a.mid") == f"{tmp_path / 'a.mid'}: no such file; check the path"


def test_a_folder(tmp_path) -> None:
    assert "is a folder, not a file; name one file in it" in refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_hang(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.mid")
    assert "is not a regular file; copy it to a file first" in refused(tmp_path / "pipe.mid")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no /dev/zero on this system")
def test_an_endless_device_does_not_hang() -> None:
    assert "is not a regular file" in refused("/dev/zero")


def test_a_huge_file_is_not_opened(tmp_path) -> None:
    path = tmp_path / "huge.mid"
    with path.open("wb") as stream:
        stream.write(LEGAL["plain"])
        stream.truncate(3_000_000_000)
    assert "has 3000 MB, the limit is 10 MB; raise the limit with `Limits.megabytes`" in refused(path)


def test_odd_paths_are_refused_on_one_line(tmp_path) -> None:
    assert "can't be read" in refused("a\0b.mid")
    assert "can't be read" in refused("x" * 5000)
    text = refused(tmp_path / "a\x1b[31m\nb.mid")
    assert "\x1b" not in text
    assert "\\x1b[31m\\nb.mid: no such file" in text


def test_a_file_without_permission(tmp_path) -> None:
    path = tmp_path / "locked.mid"
    path.write_bytes(LEGAL["plain"])
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "can't be read (permission denied)" in refused(path)


# ---- limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(notes=2), "song.mid: has 3 notes, the limit is 2; raise the limit with `Limits.notes`"),
        (Limits(hours=0.0001), "song.mid: lasts 0.0 hours, the limit is 0.0001; raise the limit with `Limits.hours`"),
    ],
)
def test_limits_name_the_flag_that_raises_them(limits: Limits, text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(LEGAL["plain"], limits)
    assert str(caught.value) == text


def test_limits_that_are_just_met_are_no_hindrance(tmp_path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(LEGAL["plain"])
    size = len(LEGAL["plain"]) / 1e6
    assert read_midi(path, limits=Limits(megabytes=size, notes=3, tracks=1, hours=1.5 / 3600)).n_notes == 3
    with pytest.raises(UnreadableError, match=r"`Limits.megabytes`"):
        read_midi(path, limits=Limits(megabytes=size - 1e-6))


def test_velocity_0_counts_for_no_note() -> None:
    assert read(LEGAL["running_status"], Limits(notes=3)).n_notes == 3


# ---- maps and parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "rows"),
    [
        ("format_1", "tempos", [(0, 400_000)]),
        ("format_1", "meters", [(0, 3, 4)]),
        ("tempo_zero", "tempos", []),
        ("tempo_empty", "tempos", []),
        ("tempo_short", "tempos", []),
        ("tempo_too_fast", "tempos", [(0, 60_000)]),
        ("tempo_too_slow", "tempos", [(0, 15_000_000)]),
        ("tempo_fastest", "tempos", [(0, 60_000)]),
        ("tempo_slowest", "tempos", [(0, 15_000_000)]),
        ("tempo_long", "tempos", [(0, 500_000)]),
        ("two_tempos_on_a_tick", "tempos", [(0, 400_000)]),
        ("meter_0_4", "meters", []),
        ("meter_255_4", "meters", []),
        ("meter_denominator_2_to_255", "meters", []),
        ("meter_4_128", "meters", []),
        ("meter_short", "meters", []),
        ("meter_two_bytes", "meters", [(0, 3, 4)]),
        ("meter_5_8", "meters", [(0, 5, 8)]),
        ("meter_64_64", "meters", [(0, 64, 64)]),
        ("pickup", "meters", [(0, 1, 4), (480, 4, 4)]),
        ("key_fifths_8", "keys", []),
        ("key_fifths_minus_128", "keys", []),
        ("key_mode_2", "keys", []),
        ("key_empty", "keys", []),
        ("key_seven_flats_minor", "keys", [(0, -7, True)]),
        ("maps_in_a_later_track", "tempos", [(1440, 300_000)]),
        ("maps_in_a_later_track", "meters", [(1440, 6, 8)]),
        ("maps_in_a_later_track", "keys", [(1440, 2, False)]),
        ("timecode_with_tempo", "tempos", []),
    ],
)
def test_maps(name: str, key: str, rows: list[tuple]) -> None:
    assert getattr(read(LEGAL[name]), key).tolist() == rows


@pytest.mark.parametrize(
    ("name", "ticks", "second"),
    [
        ("plain", 480, 960),
        ("division_one", 1, 2),
        ("division_largest", 0x7FFF, 2 * 0x7FFF),
        ("division_zero", 480, 960),
        ("timecode_without_ticks", 480, 960),
        ("timecode_25_40", 500, 1000),
        ("timecode_with_tempo", 960, 1920),
        ("timecode_30_drop", 1499, 100 * 30 / 1.001),
    ],
)
def test_resolution_and_the_length_of_a_second(name: str, ticks: int, second: float) -> None:
    piece = read(LEGAL[name])
    assert piece.ticks_per_quarter == ticks
    assert piece.to_seconds(round(1000 * second)) == pytest.approx(1000, rel=1e-5)


def test_tempo_changes_add_up() -> None:
    piece = read(HEAVY["tempo_changes_100_000"])
    assert len(piece.tempos) == 100_000
    assert piece.to_seconds(100_001) == pytest.approx((500_000 + 100_000 * 400_000) / 480e6)


def parts(name: str) -> list[tuple]:
    return [(t.name, t.program, t.is_drum, t.notes["pitch"].tolist()) for t in read(LEGAL[name]).tracks]


def test_a_program_change_begins_a_new_part() -> None:
    assert parts("program_change_in_mid_track") == [("", 40, False, [60]), ("", 73, False, [62, 64])]


def test_running_status_of_one_data_byte_holds_across_a_meta() -> None:
    assert parts("running_status_of_one_data_byte_across_metas") == [("", 6, False, [60, 62, 64])]


def test_a_program_change_on_the_tick_of_a_note_counts_from_where_it_stands() -> None:
    data = file(track(on(0, 60), event(0, 0xC0, 9), on(0, 61), event(10, 0x80, 60, 0), event(0, 0x80, 61, 0)))
    assert [(t.program, t.notes["pitch"].tolist()) for t in read(data).tracks] == [(0, [60]), (9, [61])]


def test_a_track_without_programs_follows_its_channel_in_the_others() -> None:
    assert parts("program_in_another_track") == [("", 40, False, [60]), ("", 41, False, [62, 64])]


def test_channel_10_is_drums() -> None:
    assert parts("drums") == [("", 8, True, [36]), ("", 0, False, [60])]


def test_channels_of_one_track_are_parts_in_the_order_of_their_first_notes() -> None:
    data = file(track(on(0, 60, channel=5), on(1, 61, channel=2), on(1, 62, channel=5), on(1, 63, channel=0)))
    assert [t.notes["pitch"].tolist() for t in read(data).tracks] == [[60, 62], [61], [63]]
    assert part_homes(parse_smf(data)) == [(0, 5), (0, 2), (0, 0)]


def test_homes_tell_where_each_part_comes_from() -> None:
    for name, data in LEGAL.items():
        midi = parse_smf(data)
        homes, piece = part_homes(midi), piece_from_midi(midi)
        assert len(homes) == len(piece.tracks), name
        for (number, channel), part in zip(homes, piece.tracks, strict=True):
            rows = midi.tracks[number].rows
            ons = rows[(rows["status"] == 0x90 | channel) & (rows["data2"] > 0)]
            assert set(part.notes["start"].tolist()) <= set(ons["tick"].tolist()), name


def test_controls_and_bends_of_a_part() -> None:
    assert read(LEGAL["pedal"]).tracks[0].controls.tolist() == [(0, 64, 127), (1440, 64, 0), (1440, 1, 5)]
    assert read(LEGAL["bends"]).tracks[0].bends.tolist() == [(0, -8192), (100, 8191), (100, 0)]
    silent = file(track(event(0, 0xB1, 7, 1), event(0, 0xE2, 1, 1), TUNE, event(0, 0xB0, 7, 3)))
    part = read(silent).tracks[0]
    assert (part.controls.tolist(), part.bends.tolist()) == ([(1440, 7, 3)], [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names_utf8", "Głos Ré 声"),
        ("names_latin1", "Flöte Nº 1"),
        ("names_nul", "Piano"),
        ("names_terminal_escapes", ESCAPES.decode("latin-1")),
        ("two_names", "first"),
        ("plain", ""),
    ],
)
def test_names(name: str, text: str) -> None:
    assert [t.name for t in read(LEGAL[name]).tracks] == [text]


def test_warnings_print_nothing_that_a_terminal_obeys() -> None:
    for name, data in (LEGAL | DAMAGED).items():
        try:
            warnings = read(data).warnings
        except UnreadableError as error:
            warnings = (str(error),)
        assert all(w.isprintable() for w in warnings), name


def test_a_warning_is_given_once() -> None:
    piece = read(file(track(tempo(0, 0) * 50, meter(0, 0, 2) * 50, TUNE)))
    assert len(piece.warnings) == 2


# ---- another reader ----------------------------------------------------------------------------------


def mido_notes(path: os.PathLike[str]) -> list[tuple]:
    """Every note of a file by mido's events: first on, first off. The end of what hangs is None."""
    notes = []
    for messages in mido.MidiFile(path).tracks:
        tick, sounding = 0, defaultdict(deque)
        hung = set()
        found = []
        for message in messages:
            tick += message.time
            key = (getattr(message, "channel", None), getattr(message, "note", None))
            if message.type == "note_on" and message.velocity > 0:
                sounding[key].append((tick, message.velocity))
            elif message.type in ("note_on", "note_off") and sounding[key]:
                start, velocity = sounding[key].popleft()
                found.append((key, start, max(1, tick - start), velocity))
        for key, hanging in sounding.items():
            hung |= {key} if hanging else set()
            found += [(key, start, 0, velocity) for start, velocity in hanging]
        notes += [(start, None if key in hung else length, key[1], velocity) for key, start, length, velocity in found]
    return notes


def with_lengths(notes: list[tuple], known: bool) -> list[tuple]:
    """The notes that (don't) belong to a key of which a note hangs, sorted."""
    return sorted(n if known else (n[0], n[2], n[3]) for n in notes if (n[1] is not None) == known)


def test_real_files_have_the_notes_that_mido_finds(shared_data) -> None:
    rng = random.Random(60)
    compared = 0
    for folder in sorted(p for p in shared_data.iterdir() if p.is_dir()):
        paths = sorted(p for p in folder.rglob("*.mid") if p.stat().st_size < 40_000)
        for path in rng.sample(paths, min(6, len(paths))):
            try:
                expected = mido_notes(path)
            except (OSError, ValueError, KeyError, EOFError):  # mido loses a file over one odd byte
                continue
            found = Counter(notes_of(read_midi(path)))
            sure = Counter(with_lengths(expected, known=True))
            assert sure <= found, path
            assert with_lengths([(n[0], None, *n[2:]) for n in (found - sure).elements()], known=False) == (
                with_lengths(expected, known=False)
            ), path
            compared += 1
    assert compared >= 40

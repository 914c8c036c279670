"""Little pieces in parts: random ones, and tunes of few pitches that are full of repeats; rows of them, as tasks too."""

from __future__ import annotations

import numpy as np

from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars.tasks import accompanied, infilled

PARTS = Parts()
LAYOUTS = ("plain", "returning", "accompanied", "infilled", "spans")


def random_piece(
    seed: int, *, programs=(40, 40, 0, 70), drums: int = 1, notes: int = 30, ticks: int = 480, meters=(), tempos=()
) -> Piece:
    """Notes anywhere in sixteen quarters, a track for each of the programs and of drums."""
    rng = np.random.default_rng(seed)

    def table(low: int, high: int) -> np.ndarray:
        columns = ((0, 16 * ticks), (1, 20 * ticks), (low, high), (1, 128))
        return notes_array([tuple(int(rng.integers(a, b)) for a, b in columns) for _ in range(notes)])

    tracks = [Track("", program, notes=table(0, 128)) for program in programs]
    tracks += [Track("", 0, True, table(27, 88)) for _ in range(drums)]
    return Piece(ticks, tuple(tracks), np.array(list(tempos), TEMPO), np.array(list(meters), METER))


def programs_of(rows: np.ndarray) -> list[int]:
    """The program value of every part that enters, in the order of the parts' numbers."""
    v = PARTS.vocabulary
    return (rows[rows[:, 3] == v.id("enter"), 5].astype(np.int64) - v.base["program"]).tolist()


def tune(seed: int, *, bars: int = 8, long_bars: bool = False, returns: bool = False) -> Piece:
    """Two violins, a piano with chords and drums play a few figures again and again, in two keys; bars of 2/4, or the
    first two of 12/4. With `returns` bars 6 and 7 are bars 1 and 2."""
    rng = np.random.default_rng(seed)
    figures = [[(int(at), int(rng.integers(1, 3)), int(rng.integers(3))) for at in range(4) if rng.random() < 0.7]
               for _ in range(3)]  # fmt: skip
    tables: list[list[tuple[int, int, int, int]]] = [[], [], [], []]
    starts = [5760 * bar for bar in range(2)] if long_bars else []
    starts += [(11520 if long_bars else 0) + 960 * bar for bar in range(bars)]
    drawn: list[tuple[int, int] | None] = []
    for number, start in enumerate(starts):
        for part, base in enumerate((60, 67, 48, 36)):
            now = None
            if rng.random() >= 0.2:
                now = 2 * int(rng.integers(2)) if part < 3 else 0, int(rng.integers(len(figures)))
            drawn.append(drawn[4 * (number - 5) + part] if returns and number in (6, 7) else now)
            if drawn[-1] is None:
                continue
            key, figure = drawn[-1]
            late = 4320 if start < 11520 and long_bars and part < 2 else 0
            for at, length, pitch in figures[figure]:
                note = (start + late + 240 * at, 240 * length, base + key + pitch, 40 + 10 * int(rng.integers(5)))
                tables[part].append(note)
                if part == 2 and pitch:
                    tables[part].append((*note[:2], note[2] + 4, note[3]))
    tracks = [Track("", program, notes=notes_array(rows)) for program, rows in zip((40, 40, 0), tables, strict=False)]
    meters = [(0, 12, 4), (11520, 2, 4)] if long_bars else [(0, 2, 4)]
    drums = Track("", 0, True, notes_array(tables[3]))
    return Piece(480, (*tracks, drums), np.array([(0, 500_000)], TEMPO), np.array(meters, METER))


def tune_rows(seed: int, kind: str = "plain", *, bars: int = 11) -> np.ndarray:
    """(N, 6) int64 rows of a tune, told in the order of one of `LAYOUTS`."""
    rows = PARTS.encode(tune(seed, bars=bars, long_bars=kind == "spans", returns=kind == "returning"))
    if kind == "accompanied":
        rows = accompanied(rows, PARTS, frozenset({0, 2}))
    elif kind == "infilled":
        count = len(PARTS.bar_positions(rows))
        rows = infilled(rows, PARTS, begin=count - 5, hole=count - 3, end=count, tail=count - 6)
    return rows.astype(np.int64)

"""Does `--rubato` bend the tempo as pianists do? Its curve beside theirs, beat by beat; and the fit of its weights.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/rubato.py --vienna VIENNA4X22 --asap ASAP

VIENNA4X22 is a copy of github.com/CPJKU/vienna4x22 with its `match` folder: 22 pianists play four pieces, note by note
beside the score. The weights are fitted to it (CC BY 4.0). ASAP is a copy of github.com/fosfrancesco/asap-dataset with
`*_annotations.txt`, the beats of scores and performances; it may not be trained on, and is measured by alone.

A pianist's curve is the log of how long each beat lasts, less the median of the eight bars to either side. r: of the
rule's curve with each pianist's, the mean; a Vienna piece is left out of the fit that it is measured by.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measure import header, parser, table

from musicgen import read
from musicgen.errors import MusicgenError
from musicgen.expression.rubato import WEIGHTS, beat_values

# The excerpts: how many beats of the match files' unit a beat is, and beats a bar.
VIENNA = {"Chopin_op10_no3": (1, 2), "Chopin_op38": (3, 2), "Mozart_K331": (3, 2), "Schubert_D783": (1, 3)}
NOTE = re.compile(r"snote\(\S+?,\[.*?\],\S+?:\S+?,\S+?,\S+?,(-?[\d.]+),-?[\d.]+,\[(.*?)\]\)-note\([^,]+,\d+,(\d+),")
AROUND_BARS, MOST, LEAST_BEATS = 8, 0.7, 32


@dataclass(frozen=True)
class Played:
    """One composition: `values` (B, F) of each beat but the last, as `beat_values` gives them, and the pianists' curves
    (pianists, B)."""

    name: str
    values: np.ndarray
    curves: np.ndarray


def curve(beat: np.ndarray, beat_s: np.ndarray, *, per_bar: int) -> np.ndarray:
    """The log of how long each beat lasts, less the median around it."""
    lasts, around = np.log(np.diff(beat_s) / np.diff(beat)), AROUND_BARS * per_bar
    median = [np.median(lasts[max(0, n - around) : n + around + 1]) for n in range(len(lasts))]
    return np.clip(lasts - np.array(median), -MOST, MOST)


def vienna(folder: Path) -> list[Played]:
    """The four excerpts."""
    found = []
    for name, (step, per_bar) in VIENNA.items():
        curves, values = [], np.zeros((0, len(WEIGHTS)))
        for path in sorted(folder.rglob(f"{name}*.match")):
            onset, onset_s = matched(path)
            beat = np.arange(np.ceil(onset[0] / step) * step, onset[-1] + 1e-6, step)
            curves.append(curve(beat, np.interp(beat, onset, onset_s), per_bar=per_bar))
            if not len(values):
                values = beat_values(beat, onset, per_bar=per_bar)[:-1]
        count = min(map(len, curves), default=0)
        if count:
            found.append(Played(name, values[:count], np.array([each[:count] for each in curves])))
    return found


def matched(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(onsets of the score, mean onset of their notes in the performance), without grace notes."""
    times = defaultdict(list)
    for onset, kind, clock in NOTE.findall(path.read_text(encoding="utf-8")):
        if "grace" not in kind:
            times[float(onset)].append(int(clock))
    onsets = np.array(sorted(times))
    return onsets, np.array([np.mean(times[onset]) for onset in onsets])


def asap(folder: Path) -> list[Played]:
    """The compositions whose performances have as many beats as their scores."""
    found = []
    for score in sorted(folder.rglob("midi_score_annotations.txt")):
        try:
            piece = read(score.parent / "midi_score.mid")
        except MusicgenError:
            continue
        beat, marks = annotated(score)
        if len(beat) < LEAST_BEATS or (np.diff(beat) < 0.05).any():
            continue
        per_bar = max(1, round(len(beat) / max(1, sum(mark.startswith("db") for mark in marks))))
        curves = []
        for path in sorted(set(score.parent.glob("*_annotations.txt")) - {score}):
            beat_s, theirs = annotated(path)
            if len(beat_s) == len(beat) and not any("bR" in mark for mark in theirs) and (np.diff(beat_s) > 0.03).all():
                curves.append(curve(beat, beat_s, per_bar=per_bar))
        if curves:
            onset = np.unique(
                np.concatenate([piece.to_seconds(track.notes["start"]) for track in piece.tracks]).round(3)
            )
            values = beat_values(beat, onset, per_bar=per_bar)[:-1]
            found.append(Played(str(score.parent.relative_to(folder)), values, np.array(curves)))
    return found


def annotated(path: Path) -> tuple[np.ndarray, list[str]]:
    """(seconds of the beats, what is said of each)."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.count("\t") >= 2]
    return np.array([float(row[0]) for row in rows]), [row[2] for row in rows]


def fit(played: Sequence[Played]) -> np.ndarray:
    """The weights of least squares to the mean curves, a constant at the end."""
    values = np.concatenate([one.values for one in played])
    values = np.column_stack([values, np.ones(len(values))])
    found: np.ndarray = np.linalg.lstsq(values, np.concatenate([one.curves.mean(axis=0) for one in played]))[0]
    return found


def likeness(one: Played, weights: np.ndarray) -> list[float]:
    """(r of the rule with the pianists, r of the pianists with each other, spread of the rule's curve, of theirs)."""
    made = one.values @ weights
    table = np.corrcoef(np.concatenate([made[None], one.curves])) if made.std() else np.zeros((2, 2))
    others = table[1:, 1:][np.triu_indices(len(table) - 1, 1)]
    between = float(others.mean()) if len(others) else float("nan")
    return [float(table[0, 1:].mean()), between, float(made.std()), float(one.curves.std(axis=1).mean())]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--vienna", type=Path, required=True, help="the folder of vienna4x22, with its match files")
    made.add_argument("--asap", type=Path, help="the folder of ASAP, with its annotations")
    chosen = made.parse_args()
    pieces = vienna(chosen.vienna)
    if len(pieces) < 2:
        sys.exit(f"{chosen.vienna}: no match files of at least two of {', '.join(VIENNA)}")
    header("Rubato beside pianists")
    print(f"\nfitted: {fit(pieces)[:-1].round(3).tolist()}; in use: {WEIGHTS.tolist()}\n")
    rows = []
    for one in pieces:
        weights = fit([other for other in pieces if other is not one])[:-1]
        rows.append([one.name, str(len(one.curves)), *(f"{value:.3f}" for value in likeness(one, weights))])
    unheard = asap(chosen.asap) if chosen.asap else []
    if unheard:
        middle = np.nanmedian([likeness(one, WEIGHTS) for one in unheard], axis=0)
        count = f"{sum(len(one.curves) for one in unheard)}"
        rows.append([f"ASAP, median of {len(unheard)}", count, *(f"{value:.3f}" for value in middle)])
    table(["piece", "performances", "r", "r between pianists", "spread", "spread of pianists"], rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Train the model of `musicgen humanise` on performances, on one CPU core in ten minutes, and write its folder.

    OMP_NUM_THREADS=1 python pipelines/train_humanise.py --data DATA --out musicgen/pretrained/humanise

Drums learn from the Groove MIDI Dataset, split by drummer; all that has pitch from GiantMIDI-Piano and Vienna 4x22,
split by composer. Half of the drumming is by one man: drummers count by the root of their notes. 22 pianists play the
same few bars: they count as one. What has pitch is learned faster and slower, too. The habits (how far performers go,
how their noise is correlated, when the pedal moves) are measured on the performances that the networks were validated
on, or trained on where those are few. All follows from the seeds below: the same data and torch give the same weights.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from musicgen import read
from musicgen.corpus.catalog import find_entry
from musicgen.expression.examples import OUTPUTS, Example, classes_of, examples_of
from musicgen.expression.habits import Habits
from musicgen.expression.noise import Residuals, fitted, normal_scores
from musicgen.expression.pitched import PitchedNotes, pitched_features
from musicgen.expression.playing import balance_and_dynamics, play
from musicgen.io.controllers import SUSTAIN
from musicgen.models.expression import ExpressionModel, ExpressionSettings
from musicgen.piece import Piece
from musicgen.runs.expression import Performer, save_expression
from musicgen.training.expression import ExpressionTraining, Notes, measured, train_expression

# By drummer and by composer: whoever is measured by was never heard in training.
DRUMMERS = {"drummer8": "test", "drummer9": "test", "drummer5": "valid", "drummer6": "valid"}
COMPOSERS = {
    "Scarlatti": "test", "Brahms": "test", "Schubert": "test", "Schumann": "test",
    "Haydn": "valid", "Scriabin": "valid", "Ravel": "valid", "Debussy": "valid",
}  # fmt: skip
SOURCES = {"drums": ("groove-midi",), "pitched": ("giantmidi-piano", "vienna4x22")}
FOLDERS = {"groove-midi": "groove_midi", "giantmidi-piano": "giantmidi_piano", "vienna4x22": "vienna4x22"}
KEPT = 0.4  # of the noise's standard deviation: less is nearer note for note, more in distribution; see RESULTS.md
TEMPI = (1.0, 0.8, 1.25)  # times as long
LEAST_NOTES = 16
QUICK_S = 0.3
TRAINING = {"drums": ExpressionTraining(steps=600, seed=1), "pitched": ExpressionTraining(steps=700, seed=1)}
DROPOUT = {"drums": 0.3, "pitched": 0.3}

Known = tuple[Path, Piece, Example]


def split_of(path: Path) -> str:
    """train, valid or test, by drummer or composer."""
    for name in path.parts:
        if name.startswith("drummer"):
            return DRUMMERS.get(name, "train")
    return next((split for name, split in COMPOSERS.items() if path.name.startswith(name)), "train")


def performances(data: Path, kind: str) -> dict[str, list[Known]]:
    """The performances of one network's sources, by split."""
    found: dict[str, list[Known]] = {"train": [], "valid": [], "test": []}
    for source in SOURCES[kind]:
        folder = data / FOLDERS[source]
        if not folder.is_dir():
            sys.exit(f"{folder} is missing: DATA holds a folder for each of {', '.join(FOLDERS.values())}")
        for path in sorted(folder.rglob("*.mid")):
            if "average" in path.name:  # made of the others
                continue
            piece = read(path)
            for example in examples_of(piece):
                if example.kind == kind and len(example.features) >= LEAST_NOTES:
                    found[split_of(path.relative_to(data))].append((path, piece, example))
    return found


def group_of(path: Path) -> str:
    """Whoever or whatever is recorded again and again: the drummer, or the composition."""
    drummers = [name for name in path.parts if name.startswith("drummer")]
    return drummers[0] if drummers else re.sub(r"_p\d+$", "", path.stem)


def notes_of(known: Sequence[Known]) -> list[Notes]:
    """The arrays that a network learns from, with how often each is drawn."""
    notes: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for path, _, one in known:
        notes[group_of(path)] += len(one.features)
        times[group_of(path)] += 1
    found = []
    for path, _, one in known:
        group = group_of(path)
        weight = notes[group] ** -0.5 if one.kind == "drums" else 1 / times[group]
        found.append(Notes(one.features, classes_of(one.kind, one.targets), weight))
    return found


def stretched(known: Sequence[Known]) -> list[Known]:
    """The performances of pitched instruments, each at all of TEMPI."""
    found = []
    for path, piece, one in known:
        assert one.player.pitched is not None
        pitch, chord, chord_s = one.player.pitched.pitch, one.player.chord, one.player.chord_s
        for factor in TEMPI:
            features = pitched_features(PitchedNotes(pitch, chord, factor * chord_s))
            found.append((path, piece, replace(one, features=features)))
    return found


def trained(kind: str, known: dict[str, list[Known]], *, quick: bool) -> ExpressionModel:
    """The network of one kind, with what it learns printed as it goes."""
    outputs = tuple(bins.count for bins in OUTPUTS[kind].values())
    settings = ExpressionSettings(
        known["train"][0][2].features.shape[1], outputs, width=16 if quick else 64, dropout=DROPOUT[kind]
    )
    training = TRAINING[kind]
    if quick:
        training = ExpressionTraining(steps=20, batch=4, length=64, evaluate_every=20)

    def told(step: int, loss: float, valid: float | None) -> None:
        if valid is not None:
            print(f"{kind}: step {step}, {loss:.3f} nats, valid {valid:.4f}", flush=True)

    train = notes_of(known["train"] if kind == "drums" else stretched(known["train"]))
    valid = notes_of(known["valid"])
    model, _ = train_expression(settings, training, train=train, valid=valid, on_step=told)
    return model


def residuals(model: ExpressionModel, known: Sequence[Known], output: str) -> list[Residuals]:
    """The normal scores of what was done, under what the network expected."""
    found = []
    for _, _, one in known:
        number = list(OUTPUTS[one.kind]).index(output)
        chances = chances_of(model, one)[output]
        values, there = one.targets[:, number], ~np.isnan(one.targets[:, number])
        if there.sum() < LEAST_NOTES:
            continue
        share = OUTPUTS[one.kind][output].share(chances[there], values[there])
        player, place = one.player, one.player.place
        time_s = player.chord_s[player.chord]
        at = None if place is None else place[there]
        found.append(Residuals(normal_scores(share), player.chord[there], time_s[there], at))
    return found


def habits(kind: str, model: ExpressionModel, known: dict[str, list[Known]]) -> Habits:
    """What is measured beside the network."""
    both = [*known["train"], *known["valid"]]
    velocity, timing = round(typical(both, "velocity"), 2), round(typical(both, "timing"), 5)
    noise = {name: fitted(residuals(model, known["valid"], name)) for name in ("velocity", "timing")}
    found = Habits(velocity, timing, noise["velocity"], noise["timing"], kept=KEPT)
    found = replace(
        found,
        dynamics=dynamics(model, found, known["valid"]),
        foreseen=foreseen(model, found, known["valid"]),
    )
    if kind == "drums":
        return found
    press, lift = pedal_lags([(piece, one) for _, piece, one in known["train"]])
    return replace(found, beat_spread_s=beat_spread(known["train"]), press_s=press, lift_s=lift)


def typical(known: Sequence[Known], name: str) -> float:
    """The spread of a typical performance: the median over groups of the medians in each."""
    groups: dict[str, list[float]] = defaultdict(list)
    for path, _, one in known:
        groups[group_of(path)].append(one.spreads[name])
    return float(np.median([np.median(each) for each in groups.values()]))


def chances_of(model: ExpressionModel, one: Example) -> dict[str, np.ndarray]:
    """What the network expects, by output."""
    found = model.chances(torch.from_numpy(one.features))
    return {name: value.numpy().astype(np.float64) for name, value in zip(OUTPUTS[one.kind], found, strict=True)}


def dynamics(model: ExpressionModel, found: Habits, known: Sequence[Known]) -> float:
    """By how much the dynamics of takes are to be scaled, so that their spread is that of the performances."""
    balances, moves = [], []
    for number, (_, _, one) in enumerate(known):
        generator = np.random.default_rng(number)
        take = play(one.player, chances_of(model, one), replace(found, velocity_spread=1.0), generator=generator)
        balance, move = balance_and_dynamics(one.player, take.velocity)
        balances.append(balance.std())
        moves.append(move.std())
    return round(float(np.sqrt(1 - np.median(balances) ** 2) / np.median(moves)), 3)


def foreseen(model: ExpressionModel, found: Habits, known: Sequence[Known]) -> float:
    """How far lateness follows what is expected of it: the slope of a regression, the median of the performances."""
    slopes = []
    for _, _, one in known:
        late = one.targets[:, 1] * one.spreads["timing"]
        there = ~np.isnan(late)
        if there.sum() >= LEAST_NOTES:
            expected = OUTPUTS[one.kind]["timing"].mean(chances_of(model, one)["timing"])[there] * found.timing_spread_s
            expected -= expected.mean()
            slopes.append(float((expected * late[there]).sum() / (expected**2).sum()))
    return round(float(np.clip(np.median(slopes), 0, 1)), 3)


def beat_spread(known: Sequence[Known]) -> float:
    """By how many seconds pianists' chords are off an even run: the standard deviation of an onset from the middle of
    its neighbours, over runs of four steps that differ by less than a third and are shorter than QUICK_S, by the
    variance that three independent onsets add up to; the median of the performances."""
    found = []
    for _, _, one in known:
        onset = one.player.chord_s
        steps = np.diff(onset)
        around = np.lib.stride_tricks.sliding_window_view(steps, 4)
        even = (around.max(axis=1) < QUICK_S) & (around.max(axis=1) < 4 / 3 * around.min(axis=1))
        middle = np.flatnonzero(even) + 2
        if len(middle) >= LEAST_NOTES:
            off = onset[middle] - (onset[middle - 1] + onset[middle + 1]) / 2
            found.append(off.std() / np.sqrt(1.5))
    return round(float(np.median(found)), 5)


def pedal_lags(known: Sequence[tuple[Piece, Example]]) -> tuple[float, float]:
    """(press, lift): the median seconds from the last chord to a press that follows a lift within half a second, and
    from the nearest chord to that lift."""
    press, lift = [], []
    for piece, one in known:
        controls = piece.tracks[one.player.parts[0]].controls
        controls = controls[controls["number"] == SUSTAIN]
        down, time_s = controls["value"] >= 64, piece.to_seconds(controls["tick"])
        pressed = np.flatnonzero(down[1:] & ~down[:-1]) + 1
        last_up = np.maximum.accumulate(np.where(~down & np.append(False, down[:-1]), np.arange(len(down)), 0))
        chord_s = one.player.chord_s
        for at in pressed.tolist():
            up = last_up[at - 1]
            if time_s[at] - time_s[up] > 0.5:
                continue
            chord = chord_s[max(0, int(np.searchsorted(chord_s, time_s[at])) - 1)]
            if 0 <= time_s[at] - chord < 0.5:
                press.append(time_s[at] - chord)
                lift.append(time_s[up] - chord)
    return round(float(np.median(press)), 3), round(float(np.median(lift)), 3)


def source_of(name: str) -> dict[str, str]:
    """A source as a card names it."""
    entry = find_entry(name)
    commit = entry.source.commit[:12]
    fields = {"name": name, "title": entry.title, "licence": entry.licence, "address": entry.source.address}
    return {**fields, "commit": commit, "attribution": entry.attribution}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with groove_midi, giantmidi_piano, ...")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--quick", action="store_true", help="a few steps of a tiny model: does it still run?")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    performers, figures = {}, {}
    for kind in OUTPUTS:
        known = performances(chosen.data, kind)
        model = trained(kind, known, quick=chosen.quick)
        performers[kind] = Performer(model, habits(kind, model, known))
        named = dict(zip(OUTPUTS[kind], measured(model, notes_of(known["test"])), strict=True))
        figures[kind] = {
            "train_notes": sum(len(one.features) for _, _, one in known["train"]),
            "test_notes": sum(len(one.features) for _, _, one in known["test"]),
            "test_nats_a_note": {name: round(value, 4) for name, value in named.items()},
        }
        print(f"{kind}: {figures[kind]}", flush=True)
    data = [source_of(name) for names in SOURCES.values() for name in names]
    card = {
        "title": "musicgen humanise: loudness, timing and pedal for notes that have none",
        "licence": "MIT (weights); data: CC BY 4.0",
        "data": data,
        "family": "expression",
        "parameters": sum(p.numel() for one in performers.values() for p in one.model.parameters()),
        "seconds": round(time.process_time() - began, 1),
        "figures": {"split": "by drummer and by composer", **figures},
    }
    save_expression(chosen.out, performers=performers, card=card)
    print(f"{chosen.out}: {card['parameters']:,} parameters, {card['seconds']} s of CPU")


if __name__ == "__main__":
    main()

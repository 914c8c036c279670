"""Is what `musicgen humanise` does like what performers do? Its notes beside theirs, and beside simpler ways.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/humanising.py --data DATA

Measured by are drummers and compositions that no training heard: two drummers of the Groove MIDI Dataset, pianists of
ASAP (recorded, no bars), and piano-midi.de (played into a sequencer, on a grid). Each is told when the notes are, none
how loud. ASAP and piano-midi.de may not be trained on, and weren't. The ways:

- constant: all notes alike.
- noise: normal noise with the spread that the model takes for typical, each note by itself: a sequencer's button.
- rules: louder where higher and on top of a chord (high-loud of Friberg, Bresin and Sundberg 2006);
  on drums by metre, beats over eighths over sixteenths; scaled to the same spread.
- ours: a take at strength 1.

Velocities are held to 1..127, as a file holds them. Medians over performances. r: correlation of velocities with the
performer's. |ours - theirs| of: the distribution of velocities (mean distance of sorted values), their spread, the
correlation of neighbouring onsets' velocities, the loudness of top notes (of drums: of instruments) over the rest; of
timing, ms: the spread within chords (of drums: around the grid) and by how much the top note comes first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import header, parser, table

from musicgen import read
from musicgen.errors import MusicgenError
from musicgen.expression.drums import GRID, instrument_of
from musicgen.expression.examples import OUTPUTS, Example, classes_of, example_of
from musicgen.expression.players import SAME_S, TOGETHER_S, players_of
from musicgen.expression.playing import play
from musicgen.piece import Piece
from musicgen.runs.expression import ExpressionRun, load_expression

SETS = {
    "drums": ("groove_midi", ("drummer8", "drummer9"), TOGETHER_S),
    "ASAP": (
        "noncommercial/asap",
        ("Schubert", "Schumann", "Brahms", "Rachmaninoff", "Prokofiev", "Balakirev", "Glinka"),
        TOGETHER_S,
    ),
    "piano-midi.de": ("piano_midi_de", ("Mozart", "Schubert", "Schumann", "Brahms", "Grieg", "Mendelssohn"), SAME_S),
}
LEAST_NOTES = 64
# (velocity above the mean, seconds late) of each note.
Way = Callable[[Example, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def unheard(data: Path, name: str, limit: int) -> list[Example]:
    """Performances of one set, evenly from all of it."""
    folder, names, together_s = SETS[name]
    paths = [
        path
        for path in sorted((data / folder).rglob("*.mid"))
        if set(path.parts) & set(names) and path.name != "midi_score.mid"
    ]
    found = []
    for path in paths[:: max(1, len(paths) // limit)]:
        try:
            piece = read(path)
        except MusicgenError:
            continue
        piece = Piece(piece.ticks_per_quarter, piece.tracks, piece.tempos, piece.meters)
        found += [example_of(piece, player) for player in players_of(piece, together_s=together_s)]
    return [one for one in found if len(one.features) >= LEAST_NOTES]


def ways(run: ExpressionRun) -> dict[str, Way]:
    """What is compared, by name."""

    def constant(one: Example, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(one.features)), np.zeros(len(one.features))

    def noise(one: Example, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        habits, count = run.performers[one.kind].habits, len(one.features)
        velocity = habits.velocity_spread * generator.standard_normal(count)
        return velocity, habits.timing_spread_s * generator.standard_normal(count)

    def rules(one: Example, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        player = one.player
        if player.strokes is not None:
            within = np.mod(player.strokes.place, GRID)
            score = np.select([within == 0, within == GRID // 2], [1.0, 0.0], -1.0)
            score += 0.5 * (np.round(player.strokes.in_bar) == 0) * (within == 0)
        else:
            assert player.pitched is not None
            score = player.notes["pitch"] / 12 + (player.notes["pitch"] == player.pitched.top[player.chord])
        score = (score - score.mean()) / max(float(score.std()), 1e-6)
        return run.performers[one.kind].habits.velocity_spread * score, np.zeros(len(score))

    def ours(one: Example, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn = play(one.player, chances(run, one), run.performers[one.kind].habits, generator=generator)
        return drawn.velocity, drawn.late_s

    return {"constant": constant, "noise": noise, "rules": rules, "ours": ours}


def chances(run: ExpressionRun, one: Example) -> dict[str, np.ndarray]:
    """The probabilities that the model gives, by output."""
    found = run.performers[one.kind].model.chances(torch.from_numpy(one.features))
    return {name: value.numpy().astype(np.float64) for name, value in zip(OUTPUTS[one.kind], found, strict=True)}


def statistics(one: Example, velocity: np.ndarray, late_s: np.ndarray) -> dict[str, float]:
    """The figures of one performance, true or made."""
    player = one.player
    loudness = np.bincount(player.chord, velocity) / np.bincount(player.chord)
    if player.strokes is not None:
        kind = instrument_of(player.notes["pitch"])
        lead, top = 0.0, np.isin(kind, (0, 1))  # kick and snare over all else
        near = np.abs(late_s) < 0.045
    else:
        assert player.pitched is not None
        near = player.pitched.size[player.chord] > 1
        top = near & (player.notes["pitch"] == player.pitched.top[player.chord])
        lead = 1000 * float((late_s[near & ~top].mean() - late_s[top].mean()) if top.any() else 0.0)
    rest = near & ~top
    over = float(velocity[top].mean() - velocity[rest].mean()) if top.any() and rest.any() else 0.0
    return {
        "spread": float(velocity.std()),
        "neighbours": correlation(loudness[:-1], loudness[1:]),
        "top": over,
        "timing": 1000 * float(late_s[near].std()) if near.any() else 0.0,
        "lead": lead,
    }


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where one of them doesn't vary."""
    if len(one) < 2 or one.std() < 1e-9 or other.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="the collection: a folder with a folder a source")
    made.add_argument("-m", "--model", default="humanise")
    chosen = made.parse_args()
    torch.set_num_threads(1)
    run = load_expression(chosen.model)
    header("Humanised notes beside performers", "torch")
    for name in SETS:
        examples = unheard(chosen.data, name, 8 if chosen.quick else 60)
        if not examples:
            print(f"{name}: nothing of it in {chosen.data}", file=sys.stderr)
            continue
        print(f"\n{name}: {len(examples)} performances, {sum(len(one.features) for one in examples):,} notes\n")
        report(run, examples)
    return 0


def report(run: ExpressionRun, examples: list[Example]) -> None:
    """The tables of one set."""
    true = []
    for one in examples:
        velocity = one.player.notes["velocity"].astype(np.float64)
        late = one.player.onset_s - one.player.chord_s[one.player.chord]
        true.append((velocity - velocity.mean(), late - np.median(late)))
    theirs = [statistics(one, *each) for one, each in zip(examples, true, strict=True)]
    rows = [["performers", "1", "0", *(f"{np.median([each[key] for each in theirs]):.2f}" for key in theirs[0])]]
    for way, function in ways(run).items():
        measured, close, distance = [], [], []
        for number, (one, each) in enumerate(zip(examples, true, strict=True)):
            velocity, late = function(one, np.random.default_rng(number))
            mean = one.player.notes["velocity"].mean()
            velocity = np.clip(mean + velocity, 1, 127) - mean
            measured.append(statistics(one, velocity, late))
            close.append(correlation(velocity, each[0]))
            distance.append(float(np.abs(np.sort(velocity) - np.sort(each[0])).mean()))
        off = [
            f"{np.median([own[key] for own in measured]):.2f} "
            f"({np.median([abs(own[key] - other[key]) for own, other in zip(measured, theirs, strict=True)]):.2f})"
            for key in theirs[0]
        ]
        rows.append([way, f"{np.median(close):.3f}", f"{np.median(distance):.1f}", *off])
    table(["way", "r", "distribution", *(f"{key} (off by)" for key in theirs[0])], rows)
    expected = [
        correlation(OUTPUTS[one.kind]["velocity"].mean(chances(run, one)["velocity"]), one.targets[:, 0])
        for one in examples
    ]
    print(f"\nr of the expected velocity, no noise: {np.median(expected):.3f}")
    rows = [
        [output, *(f"{value:.3f}" for value in nats(run, examples, output))] for output in OUTPUTS[examples[0].kind]
    ]
    print()
    table(["nats a note", "ours", "a normal distribution", "all classes alike"], rows)


def nats(run: ExpressionRun, examples: list[Example], output: str) -> tuple[float, float, float]:
    """Mean nats of what was done, in classes of standard deviations: ours, a normal distribution's (of the pedal: the
    shares of its states here), and an even one's."""
    kind = examples[0].kind
    number, bins = list(OUTPUTS[kind]).index(output), OUTPUTS[kind][output]
    of_model, classes = [], []
    for one in examples:
        mine = classes_of(kind, one.targets)[:, number]
        there = mine >= 0
        of_model.append(chances(run, one)[output][there, mine[there]])
        classes.append(mine[there])
    done = np.concatenate(classes)
    middles = bins.low + bins.step * (np.arange(bins.count) + 0.5)
    simple = np.exp(-0.5 * middles**2) if output != "pedal" else np.bincount(done, minlength=bins.count) + 1e-9
    simple = simple / simple.sum()
    return (
        float(-np.log(np.concatenate(of_model) + 1e-12).mean()),
        float(-np.log(simple[done]).mean()),
        float(np.log(bins.count)),
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""Are continuations like the music they continue? Takes beside the truth and beside rivals, on pieces never seen.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/continuation.py --data DATA --corpus CORPUS --model RUN --quick

Pieces of eight kinds that no training saw are cut at a bar line in the middle, and each rival gives eight bars: the
model through `musicgen continue`, other versions of the package (`--rival old=/old/.venv/bin/musicgen`), a repeat of
the last eight bars, a Markov chain of order 2 from the piece so far, the true bars of another piece in the same key
(a stranger's), and eight earlier bars. Printed are: the distance of each to the truth over a stranger's, by kind; the
figures that have targets; each statistic; whether a classifier can tell takes from truths; and the nats a note of
true second halves. Intervals are 95 % over pieces. Takes are kept in the work folder, so a second run is quick.

With `--task infill` four bars of sixteen are missing, with `--task accompany` one part of sixteen bars; the takes come
from the library, beside the truth, a repeat (or a given part doubled) and a Markov chain. Told, too, are the nats a
note of what is truly there, and how many events changed where nothing may.

Without --corpus or --held-out only sources are used that no training may use. Of those, compositions recur in sources
that are trained on, so performances of a known work may be among them.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, here and in every process from here

import numpy as np
from continuations.filling import TASKS
from continuations.nats import second_halves
from continuations.passage import Case, Passage
from continuations.pieces import KINDS, Unseen, cases
from continuations.rivals import RIVALS, strangers
from continuations.rolls import draw
from continuations.scores import CONTROL, STRANGER, TRUTH, Scores, bootstrap
from continuations.table import COMPARED, NUMBERS
from continuations.takes import Player, own_command
from continuations.targets import TARGETS
from measure import header, parser, table

from musicgen.composer import Composer
from musicgen.errors import MusicgenError

OURS = "musicgen"
STRANGERS = 4  # a piece: the measure of all others should not hang on one of them


def parse() -> Namespace:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="the collection: a folder with a folder a source")
    made.add_argument("--pop909", type=Path, help="the folder POP909 of the data set of that name; without it no pop")
    made.add_argument(
        "--corpus", type=Path, help="the built corpus of the model: of its sources, the split test is used"
    )
    made.add_argument("--held-out", type=Path, metavar="FILE", help="paths below DATA that no training saw, one a line")
    made.add_argument(
        "--work", type=Path, default=Path("runs/continuation"), help="takes and read scores are kept here"
    )
    made.add_argument("-m", "--model", default="default", help="a run folder, or a model that comes along")
    made.add_argument("--task", choices=("continue", *TASKS), default="continue", help="what is missing of each piece")
    made.add_argument("--options", default="", help="more options of musicgen continue, as one string")
    made.add_argument(
        "--rival", action="append", default=[], metavar="NAME=COMMAND", help="another musicgen, with options behind it"
    )
    made.add_argument("--old", metavar="COMMAND", help="short for --rival 'd6264a6=COMMAND'")
    made.add_argument("--kinds", help=f"of {', '.join(KINDS)}; by commas")
    made.add_argument("--limit", type=int, help="pieces a kind; 12")
    made.add_argument("--takes", type=int, help="takes a piece; 2")
    made.add_argument("--seed", type=int, default=1, help="of the first take")
    made.add_argument("--jobs", type=int, default=1, help="processes that draw takes")
    made.add_argument("--json", type=Path, metavar="FILE", help="all that was measured")
    made.add_argument("--rolls", type=Path, metavar="DIR", help="piano rolls")
    made.add_argument("--rolls-a-kind", type=int, default=3)
    made.add_argument("--no-nats", action="store_true", help="leave out the likelihood of second halves")
    return made.parse_args()


def main() -> int:
    chosen = parse()
    limit, takes = chosen.limit or (3 if chosen.quick else 12), chosen.takes or (1 if chosen.quick else 2)
    kinds = [kind.strip() for kind in chosen.kinds.split(",")] if chosen.kinds else list(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        print(f"no kind {unknown[0]!r}; there are {', '.join(KINDS)}", file=sys.stderr)
        return 2
    chosen.work.mkdir(parents=True, exist_ok=True)
    unseen = Unseen(corpus=chosen.corpus, listed=chosen.held_out)
    roots = {"POP909": chosen.pop909} if chosen.pop909 else {}
    music = list(
        cases(chosen.data, kinds=kinds, limit=limit, unseen=unseen, work=chosen.work, say=say, elsewhere=roots)
    )
    kinds = [kind for kind in kinds if any(case.kind == kind for case in music)]
    if not music:
        print("no piece to continue; give --corpus or --held-out, and see --help", file=sys.stderr)
        return 3
    if chosen.task != "continue":
        return fill(chosen, music, kinds, takes=takes)
    header("Continuations", "numpy", "torch", "musicgen-symbolic")
    counts = {kind: sum(case.kind == kind for case in music) for kind in KINDS}
    print(", ".join(f"{kind} {count}" if count else f"{kind}: no piece, left out" for kind, count in counts.items()))
    print(f"{takes} takes a piece, model {chosen.model} {chosen.options}\n", flush=True)

    players = list(players_of(chosen))
    drawn = {player.name: player.draw(music, takes=takes, jobs=chosen.jobs, say=say) for player in players}
    scores = Scores(music)
    scores.add(STRANGER, strangers(music), takes=STRANGERS)
    for name, made in drawn.items():
        scores.add(name, made, takes=takes)
    for name, rival in RIVALS.items():
        if name != TRUTH:
            scores.add(name, rival, takes=takes)
    order = [*drawn, *(name for name in RIVALS if name != TRUTH), STRANGER]

    result = {**report(scores, order, kinds), **scores.as_json()}
    if not chosen.no_nats:
        result["nats a note"] = likelihoods(chosen.model, music, kinds)
    if chosen.rolls:
        pictures(music, drawn, chosen.rolls, each=chosen.rolls_a_kind)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    silent = [name for name in drawn if not scores.values[name]]
    for name in silent:
        say(f"{name} made no take")
    return 1 if silent else 0


def fill(chosen: Namespace, music: list[Case], kinds: list[str], *, takes: int) -> int:
    """The tables of another task than continuing."""
    task = TASKS[chosen.task](music)
    kinds = [kind for kind in kinds if any(case.kind == kind for case in task.cases)]
    header(f"Task: {chosen.task}", "numpy", "torch", "musicgen-symbolic")
    counts = {kind: sum(case.kind == kind for case in task.cases) for kind in kinds}
    print(", ".join(f"{kind} {count}" for kind, count in counts.items()))
    print(f"{takes} takes a piece, model {chosen.model}\n", flush=True)
    composer = Composer.load(chosen.model)
    drawn: dict[str, list[Passage | None]] = {}
    likely: dict[str, dict[str, tuple[float, int]]] = {}
    for done, case in enumerate(task.cases):
        made = []
        for k in range(takes):
            try:
                made.append(task.take(composer, case, chosen.seed + k))
            except MusicgenError as error:
                say(f"{case.name}: {error}")
                made.append(None)
        drawn[case.name], likely[case.name] = made, task.nats(composer, case)
        say(f"{chosen.task}: {done + 1} of {len(task.cases)}, {case.name}")
    scores = Scores(task.cases)
    stranger = task.rivals.get("stranger", strangers(task.cases))
    scores.add(STRANGER, stranger, takes=STRANGERS)
    scores.add(OURS, drawn, takes=takes)
    rivals = {name: rival for name, rival in task.rivals.items() if name != "stranger"}
    for name, rival in rivals.items():
        scores.add(name, rival, takes=takes)
    result = {**report(scores, [OURS, *rivals, STRANGER], kinds), **scores.as_json()}
    print("\nNats a note of what is truly there:\n")
    ways = list(dict.fromkeys(way for found in likely.values() for way in found))
    rows = []
    for kind in [*kinds, "all kinds"]:
        mine = [likely[case.name] for case in task.cases if kind in (case.kind, "all kinds")]
        each = [
            [nats / max(1, notes) for nats, notes in (found[way] for found in mine if way in found)] for way in ways
        ]
        rows.append([kind, *(f"{np.mean(column):.3f}" for column in each)])
    table(["kind", *ways], rows)
    looked = task.changed.pop("takes")
    print(f"\nEvents changed outside, in {looked} takes of {len(task.cases)} pieces: {sum(task.changed.values())}")
    if chosen.rolls:
        pictures(task.cases, {OURS: drawn}, chosen.rolls, each=chosen.rolls_a_kind)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(sum(task.changed.values()) > 0)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def players_of(chosen: Namespace) -> list[Player]:
    options = ["-m", str(Path(chosen.model).resolve()) if Path(chosen.model).is_dir() else chosen.model]
    ours = Player(OURS, tuple(own_command()), (*options, *chosen.options.split()), chosen.seed, chosen.work)
    others = [*chosen.rival, *([f"d6264a6={chosen.old}"] if chosen.old else [])]
    return [ours, *(Player.of(text, seed=chosen.seed, work=chosen.work) for text in others)]


def report(scores: Scores, order: list[str], kinds: list[str]) -> dict:
    """Print the tables; returns their figures."""
    result: dict = {"distance": {}, "targets": {}, "statistics": {}, "auc": {}}
    print("Distance to the truth over a stranger's, geometric mean over statistics:\n")
    rows = []
    groups = {**{kind: [kind] for kind in kinds}, "all kinds": kinds}
    for kind, mine in groups.items():
        found = {name: scores.distance(name, kinds=mine) for name in order}
        result["distance"][kind] = {name: vars(each) for name, each in found.items()}
        rows.append([kind, *(each.show(".2f") for each in found.values())])
    table(["kind", *order], rows)

    print("\nFigures with targets:\n")
    rows = []
    for target in TARGETS:
        found = {name: target.estimate(scores, name, kinds) for name in [TRUTH, *order]}
        result["targets"][target.label] = {name: vars(each) for name, each in found.items()}
        ours = found[order[0]].value
        verdict = "" if not target.wanted() or np.isnan(ours) else "met" if target.met(ours) else "missed"
        rows.append([target.label, target.wanted(), verdict, *(each.show() for each in found.values())])
    table(["figure", "target", "verdict", TRUTH, *order], rows)

    print(f"\nAUC by kind; the control is {CONTROL}:\n")
    found = {kind: {name: scores.area(name, kinds=mine) for name in [*order, CONTROL]} for kind, mine in groups.items()}
    result["auc"] = {kind: {name: vars(each) for name, each in row.items()} for kind, row in found.items()}
    rows = [[kind, *(each.show(".2f") for each in row.values())] for kind, row in found.items()]
    table(["kind", *order, "control"], rows)

    print("\nStatistics, means over pieces:\n")
    rows = []
    for name in NUMBERS:
        every = {
            rival: scores.number(rival, lambda one, name=name: one[name], kinds=kinds) for rival in [TRUTH, *order]
        }
        result["statistics"][name] = {rival: vars(each) for rival, each in every.items()}
        rows.append([name, *(each.show() for each in every.values())])
    table(["statistic", TRUTH, *order], rows)

    print("\nMean distance to the truth:\n")
    far = {rival: scores.by_statistic(rival, kinds=kinds) for rival in order}
    table(["statistic", *order], [[name, *(f"{far[rival][name]:.3f}" for rival in order)] for name in COMPARED])
    if any(scores.missing[name] for name in order[:1]):
        print(f"\ntakes that weren't made: {scores.missing[order[0]]}")
    return result


def likelihoods(model: str, music: list[Case], kinds: list[str]) -> dict:
    """Print the nats a note of true second halves; returns the figures."""
    print("\nNats a note of true second halves:\n")
    ways = second_halves(model, music, say=say)
    result: dict = {}
    rows = []
    for kind in [*kinds, "all kinds"]:
        row = [kind]
        for way, found in ways.items():
            mine = [(case, *found[case.name]) for case in music if case.name in found]
            mine = [each for each in mine if kind in (each[0].kind, "all kinds")]
            column = np.array([nats / notes for _, nats, notes in mine])  # a piece counts as one, however long
            groups = [kinds.index(case.kind) for case, _, _ in mine]
            estimate = bootstrap(lambda at, column=column: float(column[at].mean()), groups)
            result.setdefault(way, {})[kind] = vars(estimate)
            row.append(estimate.show())
        rows.append(row)
    table(["kind", *ways], rows)
    return result


def pictures(music: list[Case], drawn: dict[str, dict[str, list[Passage | None]]], folder: Path, *, each: int) -> None:
    """Piano rolls of the first pieces of each kind."""
    done: dict[str, int] = {}
    for case in music:
        done[case.kind] = done.get(case.kind, 0) + 1
        if done[case.kind] <= each:
            takes = {
                f"{name}, take {k + 1}": take
                for name, made in drawn.items()
                for k, take in enumerate(made[case.name][:1])
                if take is not None
            }
            draw(case, takes, folder / f"{case.kind.replace(' ', '-')}-{done[case.kind]}.png")


if __name__ == "__main__":
    sys.exit(main())

"""Build the table of how a part's traits follow from the parts beside it (`musicgen/sampling/roles.json`).

    python pipelines/build_roles.py --corpus CORPUS --out musicgen/sampling/roles.json

CORPUS is the built corpus of the default model. Of each work some stretches of sixteen bars are taken at random, in
each some parts that play in most bars, and beside them the other parts, or, in three of ten, only some of these.
Sources with few works give more stretches, and an example counts by the root of its source's number of examples. The
split `valid` isn't learned from: it tells the usual errors.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.corpus.store import Corpus, PieceRecord
from musicgen.piece import Piece
from musicgen.sampling.roles import CONTEXT, FAMILIES, context, design, family
from musicgen.sampling.traits import FORESEEN, WINDOW, traits
from musicgen.tokenizers import load_tokenizer
from musicgen.tokenizers.constraints import DRUMS

FEWEST_BARS = 10  # of a stretch, in which a part plays
MOST_OF_A_SOURCE = 7000  # examples
FEW_WORKS = 400  # sources with fewer give MANY[1] stretches of a work, others MANY[0]
MANY, PARTS = (2, 6), (2, 4)  # stretches of a work; parts of a stretch
FEWER_PARTS = 0.3  # share of examples in which only some of the other parts are given
DRUMS_ALONE = ("groove_midi",)
LONGEST = 30_000  # tokens of a piece
RIDGE, SHARED = 30.0, 0.2  # weight of squared coefficients; that of those for all families is less
FEWEST_EXAMPLES = 20  # of a family, for coefficients of its own


def examples(piece: Piece, rng: np.random.Generator, *, many: bool) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(program, context, traits) of parts of a piece."""
    tracks = [(DRUMS if t.is_drum else t.program, t.notes) for t in piece.tracks if len(t.notes)]
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    if len(tracks) < 2 or len(starts) <= WINDOW:
        return
    for _ in range(MANY[many]):
        first = int(rng.integers(0, len(starts) - WINDOW))
        lines = np.rint(starts[first : first + WINDOW + 1]).astype(np.int64)
        inside = [(p, n[(n["start"] >= lines[0]) & (n["start"] < lines[-1])]) for p, n in tracks]
        inside = [(p, n) for p, n in inside if len(n)]
        steady = [
            k
            for k, (_, n) in enumerate(inside)
            if len(np.unique(np.searchsorted(lines, n["start"], side="right"))) >= FEWEST_BARS
        ]
        for k in rng.permutation(steady)[: PARTS[many]].tolist():
            others = [part for n, part in enumerate(inside) if n != k]
            if len(others) > 1 and rng.random() < FEWER_PARTS:
                others = [others[n] for n in rng.permutation(len(others))[: int(rng.integers(1, len(others)))]]
            if not others:
                continue
            program, notes = inside[k]
            given = np.concatenate([n for _, n in others])
            quarter = piece.ticks_per_quarter
            of = traits(notes, lines, quarter=quarter, given=given, drum=program == DRUMS)
            yield program, context(program, others, lines=lines, quarter=quarter), of[: len(FORESEEN)]


def fitted(rows: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """(coefficients, mean) of a weighted ridge regression, (N, D), (N,), (N,) -> (D,)."""
    mean = float(np.average(targets, weights=weights))
    scaled = rows * np.sqrt(weights)[:, None]
    penalty = np.full(rows.shape[1], RIDGE)
    penalty[: rows.shape[1] // (1 + FAMILIES)] *= SHARED
    wanted = scaled.T @ ((targets - mean) * np.sqrt(weights))
    return np.linalg.solve(scaled.T @ scaled + np.diag(penalty), wanted), mean


def gathered(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(contexts, traits, families, weights, whether held out) of all examples."""
    tokenizer = load_tokenizer(corpus.spec)
    works: dict[str, list[PieceRecord]] = defaultdict(list)
    for record in corpus.pieces():
        if record.split != "test" and "#grid" not in record.source and record.length <= LONGEST:
            works[record.work].append(record)
    count = Counter(records[0].source.partition("/")[0] for records in works.values())
    rng, found, taken = np.random.default_rng(1), [], Counter[str]()
    for work in rng.permutation(sorted(works)).tolist():
        record = works[work][int(rng.integers(len(works[work])))]
        source = record.source.partition("/")[0]
        if taken[source] >= MOST_OF_A_SOURCE or source in DRUMS_ALONE:
            continue
        piece = tokenizer.decode(np.array(corpus.ids(record)))
        for program, columns, of in examples(piece, rng, many=count[source] < FEW_WORKS):
            found.append((columns, of, family(program), source, record.split == "valid"))
            taken[source] += 1
    print(dict(taken))
    weights = np.array([taken[source] ** -0.5 for *_, source, _ in found])
    return (
        np.array([columns for columns, *_ in found]),
        np.array([of for _, of, *_ in found]),
        np.array([number for _, _, number, *_ in found]),
        weights / weights.mean(),
        np.array([held for *_, held in found]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    columns, of, families, weights, held = gathered(Corpus.open(options.corpus))
    mean, deviation = np.nanmean(columns[~held], 0), np.nanstd(columns[~held], 0) + 1e-6
    mean, deviation = np.round(mean, 4), np.round(deviation, 4) + 1e-4
    rows = design((columns - mean) / deviation, families)
    table: dict[str, Any] = {"examples": len(rows), "columns": list(CONTEXT), "mean": mean.tolist()}
    table |= {"deviation": deviation.tolist(), "offset": [], "error": [], "weights": {}}
    enough = [True, *(bool((families[~held] == n).sum() >= FEWEST_EXAMPLES) for n in range(FAMILIES))]
    for n, name in enumerate(FORESEEN):
        known = ~np.isnan(of[:, n])
        learned, told = known & ~held, known & held
        coefficients, offset = fitted(rows[learned], of[learned, n], weights[learned])
        each = np.round(coefficients.reshape(1 + FAMILIES, -1), 3)
        each[[not keep for keep in enough]] = 0
        far = np.abs(rows[told] @ each.ravel() + offset - of[told, n])
        blind = np.abs(np.average(of[learned, n], weights=weights[learned]) - of[told, n])
        error = float(np.average(far, weights=weights[told]))
        print(f"{name:9} usual error {error:.3f}, of the mean {np.average(blind, weights=weights[told]):.3f}")
        table["offset"].append(round(offset, 4))
        table["error"].append(round(error, 4))
        table["weights"][name] = [row.tolist() if row.any() else None for row in each]
    lines = [f'"{key}": {json.dumps(value)}' for key, value in table.items()]
    options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

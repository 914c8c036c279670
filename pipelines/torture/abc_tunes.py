"""Tunes drawn with equal chances inside the ABC grammar: each is read in all its signs, with at least 8 bars of notes.

    python pipelines/torture/abc_tunes.py --tunes 300

Harder than any trained model: every character that is allowed comes as often as any other. Prints the seed of each
tune that fails, and ends with code 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from musicgen.io.midi import Limits
from musicgen.io.scores.abc.tune import score_of
from musicgen.tokenizers import Abc
from musicgen.tokenizers.abc.grammar import LEAST_BARS

LONGEST = 8000
# Warnings of the reader that leave nothing unread: graces have no time, ties may lead nowhere, repeats lack an end.
HARMLESS = ("graces", "ties", "repeats")


def draw(tokenizer: Abc, seed: int) -> str:
    """A tune by its seed."""
    rng, walker, ids = np.random.default_rng(seed), tokenizer.grammar(), []
    while len(ids) < LONGEST:
        token = int(rng.choice(np.flatnonzero(walker.allowed())))
        if walker.ends(token):
            break
        walker.advance(token)
        ids.append(token)
    return tokenizer.text(np.array(ids))


def fault(tokenizer: Abc, seed: int) -> str | None:
    """What is wrong with the tune of a seed, or None."""
    try:
        text = draw(tokenizer, seed)
        score = score_of(text, f"seed {seed}", Limits())
        bars = max(len({bar for bar, *_ in part.notes}) for part in score.parts)
        piece = tokenizer.decode(tokenizer.encode_text(text))
        piece.validate()
    except Exception as error:  # whatever is raised: nothing may come next, or the tune can't be read
        return f"{type(error).__name__}: {error}"
    unread = [warning for warning in score.warnings if not warning.startswith(HARMLESS)]
    if unread:
        return unread[0]
    return None if bars >= LEAST_BARS and piece.n_notes else f"{bars} bars, {piece.n_notes} notes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tunes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer, bad = Abc(), 0
    for seed in range(options.seed, options.seed + options.tunes):
        what = fault(tokenizer, seed)
        if what is not None:
            bad += 1
            print(f"seed {seed}: {what}", flush=True)
    print(f"{options.tunes - bad} of {options.tunes} tunes are whole")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()

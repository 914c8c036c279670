"""Walks through every grammar under every constraint, as digests: what is allowed at each place, and where it ends.

No model takes part: an id is drawn from those that are allowed, a kind first and then one of its values. Dense walks
prefer notes that lie close, sparse ones prefer time to pass, so that both meet limits. A digest holds, of every place,
the ids that may come next, the id that was drawn, whether it ends the music, and how many bars are done.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.io import read
from musicgen.piece import Piece
from musicgen.tokenizers import load_tokenizer
from musicgen.tokenizers.constraints import Anchor, Constraints

sys.path.append(str(Path(__file__).parents[1]))  # the helpers of the tests
from limits import limited

SPECS: dict[str, dict[str, Any]] = {
    "notes": {"name": "notes"},
    "remi": {"name": "remi"},
    "parts": {"name": "parts"},
    "performance": {"name": "performance"},
    "performance, pedal": {"name": "performance", "pedal": True},
    "sets": {"name": "frames", "frames_per_quarter": 2},
    "sets, ascending": {"name": "frames", "frames_per_quarter": 4, "order": "ascending"},
    "voices": {"name": "frames", "frames_per_quarter": 2, "voices": 4},
    "abc": {"name": "abc"},
}
LOW, KIT = np.arange(128) < 64, np.isin(np.arange(128), (36, 38, 42))
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "meter": {"meter": (3, 4)},
    "long meter": {"meter": (11, 2), "bars": 2},
    "programs": {"programs": frozenset({0, 73, 128})},
    "drums alone": {"programs": frozenset({128}), "bars": 3},
    "no drums": {"programs": frozenset(range(128)), "tempo_changes": False},
    "range": {"low": 60, "high": 64},
    "key": {"classes": frozenset({0, 2, 4, 5, 7, 9, 11})},
    "key and range": {"classes": frozenset({1}), "low": 60, "high": 72},
    "no pitch": {"classes": frozenset({1}), "low": 60, "high": 60, "tempo_changes": False},
    "no tempo": {"tempo_changes": False},
    "bars": {"bars": 2, "may_end": False},
    "no bars": {"bars": 0, "may_end": False},
    "no end": {"may_end": False},
    "one at once": {"max_polyphony": 1},
    "three at once": {"max_polyphony": 3, "tempo_changes": False},
    "few notes": {"max_notes_a_bar": 3, "bars": 4},
    "sounding": {"max_empty_bars": 0, "tempo_changes": False, "may_end": False},
    "half sounding": {"max_empty_bars": 1, "may_end": False},
    "a line": {"programs": frozenset({73}), "chord_sizes": ((73, 1),)},
    "lines": {"chord_sizes": tuple((number, 1 + number % 2) for number in range(129))},
    "a part": {"parts": frozenset({1}), "part_count": 2},
    "parts": {"parts": frozenset({0, 2}), "by_part": ((0, LOW), (2, KIT)), "part_count": 3},
    "a part's pitches": {"by_part": ((0, LOW), (1, ~LOW)), "low": 70, "part_count": 2},
    "no part": {"parts": frozenset(), "max_empty_bars": 0, "part_count": 2},
    "all": {
        "meter": (4, 4), "programs": frozenset({0, 73, 128}), "low": 40, "high": 80,
        "classes": frozenset({0, 2, 4, 5, 7, 9, 11}), "tempo_changes": False, "bars": 3, "may_end": False,
        "max_polyphony": 3, "max_notes_a_bar": 12, "max_empty_bars": 0,
        "chord_sizes": ((0, 2), (1, 1), (73, 1), (128, 2)), "parts": frozenset({0, 1}), "by_part": ((0, LOW),),
        "part_count": 3,
    },
}  # fmt: skip
# Where new music begins: in a piece at a bar line or within a bar, as (tick, start of the bar, whether it fills).
CUTS = ((7680, 7680.0, False), (8640, 7680.0, True))
LONGEST = 240  # ids of a walk
PASSING = ("bar", "eos", "span", "shift", "end", "rest")  # kinds with which time passes
TUNE = "X:1\nT:Walk\nM:4/4\nL:1/8\nK:D\nDEFG A2 B2|ABc2 d4|\n"


def walks() -> dict[str, str]:
    """Name -> digest of the walks through each grammar under each constraint, from its beginning and from two cuts."""
    piece, found = read("duet3.mid"), {}
    for name, spec in SPECS.items():
        tokenizer = load_tokenizer(spec)
        for asked, fields in ASKED.items():
            if name == "abc" and fields.keys() & {"low", "classes"}:
                continue  # text can't be held to pitches
            told = hashlib.sha256()
            for seed, (cut, dense) in enumerate(product((None, *CUTS), (True, False))):
                rng = np.random.default_rng(seed)
                _walk(tokenizer, limited(**fields), piece, cut=cut, dense=dense, rng=rng, told=told)
            found[f"walk of {name}: {asked}"] = told.hexdigest()[:16]
    return found


def _walk(
    tokenizer: Any,
    constraints: Constraints,
    piece: Piece,
    *,
    cut: tuple[int, float, bool] | None,
    dense: bool,
    rng: np.random.Generator,
    told: Any,
) -> None:
    """One walk, told to a hash; without a cut from the beginning of a piece."""
    v = tokenizer.vocabulary
    if cut is None:
        walker = tokenizer.grammar(constraints)
    else:
        walker = tokenizer.grammar()
        for token in _before(tokenizer, piece, cut[0]):
            walker.advance(token)
        walker.constrain(constraints, anchor=Anchor(cut[0], cut[1], 1920.0, 480, 500_000, cut[2]))
    for step in range(LONGEST):
        if step == LONGEST // 2:
            walker = walker.copy()
        mask = walker.allowed()
        token = _drawn(v, np.flatnonzero(mask), dense=dense, rng=rng)
        over = walker.ends(token)
        told.update(np.packbits(mask).tobytes() + f"{token} {over} {walker.bars_done},".encode())
        if over:
            return
        walker.advance(token)


def _drawn(v: Any, choices: np.ndarray, *, dense: bool, rng: np.random.Generator) -> int:
    """One of the ids: in a dense walk seldom one that lets time pass, and often one of the first of its kind."""
    kinds = v.kind_of_id[choices]
    passing = np.isin(kinds, [v.kind_number[kind] for kind in PASSING if kind in v.sizes])
    if rng.random() < 0.9 and (passing != dense).any():
        choices, kinds = choices[passing != dense], kinds[passing != dense]
    among = choices[kinds == rng.choice(np.unique(kinds))]
    if rng.random() < 0.7:
        among = among[:2] if dense else among[-4:]
    return int(rng.choice(among))


def _before(tokenizer: Any, piece: Piece, tick: int) -> list[int]:
    """The ids of what stands before a cut, without the end."""
    if tokenizer.spec["name"] == "abc":
        ids = tokenizer.encode_text(TUNE)
    else:
        tracks = tuple(replace(track, notes=track.notes[track.notes["start"] < tick]) for track in piece.tracks)
        ids = tokenizer.encode(replace(piece, tracks=tracks), until=tick)
    flat: list[int] = ids.ravel().tolist()
    return flat[: flat.index(tokenizer.vocabulary.id("eos"))]

"""Models of ABC tunes: how well they predict tunes that people wrote, and what the tunes are like that they write.

    python pipelines/benchmarks/tune_models.py RUN.. --data DATA --pieces PIECES --drawn 50 --show 10

Printed are nats a character of tunes' bodies: of held-out lead sheets, folk tunes and dances, written as
`pipelines/tune_text.py` does; of Nottingham tunes with chords and of Irish tunes, which no shipped model may learn.
Then of new tunes: how many are read without a warning, have full bars, close on the tonic, have chords, repeat their
sections; and how many of their bars differ. Beside them the same of the held-out tunes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from tune_text import written
from tunes import tunes_of

from musicgen import Composer, read
from musicgen.evaluation.likelihood import step_nats
from musicgen.io.scores import read_tune
from musicgen.io.scores.files import abc_tunes
from musicgen.scoring import Scoring
from musicgen.tokenizers import Abc
from musicgen.tokenizers.abc.state import AbcState
from musicgen.tokenizers.abc.tokenizer import body_of, header_of, tidy

KINDS = ("lead sheet", "folk", "dance", "song")
CIRCLE = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
FIFTHS = {key: number - 7 for number, key in enumerate(CIRCLE)}


def held_out(pieces: Path, data: Path, *, most: int) -> dict[str, list[str]]:
    """{kind: texts} of tunes of the splits that training doesn't see."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for line in (pieces / "pieces.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["split"] == "train" or entry["kind"] in ("drums", "band", "orchestra", "quartet", "piano-performance"):
            continue
        in_score = entry["source"].startswith("openewld")
        piece = read(data / entry["source"] if in_score else pieces / entry["file"])
        for tune in tunes_of(piece, entry):
            if tune.kind in found and len(found[tune.kind]) < most:
                found[tune.kind].append(written(tune))
    return found


def people(data: Path, *, most: int) -> dict[str, list[str]]:
    """{collection: texts} of tunes for measuring only, spread over each."""
    paths = {
        "Nottingham": sorted((data / "nottingham").rglob("*.abc")),
        "Irish": sorted((data / "mit_irish_abc").rglob("*.abc")),
    }
    found = {}
    for name, files in paths.items():
        texts = [t.text for path in files for t in abc_tunes(path.read_text(encoding="latin-1"), path)]
        texts = [text for text in texts if name != "Nottingham" or '"' in text]
        found[name] = texts[:: max(1, len(texts) // most)][:most]
    return found


def nats(composer: Composer, texts: list[str]) -> float:
    """Nats a character of the bodies, which the model reads after their headers."""
    tokenizer = composer.tokenizer.as_text
    assert isinstance(tokenizer, Abc)
    scoring, total, count = Scoring.of(tokenizer, torch.device("cpu")), 0.0, 0
    for text in texts:
        ids = tokenizer.encode_text(text).astype(np.int64)
        head = len(header_of(tidy(text)))
        each = step_nats(composer.model, ids, scoring).reshape(len(ids) - 1)[head:]
        total, count = total + float(each.sum()), count + len(each)
    return total / max(1, count)


# ---- what tunes are like ---------------------------------------------------------------------------------


def bars_of(text: str) -> list[tuple[str, bool]]:
    """(notes, whether it is as long as the meter says) of each bar as written."""
    state, bars, notes = AbcState(), [], ""
    for char in tidy(text):
        was_in_music = state.section == "body" and not state.after_bar
        full = state.clock.time == state.clock.bar
        if char in "|:" and was_in_music and state.now not in ("symbol", "field"):
            bars.append((re.sub(r'"[^"]*"|[\s|:\[\]]', "", notes), full))
            notes = ""
        elif state.section == "body":
            notes += char
        elif char == "\n" and state.line.startswith("K"):
            notes = ""
        state.take(char) if state.section != "start" else setattr(state, "section", "header") or state.take(char)
    return [bar for bar in bars if bar[0]]


def tonic_of(text: str) -> int | None:
    found = re.search(r"^K: *([A-G][b#]?) *(\w*)", text, re.MULTILINE)
    return None if found is None or found[1] not in FIFTHS else FIFTHS[found[1]] * 7 % 12


def judged(text: str) -> dict[str, float]:
    """What of a tune can be counted, each 0 or 1 but for `different bars` and `chords a bar`."""
    piece = read_tune(text)
    warnings = [w for w in piece.warnings if not w.startswith("chord_symbols")]
    bars, tonic = bars_of(text), tonic_of(text)
    inner = [is_full for _, is_full in bars[1:-1]]
    line, body = piece.tracks[0].notes, body_of(text)
    chords = piece.chords
    return {
        "read whole": float(not warnings),
        "full bars": float(bool(inner) and np.mean(inner) >= 0.9),
        "ends on tonic": float(int(line["pitch"][-1]) % 12 == tonic),
        "last chord tonic": float(len(chords) > 0 and int(chords["root"][-1]) == tonic),
        "chords": float(len(chords) > 0),
        "chords a bar": body.count('"') / 2 / max(1, len(bars)),
        "repeats": float(":|" in body or _halves(bars)),
        "different bars": len({notes for notes, _ in bars}) / max(1, len(bars)),
        "bars": float(len(bars)),
    }


def _halves(bars: list[tuple[str, bool]]) -> bool:
    """Whether four bars at a place of four come again."""
    groups = [tuple(notes for notes, _ in bars[k : k + 4]) for k in range(0, len(bars) - 3, 4)]
    return len(set(groups)) < len(groups)


def table(columns: dict[str, list[str]], measure: Callable[[str], dict[str, float]]) -> str:
    rows: dict[str, list[str]] = {}
    for texts in columns.values():
        values: dict[str, list[float]] = {}
        for text in texts:
            for name, value in measure(text).items():
                values.setdefault(name, []).append(value)
        for name, each in values.items():
            rows.setdefault(name, []).append(f"{np.mean(each):.2f}")
    head = f"| | {' | '.join(f'{name} ({len(texts)})' for name, texts in columns.items())} |\n"
    return (
        head
        + "|---" * (len(columns) + 1)
        + "|\n"
        + "".join(f"| {name} | {' | '.join(cells)} |\n" for name, cells in rows.items())
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, required=True, help="the folder of sources")
    parser.add_argument("--pieces", type=Path, required=True, help="the cache of default_corpus.py")
    parser.add_argument("--most", type=int, default=100, help="tunes a kind")
    parser.add_argument("--drawn", type=int, default=50, help="new tunes a model")
    parser.add_argument("--show", type=int, default=0, help="print so many of the last model's")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    texts: dict[str, Any] = held_out(chosen.pieces, chosen.data, most=chosen.most)
    texts |= people(chosen.data, most=chosen.most)
    print(f"| nats a character | {' | '.join(f'{name} ({len(t)})' for name, t in texts.items())} |")
    print("|---" * (len(texts) + 1) + "|")
    columns = {"people's dances": texts["dance"], "lead sheets": texts["lead sheet"]}
    for run in chosen.runs:
        composer = Composer.load(run)
        print(f"| {Path(run).name} | {' | '.join(f'{nats(composer, t):.3f}' for t in texts.values())} |", flush=True)
        if chosen.drawn:
            drawn = composer.generate(takes=chosen.drawn, seed=chosen.seed)
            columns[Path(run).name] = [str(take.text) for take in drawn]
    print("\n" + table(columns, judged))
    for text in columns[Path(chosen.runs[-1]).name][: chosen.show] if chosen.drawn else ():
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

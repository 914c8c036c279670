"""Read everything the default model learns from, once, into a folder of pieces that read back in no time.

    python pipelines/default_corpus.py --data DATA --out CACHE

DATA holds a folder a source, as `default_sources.py` names them. Each usable piece becomes CACHE/pieces/SOURCE/....mid
and a line in CACHE/pieces.jsonl, with its split. A run that was stopped goes on where it was: what has been read,
or left out, stands in CACHE/read.jsonl. Splits don't depend on what has been read yet, but for one thing: pieces
that turn out to begin with the same notes go to training together where they don't agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from default_sources import Item, listing, shares

import musicgen
from musicgen.corpus.split import SPLITS, fingerprint, merge_works, work_key
from musicgen.errors import MusicgenError
from musicgen.io import SCORE_SUFFIXES
from musicgen.io.atomic import write_bytes
from musicgen.io.midi import midi_bytes, piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import Piece

FEWEST_NOTES, FEWEST_BARS = 32, 4
TD11 = {22: 42, 26: 46, 58: 43}  # sounds of groove_midi's drum kit that General MIDI hasn't


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="the folder of sources")
    parser.add_argument("--out", required=True, type=Path, help="where the pieces go")
    parser.add_argument("--only", choices=("midi", "scores", "none"), help="read only these; 'none': the splits again")
    return parser.parse_args(arguments)


# ---- reading ---------------------------------------------------------------------------------------------


def general_midi(piece: Piece) -> Piece:
    """The drums of groove_midi on keys that General MIDI has."""
    table = np.arange(128, dtype=np.uint8)
    table[list(TD11)] = list(TD11.values())
    tracks = []
    for track in piece.tracks:
        notes = track.notes.copy()
        notes["pitch"] = table[notes["pitch"]]
        notes = notes[np.lexsort((notes["pitch"], notes["start"]))]
        tracks.append(replace(track, notes=notes))
    return replace(piece, tracks=tuple(tracks))


def read_item(item: Item, out: Path) -> dict[str, Any]:
    """Read a file and write its piece; what `read.jsonl` says of it: {source, file, ...} or {source, left_out}."""
    try:
        piece = musicgen.read(item.path)
        if item.kind == "drums":
            piece = general_midi(piece)
        bars = len(piece.bar_starts(until=max(piece.end - 1, 0))[0])
        if piece.n_notes < FEWEST_NOTES or bars < FEWEST_BARS:
            return {"source": item.source, "left_out": f"short: {piece.n_notes} notes, {bars} bars"}
        data = midi_bytes(piece)
        again = piece_from_midi(parse_smf(data, where=item.source), where=item.source)
    except (MusicgenError, ValueError, LookupError, ArithmeticError) as error:
        return {"source": item.source, "left_out": f"can't be read: {str(error)[:200]}"}
    name = f"pieces/{item.source.split('/')[0]}/{hashlib.sha256(item.source.encode()).hexdigest()[:16]}.mid"
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out / name, data, overwrite=True)
    return {
        "source": item.source,
        "file": name,
        "notes": piece.n_notes,
        "bars": bars,
        "fingerprint": fingerprint(piece),
        "exact": again == piece,
        "warnings": [w.partition(":")[0] for w in piece.warnings],
    }


def read_all(items: list[Item], chosen: list[Item], out: Path, report: Callable[[str], None]) -> None:
    """Read those chosen of all `items` which haven't been read; the splits are written anew after each source."""
    journal = out / "read.jsonl"
    done = {record["source"] for record in records(journal)}
    begun = time.monotonic()
    waiting = [item for item in chosen if item.source not in done]
    for i, item in enumerate(waiting):
        record = read_item(item, out)
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        is_last = i + 1 == len(waiting) or waiting[i + 1].source.split("/")[0] != item.source.split("/")[0]
        if is_last or i % 100 == 99:
            report(f"{i + 1} of {len(waiting)} files, {time.monotonic() - begun:.0f} s: {item.source}")
        if is_last:
            write_pieces(items, out)


def records(journal: Path) -> list[dict[str, Any]]:
    """What the journal says; a last line that was cut short doesn't count."""
    if not journal.is_file():
        return []
    lines = journal.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        journal.write_text("\n".join(lines[:-1]) + ("\n" if len(lines) > 1 else ""), encoding="utf-8")
    return [json.loads(line) for line in lines[:-1]]


# ---- splits ----------------------------------------------------------------------------------------------


def write_pieces(items: list[Item], out: Path) -> list[dict[str, Any]]:
    """Write pieces.jsonl: a line a piece, in the order of the listing."""
    read = {record["source"]: record for record in records(out / "read.jsonl") if "file" in record}
    kept = [item for item in items if item.source in read]
    of_unit = shares(items)
    own = [item.split if item.split and of_unit[item.unit] != "test" else of_unit[item.unit] for item in kept]
    works = merge_works([work_key(item.source) for item in kept], [read[item.source]["fingerprint"] for item in kept])
    agreed: dict[str, str] = {}
    for work, split in zip(works, own, strict=True):
        # Of two that don't agree the one that is more in training holds: nothing leaves it again.
        agreed[work] = min(split, agreed.get(work, split), key=SPLITS.index)
    lines = []
    for item, work in zip(kept, works, strict=True):
        record = read[item.source]
        lines.append(
            {
                "source": item.source,
                "file": record["file"],
                "kind": item.kind,
                "composer": item.composer,
                "work": work,
                "unit": item.unit,
                "fingerprint": record["fingerprint"],
                "split": agreed[work],
                "licence": item.licence,
                "credit": item.credit,
                "played": item.played,
                "real_bars": item.real_bars,
                "notes": record["notes"],
                "bars": record["bars"],
            }
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_bytes(out / "pieces.jsonl", text.encode(), overwrite=True)
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """Pieces, notes and long test pieces by kind and split."""
    pieces: Counter[tuple[str, str]] = Counter()
    notes: Counter[tuple[str, str]] = Counter()
    long: Counter[str] = Counter()
    for line in lines:
        pieces[line["kind"], line["split"]] += 1
        notes[line["kind"], line["split"]] += line["notes"]
        long[line["kind"]] += line["split"] == "test" and line["bars"] >= 17
    rows = [f"{'kind':20}" + "".join(f"{f'{s} pieces':>14}{f'{s} notes':>14}" for s in SPLITS) + "  test of 17 bars"]
    for kind in sorted({line["kind"] for line in lines}):
        cells = "".join(f"{pieces[kind, s]:>14,}{notes[kind, s]:>14,}" for s in SPLITS)
        rows.append(f"{kind:20}{cells}{long[kind]:>18}")
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    items = listing(options.data)
    is_score = [item.path.suffix in SCORE_SUFFIXES for item in items]
    if options.only != "none":
        wanted = {"midi": (False,), "scores": (True,), None: (False, True)}[options.only]
        chosen = [item for item, score in zip(items, is_score, strict=True) if score in wanted]
        read_all(items, chosen, options.out, lambda text: print(text, flush=True))
    print(table(write_pieces(items, options.out)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"default_corpus: {error}")

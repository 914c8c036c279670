"""Are wrong notes surprising? Notes of real pieces are moved by one to six semitones, and all are ranked.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/surprise.py --data DATA --corpus CORPUS [--model default]

Of the melodic notes of a piece 5 % are moved up or down, within what their part plays. The pieces are those of
`continuations/pieces.py`, which no training saw, cut after 300 notes. A ranking is told by its AUC, the probability
that a planted note stands above one that was there, of equals half: the mean over the pieces of a kind, with a 95 %
interval. Beside the model stand the key (is the note off the scale of the key that fits the piece best) and the
transitions of pitch classes, relative to the tonic, of pieces that were trained on.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from continuations.pieces import KINDS, Unseen, cases
from measure import header, parser, table

from musicgen.checkpoint import Run, load_run
from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus
from musicgen.evaluation.surprise import Surprise, surprise
from musicgen.gm import find_key, key_pitch_classes
from musicgen.models import SequenceModel
from musicgen.piece import Piece, notes_array
from musicgen.tokenizers import Tokenizer, load_tokenizer
from musicgen.tonality import key_of_notes

SHARE, FARTHEST, MOST = 0.05, 6, 300  # of notes that are moved; semitones; notes of a piece
LEARNED_FROM = 400  # pieces whose transitions are counted


def planted(piece: Piece, rng: np.random.Generator) -> tuple[Piece, set[tuple[int, int, int]]]:
    """The piece with notes moved, and (tick, track, pitch) of these; where a note stands already none is put."""
    found, tracks = set(), []
    for number, track in enumerate(piece.tracks):
        notes = track.notes.copy()
        if not track.is_drum and len(notes):
            there = set(zip(notes["start"].tolist(), notes["pitch"].tolist(), strict=True))
            low, high = int(notes["pitch"].min()), int(notes["pitch"].max())
            for n in np.flatnonzero(rng.random(len(notes)) < SHARE).tolist():
                tick, pitch = int(notes["start"][n]), int(notes["pitch"][n])
                moved = pitch + int(rng.integers(1, FARTHEST + 1)) * int(rng.choice((-1, 1)))
                if low <= moved <= high and (tick, moved) not in there:
                    notes["pitch"][n] = moved
                    there.add((tick, moved))
                    found.add((tick, number, moved))
        tracks.append(replace(track, notes=notes_array(notes)))
    return replace(piece, tracks=tuple(tracks)), found


def auc(scores: np.ndarray, wrong: np.ndarray) -> float:
    """The probability that a wrong one has the higher score, of equals half."""
    right, mistaken = np.sort(scores[~wrong]), scores[wrong]
    below, upto = (np.searchsorted(right, mistaken, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(right)))


def key_of(piece: Piece) -> str:
    notes = [t.notes for t in piece.tracks if not t.is_drum]
    pitch, length = (np.concatenate([each[name] for each in notes]) for name in ("pitch", "duration"))
    return key_of_notes(pitch, length) or "C"


def transitions(corpus: Corpus) -> np.ndarray:
    """(2, 12, 12): log probabilities of a pitch class after another in a part, relative to the tonic, by mode."""
    tokenizer, counts = load_tokenizer(corpus.spec), np.ones((2, 12, 12))
    spans = corpus.spans("train")
    for offset, size in spans[spread(len(spans), LEARNED_FROM)].tolist():
        piece = tokenizer.decode(np.asarray(corpus.tokens[offset : offset + size]))
        if any(len(t.notes) and not t.is_drum for t in piece.tracks):
            tonic, mode = find_key(key_of(piece))
            for track in piece.tracks:
                classes = (track.notes["pitch"].astype(int) - tonic) % 12
                if not track.is_drum:
                    np.add.at(counts[int(mode)], (classes[:-1], classes[1:]), 1)
    return np.log(counts / counts.sum(axis=2, keepdims=True))


@torch.inference_mode()
def pitch_log_probabilities(model: SequenceModel, piece: Piece, *, tokenizer: Tokenizer, of: Surprise) -> np.ndarray:
    """(N, 128): the log probability of each pitch at the place of each note, given all before it, float64.

    It is among pitches, or among drums where the note is one.
    """
    ids = tokenizer.encode(piece).astype(np.int64)
    v, device = tokenizer.vocabulary, next(model.parameters()).device
    fielded = len(tokenizer.fields) > 1
    steps_1T = torch.from_numpy(ids)[None].to(device)
    notes_of: dict[int, int] = {int(at) - (not fielded): n for n, at in enumerate(of.at)}  # by the step before
    result, state = np.zeros((len(of.at), 128)), None
    first = tokenizer.fields[0].first
    for t in range(max(notes_of) + 1):
        hidden_B1C, state = model.read(steps_1T[:, t : t + 1], state)
        if (n := notes_of.get(t)) is None:
            continue
        logits_K = model.scores(hidden_B1C[:, -1], state).logits_BK(0)[0].double()
        told = int(ids[t + 1, 0] if fielded else ids[t + 1])
        low = v.base["drum" if v.is_kind(np.array([told]), "drum")[0] else "pitch"] - first
        result[n] = logits_K[low : low + 128].log_softmax(dim=0).cpu().numpy()
    return result


def bigrams(piece: Piece, found: Surprise, log_p: np.ndarray) -> np.ndarray:
    """(N,): the nats of each note's pitch class after that of the note before it in its part."""
    tonic, mode = find_key(key_of(piece))
    classes, result = (found.pitch - tonic) % 12, np.zeros(len(found.pitch))
    for track in np.unique(found.track).tolist():
        mine = np.flatnonzero(found.track == track)
        result[mine[1:]] = -log_p[int(mode), classes[mine[:-1]], classes[mine[1:]]]
        result[mine[:1]] = result[mine].mean()
    return result


def rankings(run: Run, piece: Piece, log_p: np.ndarray) -> tuple[Surprise, dict[str, np.ndarray]]:
    """The notes that the model reads, and for each way of ranking a score of each."""
    found = surprise(run.model, piece, tokenizer=run.tokenizer)
    log_NP = pitch_log_probabilities(run.model, piece, tokenizer=run.tokenizer, of=found)
    own = -log_NP[np.arange(len(log_NP)), found.pitch]
    entropy = -(np.exp(log_NP) * log_NP).sum(axis=1)
    off = np.isin(found.pitch % 12, list(key_pitch_classes(key_of(piece))), invert=True)
    return found, {
        "all nats": found.nats,
        "pitch nats": own,
        "less the least": own + log_NP.max(axis=1),
        "less the entropy": own - entropy,
        "off the scale": off.astype(float),
        "transitions": bigrams(piece, found, log_p),
    }


def of_piece(run: Run, name: str, piece: Piece, log_p: np.ndarray) -> dict[str, float] | None:
    """The AUC of each ranking, None where no note could be moved."""
    piece = piece.until(cut(piece))
    piece, wrong = planted(piece, np.random.default_rng(zlib.crc32(name.encode())))
    found, scores = rankings(run, piece, log_p)
    drums = np.array([piece.tracks[n].is_drum for n in found.track])
    notes = zip(found.tick.tolist(), found.track.tolist(), found.pitch.tolist(), strict=True)
    is_wrong = np.array([note in wrong for note in notes])
    if not is_wrong.any():
        return None
    return {way: auc(each[~drums], is_wrong[~drums]) for way, each in scores.items()} | {"notes": int(is_wrong.sum())}


def cut(piece: Piece) -> int:
    """The tick behind the first notes."""
    starts = np.sort(np.concatenate([t.notes["start"] for t in piece.tracks]))
    return int(starts[min(MOST, len(starts)) - 1]) + 1


def with_interval(values: list[float]) -> str:
    half = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{np.mean(values):.3f} ± {half:.3f}"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, required=True, help="the collection: a folder with a folder a source")
    made.add_argument(
        "--corpus", type=Path, required=True, help="the built corpus of the model: its split test is used"
    )
    made.add_argument("--model", default="default")
    made.add_argument("--pieces", type=int, default=8, help="of each kind")
    made.add_argument("--work", type=Path, default=Path("runs/surprise"), help="read scores are kept here")
    chosen = made.parse_args()
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    chosen.work.mkdir(parents=True, exist_ok=True)
    run, log_p = load_run(chosen.model), transitions(Corpus.open(chosen.corpus))
    kinds = [kind for kind in KINDS if kind != "drums alone"]
    results: dict[str, list[dict[str, float]]] = {}
    unseen, limit = Unseen(corpus=chosen.corpus), 2 if chosen.quick else chosen.pieces
    for case in cases(chosen.data, kinds=kinds, limit=limit, unseen=unseen, work=chosen.work, say=say):
        one = of_piece(run, case.name, case.piece, log_p)
        if one is not None:
            results.setdefault(case.kind, []).append(one)
            say(f"{case.name}: " + ", ".join(f"{way} {value:.3f}" for way, value in one.items()))
    results["all"] = [one for each in results.values() for one in each]
    ways = [way for way in results["all"][0] if way != "notes"]
    rows = [
        [
            kind,
            len(each),
            int(sum(one["notes"] for one in each)),
            *(with_interval([o[way] for o in each]) for way in ways),
        ]
        for kind, each in results.items()
    ]
    header("Wrong notes planted in real pieces", "torch")
    table(["kind", "pieces", "planted", *ways], rows)


if __name__ == "__main__":
    main()

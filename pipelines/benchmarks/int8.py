"""What weights of 8 bits cost and bring: nats a note, and steps a second, of one run on one corpus.

    python pipelines/benchmarks/int8.py RUN CORPUS --pieces 10

Pieces of the validation split are read step by step, as sampling does, once with the run's own weights and once with
8 bits. Clock: CPU time of this process, one thread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from measure import header, table

from musicgen.checkpoint import load_run
from musicgen.corpus.store import Corpus
from musicgen.models import SequenceModel
from musicgen.sampling.eager import prepared


@torch.inference_mode()
def stepped(run: Any, model: SequenceModel, ids: np.ndarray) -> float:
    """Nats of a piece, a step at a time through what sampling sees."""
    steps = torch.from_numpy(ids.astype(np.int64))[None]
    fields = run.tokenizer.fields
    state, nats = None, 0.0
    for t in range(steps.shape[1] - 1):
        hidden_BTC, state = model.read(steps[:, t : t + 1], state)
        scores = model.scores(hidden_BTC[:, -1], state)
        following = steps[:, t + 1].view(1, -1)
        for number, field in enumerate(fields):
            token = int(following[0, number])
            if token or len(fields) == 1:
                logits = scores.logits_BK(number)[0]
                nats -= logits.log_softmax(-1)[token - field.first].item()
            scores.take(number, following[:, number])
    return nats


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run")
    options.add_argument("corpus")
    options.add_argument("--pieces", type=int, default=10)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    header("Weights of 8 bits", "torch")
    run, corpus = load_run(chosen.run), Corpus.open(chosen.corpus)
    pieces = [corpus.ids(record) for record in corpus.pieces("valid")[: chosen.pieces]]
    notes = sum(run.tokenizer.count_notes(ids) for ids in pieces)
    rows = []
    for int8 in (False, True):
        model = prepared(run.model, int8=int8)
        begun = time.process_time()
        nats = sum(stepped(run, model, ids) for ids in pieces)
        speed = sum(len(ids) for ids in pieces) / (time.process_time() - begun)
        rows.append(["8 bits" if int8 else "32 bits", f"{nats / notes:.4f}", f"{speed:,.0f}"])
    print(f"{run.model.n_parameters:,} parameters, {len(pieces)} pieces, {notes:,} notes\n")
    table(["weights", "nats a note", "steps/s"], rows)


if __name__ == "__main__":
    main()

"""One step of drawing, in milliseconds: a Transformer with a memory of the piece beside the same one without.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/drawing_step.py FILE ... --rounds 9

Each file is encoded as `parts`; the first steps are the prompt, and what follows is fed step by step as if it had been
drawn, every row from another place of the piece: read a step, score the fields of the next that hold a value, take
them. Sampling's own share, the grammar and the draw, is the same for both and left out, and so is reading the prompt.
Models are untrained, which changes no cost. One thread; clock: CPU time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from measure import Spread, header, interleave, parser, ratio, table
from torch import Tensor

from musicgen.composer import Source
from musicgen.models import ModelSettings, SequenceModel, build_model, select_state
from musicgen.sampling.eager import prepared
from musicgen.tokenizers import load_tokenizer

SIZES = {"192x5": {"width": 192, "layers": 5}, "256x8": {"width": 256, "layers": 8}}
ROWS = 1, 4, 8
PROMPT, STEPS, APART = 380, 40, 7  # steps of the prompt, of a round, and between rows


def model_of(shape: dict[str, int], *, with_memory: bool) -> SequenceModel:
    """A model of `parts`, ready for sampling."""
    tokenizer = load_tokenizer({"name": "parts"})
    fields = tuple((field.first, field.size) for field in tokenizer.fields)
    settings = ModelSettings(
        "transformer",
        len(tokenizer.vocabulary),
        heads=4,
        context=512,
        fields=fields,
        steps=tokenizer.memory,
        with_memory=with_memory,
        **shape,
    )
    return prepared(build_model(settings))


def drawing(model: SequenceModel, ids: np.ndarray, rows: int) -> Callable[[], None]:
    """A way to go on by STEPS steps from where it ended the last time, `rows` rows at once."""
    with torch.inference_mode():
        _, prompt = model.read(torch.from_numpy(ids[None, :PROMPT]))
        state = select_state(prompt, [0] * rows)
    begins = [PROMPT + APART * row for row in range(rows)]
    later_TBF = torch.from_numpy(np.stack([ids[begin : begin + len(ids) - begins[-1]] for begin in begins], axis=1))
    steps = itertools.pairwise(later_TBF)

    @torch.inference_mode()
    def way() -> None:
        nonlocal state
        for step_BF, next_BF in itertools.islice(steps, STEPS):
            hidden_BTC, state = model.read(step_BF[:, None], state)
            score(model, hidden_BTC[:, -1], state, next_BF)

    return way


def score(model: SequenceModel, hidden_BC: Tensor, state: object, next_BF: Tensor) -> None:
    scores = model.scores(hidden_BC, state)  # type: ignore[arg-type]
    for number, ids_B in enumerate(next_BF.unbind(1)):
        if ids_B.any():
            scores.logits_BK(number).numpy()
        scores.take(number, ids_B)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("files", nargs="+")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    header("One step of drawing", "torch", "numpy")
    encode = load_tokenizer({"name": "parts"}).encode
    rounds = chosen.rounds or 9
    pieces = [encode(Source.read(file).encoded_piece).astype(np.int64) for file in chosen.files]
    for file, ids in zip(chosen.files, pieces, strict=True):
        if len(ids) <= (least := PROMPT + STEPS * (rounds + 1) + APART * ROWS[-1]):
            raise SystemExit(
                f"{file}: {len(ids)} steps are too few; give a piece of more than {least}, or fewer --rounds"
            )
    lines = []
    for size, shape in SIZES.items():
        models = {name: model_of(shape, with_memory=name == "with") for name in ("with", "without")}
        for rows in (1,) if chosen.quick else ROWS:
            ways = {
                (name, n): drawing(model, ids, rows) for n, ids in enumerate(pieces) for name, model in models.items()
            }
            seconds = interleave({f"{name} {n}": way for (name, n), way in ways.items()}, rounds=rounds)
            found = {
                name: mean([seconds[f"{name} {n}"].each(lambda s: 1000 * s / STEPS) for n in range(len(pieces))])
                for name in models
            }
            times = f"{ratio(found['with'], found['without']):.2f}"
            lines.append([size, rows, found["with"].show(".2f"), found["without"].show(".2f"), times])
    table(["model", "rows", "with memory, ms", "without, ms", "ratio"], lines)


def mean(spreads: list[Spread]) -> Spread:
    """Round by round the mean over pieces."""
    return Spread(tuple(float(np.mean(values)) for values in zip(*(one.values for one in spreads), strict=True)))


if __name__ == "__main__":
    main()

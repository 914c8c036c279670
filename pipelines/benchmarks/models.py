"""Sampling and training speed of the models: ours beside Hugging Face's GPT-2 and a plain nn.LSTM, of 11 M parameters.

    python pipelines/benchmarks/models.py --data ../shared/data --notes 100 --rounds 5

One core, all ways in turns. The models are untrained: that changes no cost of a step, but what they draw isn't music.
So GPT-2's notes a second are its tokens a second divided by the tokens that `remi` spends on a note of real music;
ours over `notes` are counted among the steps drawn. GPT-2 draws without a grammar, ours within its own, in which the
sequence may not end, and bars are of four quarters without tempi, so that most steps are notes, as in music. Both
continue the same opening, and reading it counts. `notes` has a head a field, so its trunk is narrower: the number of
parameters is the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from measure import ROOT, Spread, header, interleave, parser, ratio, table, versus
from tokenizing import choose
from torch import Tensor, nn

from musicgen.io.midi import read_midi
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.models.hardware import bfloat16_helps
from musicgen.piece import Piece
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.eager import prepared
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import read_prompt, sample
from musicgen.tokenizers import load_tokenizer
from musicgen.tokenizers.constraints import Constraints, LengthLimits

CONTEXT, LAYERS = 1024, 6
FLAT = {"width": 384, "heads": 6}  # and GPT-2's
NOTES = {"width": 352, "heads": 8}
TAKES = 8
PROMPT = 300  # tokens of `remi`
# How many times faster than the peer ours is to be.
NOTES_ALONE, NOTES_TOGETHER, STEPS, LSTM_STEPS = 6, 4, 1.6, 5
TRAIN_DEFAULT, TRAIN_EQUAL, TRAIN_NOTES = 1.4, 1.0, 3


@dataclass(frozen=True)
class Music:
    """The same opening twice, and what real music takes: ids of `remi` and rows of `notes`."""

    tokens: np.ndarray
    rows: np.ndarray
    tokens_a_note: float
    rows_a_note: float


def music_of(files: Sequence[str]) -> Music:
    """The opening of the first file that is long enough, and the averages of all files."""
    remi, notes = (load_tokenizer({"name": name}) for name in ("remi", "notes"))
    opening: tuple[np.ndarray, np.ndarray] | None = None
    count = tokens = rows = 0
    for file in files:
        piece = read_midi(file)
        flat, fields = remi.encode(piece), notes.encode(piece)
        count, tokens, rows = count + notes.count_notes(fields), tokens + len(flat), rows + len(fields)
        if opening is None and len(flat) > 4 * PROMPT:
            opening = cut(piece, flat, fields)
    if opening is None:
        raise SystemExit("no file is long enough to continue: give another --data")
    return Music(*opening, tokens / count, rows / count)


def cut(piece: Piece, flat: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bars of a piece that take at most about PROMPT tokens of `remi`, and the same bars as rows of `notes`."""
    remi, notes = (load_tokenizer({"name": name}) for name in ("remi", "notes"))
    bars = remi.bar_positions(flat)
    bar = max(1, int(np.searchsorted(bars, PROMPT, side="right")) - 1)
    return flat[: bars[bar]], fields[: notes.bar_positions(fields)[bar]]


# ---- the models --------------------------------------------------------------------------------


def ours(name: str, *, dropout: float = 0.0) -> SequenceModel:
    """Our Transformer over the steps of a tokenizer."""
    tokenizer = load_tokenizer({"name": name})
    fields = tuple((field.first, field.size) for field in tokenizer.fields) if len(tokenizer.fields) > 1 else ()
    shape = NOTES if fields else FLAT
    return build_model(
        ModelSettings(
            "transformer",
            len(tokenizer.vocabulary),
            layers=LAYERS,
            context=CONTEXT,
            dropout=dropout,
            fields=fields,
            **shape,
        )
    )


def gpt2(*, dropout: float = 0.1) -> Any:
    """GPT-2 of Hugging Face over `remi`, of the same shape; its dropout is 0.1 by default, in the attention too."""
    from transformers import GPT2Config, GPT2LMHeadModel

    logging.getLogger("transformers").setLevel(logging.ERROR)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(load_tokenizer({"name": "remi"}).vocabulary),
        n_positions=CONTEXT,
        n_embd=FLAT["width"],
        n_layer=LAYERS,
        n_head=FLAT["heads"],
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return GPT2LMHeadModel(config)


class PlainLSTM(nn.Module):
    """What one writes first: an embedding, nn.LSTM and a linear layer."""

    def __init__(self, vocabulary_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocabulary_size)

    def forward(self, ids_BT: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        hidden_BTC, state = self.lstm(self.embedding(ids_BT), state)
        return self.head(hidden_BTC), state


# ---- sampling ----------------------------------------------------------------------------------


def sampler(
    model: SequenceModel, name: str, prompt: np.ndarray, *, steps: int, takes: int, int8: bool = False
) -> Callable[[], int]:
    """A way to draw `takes` sequences of `steps` steps after the prompt; it returns the notes of all of them."""
    tokenizer = load_tokenizer({"name": name})
    decoder = EagerDecoder(model, int8=int8)

    def way() -> int:
        read = read_prompt(decoder, prompt, grammar=tokenizer.grammar())
        read.grammar.constrain(Constraints(length=LengthLimits(may_end=False, tempo_changes=False, meter=(4, 4))))
        drawn = sample(
            decoder,
            read,
            fields=tokenizer.fields,
            settings=SamplingSettings(),
            generators=[torch.Generator().manual_seed(seed) for seed in range(takes)],
            max_steps=steps,
        )
        if any(len(ids) != steps for ids in drawn):
            raise RuntimeError("a take ended early, so its speed would be wrong")
        return sum(tokenizer.count_notes(ids) for ids in drawn)

    return way


def generator_of(model: Any, prompt: np.ndarray, *, steps: int, takes: int) -> Callable[[], None]:
    """A way to draw the same with `generate`: key/value cache, top-p 0.95 as ours, no grammar."""
    model.eval()
    ids_BT = torch.from_numpy(prompt.astype(np.int64))[None]

    def way() -> None:
        with torch.inference_mode():
            drawn_BT = model.generate(
                ids_BT,
                attention_mask=torch.ones_like(ids_BT),
                do_sample=True,
                top_p=0.95,
                top_k=0,
                use_cache=True,
                num_return_sequences=takes,
                max_new_tokens=steps,
                min_new_tokens=steps,
            )
        if drawn_BT.shape != (takes, len(prompt) + steps):
            raise RuntimeError("generate ended early, so its speed would be wrong")

    return way


def sampling(music: Music, *, notes: int, takes: int, rounds: int) -> None:
    """Measure takes of `notes` notes (as far as real music tells): GPT-2, ours flat, ours over `notes`."""
    tokens, rows = round(notes * music.tokens_a_note), round(notes * music.rows_a_note)
    over_notes = sampler(ours("notes"), "notes", music.rows, steps=rows, takes=takes)
    drawn = over_notes()
    ways = {
        "GPT-2, generate": generator_of(gpt2(), music.tokens, steps=tokens, takes=takes),
        "ours over remi": sampler(ours("remi"), "remi", music.tokens, steps=tokens, takes=takes),
        "ours over notes": over_notes,
    }
    for name, prompt, steps in (("remi", music.tokens, tokens), ("notes", music.rows, rows)):
        ways[f"ours over {name}, int8"] = sampler(ours(name), name, prompt, steps=steps, takes=takes, int8=True)
    seconds = interleave(ways, rounds=rounds)
    base = seconds["GPT-2, generate"]
    target = NOTES_ALONE if takes == 1 else NOTES_TOGETHER
    lines = []
    for name, spent in seconds.items():
        steps = takes * (rows if "notes" in name else tokens)
        written = drawn if "notes" in name else steps / music.tokens_a_note
        step_times = ratio(base, spent) * steps / (takes * tokens)
        note_times = ratio(base, spent) * written / (takes * tokens / music.tokens_a_note)
        verdicts = ["1.0 x", "1.0 x"]
        if "remi" in name:
            verdicts = [versus(step_times, STEPS, form=".2f") if takes == 1 else f"{step_times:.2f} x"]
            verdicts.append(f"{note_times:.2f} x")
        elif "notes" in name:
            verdicts = [versus(step_times, STEPS, form=".2f") if takes == 1 else f"{step_times:.2f} x"]
            verdicts.append(versus(note_times, target, form=".2f"))
        lines.append([name, speed(spent, steps), speed(spent, written), *verdicts])
    print(f"### Sampling, {takes} at once\n")
    print(f"{tokens} tokens or {rows} rows a take; of all rows drawn {drawn / (takes * rows):.0%} are notes\n")
    table(["what", "steps/s", "notes/s", "steps/s against GPT-2", "notes/s against GPT-2"], lines)
    print()


def lstm_sampling(music: Music, *, steps: int, rounds: int) -> None:
    """Measure an LSTM of two layers of 512 over `remi`, the step alone and with the draw, beside nn.LSTM."""
    V = len(load_tokenizer({"name": "remi"}).vocabulary)
    fast = prepared(build_model(ModelSettings("lstm", V, width=512, layers=2)))
    plain = PlainLSTM(V, 512, 2).eval()
    ids_T11 = torch.from_numpy(np.resize(music.tokens, steps).astype(np.int64)).view(-1, 1, 1)

    @torch.inference_mode()
    def bare_ours() -> None:
        state = None
        for ids_11 in ids_T11:
            hidden_BTC, state = fast.read(ids_11, state)
            fast.scores(hidden_BTC[:, -1]).logits_BK(0)

    @torch.inference_mode()
    def bare_plain() -> None:
        state = None
        for ids_11 in ids_T11:
            _, state = plain(ids_11, state)

    @torch.inference_mode()
    def loop_plain() -> None:
        """The prompt, then a draw from the whole softmax each step: neither top-p nor a grammar."""
        logits_BTV, state = plain(torch.from_numpy(music.tokens.astype(np.int64))[None])
        for _ in range(steps):
            id_B1 = torch.multinomial(logits_BTV[:, -1].softmax(dim=-1), 1)
            logits_BTV, state = plain(id_B1, state)

    ways = {
        "nn.LSTM, the step alone": bare_plain,
        "ours, the step alone": bare_ours,
        "nn.LSTM, softmax and multinomial": loop_plain,
        "ours, the whole sampler": sampler(fast, "remi", music.tokens, steps=steps, takes=1),
    }
    seconds = interleave(ways, rounds=rounds)
    alone, drawn = seconds["nn.LSTM, the step alone"], seconds["nn.LSTM, softmax and multinomial"]
    lines = []
    for name, spent in seconds.items():
        times = ratio(alone if "alone" in name else drawn, spent)
        verdict = versus(times, LSTM_STEPS, form=".2f") if name.startswith("ours") else "1.0 x"
        lines.append([name, speed(spent, steps), verdict])
    print("### LSTM of two layers of 512, one take\n")
    table(["what", "steps/s", "against nn.LSTM"], lines)
    print()


# ---- training ----------------------------------------------------------------------------------


def training(music: Music, *, batch: int, length: int, precision: str, rounds: int) -> None:
    """Measure one optimizer step (AdamW, gradients clipped) at equal batch and length, with and without dropout."""
    ways = {
        "GPT-2, dropout 0.1": step_of(gpt2(), music.tokens, batch=batch, length=length, precision=precision),
        "GPT-2, dropout 0": step_of(gpt2(dropout=0.0), music.tokens, batch=batch, length=length, precision=precision),
    }
    for name, ids in (("remi", music.tokens), ("notes", music.rows)):
        for dropout in (0.1, 0.0):
            model = ours(name, dropout=dropout)
            way = step_of(model, ids, batch=batch, length=length, precision=precision)
            ways[f"ours over {name}, dropout {dropout:g}"] = way
    seconds = interleave(ways, rounds=rounds)
    lines = []
    for name, spent in seconds.items():
        per_note = music.rows_a_note if "notes" in name else music.tokens_a_note
        cells = ["1.0 x" if name.startswith("GPT-2") else "", ""]
        if not name.startswith("GPT-2"):
            base = seconds["GPT-2, dropout 0.1" if name.endswith("0.1") else "GPT-2, dropout 0"]
            times = ratio(base, spent)
            target = TRAIN_DEFAULT if name.endswith("0.1") else TRAIN_EQUAL
            cells = [versus(times, target, form=".2f"), f"{times:.2f} x"]
            if "notes" in name:
                times_notes = times * music.tokens_a_note / music.rows_a_note
                cells = [f"{times:.2f} x", versus(times_notes, TRAIN_NOTES, form=".2f")]
        lines.append([name, speed(spent, batch * length), speed(spent, batch * length / per_note), *cells])
    print(f"### Training, {batch} x {length} steps, {precision}\n")
    table(["what", "steps/s", "notes/s", "steps/s against GPT-2, same dropout", "notes/s against it"], lines)
    print()


def step_of(model: Any, ids: np.ndarray, *, batch: int, length: int, precision: str) -> Callable[[], None]:
    """A way to take one training step on a batch made of `ids` over and over."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    whole = np.concatenate([ids] * (batch * (length + 1) // len(ids) + 1))[: batch * (length + 1)]
    ids_BT = torch.from_numpy(whole.astype(np.int64).reshape(batch, length + 1, *ids.shape[1:]))
    inputs, targets = ids_BT[:, :-1].contiguous(), ids_BT[:, 1:].contiguous()
    flat_loss = nn.CrossEntropyLoss()

    def loss() -> Tensor:
        if isinstance(model, SequenceModel):
            nats, _ = model.nats(inputs, targets, pad=0)
            return nats.sum() / (targets != 0).sum()
        logits_BTV = model(inputs, use_cache=False).logits
        return flat_loss(logits_BTV.float().flatten(0, 1), targets.flatten())

    def way() -> None:
        half = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
        with half:
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return way


# ---- all of it ---------------------------------------------------------------------------------


def speed(spent: Spread, amount: float) -> str:
    return spent.each(lambda seconds: amount / seconds).show(",.0f")


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--data", default=str(ROOT.parent / "shared" / "data"), help="a folder of MIDI files")
    made.add_argument("--files", type=int, default=40, help="how many of them tell what a note takes")
    made.add_argument("--notes", type=int, default=100, help="notes a take")
    made.add_argument("--only", choices=("sampling", "lstm", "training"), help="one part of it")
    chosen = made.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    notes, batch, length = (20, 1, 256) if chosen.quick else (chosen.notes, 4, 512)
    header("Models", "torch", "transformers")
    with tempfile.TemporaryDirectory() as folder:
        music = music_of(choose(chosen.data, chosen.files, Path(folder, "made")))
    print(f"the opening: {len(music.tokens)} tokens of remi, {len(music.rows)} rows of notes; a note takes ", end="")
    print(f"{music.tokens_a_note:.2f} tokens or {music.rows_a_note:.2f} rows; {rounds} rounds, CPU time, one thread\n")
    sizes = [("GPT-2", gpt2().num_parameters()), *((name, ours(name).n_parameters) for name in ("remi", "notes"))]
    shapes = [f"{LAYERS} x {shape['width']}, {shape['heads']} heads" for shape in (FLAT, FLAT, NOTES)]
    table(["model", "parameters", "shape"], [[*size, shape] for size, shape in zip(sizes, shapes, strict=True)])
    print()
    if chosen.only in (None, "sampling"):
        for takes in (1, TAKES):
            sampling(music, notes=notes, takes=takes, rounds=rounds)
    if chosen.only in (None, "lstm"):
        lstm_sampling(music, steps=100 if chosen.quick else 500, rounds=rounds)
    if chosen.only in (None, "training"):
        for precision in ("float32", "bfloat16") if bfloat16_helps(torch.device("cpu")) else ("float32",):
            training(music, batch=batch, length=length, precision=precision, rounds=rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

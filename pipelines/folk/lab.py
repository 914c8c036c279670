"""The folk-tune lab: the character model of MIT 6.S191's music lab beside ours, on one split of the same tunes.

    python pipelines/folk/lab.py --data ../shared/data/mit_irish_abc/irish.abc --work runs/folk

Both learn from the training tunes alone (90% by hash of the tune) and are scored on the valid ones in nats a
character. Scored are all characters of a tune from its `X` to its last line break, and the sign of its end: an empty
line for the lab's model, EOS for ours. Each tune has its own beginning: an empty line before it, or BOS. Ours may use
no more CPU time for training than the lab's model took; its evaluation while training counts too.

Then tunes are drawn at temperature 1 without any other filter. Counted are those that musicgen reads as one tune, no
sign of it passed over, and of these the ones with at least 8 bars that hold notes. The lab's model goes on from `X`
until an empty line.

Source of the lab's settings: aamini/introtodeeplearning, lab 1, part 2: embedding 256, LSTM 1024, batches of 8
windows of 100 characters, Adam 5e-3, 3000 steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from judging import judge
from torch import Tensor, nn

from musicgen.checkpoint import load_run
from musicgen.composer import Composer
from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.store import Corpus
from musicgen.evaluation.likelihood import evaluate
from musicgen.events import Event, Step
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings
from musicgen.tokenizers import Abc
from musicgen.training.loop import train

STEPS, BATCH, LENGTH, RATE, WIDTH = 3000, 8, 100, 5e-3, 1024
LONGEST = 2000  # characters of a tune that the lab's model draws
# The budget shapes the learning rate; `steps` only has to be out of reach.
OURS = Recipe(
    {"family": "lstm", "width": 512, "layers": 2, "context": 512, "dropout": 0.25},
    TrainSettings(steps=100_000, batch=8, length=256, learning_rate=3e-3, evaluate_every=100),
    AugmentSettings(transpose_low=0, transpose_high=0, tempo_steps=0),
)


class Lab(nn.Module):
    """The lab's model. Shapes: B batch, T time, V vocabulary."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, 256)
        self.lstm = nn.LSTM(256, width, batch_first=True)
        self.out = nn.Linear(width, size)

    def forward(self, ids_BT: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple]:
        hidden_BTC, state = self.lstm(self.embedding(ids_BT), state)
        return self.out(hidden_BTC), state  # logits_BTV


def train_lab(text: str, alphabet: str, *, steps: int, width: int, seed: int = 0) -> tuple[Lab, float]:
    """The lab's model after its training, and the CPU seconds that took."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ids = torch.tensor([alphabet.index(c) for c in text])
    model = Lab(len(alphabet), width)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    began = time.process_time()
    for step in range(steps):
        at = rng.integers(0, len(ids) - LENGTH - 1, BATCH)
        rows_BT = torch.stack([ids[i : i + LENGTH + 1] for i in at])
        logits_BTV, _ = model(rows_BT[:, :-1])
        loss = nn.functional.cross_entropy(logits_BTV.flatten(0, 1), rows_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(
                f"lab: step {step + 1}/{steps}, loss {loss.item():.3f}, {time.process_time() - began:.0f} s", flush=True
            )
    return model.eval(), time.process_time() - began


@torch.inference_mode()
def score_lab(model: Lab, tunes: list[str], alphabet: str) -> tuple[float, int]:
    """(nats a character, characters) of tunes, each after an empty line and with one behind it."""
    total, count = 0.0, 0
    for tune in tunes:
        ids = torch.tensor([alphabet.index(c) for c in f"\n\n{tune}\n"])
        logits_BTV, _ = model(ids[None, :-1])
        nats_T = nn.functional.cross_entropy(logits_BTV[0], ids[1:], reduction="none")[1:]
        total, count = total + float(nats_T.sum()), count + len(nats_T)
    return total / count, count


@torch.inference_mode()
def sample_lab(model: Lab, alphabet: str, *, count: int, longest: int, seed: int = 0) -> list[str]:
    """Tunes drawn freely from `X` on, until an empty line or for `longest` characters."""
    generator = torch.Generator().manual_seed(seed)
    ids_B1 = torch.full((count, 1), alphabet.index("X"))
    texts, state = ["X"] * count, None
    for _ in range(longest):
        logits_BTV, state = model(ids_B1, state)
        ids_B1 = torch.multinomial(logits_BTV[:, -1].softmax(-1), 1, generator=generator)
        texts = [
            t if t.endswith("\n\n") else t + alphabet[i] for t, i in zip(texts, ids_B1[:, 0].tolist(), strict=True)
        ]
        if all(t.endswith("\n\n") for t in texts):
            break
    return [t.rstrip("\n") + "\n" for t in texts]


def _tell(progress: Event) -> None:
    if isinstance(progress, Step) and progress.valid is not None:
        print(f"ours: step {progress.done}, valid {progress.valid:.4f}, {progress.seconds:.0f} s", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="irish.abc")
    parser.add_argument("--work", required=True, type=Path, help="a folder for corpus, runs and tunes")
    parser.add_argument("--tunes", type=int, default=200, help="tunes to draw of each")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, and small: does it run?")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    steps, tunes = (3, 2) if options.quick else (STEPS, options.tunes)
    width, longest = (64, 200) if options.quick else (WIDTH, LONGEST)  # untrained, it hardly ever ends a tune

    tokenizer, folder = Abc(), options.work / "corpus"
    settings = BuildSettings(valid=0.1, test=0.0, licence="MIT")
    corpus = (
        Corpus.open(folder)
        if (folder / "corpus.json").is_file()
        else build_corpus([options.data], folder, tokenizer=tokenizer, jobs=1, settings=settings)
    )
    texts = {name: [tokenizer.text(corpus.ids(r)) for r in corpus.pieces(name)] for name in ("train", "valid")}
    alphabet = "".join(sorted({c for tune in (*texts["train"], *texts["valid"]) for c in tune}))
    print(f"{len(texts['train'])} tunes to train on, {len(texts['valid'])} valid, {len(alphabet)} symbols", flush=True)

    lab, lab_seconds = train_lab("\n".join(texts["train"]), alphabet, steps=steps, width=width)
    if options.quick:
        texts["valid"] = texts["valid"][:2]
    lab_nats, scored = score_lab(lab, texts["valid"], alphabet)
    lab_tunes = sample_lab(lab, alphabet, count=tunes, longest=longest)

    recipe = OURS
    if options.quick:
        recipe = replace(
            OURS, model={**OURS.model, "width": 64}, train=replace(OURS.train, steps=3, evaluate_tokens=512)
        )
    began = time.process_time()
    # A step is finished before the clock is asked, and the last validation comes after it.
    budget = 1e9 if options.quick else 0.97 * lab_seconds
    ours = options.work / "ours"
    train(
        corpus,
        tokenizer,
        recipe=recipe,
        folder=ours,
        max_seconds=budget,
        clock=time.process_time,
        device="cpu",
        listener=_tell,
    )
    our_seconds = time.process_time() - began
    run = load_run(ours)
    most = 600 if options.quick else None
    figures = evaluate(run.model, corpus, tokenizer, split="valid", max_tokens=most)
    if not options.quick and figures.tokens != scored:
        raise SystemExit(f"the lab's model was scored on {scored} characters, ours on {figures.tokens}")
    drawn_by_us = Composer(run, device="cpu").generate(temperature=1.0, top_p=1.0, takes=tunes)
    our_tunes = [str(take.text) for take in drawn_by_us]

    rows = [
        ("6.S191 lab", sum(p.numel() for p in lab.parameters()), lab_seconds, lab_nats, lab_tunes),
        ("musicgen, abc", run.model.n_parameters, our_seconds, figures.nats_per_token, our_tunes),
    ]
    results = []
    print("\n| model | parameters | CPU s of training | valid nats a character | tunes that are read | with 8 bars |")
    print("|---|---|---|---|---|---|")
    for name, parameters, seconds, nats, drawn in rows:
        read, good = judge(drawn)
        (options.work / f"{name.split()[0].rstrip(',')}.abc").write_text("\n".join(drawn), encoding="utf-8")
        print(f"| {name} | {parameters:,} | {seconds:.0f} | {nats:.4f} | {read}/{tunes} | {good}/{tunes} |", flush=True)
        results.append({"model": name, "parameters": parameters, "cpu_seconds": seconds, "nats_per_character": nats,
                        "tunes": tunes, "read": read, "with_8_bars": good})  # fmt: skip
    (options.work / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

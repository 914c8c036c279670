"""What a GPU makes of training and sampling, in one call of under ten minutes.

    python pipelines/benchmarks/gpu.py --seconds 20

Prints the card's own ceilings (bfloat16 matrix products, copies within its memory), then

- training: model FLOP utilisation of a Transformer of 85 M parameters over `notes` steps in bfloat16, as written and
  compiled, and the LSTM on cuDNN; data come from pinned memory, and no step waits for a number;
- sampling: steps a second at batch 1 and 64, as written and, for the LSTM, replayed as a CUDA graph, beside Hugging
  Face GPT-2 `generate` of the same size where transformers is installed.

FLOPs a step of training are 6 times the parameters that multiply plus attention's 12 * layers * width * length
(Chowdhery et al. 2022, "PaLM", appendix B). Without a GPU, `--device cpu --quick` runs every line on toy sizes; its
figures say nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from measure import header, parser, table

from musicgen.models import ModelSettings, SequenceModel, build_model, select_state
from musicgen.sampling.eager import prepared
from musicgen.tokenizers import Notes

NOTES = Notes()


def settings(family: str, *, quick: bool) -> ModelSettings:
    """The model to measure; toy sizes with `quick`."""
    sizes: dict[str, Any] = (
        {"width": 64, "layers": 2, "heads": 2, "context": 128}
        if quick
        else {"width": 768, "layers": 12 if family == "transformer" else 4, "heads": 12, "context": 1024}
    )
    fields = tuple((f.first, f.size) for f in NOTES.fields)
    return ModelSettings(family, len(NOTES.vocabulary), fields=fields, **sizes)


def steps_of(rows: int, length: int, device: torch.device) -> torch.Tensor:
    """Random notes, ids_BTF, on the device."""
    columns = [torch.randint(f.first, f.first + f.size, (rows, length)) for f in NOTES.fields]
    ids = torch.stack(columns, dim=-1)
    return ids.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else ids.to(device)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], Any], device: torch.device, *, seconds: float) -> float:
    """How often a second `work` is done, after three times that don't count."""
    for _ in range(3):
        work()
    wait(device)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(5):
            work()
        wait(device)
        count += 5
    return count / (time.perf_counter() - begun)


def ceilings(device: torch.device, *, seconds: float, quick: bool) -> tuple[float, float]:
    """(FLOP/s of bfloat16 matrix products, bytes/s of copies) that the card itself reaches."""
    n = 256 if quick else 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    products = rate(lambda: a @ b, device, seconds=seconds) * 2 * n**3
    source = torch.empty((1 if quick else 256) * 2**20, device=device, dtype=torch.float32)
    target = torch.empty_like(source)
    copies = rate(lambda: target.copy_(source), device, seconds=seconds) * 2 * source.numel() * 4
    return products, copies


def training(model: SequenceModel, device: torch.device, *, rows: int, seconds: float, compiled: bool) -> float:
    """Steps of notes a second through forward, backward and optimizer."""
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    nats_of = torch.compile(model.nats) if compiled else model.nats
    ids = steps_of(rows, model.settings.context + 1, device)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            nats, _ = nats_of(ids[:, :-1], ids[:, 1:], pad=0)
        optimizer.zero_grad(set_to_none=True)
        nats.mean().backward()
        optimizer.step()

    return rate(step, device, seconds=seconds) * rows * model.settings.context


def flops_a_step(model: SequenceModel) -> float:
    """FLOPs of forward and backward for one step of notes; tables that are looked up multiply nothing."""
    s = model.settings
    looked_up = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding))
    attention = 12 * s.layers * s.width * s.context if s.family == "transformer" else 0
    return 6 * (model.n_parameters - looked_up) + attention


@torch.inference_mode()
def sampling(model: SequenceModel, device: torch.device, *, rows: int, seconds: float) -> float:
    """Steps a second of all rows: read, and all five fields chosen on the device."""
    model = prepared(model.to(device))
    ids = steps_of(rows, 2, device)
    _, state = model.read(ids[:1, :1])
    state = select_state(state, [0] * rows)
    holder = {"state": state}

    def step() -> None:
        hidden_BTC, holder["state"] = model.read(ids[:, 1:], holder["state"])
        _choose(model, hidden_BTC[:, -1])

    return rate(step, device, seconds=seconds) * rows


@torch.inference_mode()
def sampling_graph(model: SequenceModel, device: torch.device, *, rows: int, seconds: float) -> float | None:
    """The same for an LSTM, whose state has one size, captured once and replayed. None without CUDA."""
    if device.type != "cuda" or model.settings.family != "lstm":
        return None
    model = prepared(model.to(device))
    ids = steps_of(rows, 1, device)
    _, state = model.read(ids)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            model.read(ids, state)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        hidden_BTC, after = model.read(ids, state)
        _choose(model, hidden_BTC[:, -1])
        state.hidden_LBC.copy_(after.hidden_LBC)
        state.cell_LBC.copy_(after.cell_LBC)
    return rate(graph.replay, device, seconds=seconds) * rows


def _choose(model: SequenceModel, hidden_BC: torch.Tensor) -> None:
    scores = model.scores(hidden_BC)
    for number, field in enumerate(NOTES.fields):
        # The exponential race draws from the softmax without leaving the device.
        share_BK = scores.logits_BK(number).softmax(-1)
        scores.take(number, field.first + (share_BK / torch.empty_like(share_BK).exponential_()).argmax(-1))


def hugging_face(device: torch.device, *, rows: int, quick: bool, seconds: float) -> float | None:
    """Tokens a second of GPT-2 `generate` with its cache, of the Transformer's size; None without transformers."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    s = settings("transformer", quick=quick)
    config = GPT2Config(
        vocab_size=s.vocabulary_size,
        n_embd=s.width,
        n_layer=s.layers,
        n_head=s.heads,
        n_positions=s.context,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = GPT2LMHeadModel(config).to(device).eval()
    if device.type == "cuda":
        model = model.to(torch.bfloat16)
    prompt = torch.ones(rows, 1, dtype=torch.long, device=device)
    length = 16 if quick else 256

    def go() -> None:
        model.generate(prompt, do_sample=True, max_new_tokens=length, min_new_tokens=length, pad_token_id=0)

    go()
    wait(device)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        go()
        wait(device)
        count += rows * length
    return count / (time.perf_counter() - begun)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    chosen = options.parse_args()
    device, quick = torch.device(chosen.device), chosen.quick
    seconds = 0.2 if quick else chosen.seconds
    header("GPU", "torch", "transformers")
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    products, copies = ceilings(device, seconds=min(3.0, seconds), quick=quick)
    print(
        f"ceilings: {products / 1e12:.1f} TFLOP/s in bfloat16 products, {copies / 1e9:.0f} GB/s in copies\n", flush=True
    )

    rows = []
    for family, compiled in (("transformer", False), ("transformer", True), ("lstm", False)):
        model = build_model(settings(family, quick=quick))
        done = training(model, device, rows=2 if quick else 32, seconds=seconds, compiled=compiled)
        spent = done * flops_a_step(model)
        rows.append(
            [
                family + (", compiled" if compiled else ""),
                f"{model.n_parameters / 1e6:.0f} M",
                f"{done:,.0f}",
                f"{spent / 1e12:.1f}",
                f"{100 * spent / products:.0f} %",
            ]
        )
        print(" | ".join(rows[-1]), flush=True)
    table(["training", "parameters", "steps/s", "TFLOP/s", "of the products' ceiling"], rows)

    rows = []
    for family in ("transformer", "lstm"):
        for batch in (1, 64):
            model = build_model(settings(family, quick=quick))
            plain = sampling(model, device, rows=batch, seconds=seconds)
            graph = sampling_graph(model, device, rows=batch, seconds=seconds)
            peer = hugging_face(device, rows=batch, quick=quick, seconds=seconds) if family == "transformer" else None
            rows.append([family, batch, *(f"{value:,.0f}" if value else "-" for value in (plain, graph, peer))])
            print(" | ".join(map(str, rows[-1])), flush=True)
    table(["sampling", "batch", "steps/s", "as a CUDA graph", "GPT-2 generate, tokens/s"], rows)


if __name__ == "__main__":
    main()

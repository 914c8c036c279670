"""The one training loop: next-step prediction, for every model and tokenizer. A token is a step.

Step s is a function of (recipe, corpus, s): the data are drawn from (seed, step) and dropout is seeded by it, so
a resumed run equals one that was never interrupted, as long as no time limit shapes the learning rate.
"""

from __future__ import annotations

import contextlib
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import load_checkpoint, model_for, save_checkpoint, save_run
from musicgen.errors import CheckError, UsageError
from musicgen.io.atomic import write_text
from musicgen.models import SequenceModel
from musicgen.recipe import Recipe, recipe_toml
from musicgen.training.batches import Batches, TokenSource, validation_windows
from musicgen.training.optimizers import make_optimizers
from musicgen.training.schedule import learning_rate

__all__ = ["Progress", "choose_device", "train"]

# Steps of warm-up that even the shortest run needs: a tiny Transformer on chorales stood at 4.9 nats after 100 steps
# with 9 of them, at 4.2 with 40.
LEAST_WARMUP = 50
STEPS_AHEAD = 20  # of a GPU
LOG_COLUMNS = ("step", "seconds", "train_nats_per_token", "valid_nats_per_token", "learning_rate", "gradient_norm")


@dataclass(frozen=True)
class Progress:
    """What the loop tells after each step. `valid` (nats a token) is None where it was not measured."""

    step: int
    steps: int
    loss: float
    valid: float | None
    best: float | None
    tokens_per_second: float
    seconds: float
    seconds_left: float


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; any other name is taken as it is. UsageError if it isn't there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"no device {name!r} on this machine", hint="use --device auto") from None
    return device


def train(
    source: TokenSource,
    tokenizer: Any,
    *,
    recipe: Recipe,
    folder: str | Path,
    card: dict[str, Any] | None = None,
    resume: bool = False,
    max_seconds: float | None = None,
    device: str = "auto",
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoint_seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Train a model into the run folder and return the card that lies there.

    Stops after the recipe's steps or `max_seconds`, whichever comes first; the learning rate follows whichever
    is nearer its end; `clock` may be `time.process_time`, to compare runs on a busy machine.
    On KeyboardInterrupt the last checkpoint is saved and the interrupt goes on to the caller.
    Raises UsageError when the folder holds a run and `resume` is False, CheckError when the loss is not a number.
    """
    folder, settings = Path(folder), recipe.train
    last, best_folder = folder / "checkpoints" / "last", folder / "checkpoints" / "best"
    if not resume and (folder / "checkpoints").exists():
        raise UsageError("already holds a run", where=folder, hint="pass --resume to go on, or choose another folder")
    target = choose_device(device)
    folder.mkdir(parents=True, exist_ok=True)
    model = model_for(recipe, tokenizer)
    model.to(target)
    optimizers = make_optimizers(
        model, settings.optimizer, weight_decay=settings.weight_decay, half=_multiplies_in_bfloat16(target)
    )
    begin, before, best = 0, 0.0, None
    if resume:
        state = load_checkpoint(last, model=model, optimizers=optimizers)
        begin, before, best = state["step"], state["seconds"], state["best"]

    autocast = _autocast(target, settings.precision, model.settings.family)
    batches = Batches(
        source, tokenizer, length=settings.length, batch=settings.batch, seed=settings.seed, augment=recipe.augment
    )
    pad = batches.pad
    windows = validation_windows(
        source,
        split="valid",
        length=settings.length,
        batch=settings.batch,
        max_tokens=settings.evaluate_tokens,
        pad=pad,
    )
    # From the first step on, so that even a run that is killed can be resumed.
    write_text(folder / "recipe.toml", recipe_toml(recipe), overwrite=True)
    log = _Log(folder, resume_at=begin if resume else None)
    started = saved = clock()
    budget = None if max_seconds is None else before + max_seconds
    window_tokens, window_start = 0, started
    recent: list[float] = []
    waiting: list[torch.Tensor] = []  # losses that have not been asked for
    value = math.nan
    step, seconds, speed = begin, before, 0.0

    def keep_last() -> None:
        state = {"step": step, "seconds": seconds, "best": best}
        save_checkpoint(last, model=model, optimizers=optimizers, state=state)

    def keep_best() -> None:
        save_checkpoint(best_folder, model=model, state={"step": step, "valid_nats_per_token": best})
        export(best_step=step)

    def export(*, best_step: int) -> dict[str, Any]:
        """Put the model as it stands, and what is known of it, where users of the run look."""
        full = {
            **(card or {}),
            "family": model.settings.family,
            "parameters": model.n_parameters,
            "steps": step,
            "best_step": best_step,
            "seconds": round(seconds, 1),
            "tokens_seen": step * settings.batch * settings.length,
            "valid_nats_per_token": best,
            "valid_tokens": sum(_steps(targets != pad) for _, targets in windows),
        }
        save_run(folder, model=model, tokenizer=tokenizer, recipe=recipe, card=full)
        return full

    def finish() -> dict[str, Any]:
        """Save what resuming needs, then leave the best weights for use."""
        keep_last()
        if not best_folder.exists():  # no validation yet, or none to be had
            keep_best()
        state = load_checkpoint(best_folder, model=model)
        return export(best_step=state["step"])

    try:
        while step < settings.steps:
            share = step / settings.steps
            if budget is not None:
                share = max(share, (before + clock() - started) / budget)
            rate = learning_rate(share, peak=settings.learning_rate, warmup=settings.warmup)
            rate = min(rate, settings.learning_rate * (step + 1) / LEAST_WARMUP)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
            inputs_BT, targets_BT = batches(step)
            scored = targets_BT != pad  # with fields (B, T, F)
            n_values, n_steps = int(scored.sum()), max(1, _steps(scored))
            inputs_BT, targets_BT = _to(target, inputs_BT), _to(target, targets_BT)
            model.train()
            with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
                torch.manual_seed(hash((settings.seed, step)) & 0x7FFFFFFF)  # dropout; the caller's state stays
                with autocast():
                    nats, _ = model.nats(inputs_BT, targets_BT, pad=pad)
                total = nats.sum()
            model.zero_grad(set_to_none=True)
            # By the values that were chosen, so that gradients are of one size with and without fields.
            (total / n_values).backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            for optimizer in optimizers:
                optimizer.step()
            step += 1
            # A GPU works ahead of this loop; asking it for a number each step would make it wait.
            waiting.append(total.detach() / n_steps)  # a token is a step, whatever its fields
            now = clock()
            seconds = before + now - started
            over = budget is not None and seconds >= budget
            last_one = over or step == settings.steps or step % settings.evaluate_every == 0
            if target.type == "cpu" or len(waiting) == STEPS_AHEAD or last_one:
                values = torch.stack(waiting).tolist()
                waiting, value = [], next((v for v in values if not math.isfinite(v)), values[-1])
                if not math.isfinite(value):
                    raise CheckError(
                        f"the loss is {value} at step {step}",
                        where=folder,
                        hint="lower learning_rate in the recipe",
                    )
                recent += values
            window_tokens += targets_BT.shape[0] * targets_BT.shape[1]
            speed = window_tokens / max(now - window_start, 1e-9)
            valid = None
            if last_one:
                valid = _validate(model, windows, target, autocast, pad)
                log.write(step, seconds, sum(recent) / max(1, len(recent)), valid, rate, norm.item())
                recent = []
                if valid is not None and (best is None or valid < best):
                    best = valid
                    keep_best()
                window_tokens, window_start = 0, clock()  # validation is not training speed
            left = (settings.steps - step) * (seconds - before) / (step - begin)
            if budget is not None:
                left = min(left, budget - seconds)
            report(Progress(step, settings.steps, value, valid, best, speed, seconds, max(0.0, left)))
            if over:
                break
            if now - saved > checkpoint_seconds:
                keep_last()
                saved = clock()
    except KeyboardInterrupt:
        # A second Ctrl-C while saving is the user's right; the checkpoint before it is still whole.
        finish()
        raise
    return finish()


def _autocast(device: torch.device, precision: str, family: str) -> Callable[[], Any]:
    """bfloat16 where it helps: on CUDA, and for Transformers on CPUs that have the instructions."""
    if precision == "auto":
        helps = device.type == "cuda" or family == "transformer"
        precision = "bfloat16" if helps and _multiplies_in_bfloat16(device) else "float32"
    if precision == "float32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)


def _multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; a CPU without computes in bfloat16 many times slower."""
    if device.type != "cpu":
        return device.type == "cuda"
    if torch.backends.cpu.get_cpu_capability() not in ("AVX512", "DEFAULT"):
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


@torch.no_grad()
def _validate(
    model: SequenceModel, windows: list, device: torch.device, autocast: Callable[[], Any], pad: int
) -> float | None:
    """Mean nats a token over the validation windows; None without any."""
    model.eval()
    total, count = 0.0, 0
    for inputs_BT, targets_BT in windows:
        with autocast():
            nats, _ = model.nats(inputs_BT.to(device), targets_BT.to(device), pad=pad)
        total += nats.sum().item()
        count += _steps(targets_BT != pad)
    return total / count if count else None


def _to(device: torch.device, ids: torch.Tensor) -> torch.Tensor:
    """A batch on its way to the device; from pinned memory a GPU fetches it by itself."""
    return ids.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else ids.to(device)


def _steps(scored: torch.Tensor) -> int:
    """How many steps are scored, of scored_BT or scored_BTF: of a step's fields any one is enough."""
    return int((scored if scored.ndim == 2 else scored.any(dim=2)).sum())


class _Log:
    """log.csv, one row an evaluation; rows past the step that a run resumes at are dropped."""

    def __init__(self, folder: Path, *, resume_at: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "log.csv"
        rows: list[list[str]] = []
        if resume_at is not None and self.path.is_file():
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= resume_at]
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([LOG_COLUMNS, *rows])

    def write(self, step: int, seconds: float, loss: float, valid: float | None, rate: float, norm: float) -> None:
        values = [
            step,
            f"{seconds:.1f}",
            f"{loss:.5f}",
            "" if valid is None else f"{valid:.5f}",
            f"{rate:.3e}",
            f"{norm:.3f}",
        ]
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(values)

"""The one training loop: next-step prediction, for every model and tokenizer. A token is a step.

Step s is a function of (recipe, corpus, s), so a resumed run equals one that was never interrupted, as long as no
time limit shapes the learning rate. What a step does stands in `step.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import model_for, save_run
from musicgen.corpus.store import Corpus
from musicgen.errors import CheckError, UsageError
from musicgen.io.atomic import write_text
from musicgen.models import SequenceModel
from musicgen.models.following import scored_targets
from musicgen.recipe import Recipe, recipe_toml
from musicgen.runs.checkpoints import has_checkpoint, load_carried, load_checkpoint, save_checkpoint
from musicgen.training.batches import TokenSource, validation_windows
from musicgen.training.calibration import around, fitted
from musicgen.training.feed import workers_for
from musicgen.training.log import Log
from musicgen.training.schedule import learning_rate
from musicgen.training.step import Learner, count_steps, recalled

__all__ = ["Progress", "choose_device", "train"]

# Steps of warm-up that even the shortest run needs: a tiny Transformer on chorales stood at 4.9 nats after 100 steps
# with 9 of them, at 4.2 with 40.
LEAST_WARMUP = 50
STEPS_AHEAD = 20  # of a GPU


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
    teachers: Sequence[SequenceModel] = (),
    start: SequenceModel | None = None,
    workers: int | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    begun: Callable[[Path], Path] = lambda folder: folder,
    checkpoint_seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Train a model into the run folder and return the card that lies there.

    Stops after the recipe's steps or `max_seconds`, whichever comes first; the learning rate follows whichever
    is nearer its end; `clock` may be `time.process_time`, to compare runs on a busy machine.
    `teachers` are models of the same tokenizer, from whose chances it is learned (`teaching.py`).
    `start` is a model of the recipe's shape and tokenizer, from whose weights a new run goes on (fine-tuning). It is
    validated first and is the best so far, so the run never ends with worse weights than it began with.
    `workers` processes make batches, by default none for a CPU and one a core for a GPU; the run is the same.
    `begun` is called with the folder once a run lies in it that can be resumed, before the first step, and says where
    the run goes on: it may have moved (`io/beside.py`).
    On KeyboardInterrupt the last checkpoint is saved and the interrupt goes on to the caller.
    A run that is resumed keeps the card it was begun with.
    Raises UsageError when the folder holds a run and `resume` is False, or when `start` doesn't fit the recipe;
    UnreadableError where the tokens of a corpus folder aren't what its digests say; CheckError when the loss is not a
    number.
    """
    home, settings = Path(folder), recipe.train
    if not resume and (has_checkpoint(home) or (home / "manifest.json").exists()):
        raise UsageError("already holds a run", where=home, hint="pass --resume to go on, or choose another folder")
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise UsageError(f"max_seconds is {max_seconds!r}", hint="give seconds above 0, or None for no limit")
    target = choose_device(device)
    if isinstance(source, Corpus):
        source.check()
    model = model_for(recipe, tokenizer)
    if start is not None and not resume:
        _begin_with(model, start)
    model.to(target)
    workers = workers_for(target, workers)
    learn = Learner(model, source, tokenizer, recipe=recipe, device=target, teachers=teachers, workers=workers)
    begin, before, best = 0, 0.0, None

    def checkpoint(name: str) -> Path:
        return home / "checkpoints" / name  # `home` moves once

    if resume:
        state = load_checkpoint(checkpoint("last"), model=model, optimizers=learn.optimizers)
        learn.restore(load_carried(checkpoint("last")))
        begin, before, best = state["step"], state["seconds"], state["best"]
        card = {**(card or {}), **state.get("card", {})}
        model.sharpen(state.get("sharpness", model.sharpness))
    pad = learn.pad
    tell = model.foretelling()
    windows = [
        (
            inputs,
            scored_targets(targets, learn.following_VV, pad=pad),
            pasts,
            tell(inputs, targets, pasts) if tell else None,
        )
        for inputs, targets, pasts in validation_windows(
            source,
            split="valid",
            length=settings.length,
            batch=settings.batch,
            max_tokens=settings.evaluate_tokens,
            pad=pad,
            period=getattr(tokenizer, "period", 1),
        )
    ]
    budget = None if max_seconds is None else before + max_seconds
    recent: list[float] = []
    waiting: list[torch.Tensor] = []  # losses that have not been asked for
    value = math.nan
    step, seconds, speed = begin, before, 0.0

    def measure(sharpness: list[tuple[float, ...]]) -> torch.Tensor | None:
        return _validate(model, windows, target, learn.autocast, pad, learn.following_VV, sharpness)

    def keep_last() -> None:
        state = {"step": step, "seconds": seconds, "best": best, "sharpness": model.sharpness, "card": card or {}}
        optimizers, carried = learn.optimizers, learn.carried
        save_checkpoint(checkpoint("last"), model=model, optimizers=optimizers, state=state, carried=carried)

    def keep_best(surer: tuple[float, ...]) -> None:
        """`surer` is the sharpness that validation has found for these weights, to be measured in the end."""
        state = {"step": step, "valid_nats_per_token": best, "sharpness": model.sharpness, "fitted": surer}
        save_checkpoint(checkpoint("best"), model=model, state=state)
        export(best_step=step, valid=best)

    def export(*, best_step: int, valid: float | None) -> dict[str, Any]:
        """Put the model as it stands, and what is known of it, where users of the run look."""
        full = {
            **(card or {}),
            "family": model.settings.family,
            "parameters": model.n_parameters,
            "steps": step,
            "best_step": best_step,
            "seconds": round(seconds, 1),
            "tokens_seen": step * settings.batch * settings.length,
            "valid_nats_per_token": valid,
            "valid_tokens": sum(count_steps(targets != pad) for _, targets, *_ in windows),
        }
        return save_run(home, model=model, tokenizer=tokenizer, recipe=recipe, card=full)

    def finish() -> dict[str, Any]:
        """Save what resuming needs, then leave the best weights for use, as sure of themselves as validation says."""
        keep_last()
        if not checkpoint("best").exists():  # no validation yet, or none to be had
            keep_best(model.sharpness)
        state = load_checkpoint(checkpoint("best"), model=model)
        valid, own = state["valid_nats_per_token"], state.get("sharpness", model.sharpness)
        model.sharpen(own)
        found = measure([state["fitted"]]) if state.get("fitted", own) != own else None
        if found is not None and found.sum() < valid:
            valid = found.sum().item()
            model.sharpen(state["fitted"])
        return export(best_step=state["step"], valid=valid)

    # From before the first step, so that even a run that is killed can be resumed.
    home.mkdir(parents=True, exist_ok=True)
    if not resume:
        keep_last()
    write_text(home / "recipe.toml", recipe_toml(recipe), overwrite=True)
    home = begun(home)
    log = Log(home, resume_at=begin if resume else None)
    if start is not None and not resume and (found := measure([model.sharpness])) is not None:
        best = found.sum().item()
        card = {**(card or {}), "valid_nats_per_token_before": best}
        keep_best(model.sharpness)
        keep_last()
    started = saved = window_start = clock()
    window_tokens = 0
    try:
        while step < settings.steps:
            share = step / settings.steps
            if budget is not None:
                share = max(share, (before + clock() - started) / budget)
            rate = learning_rate(share, peak=settings.learning_rate, warmup=settings.warmup)
            rate = min(rate, settings.learning_rate * (step + 1) / LEAST_WARMUP)
            evaluates = step + 1 == settings.steps or (step + 1) % settings.evaluate_every == 0
            outcome = learn(step, rate=rate, by_layer=evaluates)
            step += 1
            # A GPU works ahead of this loop; asking it for a number each step would make it wait.
            waiting.append(outcome.loss)
            now = clock()
            seconds = before + now - started
            over = budget is not None and seconds >= budget
            last_one = over or evaluates
            if target.type == "cpu" or len(waiting) == STEPS_AHEAD or last_one:
                values = torch.stack(waiting).tolist()
                waiting, value = [], next((v for v in values if not math.isfinite(v)), values[-1])
                if not math.isfinite(value):
                    raise CheckError(
                        f"the loss is {value} at step {step}",
                        where=home,
                        hint="lower learning_rate in the recipe",
                    )
                recent += values
            window_tokens += outcome.ids
            speed = window_tokens / max(now - window_start, 1e-9)
            valid = None
            if last_one:
                found = measure(around(model.sharpness) if settings.calibrate else [model.sharpness])
                surer = model.sharpness
                if found is not None:
                    valid = found[len(found) // 2].sum().item()
                    surer = fitted(surer, found) if settings.calibrate else surer
                loss = sum(recent) / max(1, len(recent))
                log.write(step, seconds, loss, valid, rate, outcome.norm.item(), outcome.layers)
                recent = []
                if valid is not None and (best is None or valid < best):
                    best = valid
                    keep_best(surer)
                model.sharpen(surer)
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
        learn.close()
        finish()
        raise
    finally:
        learn.close()
    return finish()


def _begin_with(model: SequenceModel, start: SequenceModel) -> None:
    """Give a new model another's weights. Raises UsageError where they are of another shape."""
    try:
        model.load_state_dict(start.state_dict())
        model.sharpen(start.sharpness)
    except (RuntimeError, ValueError):
        what = "the weights to start from don't fit the recipe"
        raise UsageError(what, hint="take [model] and the tokenizer of the run that they come from") from None


@torch.no_grad()
def _validate(
    model: SequenceModel,
    windows: list,
    device: torch.device,
    autocast: Callable[[], Any],
    pad: int,
    following_VV: torch.Tensor | None,
    sharpness: list[tuple[float, ...]],
) -> torch.Tensor | None:
    """Mean nats a token over the validation windows at each sharpness, nats_SF by field; None without any windows."""
    model.eval()
    total_SF, count = torch.zeros(len(sharpness), len(model.sharpness), dtype=torch.float64), 0
    for inputs_BT, targets_BT, pasts, told in windows:
        with autocast():
            state = recalled(model, pasts, device) if told is None else told.to(device)
            nats = model.nats_at(
                inputs_BT.to(device),
                targets_BT.to(device),
                state,
                pad=pad,
                following_VV=following_VV,
                sharpness=sharpness,
            )
        total_SF += torch.stack([part.flatten(0, 1).view(-1, total_SF.shape[1]).sum(0) for part in nats]).cpu()
        count += count_steps(targets_BT != pad)
    return total_SF / count if count else None

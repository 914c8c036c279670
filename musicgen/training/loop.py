"""The training loop: the one for every task (`task.py`), model and tokenizer.

Step s depends only on (recipe, corpus, s) and the state after step s - 1, so a resumed run equals an uninterrupted one,
log and card included, unless a time limit affects the learning rate. A run is saved between steps only. The optimiser
step is in `step.py`, saving in `keeping.py`.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import model_for
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import CheckError, UsageError
from musicgen.events import Listener, Step, Warned, ignore
from musicgen.io.atomic import write_text
from musicgen.io.locks import Hold
from musicgen.models.tasks.base import Model
from musicgen.recipe import Recipe, recipe_toml
from musicgen.runs.checkpoints import find_checkpoint, has_checkpoint
from musicgen.runs.recipes import check_resumed
from musicgen.stopping import Cancel, Cancelled, Signals, ended_by
from musicgen.tokenizers import Tokenizer
from musicgen.training.calibration import around, fitted
from musicgen.training.feed import workers_for
from musicgen.training.keeping import Keeper
from musicgen.training.log import Log, Owed
from musicgen.training.next_note import NextNote
from musicgen.training.schedule import learning_rate
from musicgen.training.step import Outcome, Setup
from musicgen.training.task import Task, Validation

__all__ = ["check_limits", "choose_device", "train"]

# Fewest warm-up steps, however short the run: a tiny Transformer on chorales had 4.9 nats after 100 steps with 9
# warm-up steps, and 4.2 with 40.
LEAST_WARMUP = 50
STEPS_AHEAD = 20  # steps after which the losses are fetched from a GPU


def choose_device(name: str = "auto") -> torch.device:
    """The device with that name; `auto` is CUDA, else MPS, else the CPU. Raises UsageError if it isn't available."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"no device {name!r} on this machine", hint="use `device` auto") from None
    return device


def check_limits(max_seconds: float | None, workers: int | None) -> None:
    """Raise UsageError for an invalid time limit or number of worker processes. None means the default."""
    if max_seconds is not None and not 0 < max_seconds < math.inf:
        raise UsageError(f"max_seconds is {max_seconds!r}", hint="give seconds above 0, or None for no limit")
    if workers is not None and workers < 0:
        raise UsageError(f"workers is {workers!r}", hint="give 0 or more, or None for as many as help")


def train(
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    recipe: Recipe,
    folder: str | Path,
    card: dict[str, Any] | None = None,
    resume: bool = False,
    max_seconds: float | None = None,
    device: str = "auto",
    task: Task | None = None,
    start: Model | None = None,
    workers: int | None = None,
    begun: Callable[[Path], Path] = lambda folder: folder,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
    hold: Hold | None = None,
    checkpoint_seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Train a model in a run folder and return its card.

    Stops after the recipe's steps or `max_seconds`, whichever comes first; the learning rate follows whichever is
    nearer its end. `clock` may be `time.process_time`, to compare runs on a busy machine.
    `task` says what is learned, by default next-note prediction; the recipe's `[task]` table must be of it.
    `start` is a model of the recipe's shape and tokenizer whose weights a new run starts from (fine-tuning). It is
    validated first and counts as the best so far, so the run never ends with worse weights than it started with.
    `workers` processes make batches, by default none for a CPU and one per core for CUDA; results don't depend on it.
    `begun` is called with the folder as soon as it has a run that can be resumed, before the first step, and returns
    the folder to go on in, which may be another (`io/beside.py`).
    `listener` gets a `Step` after each step, and a warning for each damaged file that could be restored or skipped, and
    for each signal, within the signal handler.
    `hold` is the caller's lock on the folder, if it has one.
    `cancel` stops training and saves the run; then Cancelled is raised, with the step. So do Ctrl-C, SIGTERM, and
    KeyboardInterrupt raised by `listener`, but with Interrupted. A second Ctrl-C ends it at once.
    A resumed run keeps its original card.
    Raises UsageError if the folder has a run and `resume` is False, if another process trains there, if the recipe
    differs from that of the resumed run, or if `start` doesn't fit the recipe; UnreadableError if the tokens of a
    corpus folder don't match their digests; CheckError if the loss is not finite.
    """
    home = Path(folder)
    check_limits(max_seconds, workers)
    cancel, task = cancel or Cancel(), task or NextNote()

    def notify(line: str) -> None:
        listener(Warned(line))

    with contextlib.ExitStack() as stack:
        if hold is None:
            hold = stack.enter_context(Hold(home))
            if hold.note:
                notify(hold.note)
        stack.enter_context(Signals(cancel, notify=notify))
        if not resume and (has_checkpoint(home) or (home / "manifest.json").exists()):
            raise UsageError("already holds a run", where=home, hint="pass `resume` to go on, or choose another folder")
        found = find_checkpoint(home / "checkpoints" / "last") if resume else None
        if found is not None:
            check_resumed(found, recipe, where=home)
        target = choose_device(device)
        if isinstance(source, Corpus):
            source.check()
        model = model_for(recipe, tokenizer)
        if start is not None and not resume:
            _begin_with(model, start)
        model.to(target)
        setup = Setup(recipe, target, workers=workers_for(target, workers), check=cancel.check)
        learner = task.learner(model, source, tokenizer, setup=setup)
        stack.callback(learner.close)
        about = dict(card or {})
        keeper = Keeper(home, learner, unit=task.unit, tokenizer=tokenizer, recipe=recipe, card=about)
        if found is not None:
            keeper.resume(found, notify)
        elif cancel.asked:
            raise ended_by(cancel)
        else:
            # Saved before the first step, so that a run that is killed early can be resumed.
            keeper.standing.tuned = start is not None
            home.mkdir(parents=True, exist_ok=True)
            keeper.keep_last()
        if not (home / "recipe.toml").exists():
            write_text(home / "recipe.toml", recipe_toml(recipe))
        keeper.home = home = begun(home)
        keeper.log = keeper.log or Log(home, task.unit)
        loop = _Loop(keeper, cancel, listener, clock, max_seconds, checkpoint_seconds)
        loop.calibrates = task.calibrates and recipe.train.calibrate
        try:
            keeper.validation = learner.validation(check=cancel.check)
            loop.run(keeper.validation)
            return keeper.finish(measures=True)
        except Cancelled:
            loop.flush()
            if keeper.validation is not None:
                keeper.finish(measures=False)
            raise ended_by(cancel, step=keeper.standing.step) from None


class _Loop:
    """Runs steps and evaluations; Cancelled may be raised between them or within one, before any weight changes."""

    def __init__(
        self,
        keeper: Keeper,
        cancel: Cancel,
        listener: Listener,
        clock: Callable[[], float],
        max_seconds: float | None,
        checkpoint_seconds: float,
    ) -> None:
        self.keeper, self.cancel, self._listener, self.clock = keeper, cancel, listener, clock
        self.learner, self.settings, self.standing = keeper.learner, keeper.recipe.train, keeper.standing
        self.begin, self.before = self.standing.step, self.standing.seconds
        self.budget = None if max_seconds is None else self.before + max_seconds
        self.checkpoint_seconds = checkpoint_seconds
        self.calibrates = False
        self.waiting: list[torch.Tensor] = []  # losses not fetched from the device yet
        self.value, self.speed = math.nan, 0.0
        self.started = self.window_start = clock()
        self.window_tokens = 0

    def run(self, validation: Validation) -> None:
        """Train until the last step or the time limit."""
        keeper, standing, settings, learner = self.keeper, self.standing, self.settings, self.learner
        before = f"valid_{keeper.unit}_before"
        if standing.tuned and standing.step == 0 and before not in standing.card:
            inverse_temperature = learner.model.inverse_temperature
            if (measured := validation([inverse_temperature])) is not None and math.isfinite(
                valid := measured.sum().item()
            ):
                standing.card[before] = valid
                keeper.keep_best(valid, inverse_temperature)
                keeper.keep_last()
        self.started = self.window_start = saved = self.clock()
        if standing.owed is not None:
            self.evaluate(validation)
        while standing.step < settings.steps:
            self.cancel.check()
            share = standing.step / settings.steps
            if self.budget is not None:
                share = max(share, (self.before + self.clock() - self.started) / self.budget)
            rate = learning_rate(share, peak=settings.learning_rate, warmup=settings.warmup)
            rate = min(rate, settings.learning_rate * (standing.step + 1) / LEAST_WARMUP)
            evaluates = standing.step + 1 == settings.steps or (standing.step + 1) % settings.evaluate_every == 0
            outcome = learner(standing.step, rate=rate, by_layer=evaluates)
            now = self.stepped(outcome)
            over = self.budget is not None and standing.seconds >= self.budget
            if over or evaluates:
                standing.owed = Owed.of(rate, outcome.norm.item(), outcome.layers)
                self.evaluate(validation)
            else:
                self.report(None)
            if over:
                break
            if now - saved > self.checkpoint_seconds:
                self.flush()
                keeper.keep_last()
                saved = self.clock()

    def stepped(self, outcome: Outcome) -> float:
        """Record the outcome of a step; return the current time of `clock`."""
        standing = self.standing
        standing.step += 1
        self.keeper.stepped()
        # A GPU runs asynchronously; fetching the loss at each step would make it wait.
        self.waiting.append(outcome.figure)
        now = self.clock()
        standing.seconds = self.before + now - self.started
        if self.learner.device.type == "cpu" or len(self.waiting) == STEPS_AHEAD:
            self.flush()
        self.window_tokens += outcome.places
        self.speed = self.window_tokens / max(now - self.window_start, 1e-9)
        return now

    def flush(self) -> None:
        """Fetch the pending losses from the device and add them up. Raises CheckError if one is not finite."""
        if not self.waiting:
            return
        values = torch.stack(self.waiting).tolist()
        self.waiting, self.value = [], next((v for v in values if not math.isfinite(v)), values[-1])
        if not math.isfinite(self.value):
            what, hint = f"the loss is {self.value} at step {self.standing.step}", "lower learning_rate in the recipe"
            raise CheckError(what, where=self.keeper.home, hint=hint)
        for value in values:  # one by one, so that the rounding doesn't depend on when losses are fetched
            self.standing.loss_sum += value
        self.standing.loss_count += len(values)

    def evaluate(self, validation: Validation) -> None:
        """Validate, write a row of the log, and save the weights if they are the best.

        `standing.owed` stays set until this is done, so that a resumed run finishes an interrupted evaluation.
        """
        self.flush()
        keeper, standing, owed = self.keeper, self.standing, self.standing.owed
        assert owed is not None
        assert keeper.log is not None
        model, calibrate = self.learner.model, self.calibrates
        found = validation(around(model.inverse_temperature) if calibrate else [model.inverse_temperature])
        fitted_values, valid = model.inverse_temperature, None
        if found is not None:
            valid = found[len(found) // 2].sum().item()
            fitted_values = fitted(fitted_values, found) if calibrate else fitted_values
        loss = standing.loss_sum / max(1, standing.loss_count)
        keeper.log.write(standing.step, standing.seconds, loss, valid, owed)
        standing.loss_sum, standing.loss_count, standing.owed = 0.0, 0, None
        keeper.stepped()
        if valid is not None and math.isfinite(valid) and (standing.best is None or valid < standing.best):
            keeper.keep_best(valid, fitted_values)
        model.set_inverse_temperature(fitted_values)
        self.window_tokens, self.window_start = 0, self.clock()  # validation is not training speed
        self.report(valid)

    def report(self, valid: float | None) -> None:
        """Report the run's progress as a `Step`; `valid` is this step's validation loss, None if there is none."""
        standing, steps = self.standing, self.settings.steps
        left = (steps - standing.step) * (standing.seconds - self.before) / max(1, standing.step - self.begin)
        if self.budget is not None:
            left = min(left, self.budget - standing.seconds)
        try:
            self._listener(
                Step(
                    standing.step,
                    steps,
                    "step",
                    loss=self.value,
                    valid=valid,
                    best=standing.best,
                    tokens_per_second=self.speed,
                    seconds=standing.seconds,
                    seconds_left=max(0.0, left),
                )
            )
        except KeyboardInterrupt as error:
            self.cancel.ask(getattr(error, "number", 0) or signal.SIGINT)


def _begin_with(model: Model, start: Model) -> None:
    """Copy the weights of `start` into a new model. Raises UsageError if their shapes differ."""
    try:
        model.load_state_dict(start.state_dict())
        model.set_inverse_temperature(start.inverse_temperature)
    except (RuntimeError, ValueError):
        what = "the weights to start from don't fit the recipe"
        raise UsageError(what, hint="take [model] and the tokenizer of the run that they come from") from None

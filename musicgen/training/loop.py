"""The one training loop: next-step prediction, for every model and tokenizer. A token is a step.

Step s is a function of (recipe, corpus, s), so a resumed run equals one that was never interrupted, its log and card
too, as long as no time limit shapes the learning rate. It stops between steps only. What a step does stands in
`step.py`, what is saved in `keeping.py`.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import model_for
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import CheckError, UsageError
from musicgen.events import Step
from musicgen.io.atomic import write_text
from musicgen.io.locks import Hold
from musicgen.models import SequenceModel
from musicgen.recipe import Recipe, recipe_toml
from musicgen.runs.checkpoints import find_checkpoint, has_checkpoint
from musicgen.runs.recipes import check_resumed
from musicgen.stopping import Interrupted, Stop, Stopping
from musicgen.tokenizers import Tokenizer
from musicgen.training.calibration import around, fitted
from musicgen.training.feed import workers_for
from musicgen.training.keeping import Keeper
from musicgen.training.log import Log, Owed
from musicgen.training.schedule import learning_rate
from musicgen.training.step import Learner, Outcome
from musicgen.training.validation import Validation

__all__ = ["check_limits", "choose_device", "train"]

# Steps of warm-up that even the shortest run needs: a tiny Transformer on chorales stood at 4.9 nats after 100 steps
# with 9 of them, at 4.2 with 40.
LEAST_WARMUP = 50
STEPS_AHEAD = 20  # of a GPU


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


def check_limits(max_seconds: float | None, workers: int | None) -> None:
    """Raise UsageError for a limit of time, or a number of processes, that is none. None stands for the default."""
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
    teachers: Sequence[SequenceModel] = (),
    start: SequenceModel | None = None,
    workers: int | None = None,
    report: Callable[[Step], None] = lambda step: None,
    begun: Callable[[Path], Path] = lambda folder: folder,
    notify: Callable[[str], None] = lambda line: None,
    hold: Hold | None = None,
    checkpoint_seconds: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Train a model into the run folder and return the card that lies there.

    Stops after the recipe's steps or `max_seconds`, whichever comes first; the learning rate follows whichever
    is nearer its end; `clock` may be `time.process_time`, to compare runs on a busy machine.
    `teachers` are models of the same tokenizer, from whose chances it is learned (`objectives.Taught`).
    `start` is a model of the recipe's shape and tokenizer, from whose weights a new run goes on (fine-tuning). It is
    validated first and is the best so far, so the run never ends with worse weights than it began with.
    `workers` processes make batches, by default none for a CPU and one a core for a GPU; the run is the same.
    `begun` is called with the folder once a run lies in it that can be resumed, before the first step, and says where
    the run goes on: it may have moved (`io/beside.py`).
    `notify` hears, a line each, of damage that was got round, and of signals; the latter within their handlers.
    `hold` is the caller's hold on the folder, where it has one.
    Ctrl-C, SIGTERM and a KeyboardInterrupt of `report` end the step in hand and save; then Interrupted is raised, and
    says at which step. A second Ctrl-C ends it at once.
    A run that is resumed keeps the card it was begun with.
    Raises UsageError when the folder holds a run and `resume` is False, when another process trains there, when the
    recipe is another than that of the run that is resumed, or when `start` doesn't fit it; UnreadableError where the
    tokens of a corpus folder aren't what its digests say; CheckError when the loss is not a number.
    """
    home = Path(folder)
    check_limits(max_seconds, workers)
    with contextlib.ExitStack() as stack:
        if hold is None:
            hold = stack.enter_context(Hold(home))
            if hold.note:
                notify(hold.note)
        stop = stack.enter_context(Stop(notify))
        if not resume and (has_checkpoint(home) or (home / "manifest.json").exists()):
            raise UsageError("already holds a run", where=home, hint="pass --resume to go on, or choose another folder")
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
        learn = Learner(
            model,
            source,
            tokenizer,
            recipe=recipe,
            device=target,
            teachers=teachers,
            workers=workers_for(target, workers),
            check=stop.check,
        )
        stack.callback(learn.close)
        keeper = Keeper(home, learn, tokenizer, recipe, dict(card or {}))
        if found is not None:
            keeper.resume(found, notify)
        elif stop.number:
            raise Interrupted(stop.number)
        else:
            # From before the first step, so that even a run that is killed can be resumed.
            keeper.standing.tuned = start is not None
            home.mkdir(parents=True, exist_ok=True)
            keeper.keep_last()
        if not (home / "recipe.toml").exists():
            write_text(home / "recipe.toml", recipe_toml(recipe))
        keeper.home = home = begun(home)
        keeper.log = keeper.log or Log(home)
        loop = _Loop(keeper, stop, report, clock, max_seconds, checkpoint_seconds)
        try:
            validation = Validation(source, tokenizer, learn, check=stop.check)
            keeper.valid_tokens = validation.tokens
            loop.run(validation)
            return keeper.finish(validation)
        except Stopping:
            loop.flush()
            if keeper.valid_tokens is not None:
                keeper.finish(None)
            raise Interrupted(stop.number, step=keeper.standing.step) from None


class _Loop:
    """Steps and evaluations, one after the other; between any two of them Stopping may be raised."""

    def __init__(
        self,
        keeper: Keeper,
        stop: Stop,
        report: Callable[[Step], None],
        clock: Callable[[], float],
        max_seconds: float | None,
        checkpoint_seconds: float,
    ) -> None:
        self.keeper, self.stop, self._report, self.clock = keeper, stop, report, clock
        self.learn, self.settings, self.standing = keeper.learn, keeper.recipe.train, keeper.standing
        self.begin, self.before = self.standing.step, self.standing.seconds
        self.budget = None if max_seconds is None else self.before + max_seconds
        self.checkpoint_seconds = checkpoint_seconds
        self.waiting: list[torch.Tensor] = []  # losses that have not been asked for
        self.value, self.speed = math.nan, 0.0
        self.started = self.window_start = clock()
        self.window_tokens = 0

    def run(self, validation: Validation) -> None:
        """Train to the end, by steps or by time."""
        keeper, standing, settings, learn = self.keeper, self.standing, self.settings, self.learn
        if standing.tuned and standing.step == 0 and "valid_nats_per_token_before" not in standing.card:
            inverse_temperature = learn.model.inverse_temperature
            if (measured := validation([inverse_temperature])) is not None and math.isfinite(
                valid := measured.sum().item()
            ):
                standing.card["valid_nats_per_token_before"] = valid
                keeper.keep_best(valid, inverse_temperature)
                keeper.keep_last()
        self.started = self.window_start = saved = self.clock()
        if standing.owed is not None:
            self.evaluate(validation)
        while standing.step < settings.steps:
            self.stop.check()
            share = standing.step / settings.steps
            if self.budget is not None:
                share = max(share, (self.before + self.clock() - self.started) / self.budget)
            rate = learning_rate(share, peak=settings.learning_rate, warmup=settings.warmup)
            rate = min(rate, settings.learning_rate * (standing.step + 1) / LEAST_WARMUP)
            evaluates = standing.step + 1 == settings.steps or (standing.step + 1) % settings.evaluate_every == 0
            outcome = learn(standing.step, rate=rate, by_layer=evaluates)
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
        """Note what a step gave; the time."""
        standing = self.standing
        standing.step += 1
        self.keeper.stepped()
        # A GPU works ahead of this loop; asking it for a number each step would make it wait.
        self.waiting.append(outcome.loss)
        now = self.clock()
        standing.seconds = self.before + now - self.started
        if self.learn.device.type == "cpu" or len(self.waiting) == STEPS_AHEAD:
            self.flush()
        self.window_tokens += outcome.ids
        self.speed = self.window_tokens / max(now - self.window_start, 1e-9)
        return now

    def flush(self) -> None:
        """Ask for the losses that were not asked for. Raises CheckError where one is no number."""
        if not self.waiting:
            return
        values = torch.stack(self.waiting).tolist()
        self.waiting, self.value = [], next((v for v in values if not math.isfinite(v)), values[-1])
        if not math.isfinite(self.value):
            what, hint = f"the loss is {self.value} at step {self.standing.step}", "lower learning_rate in the recipe"
            raise CheckError(what, where=self.keeper.home, hint=hint)
        for value in values:  # one by one, as it would be without a stop between them
            self.standing.loss_sum += value
        self.standing.loss_count += len(values)

    def evaluate(self, validation: Validation) -> None:
        """Measure, write a row of the log, keep the weights if they are the best. What is owed until it is done."""
        self.flush()
        keeper, standing, owed = self.keeper, self.standing, self.standing.owed
        assert owed is not None
        assert keeper.log is not None
        model, calibrate = self.learn.model, self.settings.calibrate
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
        """Tell where the run stands."""
        standing, steps = self.standing, self.settings.steps
        left = (steps - standing.step) * (standing.seconds - self.before) / max(1, standing.step - self.begin)
        if self.budget is not None:
            left = min(left, self.budget - standing.seconds)
        try:
            self._report(
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
            self.stop.ask(getattr(error, "number", 0) or signal.SIGINT)


def _begin_with(model: SequenceModel, start: SequenceModel) -> None:
    """Give a new model another's weights. Raises UsageError where they are of another shape."""
    try:
        model.load_state_dict(start.state_dict())
        model.set_inverse_temperature(start.inverse_temperature)
    except (RuntimeError, ValueError):
        what = "the weights to start from don't fit the recipe"
        raise UsageError(what, hint="take [model] and the tokenizer of the run that they come from") from None

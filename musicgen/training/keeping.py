"""Saves and resumes a training run: its last checkpoint, its best checkpoint and the exported model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from musicgen.checkpoint import load_any_run, save_run
from musicgen.errors import UnreadableError
from musicgen.recipe import Recipe, recipe_toml
from musicgen.runs.checkpoints import (
    Checkpoint,
    adopt,
    clear,
    find_checkpoint,
    load_carried,
    load_checkpoint,
    save_checkpoint,
)
from musicgen.runs.exports import damaged_parts, settle_parts
from musicgen.runs.files import sha256
from musicgen.runs.recipes import text_digest
from musicgen.tokenizers import Tokenizer
from musicgen.training.log import Log, Owed
from musicgen.training.step import Learner
from musicgen.training.task import Validation

__all__ = ["Keeper", "Standing"]


@dataclass
class Standing:
    """The state of a run between two steps, besides the weights, the optimisers' state and the carried hidden state.

    `best` is the validation loss of the best weights so far in the task's unit; `best_state` is their checkpoint's
    state: its step, its inverse temperatures ("sharpness" in files) and those fitted afterwards. `loss_sum` and
    `loss_count` are of the training losses since the last row of the log. `owed` is set while the evaluation of this
    step is unfinished. `tuned` marks a run that started from the weights of another.
    """

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_state: dict[str, Any] | None = None
    loss_sum: float = 0.0
    loss_count: int = 0
    owed: Owed | None = None
    tuned: bool = False
    card: dict[str, Any] = field(default_factory=dict)


class Keeper:
    """Saves and resumes a run in the folder `home`, which may be moved during training. `unit` is the task's, in which
    log and card give losses; in checkpoints they are called nats per token, whatever the task."""

    def __init__(
        self,
        home: Path,
        learner: Learner[Any],
        *,
        unit: str,
        tokenizer: Tokenizer,
        recipe: Recipe,
        card: dict[str, Any],
    ) -> None:
        self.home, self.learner, self.tokenizer, self.recipe = home, learner, tokenizer, recipe
        self.unit = unit
        self.standing = Standing(card=card)
        self.log: Log | None = None
        self.validation: Validation | None = None  # until its data are made
        self.recipe_file: str | None = None  # the digest of recipe.toml in the folder
        self._kept = False

    def place(self, name: str) -> Path:
        """The folder of a checkpoint."""
        return self.home / "checkpoints" / name

    def resume(self, found: Checkpoint, notify: Callable[[str], None]) -> None:
        """Resume a run from a checkpoint. `notify` gets a line for each damaged file that is skipped or rewritten.

        Raises UnreadableError if the best weights are damaged and can't be restored.
        """
        found = adopt(found)
        for name in ("last", "best"):
            clear(self.place(name))
        settle_parts(self.home)
        learner, state = self.learner, found.state
        load_checkpoint(found, model=learner.model, optimizers=learner.optimizers)
        learner.restore(load_carried(found))
        learner.model.set_inverse_temperature(state.get("sharpness", learner.model.inverse_temperature))
        known = {f.name: state[f.name] for f in fields(Standing) if f.name in state}
        card = {**self.standing.card, **known.pop("card", {})}
        owed = known.pop("owed", None)
        self.standing = Standing(**known, card=card, owed=Owed(**owed) if owed else None)
        if found.passed is not None:
            notify(f"{self.place('last')}: {found.passed}; going on from the one before it, step {self.standing.step}")
        if found.spare is not None:
            notify(f"{self.place('last')}.old: {found.spare}; the next save puts another in its place")
        for part in damaged_parts(self.home):
            notify(f"{self.home / part}: is damaged; it is written anew when training ends")
        self._check_best(notify)
        if (recipe := self.home / "recipe.toml").is_file():
            self.recipe_file = sha256(recipe)
        self._kept = True
        texts = {name: found.text(name) or "" for name in ("log.csv", "gradients.csv") if found.text(name)}
        older = "recipe" not in state
        begun = self.standing.step if older else None
        self.log = Log(self.home, self.unit, texts=None if older else texts, resume_at=begun)
        for name in self.log.mended:
            notify(f"{self.home / name}: isn't as it was written; it is made anew from {found.folder / name}")

    def stepped(self) -> None:
        """Note that the run has changed since it was saved."""
        self._kept = False

    def keep_last(self) -> None:
        """Save the last checkpoint, unless nothing has changed since it was saved."""
        if self._kept:
            return
        learner = self.learner
        state = {
            **asdict(self.standing),
            "sharpness": learner.model.inverse_temperature,
            "recipe": self.recipe.to_dict(),
        }
        state["recipe_file"] = self.recipe_file
        save_checkpoint(
            self.place("last"),
            model=learner.model,
            optimizers=learner.optimizers,
            state=state,
            carried=learner.carried,
            texts=self.log.texts if self.log else {},
        )
        self._kept = True

    def keep_best(self, valid: float, fitted_values: tuple[float, ...]) -> None:
        """Save the weights as the best ones and export them. `valid` is their validation loss in the task's unit;
        `fitted_values` are the inverse temperatures fitted for them, which `finish` measures."""
        model, step = self.learner.model, self.standing.step
        best = {
            "step": step,
            "valid_nats_per_token": valid,
            "sharpness": model.inverse_temperature,
            "fitted": fitted_values,
        }
        save_checkpoint(self.place("best"), model=model, state=best, keep=False)
        self.standing.best, self.standing.best_state, self._kept = valid, best, False
        self.export(best_step=step, valid=valid)

    def finish(self, *, measures: bool) -> dict[str, Any]:
        """Save the last checkpoint, then export the best weights and return the card.

        If it `measures`, their inverse temperatures are replaced by the fitted ones where these have a lower validation
        loss, and the card gets the task's further figures.
        """
        self.keep_last()
        if self.standing.best is None:  # not validated yet, or no validation data
            return self.export(best_step=self.standing.step, valid=None)
        measure = self.validation if measures else None
        model = self.learner.model
        best = load_checkpoint(find_checkpoint(self.place("best")), model=model)
        valid, own = best["valid_nats_per_token"], best.get("sharpness", model.inverse_temperature)
        model.set_inverse_temperature(own)
        differs = list(best.get("fitted", own)) != list(own)
        if measure and differs and (found := measure([tuple(best["fitted"])])) is not None and found.sum() < valid:
            valid = found.sum().item()
            model.set_inverse_temperature(best["fitted"])
        return self.export(best_step=best["step"], valid=valid, figures=measure.figures() if measure else {})

    def export(
        self, *, best_step: int, valid: float | None, figures: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write the model as it is now, with its recipe and card, into the run folder; return the card."""
        model, standing = self.learner.model, self.standing
        assert self.validation is not None
        full = {
            **standing.card,
            "family": model.settings.family,
            "parameters": model.n_parameters,
            "steps": standing.step,
            "best_step": best_step,
            "seconds": round(standing.seconds, 1),
            **self.learner.seen(standing.step),
            f"valid_{self.unit}": valid,
            **self.validation.counts,
            **(figures or {}),
        }
        if self.recipe.task:
            full["task"] = self.recipe.task["name"]
        self.recipe_file = text_digest(recipe_toml(self.recipe))
        return save_run(self.home, model=model, tokenizer=self.tokenizer, recipe=self.recipe, card=full)

    def _check_best(self, notify: Callable[[str], None]) -> None:
        """Check the best checkpoint; restore a damaged or missing one from the model exported in the run folder.

        Raises UnreadableError if it is damaged and can't be restored; if it is gone, the best loss is forgotten.
        """
        standing, place = self.standing, self.place("best")
        if standing.best is None:
            return
        try:
            found = find_checkpoint(place)
        except UnreadableError as error:
            damage = error
        else:
            if standing.best_state is None:  # an older checkpoint has only the loss
                standing.best_state = found.state
                standing.best = found.state.get("valid_nats_per_token")
            return
        try:
            run = load_any_run(self.home)
        except UnreadableError:
            run = None
        if run is not None and (valid := run.card.get(f"valid_{self.unit}")) is not None:
            best = standing.best_state
            if best is None or best["step"] != run.card.get("best_step"):  # exported at a step after this checkpoint
                sure = run.model.inverse_temperature
                best = {"step": run.card.get("best_step", 0), "valid_nats_per_token": valid}
                best |= {"sharpness": sure, "fitted": sure}
            save_checkpoint(place, model=run.model, state=best, keep=False)
            standing.best, standing.best_state = best["valid_nats_per_token"], best
            notify(f"{place}: {damage.what}; made anew from {self.home / 'model.safetensors'}")
            return
        if place.exists():
            raise UnreadableError(
                f"the best weights are lost ({damage.what})",
                where=place,
                hint="copy the run folder again, or delete this folder to take the best of what comes",
            )
        standing.best = standing.best_state = None
        notify(f"{place}: is gone; the best weights are those of the validations to come")

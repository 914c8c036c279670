"""What `musicgen train --from RUN` is asked: a run that starts from the weights of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from musicgen.errors import UsageError

if TYPE_CHECKING:
    from musicgen.tokenizers import Tokenizer

__all__ = ["check_tokenizer", "start_of", "tuned"]

UNTIL_TIME = 100_000  # steps, where a limit of time ends the run
FREE = ("dropout",)  # of [model]: no weight depends on it


def start_of(options: dict[str, Any]) -> Any:
    """The Run to start from. Raises UsageError for options that say what it says already."""
    from musicgen.checkpoint import load_run
    from musicgen.cli.options import asked_tokenizer, tokenizer_from

    for name, flag in (
        ("family", "--model"),
        ("size", "--preset"),
        ("recipe_file", "--recipe"),
        ("embedding", "--embedding"),
    ):
        if options[name] is not None:
            raise UsageError(f"{flag} is said by the run of --from already", hint=f"leave {flag} out")
    start = load_run(options["start"])
    if asked_tokenizer(options):
        asked = tokenizer_from(options)
        if asked.spec != start.tokenizer.spec:
            what = f"the run of --from was trained with another tokenizer, {start.tokenizer.name}"
            raise UsageError(what, where=options["start"], hint="leave the tokenizer's options out")
    return start


def tuned(start: Any, options: dict[str, Any], *, timed: bool) -> Any:
    """The recipe of `start` with what is otherwise for fine-tuning, and what the options change.

    Raises UsageError where they change the shape of the model.
    """
    from musicgen.cli.train_plan import changed
    from musicgen.training.presets import FINE_TUNING

    usual = {**FINE_TUNING, "steps": UNTIL_TIME} if timed else FINE_TUNING
    recipe = changed(start.recipe.with_train(**usual), options["changes"])
    for name in sorted(set(recipe.model) | set(start.recipe.model)):
        if name not in FREE and recipe.model.get(name) != start.recipe.model.get(name):
            what = f"model.{name} can't change in a run that starts from another's weights"
            raise UsageError(what, where="--set", hint="leave it out, or leave --from out")
    return recipe.with_train(steps=options["steps"], seed=options["seed"], precision=options["precision"])


def check_tokenizer(start: Any, tokenizer: Tokenizer, corpus: str) -> None:
    """Raise UsageError where a corpus that is built already is of another tokenizer than the run to start from."""
    if tokenizer.spec != start.tokenizer.spec:
        what = (
            f"is built with another tokenizer than the run of --from, {tokenizer.name} and not {start.tokenizer.name}"
        )
        raise UsageError(what, where=corpus, hint="give the music itself, or build the corpus again")

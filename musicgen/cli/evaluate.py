"""`musicgen evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from musicgen.cli.completion import models, names_and_files, one_of
from musicgen.cli.help import Command
from musicgen.cli.listening import Shown
from musicgen.cli.options import Whole, device_option, json_option, print_json, say
from musicgen.words import counted

if TYPE_CHECKING:
    from musicgen.evaluation.figures import Figures

__all__ = ["command"]


@click.command("evaluate", cls=Command)
@click.argument("run", type=click.Path(), shell_complete=names_and_files(models))
@click.argument("corpus", type=click.Path(), required=False)
@click.option(
    "--split",
    default="valid",
    show_default=True,
    metavar="NAME",
    shell_complete=one_of("train", "valid", "test"),
    help="train, valid or test.",
)
@click.option(
    "--max-tokens",
    type=Whole(min=1),
    default=None,
    help="Score about this many tokens, spread over the split.",
)
@click.option("--baseline", is_flag=True, help="Show all figures of the n-gram floor, too.")
@device_option
@json_option
def command(
    run: str, corpus: str | None, split: str, max_tokens: int | None, baseline: bool, device: str, as_json: bool
) -> None:
    """Measure how well RUN predicts a split of CORPUS (default: the corpus it was trained on).

    Prints nats a token, a note, a second of music, and a frame where the tokenizer has frames, each with the count
    it is averaged over, so that models with different tokenizers can be compared. Then it says how RUN stands to the
    floor: a back-off n-gram model of the same tokens, counted in the corpus's training split.

    A run of another task (`train --task`) is measured by that task's figures, beside simple rules for it.
    """
    from musicgen.api import evaluate, evaluate_task
    from musicgen.checkpoint import named_task
    from musicgen.evaluation.ngram import standing

    if named_task(run):
        figures = evaluate_task(run, corpus or None, split=split, max_tokens=max_tokens, device=device)
        if as_json:
            print_json(figures.to_dict())
        for line in () if as_json else figures.lines():
            say(line)
        return

    with Shown() as shown:
        result = evaluate(
            run,
            corpus or None,
            split=split,
            max_tokens=max_tokens,
            baseline=baseline or not as_json,
            device=device,
            listener=shown,
        )
    if as_json:
        print_json(result.to_dict())
        return
    _show_figures(result.figures)
    floor = result.baseline
    if floor is not None and baseline:
        say(f"n-gram floor (order {floor.order}, chosen on the training split):")
        _show_figures(floor.figures)
    if floor is not None and floor.counted_tokens:
        say(standing(result.figures.nats_per_token, floor.figures.nats_per_token))


def _show_figures(figures: Figures) -> None:
    counts = {"token": figures.tokens, "note": figures.notes, "piece": figures.pieces}
    say(f"{figures.split}: " + ", ".join(counted(number, what) for what, number in counts.items()))
    nats, bits = figures.nats_per_token, figures.bits_per_token
    say(f"  {nats:.4f} nats a token ({bits:.4f} bits), perplexity {figures.perplexity:.3f}")
    if ahead := figures.nats_per_token_ahead:
        say("  by steps ahead: " + ", ".join(f"{nats:.4f}" for nats in ahead) + " nats a token")
    if figures.nats_per_note is not None:
        say(f"  {figures.nats_per_note:.4f} nats a note")
    if figures.nats_per_second is not None:
        say(f"  {figures.nats_per_second:.4f} nats a second, over {figures.seconds:,.0f} s of music")
    means, frames, pieces = figures.nats_per_frame, figures.frames, figures.pieces
    if means is not None and frames is not None and means.all is not None:
        say(f"  {means.all:.4f} nats a frame, over {counted(frames, 'frame')}")
        if means.skip_first is not None:
            say(f"  {means.skip_first:.4f} without each piece's first, over {counted(frames - pieces, 'frame')}")
        say(f"  {means.piece_mean:.4f} as the mean of the means of {counted(pieces, 'piece')}")

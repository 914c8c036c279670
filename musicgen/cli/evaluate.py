"""`musicgen evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import models, names_and_files, one_of
from musicgen.cli.help import Command
from musicgen.cli.options import Whole, device_option, json_option, print_json, progress_bar, say, tokenizer_in_words
from musicgen.errors import UsageError
from musicgen.words import counted

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
@click.option("--baseline", is_flag=True, help="Score a back-off n-gram model of the same tokens beside it.")
@device_option
@json_option
def command(
    run: str, corpus: str | None, split: str, max_tokens: int | None, baseline: bool, device: str, as_json: bool
) -> None:
    """Measure how well RUN predicts a split of CORPUS (default: the corpus it was trained on).

    Prints nats a token, a note, a second of music, and a frame where the tokenizer has frames, each with the count
    it is averaged over, so that models with different tokenizers can be compared.
    """
    from musicgen.checkpoint import load_run
    from musicgen.corpus.store import Corpus, own_corpus
    from musicgen.evaluation.likelihood import evaluate
    from musicgen.evaluation.ngram import evaluate_ngram
    from musicgen.training.loop import choose_device

    loaded = load_run(run)
    folder = Path(corpus) if corpus else own_corpus(run, loaded.recipe.data.corpus)
    source = Corpus.open(folder)
    if source.spec != loaded.tokenizer.spec:
        raise UsageError(
            f"this corpus was built with the tokenizer {tokenizer_in_words(source.spec)}, "
            f"the run uses {tokenizer_in_words(loaded.tokenizer.spec)}",
            where=folder,
            hint="build the corpus again with the run's tokenizer",
        )
    model = loaded.model.to(choose_device(device))
    with progress_bar() as bar:
        task = bar.add_task("pieces", total=None)
        result: dict[str, Any] = evaluate(
            model,
            source,
            loaded.tokenizer,
            split=split,
            max_tokens=max_tokens,
            on_piece=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if baseline:
        result["baseline"] = evaluate_ngram(source, loaded.tokenizer, split=split)
    if as_json:
        print_json({"run": run, "corpus": str(folder), **result})
        return
    _tell(result)
    if baseline:
        say(f"n-gram baseline (order {result['baseline']['order']}):")
        _tell(result["baseline"])


def _tell(result: dict[str, Any]) -> None:
    nats, bits = result["nats_per_token"], result["bits_per_token"]
    lines = [
        f"{result['split']}: " + ", ".join(counted(result[f"{what}s"], what) for what in ("token", "note", "piece")),
        f"  {nats:.4f} nats a token ({bits:.4f} bits), perplexity {result['perplexity']:.3f}",
    ]
    if ahead := result.get("nats_per_token_ahead"):
        lines.append("  by steps ahead: " + ", ".join(f"{nats:.4f}" for nats in ahead) + " nats a token")
    if result["nats_per_note"] is not None:
        lines.append(f"  {result['nats_per_note']:.4f} nats a note")
    if result["nats_per_second"] is not None:
        lines.append(f"  {result['nats_per_second']:.4f} nats a second, over {result['seconds']:,.0f} s of music")
    if result["nats_per_frame"] is not None and result["nats_per_frame"]["all"] is not None:
        means, frames, pieces = result["nats_per_frame"], result["frames"], result["pieces"]
        lines.append(f"  {means['all']:.4f} nats a frame, over {counted(frames, 'frame')}")
        if means["skip_first"] is not None:
            lines.append(
                f"  {means['skip_first']:.4f} without each piece's first, over {counted(frames - pieces, 'frame')}"
            )
        lines.append(f"  {means['piece_mean']:.4f} as the mean of the means of {counted(pieces, 'piece')}")
    for line in lines:
        say(line)

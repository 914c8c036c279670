"""`musicgen inspect`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import models, names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import (
    json_option,
    limit_options,
    limits_from,
    overwrite_option,
    print_json,
    say,
    warn,
)
from musicgen.cli.tokens import asked_tokens, show_tokens, token_options
from musicgen.errors import UnreadableError, UsageError
from musicgen.plugins import KINDS
from musicgen.resources import known_models, run_files
from musicgen.words import counted, sentence

__all__ = ["command"]

PICTURES = "pictures"  # the folder of pictures where none is named


@click.command("inspect", cls=Command)
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(),
    shell_complete=names_and_files(lambda: [*pieces(), *models()]),
)
@click.option(
    "--pictures",
    type=click.Path(),
    is_flag=False,
    flag_value=PICTURES,
    default=None,
    metavar="[DIR]",
    help="For a run: draw losses, gradients, memory, pitch embeddings, attention or gates into DIR as PNG; "
    f"for several: on one axis, with CSV.  [DIR: {PICTURES}]",
)
@click.option(
    "--piece",
    type=click.Path(),
    default=None,
    metavar="FILE",
    help="Draw attention and gates over this piece.  [one of the validation split]",
)
@token_options
@click.option("--surprise", is_flag=True, help="For a piece: how surprising each note is to a model, in nats.")
@click.option(
    "-m",
    "--model",
    default=None,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="The model that is surprised: a run folder or a name.  [default]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default=None,
    metavar="FILE",
    help="Draw the surprise as PNG; or the folder of --pictures.",
)
@limit_options
@json_option
@overwrite_option
def command(
    paths: tuple[str, ...],
    pictures: str | None,
    piece: str | None,
    surprise: bool,
    model: str | None,
    output: str | None,
    as_json: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Tell what is in PATH: a MIDI file or score, a corpus, or a run.

    For a run, --pictures DIR also shows what it learned and how; several runs are drawn on one axis. With
    --surprise a piece's notes that a model did not foresee are told, and -o draws all of them. Pictures need
    matplotlib, the extra `pictures`.

    \b
    musicgen inspect tune.mid --tokens --bars 2        its tokens, ids and one-hot rows
    musicgen inspect tune.mid --windows 4 --horizon 2  the table of lags and targets
    musicgen inspect runs/rnn runs/lstm --pictures     losses, memory and gradients on one axis
    """
    from musicgen.io.foreign import refuse_foreign

    if pictures is not None and output and not surprise:
        if pictures != PICTURES:
            raise UsageError("--pictures and -o name a folder each", hint="leave one of them out")
        pictures, output = output, None
    if len(paths) > 1:
        if surprise or model or output or piece or asked_tokens(options, paths[0], is_folder=True):
            raise UsageError("only runs are told several at a time", hint="name one PATH, or leave other options out")
        from musicgen.cli.comparing import compare_runs

        compare_runs(paths, pictures=pictures, as_json=as_json, overwrite=overwrite)
        return
    (path,) = paths
    folder = Path(path)
    if not folder.exists():
        folder = known_models().get(path, folder)
    asked = asked_tokens(options, path, is_folder=folder.is_dir())
    if not surprise and (model or output):
        raise UsageError("-m and -o are about the surprise of a piece", hint="add --surprise")
    if surprise:
        if pictures or piece or asked or folder.is_dir():
            raise UsageError(
                "--surprise is of a piece, not of a run, and by itself",
                where=path,
                hint="name a piece, and the run by -m",
            )
        from musicgen.cli.surprise import show_surprise

        refuse_foreign(path)
        show_surprise(
            path,
            model=model or "default",
            output=output,
            limits=limits_from(options),
            as_json=as_json,
            overwrite=overwrite,
        )
        return
    if piece and not pictures:
        raise UsageError("--piece is what pictures are drawn over", hint="add --pictures DIR")
    if pictures and not (folder / "recipe.toml").is_file():
        raise UsageError("--pictures are of a run, and this is no run folder", where=path, hint="name a run folder")
    refuse_foreign(path)
    if asked is not None:
        show_tokens(path, asked, options, as_json=as_json)
        return
    if folder.is_dir():
        if (folder / "corpus.json").is_file():
            from musicgen.cli.corpus import show_corpus

            show_corpus(folder, as_json=as_json)
        elif (folder / "recipe.toml").is_file():
            limits = limits_from(options)
            draw = (
                None
                if pictures is None
                else lambda run: _draw(run, folder, pictures=pictures, piece=piece, limits=limits, overwrite=overwrite)
            )
            _run(folder, path, as_json=as_json, draw=draw)
        else:
            raise UnreadableError("neither a corpus nor a run folder", where=path, hint="name one file in it")
        return
    from musicgen.gm import pitch_name

    facts = _facts(path, limits_from(options))
    if as_json:
        print_json(facts)
        return
    for line in facts["warnings"]:
        warn(f"{path}: {sentence(line)}")
    drums = f", {facts['drum_notes']:,} of them drums" if facts["drum_notes"] else ""
    notes, bars = counted(facts["notes"], "note"), counted(facts["bars"], "bar")
    say(f"{path}: {notes}{drums}, {bars}, {facts['seconds']:.1f} s")
    say(f"  {facts['ticks_per_quarter']} ticks a quarter, music ends at tick {facts['end_tick']}")
    say(f"  meter {_changes(facts['meters'], '4/4')}, tempo {_changes(facts['tempos'], '120')}")
    for number, track in enumerate(facts["tracks"], 1):
        name = f" “{track['name']}”" if track["name"] else ""
        low, high = track["pitch_range"]
        span = f"{pitch_name(low)} to {pitch_name(high)}, " if not track["is_drum"] and track["notes"] else ""
        notes = counted(track["notes"], "note")
        say(f"  part {number}: {track['instrument']}{name}, {notes}, {span}pitches {low}-{high}")


def _facts(path: str, limits: Any) -> dict[str, Any]:
    """The facts about a piece as JSON values; scripts rely on these keys, which the architecture page documents."""
    from musicgen.gm import program_name
    from musicgen.io import read

    piece = read(path, limits=limits)
    tracks = [
        {
            "name": t.name,
            "program": t.program,
            "is_drum": t.is_drum,
            "instrument": program_name(t.program, is_drum=t.is_drum),
            "notes": len(t.notes),
            "pitch_range": [int(t.notes["pitch"].min()), int(t.notes["pitch"].max())] if len(t.notes) else [0, 0],
        }
        for t in piece.tracks
    ]
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    return {
        "file": path,
        "notes": piece.n_notes,
        "drum_notes": sum(len(t.notes) for t in piece.tracks if t.is_drum),
        "tracks": tracks,
        "programs": list(dict.fromkeys(t.program for t in piece.tracks if not t.is_drum)),
        "ticks_per_quarter": piece.ticks_per_quarter,
        "end_tick": piece.end,
        "bars": len(starts) if piece.end else 0,
        "seconds": round(piece.seconds, 3),
        "tempos": [[tick, round(60e6 / microseconds, 3)] for tick, microseconds in piece.tempos.tolist()],
        "meters": [[tick, f"{numerator}/{denominator}"] for tick, numerator, denominator in piece.meters.tolist()],
        "keys": [[tick, fifths, "minor" if minor else "major"] for tick, fifths, minor in piece.keys.tolist()],
        "chords": [[int(c["tick"]), str(c["symbol"])] for c in piece.chords],
        "warnings": list(piece.warnings),
    }


def _changes(changes: list[list[Any]], default: str) -> str:
    if not changes:
        return f"{default} (by default)"
    first = f"{changes[0][1]:g}" if isinstance(changes[0][1], float) else str(changes[0][1])
    return first if len(changes) == 1 else f"{first} at first, then {counted(len(changes) - 1, 'change')}"


def _run(folder: Path, name: str, *, as_json: bool, draw: Callable[[Any], list[str]] | None) -> None:
    """Show a run; `draw`, if given, writes the run's pictures and returns their paths."""
    from musicgen.checkpoint import TaskRun, load_any_run
    from musicgen.cli.task_options import task_outcome
    from musicgen.models.tasks.registry import named

    run = load_any_run(folder)
    written = draw(run) if draw else None
    facts = {
        "run": str(folder),
        "sha256": run.sha256,
        "tokenizer": run.tokenizer.spec,
        "recipe": run.recipe.to_dict(),
        "card": run.card,
        **({} if written is None else {"pictures": written}),
    }
    if as_json:
        print_json(facts)
        return
    card = run.card
    say(f"{name}: {run.model.settings.family}, {run.model.n_parameters:,} parameters, tokenizer {run.tokenizer.name}")
    for used in card.get("plugins", []):
        kind, package = KINDS.get(used.get("group", ""), "plug-in"), f"{used.get('package')} {used.get('version')}"
        say(f"  {kind} {used.get('name')} of the package {package}")
    say("  model: " + ", ".join(f"{k} {v}" for k, v in run.recipe.model.items()))
    if card.get("valid_nats_per_token") is not None:
        steps = counted(card["steps"], "step") if "steps" in card else "steps unknown"
        say(f"  {steps}, validation loss {card['valid_nats_per_token']:.4f} nats a token")
    if isinstance(run, TaskRun):
        for line in (f"a model that {named(run.task).does}", *task_outcome(card)):
            say(f"  {line}")
    if set(run.model.inverse_temperature) != {1.0}:
        fitted = ", ".join(f"{value:.2f}" for value in run.model.inverse_temperature)
        say(f"  inverse temperature {fitted}: scores are multiplied by it, as validation found")
    if card.get("teachers"):
        say("  learned from " + ", ".join(teacher.get("name", "?") for teacher in card["teachers"]))
    say(f"  licence of the data: {card.get('licence', 'unknown')}")
    for path in written or ():
        say(f"  wrote {path}")


def _draw(run: Any, folder: Path, *, pictures: str, piece: str | None, limits: Any, overwrite: bool) -> list[str]:
    """Write the run's pictures to files; pictures that it doesn't have are listed on stderr."""
    from musicgen.io import read
    from musicgen.pictures.album import draw_run, refuse_to_replace

    music = read(piece, limits=limits) if piece else None
    refuse_to_replace(pictures, overwrite=overwrite, inputs=[*run_files(folder), *([piece] if piece else [])])
    album = draw_run(run, folder, piece=music)
    for line in album.left_out:
        warn(f"left out: {line}")
    return [str(path) for path in album.save(pictures, overwrite=overwrite)]

"""`musicgen inspect RUN1 RUN2 .. --pictures`: several runs on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from musicgen.cli.options import print_json, say, warn
from musicgen.errors import UsageError
from musicgen.resources import known_models, run_files

__all__ = ["compare_runs"]

MOST = 20  # runs whose lines can still be told apart


def compare_runs(paths: Sequence[str], *, pictures: str | None, as_json: bool, overwrite: bool) -> None:
    """Draw the runs into the folder `pictures`, each picture with its numbers as CSV, and tell what each was.

    Raises UsageError for what is no run, or where the runs can't be compared.
    """
    known = known_models()
    folders = [Path(path) if Path(path).exists() else known.get(path, Path(path)) for path in paths]
    for path, folder in zip(paths, folders, strict=True):
        if not (folder / "recipe.toml").is_file():
            raise UsageError("is no run folder, and only runs are compared", where=path, hint="name run folders alone")
    if pictures is None:
        raise UsageError("several runs are compared in pictures", hint="add --pictures DIR")
    if len(paths) > MOST:
        raise UsageError(f"{len(paths)} runs are too many for one picture", hint=f"name up to {MOST}")

    from musicgen.checkpoint import load_run
    from musicgen.pictures.album import refuse_to_replace
    from musicgen.pictures.compared import PATTERN, draw_runs

    inputs = [file for folder in folders for file in run_files(folder)]
    refuse_to_replace(pictures, overwrite=overwrite, inputs=inputs, patterns=(PATTERN,))
    runs = [load_run(folder) for folder in folders]
    album, notes = draw_runs(runs, folders)
    for line in album.left_out:
        warn(f"left out: {line}")
    written = [str(path) for path in album.save(pictures, overwrite=overwrite)]
    told = [
        {
            "run": path,
            "family": run.model.settings.family,
            "tokenizer": run.tokenizer.name,
            "parameters": run.model.n_parameters,
            "steps": run.card.get("steps"),
            "seconds": run.card.get("seconds"),
            "valid_nats_per_token": run.card.get("valid_nats_per_token"),
        }
        for path, run in zip(paths, runs, strict=True)
    ]
    if as_json:
        print_json({"runs": told, "notes": list(notes), "pictures": written})
        return
    for one in told:
        trained = "steps unknown" if one["steps"] is None else f"{one['steps']:,} steps"
        trained += "" if one["seconds"] is None else f", {one['seconds']:,.0f} s"
        valid = one["valid_nats_per_token"]
        loss = "" if valid is None else f", validation loss {valid:.4f} nats a token"
        say(f"{one['run']}: {one['family']}, {one['tokenizer']}, {one['parameters']:,} parameters, {trained}{loss}")
    for line in notes:
        say(f"  {line}")
    for name in written:
        say(f"  wrote {name}")

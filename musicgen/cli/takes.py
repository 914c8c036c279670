"""Writing takes: where they go, in which formats, whole or not at all. Used by `continue` and `generate`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.cli.options import print_json, progress_bar, say, warn
from musicgen.cli.studying import Wish, studying
from musicgen.errors import CheckError, UsageError

__all__ = ["Outputs", "plan_outputs", "run_takes", "split_request"]

FORMATS = ("mid", "abc", "wav", "flac", "ogg")  # abc: of models that write text


@dataclass(frozen=True)
class Outputs:
    """The output paths of each take: `files[k][format]`, and `sidecars[k]`."""

    files: tuple[dict[str, Path], ...]
    sidecars: tuple[Path, ...]


def plan_outputs(
    stem: str,
    *,
    output: str | None,
    formats: str | None,
    takes: int,
    overwrite: bool,
    inputs: Iterable[str | Path | None],
) -> Outputs:
    """Decide every output path, and refuse before any work is done where one exists or is one of the `inputs`.

    `output` is a folder (existing, or with a slash at its end), or a file whose suffix, if it is a format, is
    taken off. Raises UsageError for an unknown format, an existing output, and, whatever is said of overwriting, for
    one that would replace what is read.
    """
    from musicgen.io.atomic import keep_inputs

    folder = Path()
    chosen = [f.strip().lower().lstrip(".") for f in formats.split(",")] if formats else []
    if output is not None:
        path = Path(output)
        if output.endswith(("/", "\\")) or path.is_dir():
            folder = path
        else:
            folder, stem = path.parent, path.name
            suffix = path.suffix.lower().lstrip(".").replace("midi", "mid")
            if suffix in FORMATS:
                stem = path.name[: -len(path.suffix)]
                chosen = chosen if suffix in chosen else [suffix, *chosen]
    chosen = list(dict.fromkeys(chosen)) or ["mid"]
    for name in chosen:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}", hint=f"choose from {', '.join(FORMATS)}")
    if not folder.is_dir():
        raise UsageError("no such folder", where=folder, hint="create it first")
    files, sidecars = [], []
    for k in range(takes):
        name = stem if takes == 1 else f"{stem}.{k + 1}"
        files.append({f: folder / f"{name}.{f}" for f in chosen})
        sidecars.append(folder / f"{name}.json")
    paths = [p for f in files for p in f.values()] + sidecars
    keep_inputs(paths, inputs)
    if not overwrite:
        for path in paths:
            if path.exists():
                raise UsageError("already exists", where=path, hint="pass --overwrite to replace it")
    return Outputs(tuple(files), tuple(sidecars))


def split_request(options: dict[str, Any], *, start: int | None) -> tuple[Any, Any]:
    """(Request, SamplingSettings) out of a command's options."""
    from musicgen.sampling.continuation import Request
    from musicgen.sampling.filters import SamplingSettings

    low, high = 0, 127
    if options["pitch_range"]:
        try:
            low, high = (int(part) for part in options["pitch_range"].split("-"))
        except ValueError:
            raise UsageError(f"{options['pitch_range']!r} is not a pitch range", hint="write it like 48-84") from None
    tracks = tuple(part.strip() for part in options["tracks"].split(",") if part.strip()) if options["tracks"] else ()
    request = Request(
        bars=options["bars"],
        seconds=options["seconds"],
        start=start,
        tracks=tracks,
        key=options["key"],
        pitch_low=low,
        pitch_high=high,
        max_polyphony=options["max_polyphony"],
        played={"auto": None, "yes": True, "no": False}[options["played"]],
    )
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    of_fields = tuple(_field_temperature(text) for text in options["field_temperatures"])
    return request, SamplingSettings(**{name: options[name] for name in names}, field_temperatures=of_fields).validate()


def _field_temperature(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise UsageError(f"{text!r} is not a field's temperature", hint="write it like pitch=1.2") from None


def run_takes(
    source: Any, outputs: Outputs, options: dict[str, Any], *, request: Any, sampling: Any, wish: Wish
) -> None:
    """Draw the takes and write their files; `wish` is what the model is to study first.

    Raises CheckError when one still failed its check after all retries.
    """
    import torch

    from musicgen.cli.text_takes import draw_text, source_text
    from musicgen.composer import UNLIMITED, Composer
    from musicgen.io.atomic import json_bytes, together, write_text
    from musicgen.io.midi import piece_from_midi
    from musicgen.io.smf import smf_bytes
    from musicgen.render import render_file

    torch.set_num_threads(1)  # at batch 1 a second thread costs more than it brings
    seed = options["seed"] if options["seed"] is not None else secrets.randbelow(2**31)
    composer = Composer.load(options["model"], device=options["device"], int8=options["int8"])
    takes, overwrite = options["takes"], options["overwrite"]
    text_source = source_text(composer.tokenizer, source, outputs)
    printed, broken, told = [], 0, set()
    bar = progress_bar("notes")
    learning = bar.add_task("learning your piece", total=None, notes="", visible=False)
    study = studying(
        wish,
        able=composer.can_study,
        on_update=lambda done, of: bar.update(learning, completed=done, total=of, visible=done < of),
    )
    with bar:
        task = bar.add_task("takes", total=takes, notes="")
        steps = 0

        def on_step() -> None:
            nonlocal steps
            steps += 1
            if steps % 50 == 0:
                bar.update(task, notes=f"{steps} steps")

        drawn: Any = None
        if text_source is not None:
            drawn = draw_text(composer, text_source, source, options, request, sampling, seed, on_step)
        else:
            drawn = composer.takes(
                source,
                request=request,
                sampling=sampling,
                seed=seed,
                count=takes,
                studying=study,
                on_step=on_step,
            )
        for k, take in enumerate(drawn):
            midi = take.only_new if options["only_new"] else take.midi
            # The sidecar first: after a kill no music lies there without it.
            paths = [outputs.sidecars[k], *outputs.files[k].values()]
            with together(paths, overwrite=overwrite) as (sidecar, *files):
                sidecar.write_bytes(json_bytes(take.facts))
                for name, path in zip(outputs.files[k], files, strict=True):
                    if name == "abc":
                        write_text(path, take.new_text if options["only_new"] else take.text)
                    elif name == "mid":
                        path.write_bytes(smf_bytes(midi))
                    else:
                        piece = piece_from_midi(midi, limits=UNLIMITED)
                        render_file(piece, path, soundfont=options["soundfont"])
            broken += bool(take.faults)
            printed.append(take.facts)
            for line in take.facts["warnings"]:
                if line not in told:
                    warn(f"{source.name}: {line}")
                    told.add(line)
            if not options["as_json"]:
                names = ", ".join(str(p) for p in outputs.files[k].values())
                bars = take.facts["bars_added"]
                say(
                    f"{names}: {take.facts['notes_added']} new notes in {bars} bars "
                    f"({take.facts['seconds_added']:.1f} s), seed {take.facts['seed']}"
                )
            bar.advance(task)
    if options["as_json"]:
        print_json(printed)
    if broken:
        raise CheckError(f"{broken} of {takes} takes failed their check, as the warnings say", hint="try other seeds")

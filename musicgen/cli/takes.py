"""Draws takes and writes each with all its files or none. Used by `continue` and `generate`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen.cli.listening import TakesShown
from musicgen.cli.options import limits_from, print_json, say, warn
from musicgen.cli.outputs import Outputs, made, plan_outputs
from musicgen.cli.studying import Wish, studying
from musicgen.errors import CheckError, UsageError
from musicgen.resources import run_files
from musicgen.seeds import MOST_SEED, checked_seed
from musicgen.words import counted, sentence

if TYPE_CHECKING:
    from musicgen.composer import Keeps, Request, SamplingSettings, Source
    from musicgen.page import Heard
    from musicgen.replaying import Recalled

__all__ = ["fill_holes", "request_from", "run_takes", "sampling_from"]


def request_from(
    options: dict[str, Any],
    *,
    start: int | None,
    bars: int | None = None,
    until: int | None = None,
    add: str = "",
    everywhere: bool = False,
) -> Request:
    """The request from a command's options; `bars` is the default number of new bars if they don't set it. For `until`,
    `add` and `everywhere` see `Request`."""
    from musicgen.sampling.request import Request, part_names

    return Request(
        bars=bars if options.get("bars") is None else options["bars"],
        seconds=options.get("seconds"),
        start=start,
        tracks=part_names(options["tracks"] or ""),
        keeps=keeps_from(options),
        played={"auto": None, "yes": True, "no": False}[options["played"]],
        until=until,
        add=part_names(add),
        everywhere=everywhere,
    )


def keeps_from(options: dict[str, Any]) -> Keeps:
    """What new music keeps to, from a command's options."""
    from musicgen.sampling.request import Keeps, pitches_between

    if options["key"] is not None and options["scale"] is not None:
        raise UsageError("--key and --scale are one thing", hint="give one, such as --scale 'D dorian'")
    if options["no_drums"] and options["kit"] is not None:
        raise UsageError("--no-drums leaves no drum for --kit", hint="give one of them")
    return Keeps(
        key=options["key"] if options["scale"] is None else options["scale"],
        key_strength=options["key_strength"],
        chords=options["chords"],
        pitch_range=pitches_between(options["pitch_range"]),
        ranges=options["ranges"],
        max_polyphony=options["max_polyphony"],
        polyphony=options["polyphony"],
        density=options["density"],
        kit="none" if options["no_drums"] else options["kit"],
        rhythm=options["rhythm"],
        motif=options["motif"],
        velocity=options["velocity"],
    )


def sampling_from(options: dict[str, Any]) -> SamplingSettings:
    """The sampling settings from a command's options."""
    from musicgen.sampling.filters import SamplingSettings

    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_copy", "typical_p", "figure_penalty")
    of_fields = tuple(_field_temperature(text) for text in options["field_temperatures"])
    return SamplingSettings(**{name: options[name] for name in names}, field_temperatures=of_fields).validate()


def _field_temperature(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise UsageError(f"{text!r} is not a field's temperature", hint="write it like pitch=1.2") from None


def fill_holes(path: Path, word: str, *, request: Request, options: dict[str, Any]) -> None:
    """Draw takes that fill a hole in the piece at `path`, and write them as NAME.WORD files."""
    from musicgen.cli.studying import wish_from
    from musicgen.sampling.source import Source

    limits = limits_from(options)
    wish = wish_from(options, start=request.start, piece=path, limits=limits)
    outputs = plan_outputs(
        f"{path.stem}.{word}",
        output=options["output"],
        formats=options["formats"],
        takes=options["takes"],
        overwrite=options["overwrite"],
        inputs=[path, options["soundfont"], *wish.files, *run_files(options["model"])],
    )
    run_takes(
        Source.read(path, limits=limits),
        outputs,
        request=request,
        sampling=sampling_from(options),
        wish=wish,
        options=options,
    )


def run_takes(
    source: Source,
    outputs: Outputs,
    *,
    request: Request,
    sampling: SamplingSettings,
    wish: Wish,
    options: dict[str, Any],
    told: Recalled | None = None,
) -> None:
    """Draw the takes and write their files; `wish` is what the model studies first, `told` the take to make again.

    The request is checked first, then whether outputs exist, before any take is drawn. Raises CheckError if a take
    still has faults after all retries.
    """
    import torch

    from musicgen.composer import Composer
    from musicgen.page import stem_of
    from musicgen.render import check_soundfont
    from musicgen.sampling.ranking import ranked
    from musicgen.sampling.request import Finish

    torch.set_num_threads(1)  # at batch 1 a second thread costs more than it brings
    # Checked before the model is loaded; a random seed leaves room for the seeds of the following takes.
    drawn_below = MOST_SEED + 2 - options["takes"]
    seed = secrets.randbelow(drawn_below) if options["seed"] is None else options["seed"]
    checked_seed(seed, count=options["takes"])
    composer = Composer.load(options["model"], device=options["device"], int8=options["int8"])
    takes, overwrite = options["takes"], options["overwrite"]
    if told is not None:
        told.check(model_sha256=composer.run.sha256, source_sha256=source.sha256, int8=composer.int8)
    if options["soundfont"] or set(outputs.formats) & {"wav", "flac", "ogg"}:
        check_soundfont(options["soundfont"])
    printed, broken = [], 0
    heard: list[Heard] = []
    sidecars: list[Path] = []
    with TakesShown() as shown:
        learnt = studying(wish, able=composer.can_study, listener=shown)
        if told is not None:
            learnt = replace(learnt, also=told.chosen(composer.tokenizer, learnt.also))
        drawn = composer.takes(
            source,
            request=request,
            finish=Finish(*(options.get(name, False) for name in ("end", "keep_rest", "redrawn"))),
            sampling=sampling,
            as_text="abc" in outputs.formats if told is None else told.as_text,
            studying=learnt,
            seed=seed,
            count=takes,
            listener=shown,
        )
        outputs = outputs.settled(overwrite=overwrite)
        if best := options.get("best"):
            drawn = iter(ranked(list(drawn), best))
        for k, take in enumerate(drawn):
            outputs = outputs.settled(overwrite=overwrite, begin=k)  # other processes may have written files meanwhile
            first, *_ = paths = list(outputs.files[k].values())
            with made(outputs.folder):
                facts = take.save(
                    first,
                    formats=list(outputs.files[k])[1:],
                    only_new=options["only_new"],
                    soundfont=options["soundfont"],
                    overwrite=overwrite,
                )
            if outputs.page is not None:
                heard.append(take.heard(name=stem_of(first), only_new=options["only_new"]))
                sidecars.append(outputs.sidecars[k])
            for line in facts["warnings"][len(take.facts["warnings"]) :]:  # those of writing it
                warn(f"{first}: {sentence(line)}")
            broken += bool(take.faults)
            printed.append(facts)
            if not options["as_json"]:
                names = ", ".join(map(str, paths))
                notes, bars = counted(facts["notes_added"], "new note"), counted(facts["bars_added"], "bar")
                say(f"{names}: {notes} in {bars} ({facts['seconds_added']:.1f} s), seed {facts['seed']}")
    page = outputs.settled(overwrite=overwrite, begin=takes).page
    if page is not None:
        _write_page(
            page, heard, printed=printed, sidecars=sidecars, soundfont=options["soundfont"], overwrite=overwrite
        )
        if not options["as_json"]:
            say(f"{page}: a page to hear {counted(takes, 'take')} by")
    if options["as_json"]:
        print_json(printed)
    if broken:
        what = f"{broken} of {counted(len(printed), 'take')} failed the check, as the warnings say"
        raise CheckError(what, hint="try another --seed")


def _write_page(
    path: Path,
    heard: list[Heard],
    *,
    printed: list[dict[str, Any]],
    sidecars: list[Path],
    soundfont: str | None,
    overwrite: bool,
) -> None:
    """Write the page of several takes, and name it in the facts of each, which are those of `sidecars`."""
    from musicgen.io.atomic import json_bytes, together
    from musicgen.page import write_page

    page = write_page(heard, str(path), soundfont=soundfont, overwrite=overwrite)
    for line in page.warnings:
        warn(f"{path}: {sentence(line)}")
    for facts in printed:  # only now is it true that there is a page
        facts["files"] = [*facts["files"], path.name]
        facts["warnings"] = [*facts["warnings"], *page.warnings]
    with together(sidecars, overwrite=True) as files:
        for file, facts in zip(files, printed, strict=True):
            file.write_bytes(json_bytes(facts))

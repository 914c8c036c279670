"""Drawing takes and writing them, whole or not at all. Used by `continue` and `generate`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from musicgen.cli.options import print_json, progress_bar, say, warn
from musicgen.cli.outputs import Outputs, made
from musicgen.cli.studying import Wish, studying
from musicgen.errors import CheckError, UsageError
from musicgen.seeds import MOST_SEED, checked_seed
from musicgen.words import counted, sentence

__all__ = ["run_takes", "split_request"]


def split_request(options: dict[str, Any], *, start: int | None) -> tuple[Any, Any]:
    """(Request, SamplingSettings) out of a command's options."""
    from musicgen.gm import pitch_range
    from musicgen.sampling.continuation import Request
    from musicgen.sampling.filters import SamplingSettings

    low, high = pitch_range(options["pitch_range"]) if options["pitch_range"] else (0, 127)
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

    All that is asked is checked, then whether outputs exist, then the work begins. Raises CheckError when a take still
    failed its check after all retries.
    """
    import torch

    from musicgen.cli.text_takes import draw_text, source_text
    from musicgen.composer import UNLIMITED, Composer
    from musicgen.io.atomic import json_bytes, together, write_text
    from musicgen.io.midi import piece_from_midi
    from musicgen.io.smf import smf_bytes
    from musicgen.render import check_soundfont, render_file

    torch.set_num_threads(1)  # at batch 1 a second thread costs more than it brings
    # Told before the model is loaded; one that is drawn leaves room for the takes after the first.
    drawn_below = MOST_SEED + 2 - options["takes"]
    seed = secrets.randbelow(drawn_below) if options["seed"] is None else options["seed"]
    checked_seed(seed, count=options["takes"])
    composer = Composer.load(options["model"], device=options["device"], int8=options["int8"])
    takes, overwrite = options["takes"], options["overwrite"]
    if options["soundfont"] or set(outputs.formats) & {"wav", "flac", "ogg"}:
        check_soundfont(options["soundfont"])
    text_source = source_text(composer.tokenizer, source, outputs)
    printed, broken, told = [], 0, set()
    bar = progress_bar("said", counts=False, transient=True)
    learning = bar.add_task("learning your piece", total=None, said="", visible=False)
    study = studying(
        wish,
        able=composer.can_study,
        on_update=lambda done, of: bar.update(learning, completed=done, total=of, visible=done < of),
    )

    def tell(show: Callable[[str], None], line: str) -> None:
        bar.stop()  # or the line would stand behind the bar
        show(line)
        bar.start()

    with bar:
        task = bar.add_task("", total=None, said="", visible=False)

        def on_bars(done: int, of: int | None) -> None:
            said = counted(done, "bar") if of is None else f"{done} of {counted(of, 'bar')}"
            bar.update(task, completed=done, total=of, said=said)

        drawn: Any = None
        if text_source is not None:
            drawn = draw_text(composer, text_source, source, options, request, sampling, seed, on_bars)
        else:
            drawn = composer.takes(
                source,
                request=request,
                sampling=sampling,
                seed=seed,
                count=takes,
                studying=study,
                on_bars=on_bars,
            )
        outputs = outputs.settled(overwrite=overwrite)
        bar.update(task, description=f"take 1 of {takes}" if takes > 1 else "drawing", visible=True)
        for k, take in enumerate(drawn):
            outputs = outputs.settled(overwrite=overwrite, begin=k)  # somebody may have written there meanwhile
            facts = {**take.facts, "files": [path.name for path in outputs.files[k].values()]}
            midi = take.only_new if options["only_new"] else take.midi
            # The sidecar first: after a kill no music lies there without it.
            files = outputs.files[k]
            whole = together([outputs.sidecars[k], *files.values()], overwrite=overwrite)
            with made(outputs.folder), whole as (sidecar, *paths):
                sidecar.write_bytes(json_bytes(facts))
                for name, path in zip(files, paths, strict=True):
                    if name == "abc":
                        write_text(path, take.new_text if options["only_new"] else take.text)
                    elif name == "mid":
                        path.write_bytes(smf_bytes(midi))
                    else:
                        piece = piece_from_midi(midi, limits=UNLIMITED)
                        render_file(piece, path, soundfont=options["soundfont"])
            broken += bool(take.faults)
            printed.append(facts)
            for line in facts["warnings"]:
                # What was drawn besides is for the sidecar: a good take needs no excuse.
                if line not in told and not line.startswith("refused: "):
                    tell(warn, f"{source.name}: {sentence(line)}")
                    told.add(line)
            if not options["as_json"]:
                names = ", ".join(str(p) for p in outputs.files[k].values())
                notes, bars = counted(facts["notes_added"], "new note"), counted(facts["bars_added"], "bar")
                tell(say, f"{names}: {notes} in {bars} ({facts['seconds_added']:.1f} s), seed {facts['seed']}")
            bar.update(
                task, description=f"take {k + 2} of {takes}", completed=0, total=None, said="", visible=k + 1 < takes
            )
    if options["as_json"]:
        print_json(printed)
    if broken:
        what = f"{broken} of {counted(takes, 'take')} failed the check, as the warnings say"
        raise CheckError(what, hint="try another --seed")

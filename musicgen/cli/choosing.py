"""Which model `continue` takes if -m doesn't name one, and what `generate` writes if -f doesn't say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from musicgen.cli.options import warn

if TYPE_CHECKING:
    from musicgen.composer import Request, SamplingSettings, Source
    from musicgen.picking import Picked
    from musicgen.replaying import Recalled

__all__ = ["asked_for", "asks_for_text", "chosen", "files_of_models", "usual_formats"]


def asked_for(request: Request, options: dict[str, Any], *, sampling: SamplingSettings, studies: bool) -> list[str]:
    """The options that are set and that not every model can honour, by name; `studies`: one of those of study is."""
    keeps = request.keeps
    found = {
        "`seconds`": request.seconds is not None,
        "`start`": request.start is not None,
        "`tracks`": bool(request.tracks),
        "`played`": request.played is not None,
        **dict.fromkeys(keeps.asked(), True),
        "`chords`": keeps.chords is not None,
        "`pitch_range`": keeps.pitch_range != (0, 127),
        "`max_polyphony`": bool(keeps.max_polyphony),
        "`end`": options["end"],
        "`keep_rest`": options.get("keep_rest", False),
        "`max_copy`": sampling.max_copy is not None,
        "`figure_penalty`": sampling.figure_penalty != 1,
        "`field_temperatures`": bool(sampling.field_temperatures),
        "`best`": options.get("best") is not None,
        "`studying`": studies,
        "`int8`": options["int8"],
    }
    return [name for name, is_set in found.items() if is_set]


def chosen(source: Source, options: dict[str, Any], *, asked: list[str], told: Recalled | None) -> Picked:
    """The model and the reason for it. A take that is made again, or varied, has its own model; one line says which
    model it is where nobody named it and it isn't the default."""
    from musicgen.picking import AUTO, DEFAULT, NAMED, Picked, known_cards, picked
    from musicgen.resources import known_models

    if options["model"] != AUTO:
        return Picked(options["model"], NAMED)
    if told is not None:
        name = str(told.facts["model"])  # a run folder of somebody's own has to be named
        return Picked(name if name in known_models() else DEFAULT, told.facts.get("model_reason", NAMED))
    pick = picked(source.piece, cards=known_cards(), asked=asked, as_text=asks_for_text(options))
    if not pick.is_default:
        warn(f"model {pick.model}: {pick.reason}; -m default overrides")
    return pick


def files_of_models(model: str) -> list[Path]:
    """The files of the model, or of all that may be picked: no output may take their place."""
    from musicgen.picking import AUTO
    from musicgen.resources import known_models, run_files

    names = list(known_models()) if model == AUTO else [model]
    return [path for name in names for path in run_files(name)]


def asks_for_text(options: dict[str, Any]) -> bool:
    """Whether ABC is to be written, by -f or by the name of the output."""
    formats = [name.strip().lower().lstrip(".") for name in (options["formats"] or "").split(",")]
    return "abc" in formats or str(options["output"] or "").lower().endswith(".abc")


def usual_formats(pick: Picked) -> tuple[str, ...]:
    """What is written if no format is asked for: MIDI, and ABC too by a model of text that nobody named."""
    from musicgen.picking import NAMED, writes_text

    return ("mid", "abc") if pick.reason != NAMED and writes_text(pick.model) else ("mid",)

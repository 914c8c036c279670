"""What `generate --kind` and `--like` bring: parts, tempi and meters typical of a kind, or those of a piece."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from musicgen.errors import UsageError

__all__ = ["KINDS", "Kind", "settle", "settle_like"]


@dataclass(frozen=True)
class Kind:
    """`tracks` are instruments by commas, `slowest` and `fastest` quarter notes a minute; a meter that stands twice in
    `meters` is drawn twice as often. `model` is taken where it is known."""

    tracks: str
    slowest: int
    fastest: int
    meters: tuple[str, ...]
    model: str = "default"


KINDS = {
    "folk": Kind("violin", 90, 130, ("4/4", "4/4", "6/8", "3/4", "2/4"), "folk"),
    "piano": Kind("piano", 60, 132, ("4/4", "4/4", "3/4", "6/8"), "piano"),
    "band": Kind("distortion guitar,fingered electric bass,piano,drums", 90, 160, ("4/4",)),
    "choir": Kind("choir aahs,choir aahs,choir aahs,choir aahs", 60, 96, ("4/4", "4/4", "3/4")),
    "orchestra": Kind("flute,oboe,french horn,violin,viola,cello,contrabass", 60, 132, ("4/4", "4/4", "3/4")),
}


def settle(kind: str, options: dict[str, Any], *, seed: int, model: str) -> dict[str, Any]:
    """The options with what isn't set taken from a kind: `tracks`, `tempo` and `meter`, the last two drawn from `seed`.

    A model that writes text, the folk model, takes no instruments, and draws the meter with the kind of dance.
    """
    chosen, rng = KINDS[kind], random.Random(seed)
    tempo, meter = rng.randint(chosen.slowest, chosen.fastest), rng.choice(chosen.meters)
    settled = {**options, "tempo": options["tempo"] or tempo}
    if model != "folk":
        settled |= {"meter": options["meter"] or meter, "tracks": options["tracks"] or chosen.tracks}
    return settled


def settle_like(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of `generate` with the instruments, the tempo and the meter of a piece where they say nothing; the
    piece is added to what is studied. Raises UnreadableError for a file that can't be read, UsageError for one without
    notes."""
    from musicgen.gm import program_name
    from musicgen.resources import piece_path
    from musicgen.sampling.source import Source

    where = piece_path(path)
    piece = Source.read(where).encoded_piece
    parts = [track for track in piece.tracks if len(track.notes)]
    if not parts:
        raise UsageError("has no notes to be like", where=path, hint="name a piece that has some")
    first = min(int(track.notes["start"].min()) for track in parts)
    names = dict.fromkeys("drums" if part.is_drum else program_name(part.program) for part in parts)
    found = {
        "tracks": ",".join(names),
        "tempo": round(60e6 / piece.tempo_at(first), 2),
        "meter": "{}/{}".format(*piece.meter_at(first)),
    }
    given = {key: value for key, value in options.items() if value is not None}
    also = (*options["study_also"], str(where)) if options["study"] != 0 else options["study_also"]
    return {**options, **found, **given, "study_also": also}

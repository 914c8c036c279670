"""Takes made again from what their sidecars say, and takes that go on from an earlier one.

A sidecar holds a take's settings, seed and digests of model and source, so that the same take can be drawn again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError, UsageError
from musicgen.io.bounded import read_json
from musicgen.piece import Piece
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.request import Finish, Keeps, Request

__all__ = ["Recalled", "recalled", "varied"]

MOST_BYTES = 50_000_000  # of a sidecar, which lists all candidates
HINT = "give the .json that `musicgen continue` wrote beside a take"


@dataclass(frozen=True)
class Recalled:
    """What a sidecar says of how its take was made. `pieces` is the number of pieces studied, `whole` whether the music
    behind the cut was among them."""

    path: Path
    facts: dict[str, Any]
    request: Request
    finish: Finish
    sampling: SamplingSettings
    seed: int
    int8: bool
    updates: int
    pieces: int
    whole: bool

    @property
    def as_text(self) -> bool:
        """Whether the take was written as text."""
        return "characters_added" in self.facts

    @property
    def music(self) -> Path:
        """The take's MIDI file. Raises UsageError if none was written or it isn't there."""
        names = [name for name in self.facts.get("files", []) if str(name).endswith(".mid")]
        path = self.path.with_name(str(names[0])) if names else None
        if path is None or not path.exists():
            raise UsageError("the take's MIDI file isn't beside its facts", where=self.path, hint="keep both together")
        return path

    def check(self, *, model_sha256: str, source_sha256: str, also: int = 0) -> None:
        """Raise UsageError unless model, source and the number of further pieces to study are those of the take."""
        if self.facts["model_sha256"] != model_sha256:
            name = self.facts["model"]
            raise UsageError(f"this take was made by another model, {name!r}", where=self.path, hint="name it with -m")
        if self.facts["source_sha256"] != source_sha256:
            what = f"this take was made of another file than this, {self.facts['source']!r}"
            raise UsageError(what, where=self.path, hint="name the file as it was")
        if also < self.pieces - 1:
            raise UsageError("other music was studied for this take", where=self.path, hint="add it with --study-also")


def recalled(sidecar: str | os.PathLike[str]) -> Recalled:
    """Read how a take was made. Raises UnreadableError for a file that is no sidecar of a continued piece."""
    path = Path(sidecar)
    facts = read_json(path, most=MOST_BYTES, hint=HINT)
    missing = [name for name in ("settings", "seed", "model_sha256", "source_sha256", "cut_tick") if name not in facts]
    settings = facts.get("settings")
    if missing or not isinstance(settings, dict):
        raise UnreadableError(f"has no {missing[0] if missing else 'settings'!r}", where=path, hint=HINT)
    if not facts["source_sha256"]:
        raise UsageError("this take was made from nothing", where=path, hint="generate it with its --seed again")
    left = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    left["field_temperatures"] = tuple((str(name), float(x)) for name, x in left.get("field_temperatures", ()))
    int8 = bool(left.pop("int8", False))
    span: Any = (left.pop("pitch_low", 0), left.pop("pitch_high", 127))
    kept: dict[str, Any] = {each.name: left.pop(each.name) for each in fields(Keeps) if each.name in left}
    groups: list[Any] = []
    kinds: tuple[Any, ...] = (SamplingSettings, Request, Finish)
    for kind in kinds:
        mine = {each.name: left.pop(each.name) for each in fields(kind) if each.name in left}
        groups.append(kind(**mine))
    if left:
        name = next(iter(left))
        raise UnreadableError(f"settings has {name!r}, which is unknown here", where=path, hint="use a newer musicgen")
    study = facts.get("study") or {}
    sampling, request, finish = groups
    request = replace(request, keeps=Keeps(**kept, pitch_range=span))
    return Recalled(
        path,
        facts,
        request,
        finish,
        sampling.validate(),
        int(facts["seed"]),
        int8,
        int(study.get("updates", 0)),
        int(study.get("pieces", 0)),
        bool(study.get("whole", False)),
    )


def varied(take: Recalled, piece: Piece, *, bar: int) -> Request:
    """The request that goes on from a take, whose file is `piece`: it keeps the take up to its new bar `bar`, counted
    from 0, and draws the bars from there on anew. Raises UsageError for a bar that it hasn't got."""
    if take.request.is_hole:
        raise UsageError("only a continuation can be varied", where=take.path, hint="infill its bars instead")
    bars = int(take.facts["bars_added"])
    if not 0 <= bar < bars:
        hint = f"give one of its {bars} new bars, as in --from {bars}"
        raise UsageError(f"the take has no new bar {bar + 1}", where=take.path, hint=hint)
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    first = int(np.searchsorted(starts, take.facts["cut_tick"] - 0.5))
    return replace(take.request, start=first + bar, bars=bars - bar, seconds=None)

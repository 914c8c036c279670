"""Takes made again from what their sidecars say, and takes that go on from an earlier one.

A sidecar holds a take's settings and seed, and digests of model, source and of what was studied, so that the same take
can be drawn again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.checkpoint import Run
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Listener, ignore
from musicgen.io.bounded import read_json
from musicgen.piece import Piece
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.keeps import FROM_FILE, NONE
from musicgen.sampling.ranking import ranked
from musicgen.sampling.request import OPEN, Finish, Keeps, Request
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.stopping import Cancel
from musicgen.studied import digest
from musicgen.tokenizers import Tokenizer
from musicgen.tonality import progression
from musicgen.training.study import Studying
from musicgen.words import counted

__all__ = ["Recalled", "Replaying", "recalled", "varied"]

MOST_BYTES = 50_000_000  # of a sidecar, which lists all candidates
HINT = "give the .json that `musicgen continue` wrote beside a take"
NEAR = 48  # a cut within 1/48 of a quarter of a bar line counts as on it


@dataclass(frozen=True)
class Recalled:
    """What a sidecar says of how its take was made. `studied` are the digests of the pieces that were studied besides
    the source, `whole` says whether the music behind the cut was, too."""

    path: Path
    facts: dict[str, Any]
    request: Request
    finish: Finish
    sampling: SamplingSettings
    seed: int
    int8: bool
    updates: int
    studied: tuple[str, ...]
    whole: bool
    nothing: Source | None = None  # the source of a take that was made from nothing

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

    def check(self, *, model_sha256: str, source_sha256: str, int8: bool) -> None:
        """Raise UsageError unless model, source and the kind of weights are those of the take."""
        if self.facts["model_sha256"] != model_sha256:
            name = self.facts["model"]
            raise UsageError(f"this take was made by another model, {name!r}", where=self.path, hint="name that one")
        if self.facts["source_sha256"] != source_sha256:
            what = f"this take was made of another file than this, {self.facts['source']!r}"
            raise UsageError(what, where=self.path, hint="name the file as it was")
        if self.int8 != int8:
            what = f"this take was drawn with{'' if self.int8 else 'out'} weights of 8 bits"
            raise UsageError(what, where=self.path, hint=f"load the model with `int8` {str(self.int8).lower()}")

    def chosen(self, tokenizer: Tokenizer, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        """Those of `pieces` that were studied for the take, in the order in which they were. Raises UsageError if some
        aren't there."""
        here = {digest(tokenizer, piece): piece for piece in pieces} if self.studied else {}
        missing = sum(each not in here for each in self.studied)
        if missing:
            of = counted(len(self.studied), "piece")
            what = f"of {of} studied for this take {counted(missing, 'is', 'are')} missing"
            raise UsageError(what, where=self.path, hint="name the same music to study, unchanged, in `study_also`")
        return tuple(here[each] for each in self.studied)


def recalled(sidecar: str | os.PathLike[str]) -> Recalled:
    """Read how a take was made. Raises UnreadableError for a file that is no sidecar of a take."""
    path = Path(sidecar)
    facts = read_json(path, most=MOST_BYTES, hint=HINT)
    missing = [name for name in ("settings", "seed", "model_sha256", "source_sha256") if name not in facts]
    settings = facts.get("settings")
    if missing or not isinstance(settings, dict):
        raise UnreadableError(f"has no {missing[0] if missing else 'settings'!r}", where=path, hint=HINT)
    left = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    left["field_temperatures"] = tuple((str(name), float(x)) for name, x in left.get("field_temperatures", ()))
    int8 = bool(left.pop("int8", False))
    of_nothing: dict[str, Any] = {name: left.pop(name, None) for name in ("tempo", "meter")}
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
    also = study.get("also", ())
    if int(study.get("pieces", 0)) > 1 and not also:
        what = "doesn't say which pieces were studied"
        raise UnreadableError(what, where=path, hint="make the take anew with this version")
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
        tuple(map(str, also)),
        bool(study.get("whole", False)),
        None if facts["source_sha256"] else Source.nothing(**of_nothing),
    )


def varied(take: Recalled, piece: Piece, *, bar: int) -> tuple[Request, Finish]:
    """What to ask of a take's own file, which is `piece`, so that it is kept up to its new bar `bar`, counted from 0,
    and the bars from there on are drawn anew; what followed the new bars stays.

    Raises UsageError for a bar that it hasn't got, for a hole, and for a file that isn't the whole take as it was
    written.
    """
    if take.request.is_hole or "cut_tick" not in take.facts:
        raise UsageError("only a continuation in notes can be varied", where=take.path, hint="infill its bars instead")
    bars, cut = int(take.facts["bars_added"]), int(take.facts["cut_tick"])
    if not 0 <= bar < bars:
        hint = f"give one of its {counted(bars, 'new bar')}, as in `start` {bars}"
        raise UsageError(f"the take has no new bar {bar + 1}", where=take.path, hint=hint)
    kept = sum(int((track.notes["start"] < cut).sum()) for track in piece.tracks)
    if kept != take.facts["notes_kept"] or piece.ticks_per_quarter != take.facts["ticks_per_quarter"]:
        what = "the take's MIDI file isn't what it was, or holds the new music alone"
        raise UsageError(what, where=take.music, hint="vary a take that was written whole, and unchanged since")
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    first = int(np.searchsorted(starts, cut - piece.ticks_per_quarter / NEAR))
    request = replace(take.request, start=first + bar, bars=bars - bar, seconds=None)
    request = replace(request, keeps=_later(request.keeps, bar, first=first, bars=bars))
    if take.finish.keep_rest:  # then the new bars lie between what stays
        return replace(request, until=first + bars), OPEN
    return request, replace(take.finish, redrawn=True)


def _later(keeps: Keeps, bar: int, *, first: int, bars: int) -> Keeps:
    """What new bars keep to from their bar `bar` on: chords go on where they were, and a motif that has come back
    before doesn't again. `first` is the piece's bar that the first of so many new bars is."""
    if keeps.chords not in (None, FROM_FILE, NONE):
        told = progression(str(keeps.chords))
        turned = told[bar % len(told) :] + told[: bar % len(told)]
        keeps = replace(keeps, chords=" | ".join(" ".join(chord.name for chord in each) for each in turned))
    if (motif := keeps.motif_bars) is not None:
        at = first + bars // 2 if motif.goes_to is None else motif.goes_to
        named = f"{motif.part}=" if motif.part else ""
        keeps = replace(keeps, motif=None if at < first + bar else f"{named}{motif.bar + 1}@{at + 1}")
    return keeps


class Replaying:
    """What a composer does with takes by their sidecars; `Composer` is one."""

    run: Run
    tokenizer: Tokenizer
    int8: bool
    takes: Callable[..., Iterator[Take]]  # `Composer.takes`

    def replay(
        self,
        sidecar: str | os.PathLike[str],
        piece: Source | str | os.PathLike[str] | None = None,
        *,
        also: Sequence[Piece] = (),
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> Take:
        """Make a take of `piece` again, as its sidecar tells: the same notes, and so the same file. A take from nothing
        needs no piece. `also` are the further pieces that were studied for it, in any order, among others.

        Raises UsageError if model, piece or studied music aren't those of the take, UnreadableError for a file that is
        no sidecar.
        """
        told = recalled(sidecar)
        if told.nothing is None and piece is None:
            raise UsageError("the piece that this take goes on from is needed", where=told.path, hint="name its file")
        source = told.nothing or Source.of(piece or "")
        told.check(model_sha256=self.run.sha256, source_sha256=source.sha256, int8=self.int8)
        (take,) = self.takes(
            source,
            request=told.request,
            finish=told.finish,
            sampling=told.sampling,
            as_text=told.as_text,
            studying=Studying(told.updates, told.whole, told.chosen(self.tokenizer, also)),
            seed=told.seed,
            listener=listener,
            cancel=cancel,
        )
        return take

    def vary(
        self,
        sidecar: str | os.PathLike[str],
        *,
        start: int,
        studying: Studying | None = None,
        seed: int = 0,
        takes: int = 1,
        best: int | None = None,
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> list[Take]:
        """Go on from a take: keep it up to its new bar `start`, counted from 0, and draw its bars from there on anew,
        under the settings of its sidecar. The take's MIDI file must lie beside that; the piece isn't needed.

        Take k has seed `seed` + k; `best` is as in `Composer.continue_`. Raises UsageError for a bar that the take
        hasn't got and for a file that isn't there or has changed, UnreadableError for a file that is no sidecar.
        """
        told = recalled(sidecar)
        source = Source.read(told.music)
        request, finish = varied(told, source.piece, bar=start)
        drawn = self.takes(
            source,
            request=request,
            finish=finish,
            sampling=told.sampling,
            studying=studying,
            seed=seed,
            count=takes,
            listener=listener,
            cancel=cancel,
        )
        return list(drawn) if best is None else ranked(list(drawn), best)

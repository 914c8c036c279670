"""From a source to its target: greedy, by beam search, or drawn with a seed; always what `rules` allows.

Beam search goes by time, not by steps: hypotheses are compared where they stand at the same place of the music, so a
long chord has no advantage over two short ones. A source of more bars than the model has learned is translated in
sections, each behind steps that were written before.

Shapes: F fields of a step, M steps, K values of a field, C width.

Source: Sutskever, Vinyals and Le 2014 (arXiv:1409.3215, section 3.2: left-to-right beam search).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from musicgen.errors import UsageError
from musicgen.models.settings import nearest
from musicgen.models.state import State
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.models.tasks.translator import Translator
from musicgen.sampling.filters import SamplingSettings, choose
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.pairs import REST, Pair, in_c
from musicgen.tasks.translate.rules import Rules

__all__ = ["SAMPLING", "SEARCHES", "Search", "Section", "translate"]

SAMPLING = SamplingSettings(temperature=0.8, top_p=0.9)
SEARCHES = ("beam", "greedy", "sample")


@dataclass(frozen=True)
class Search:
    """How steps are chosen. `beam` keeps `width` hypotheses; `sample` draws by `sampling`. `crossing` allows voices to
    cross, `parallels` to move in parallel fifths and octaves."""

    kind: str = "beam"
    width: int = 4
    sampling: SamplingSettings = SAMPLING
    crossing: bool = False
    parallels: bool = False

    def __post_init__(self) -> None:
        if self.kind not in SEARCHES:
            raise UsageError(f"there is no search {self.kind!r}", where="`search`", hint=nearest(self.kind, SEARCHES))
        if not 1 <= self.width <= 64:
            raise UsageError(f"a beam of {self.width}", where="`width`", hint="give 1 to 64 hypotheses")


@dataclass(frozen=True)
class _Hypothesis:
    """A target so far, of `steps` that end at `time`, and its cost in nats; the decoder has read all but the last."""

    steps: tuple[tuple[int, ...], ...]
    time: int
    nats: float
    sounding: tuple[int, ...]  # pitches of the voices, the bass first
    state: State | None


def translate(
    model: Translator, source: Pair, *, search: Search, generator: torch.Generator | None = None
) -> tuple[Pair, float]:
    """The source with its target, and the nats of that. `generator`, of the CPU, draws samples."""
    moved, semitones = in_c(source, kind=model.task.pair, moves=model.task.key)
    found, nats = _translated(model, moved, semitones, search=search, generator=generator)
    found = found.transposed(-semitones, kind=model.task.pair)
    return replace(found, notes_N3=source.notes_N3, fifths=source.fifths), nats


def _translated(
    model: Translator, source: Pair, semitones: int, *, search: Search, generator: torch.Generator | None
) -> tuple[Pair, float]:
    """The translation of a source that was moved by so many semitones, which still is."""
    alphabet = Alphabet(model.task.pair, model.task.bars)
    bars = alphabet.bars
    steps: list[tuple[int, ...]] = []
    begin, nats = 0, 0.0
    while begin < source.bars:
        # All but the first section begin half a section before what is new.
        first = max(0, begin - bars // 2)
        until = source.bars if first + bars >= source.bars else first + bars - bars // 4
        window = source.excerpt(first, bars)
        given = alphabet.target(alphabet.decoded(source, steps).excerpt(first, begin - first)).tolist() if steps else []
        section = Section(model, alphabet, window, search=search, semitones=semitones, generator=generator)
        found = section.run(given, until=int(source.edges_B1[until] - source.edges_B1[first]))
        steps += found.steps[len(given) :]
        begin, nats = until, nats + found.nats
    return alphabet.decoded(source, steps), nats


class Section:
    """A source that the model reads at once, and what it may be translated to."""

    def __init__(
        self,
        model: Translator,
        alphabet: Alphabet,
        source: Pair,
        *,
        search: Search,
        semitones: int,
        generator: torch.Generator | None,
    ) -> None:
        self.model, self.alphabet, self.source = model.eval(), alphabet, source
        self.search, self.generator = search, generator
        self.rules = Rules(alphabet, source, semitones, crossing=search.crossing, parallels=search.parallels)
        self.firsts = [first for first, _ in alphabet.fields]
        self.device = next(model.parameters()).device
        with torch.no_grad():
            self.memory = model.encode(self._tensor(alphabet.source(source)))

    @torch.no_grad()
    def run(self, given: Sequence[Sequence[int]], *, until: int) -> _Hypothesis:
        """The best target up to the time `until`, which begins with the steps `given`."""
        begun = self._after(given)
        width = self.search.width if self.search.kind == "beam" else 1
        waiting: dict[int, list[_Hypothesis]] = {begun.time: [begun]}
        while (time := min(waiting)) < until:
            here = sorted(waiting.pop(time), key=lambda each: each.nats)[:width]
            for hypothesis in here:
                for longer in self._longer(hypothesis, width):
                    waiting.setdefault(longer.time, []).append(longer)
        return min(waiting[time], key=lambda each: each.nats)

    def _after(self, given: Sequence[Sequence[int]]) -> _Hypothesis:
        """What stands after the steps that are given."""
        steps = tuple(tuple(int(i) for i in row) for row in given)
        sounding = (REST,) * (len(self.firsts) - 1)
        found = _Hypothesis((), 0, 0.0, sounding, None)
        for step in steps:
            if found.steps:
                found = replace(found, state=self._read(found)[1])
            found = self._with(found, step, found.state, 0.0)
        return found

    def _longer(self, hypothesis: _Hypothesis, width: int) -> list[_Hypothesis]:
        """The hypothesis with one more step: the likeliest, `width` of them, or one that is drawn."""
        hidden_1C, state = self._read(hypothesis)
        partial: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for field in range(len(self.firsts)):
            chosen_N = torch.tensor([ids for ids, _ in partial], device=self.device)
            scores = self.model.scores(hidden_1C.expand(len(partial), -1))
            for before in range(field):
                scores.take(before, chosen_N[:, before])
            logs_NK = scores.logits_BK(field).double().log_softmax(-1).cpu().numpy()
            partial = self._extended(hypothesis, field, partial, logs_NK=logs_NK, width=width)
        return [self._with(hypothesis, ids, state, nats) for ids, nats in partial]

    def _extended(
        self,
        hypothesis: _Hypothesis,
        field: int,
        partial: list[tuple[tuple[int, ...], float]],
        *,
        logs_NK: np.ndarray,
        width: int,
    ) -> list[tuple[tuple[int, ...], float]]:
        """The steps so far, `partial`, with a value of one more field, and their nats."""
        found = []
        for (ids, nats), logs_K in zip(partial, logs_NK, strict=True):
            values = [i - first for i, first in zip(ids, self.firsts, strict=False)]
            allowed = self.rules.allowed(field, time=hypothesis.time, sounding=hypothesis.sounding, chosen=values)
            logs_K = np.where(allowed, logs_K, -np.inf)
            if self.search.kind == "sample":
                assert self.generator is not None
                best = [choose(logs_K, self.search.sampling, self.generator)]
            else:
                best = np.argsort(-logs_K, kind="stable")[: min(width, int(allowed.sum()))].tolist()
            found += [((*ids, self.firsts[field] + value), nats - float(logs_K[value])) for value in best]
        return sorted(found, key=lambda each: each[1])[:width]

    def _with(self, before: _Hypothesis, ids: tuple[int, ...], state: State | None, nats: float) -> _Hypothesis:
        """The hypothesis with a further step."""
        *values, length = (i - first for i, first in zip(ids, self.firsts, strict=True))
        sounding = before.sounding
        if self.alphabet.pair != CHORDS:
            sounding = tuple(map(self.rules.pitch, values, sounding))
        return _Hypothesis((*before.steps, ids), before.time + length + 1, before.nats + nats, sounding, state)

    def _read(self, hypothesis: _Hypothesis) -> tuple[Tensor, State | None]:
        """(hidden_1C for the step after the hypothesis, the decoder's state)."""
        last = hypothesis.steps[-1] if hypothesis.steps else self.alphabet.begin
        place = self.alphabet.place(self.source, np.array([hypothesis.time]))[0]
        inputs = self._tensor(np.concatenate([last, place])[None])
        hidden_11C, state, _ = self.model.decode(inputs, self.memory, hypothesis.state)
        return hidden_11C[:, 0], state

    def _tensor(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(rows[None].astype(np.int64)).to(self.device)

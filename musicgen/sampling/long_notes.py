"""Long continuations, drawn in sections: each from several candidates, of which the best is gone on from.

Music that is drawn in one go drifts: what a model made is what it goes on from, and a fault early on stays. A section
is therefore compared with the music before the cut, whose last bars all sections keep to in loudness, timing, range and
density; the model reads all that came before, the music before the cut included. Times are ticks of the piece.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from musicgen.events import Event, Expected, Listener, Progress
from musicgen.piece import Piece, Track, notes_array
from musicgen.sampling.cadences import beat_of
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.notes import Candidate, NoteWriter
from musicgen.sampling.plan import Plan, make_plan
from musicgen.sampling.request import OPEN, Finish, Request
from musicgen.sampling.sections import plan_of_section
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.sampling.varying import variations
from musicgen.seeds import MOST_SEED
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.bars.voices import Voice
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["MOST_AT_ONCE", "SECTION_BARS", "LongWriter", "sections"]

MOST_AT_ONCE = 24  # bars that are drawn in one go
SECTION_BARS = 16
CLOSING_BARS = 4  # of short music from nothing that comes to a close
MOST_CANDIDATES = 4  # of a section
NEXT = 7_368_787  # added to a take's seed for each next section


class LongWriter(NoteWriter):
    """Writes takes of any length as notes, those of more than MOST_AT_ONCE bars in sections; see `NoteWriter` for
    candidates. A section's faults are those of the take where no candidate was without."""

    def __init__(
        self,
        source: Source,
        tokenizer: Tokenizer,
        *,
        request: Request,
        sampling: SamplingSettings,
        context: int | None,
        finish: Finish = OPEN,
    ) -> None:
        super().__init__(source, tokenizer, request=request, sampling=sampling, context=context, finish=finish)
        self._context = context
        short = replace(request, bars=SECTION_BARS, seconds=None)
        first = make_plan(source.encoded_piece, tokenizer, request=short, context=context)
        # What it keeps to counts from the beginning of the new music to its end.
        whole = make_plan(source.encoded_piece, tokenizer, request=request, context=context)
        self._first = replace(
            first,
            ensemble=replace(first.ensemble, kept=whole.ensemble.kept),
            constraints=replace(first.constraints, further=whole.constraints.further),
        )

    def takes(self, decoder: Decoder, seeds: Sequence[int], *, listener: Listener) -> Iterator[Take]:
        """As of any writer; the progress begins again for each round of candidates of a section. After the first
        section the listener is told how long the rest takes."""
        if len(self._sections()) == 1:
            yield from super().takes(decoder, seeds, listener=listener)
            return
        for seed in seeds:
            yield self._in_sections(decoder, seed, listener)

    def _sections(self) -> list[int]:
        """The bars of each section of a take. Music from nothing has a key once there is some, so that its close is a
        section of its own."""
        bars = self.plan.bars
        if bars > MOST_AT_ONCE:
            return sections(bars)
        close = min(CLOSING_BARS, bars // 2)
        return [bars - close, close] if self.finish.end and self.plan.from_nothing and close else [bars]

    def _in_sections(self, decoder: Decoder, seed: int, listener: Listener) -> Take:
        of = self.plan.bars
        music = _Music(self.source.encoded_piece.until(self.plan.cut))
        kept: list[Candidate] = []
        left_out: list[Candidate] = []
        listed: list[dict[str, Any]] = []
        done, began = 0, time.monotonic()
        for number, bars in enumerate(self._sections()):

            def tell(event: Event, done: int = done) -> None:
                listener(replace(event, done=done + event.done, of=of) if isinstance(event, Progress) else event)

            section = _Section(
                self, self._plan(music, done, bars), music, seed=(seed + number * NEXT) % (MOST_SEED + 1)
            )
            best, candidates = section.drawn(decoder, tell)
            music.add(best)
            kept.append(best)
            left_out += [each for each in candidates if each is not best]
            listed += [{"section": number + 1, **each} for each in self._listed(best, candidates)]
            done += bars
            if number == 0:
                listener(Expected((time.monotonic() - began) * (of - done) / done))
        notes, program, home = (np.concatenate([getattr(c, n) for c in kept]) for n in ("notes", "program", "home"))
        faults = tuple(dict.fromkeys(fault for each in kept for fault in each.faults))
        away = float(np.mean([each.distance for each in kept]))
        nats = sum((each.nats or 0.0) * len(each.notes) for each in kept) / max(1, len(notes))
        best = Candidate(seed, notes, program, home, faults, away, ending=kept[-1].ending, nats=nats)
        take = self._joined(best, [best, *left_out])
        return replace(take, facts={**take.facts, "candidates": listed})

    def _plan(self, music: _Music, done: int, bars: int) -> Plan:
        """The plan of the section of so many bars after `done` new ones."""
        last = done + bars == self.plan.bars
        return plan_of_section(
            self._first,
            music.piece,
            self.tokenizer,
            voices=music.heard(self._first.ensemble.voices),
            done=done,
            bars=bars,
            end=self.plan.end if last else None,
            context=self._context,
        )


class _Section(NoteWriter):
    """One section of a long take. It keeps to the last bars before the cut as if they came right before it."""

    most_candidates = MOST_CANDIDATES

    def __init__(self, whole: LongWriter, plan: Plan, music: _Music, *, seed: int) -> None:
        self.tokenizer, self.request, self.sampling = whole.tokenizer, whole.request, whole.sampling
        self.finish, self.plan, self.source = whole.finish, plan, whole.source
        if whole.plan.from_nothing:
            homes = tuple((0, 0) for _ in music.piece.tracks)
            self.source = replace(whole.source, piece=music.piece, homes=homes)
        else:
            moved = plan.anchor.bar_start - whole.plan.anchor.bar_start
            self.source = replace(whole.source, piece=_moved(whole.source.piece.until(whole.plan.cut), round(moved)))
        self.compare(whole._corpus, studied=whole._studied)
        self._seed = seed
        self._vary(music)
        if whole.finish.end and plan.end == whole.plan.end:
            self._end(music.piece)

    def _vary(self, music: _Music) -> None:
        """Let what returns return varied."""
        plan, steps = self.plan, self.tokenizer.steps
        if not plan.ensemble.voices or not plan.constraints.bars_before:
            return
        voices = music.heard(plan.ensemble.voices)
        beat = max(1, round(beat_of(*music.piece.meter_at(plan.cut)) * steps))
        mask = variations(plan, music.piece, voices, steps=steps, beat=beat, seed=self._seed)
        limits = plan.constraints
        if mask is not None:
            self.plan = replace(plan, constraints=replace(limits, further=(*limits.further, mask)))

    def drawn(self, decoder: Decoder, listener: Listener) -> tuple[Candidate, list[Candidate]]:
        """(the best, all) of the section's candidates."""
        return self._best(decoder, self._read(decoder), self._seed, listener)


@dataclass
class _Music:
    """The music before the cut and the new notes so far; new parts have tracks behind the piece's own."""

    piece: Piece
    new: dict[int, int] = field(default_factory=dict)  # program (128 for drums): its new track

    def add(self, candidate: Candidate) -> None:
        """Append a section's notes."""
        tracks = list(self.piece.tracks)
        for value in np.unique(candidate.program[candidate.home < 0]).tolist():
            if value not in self.new:
                self.new[value] = len(tracks)
                tracks.append(Track("", 0 if value == DRUMS else value, value == DRUMS))
        home = np.array(
            [
                h if h >= 0 else self.new[p]
                for h, p in zip(candidate.home.tolist(), candidate.program.tolist(), strict=True)
            ],
            np.int64,
        )
        for number in np.unique(home).tolist():
            mine = candidate.notes[home == number]
            tracks[number] = replace(tracks[number], notes=notes_array(np.concatenate([tracks[number].notes, mine])))
        self.piece = replace(self.piece, tracks=tuple(tracks))

    def heard(self, voices: tuple[Voice, ...]) -> tuple[Voice, ...]:
        """The parts with the tracks that new ones have got."""
        return tuple(
            voice
            if voice.tracks or voice.program not in self.new
            else replace(voice, tracks=(self.new[voice.program],))
            for voice in voices
        )


def sections(bars: int) -> list[int]:
    """The bars of each section; a last one that would be short is part of the one before it."""
    whole, rest = divmod(bars, SECTION_BARS)
    if rest > SECTION_BARS // 2 or not whole:
        return [SECTION_BARS] * whole + [rest]
    return [SECTION_BARS] * (whole - 1) + [SECTION_BARS + rest]


def _moved(piece: Piece, ticks: int) -> Piece:
    """The piece with its notes that many ticks later."""
    tracks = []
    for track in piece.tracks:
        notes = track.notes.copy()
        notes["start"] += ticks
        tracks.append(replace(track, notes=notes))
    return replace(piece, tracks=tuple(tracks))

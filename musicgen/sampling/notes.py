"""Takes as notes: several candidates are drawn, and the best one is joined to the file that it continues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.events import Listener, ignore
from musicgen.gm import program_name
from musicgen.io.behind import with_rest
from musicgen.io.midi import UNLIMITED, piece_from_midi
from musicgen.io.splice import NewPart, alone, splice
from musicgen.originality import PROMPT, Index, Origin, Originality
from musicgen.piece import Piece, Track, notes_array
from musicgen.sampling.asked import find_parts
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.ending import Ending, Endings, closes, endings, looseness
from musicgen.sampling.faults import distance, faults, hardly_any
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import Prompt, read_prompt, sample
from musicgen.sampling.manner import in_the_manner_of, struck_already
from musicgen.sampling.pedal import pedalled
from musicgen.sampling.placing import assign_parts, new_notes, stretches
from musicgen.sampling.plan import Plan, make_plan
from musicgen.sampling.request import OPEN, Finish, Request
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.seeds import MOST_SEED
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS, Constraints
from musicgen.tokenizers.constraints.repeats import Repeats
from musicgen.words import counted

__all__ = ["Candidate", "NoteWriter"]

CANDIDATES = 3, 8  # least and greatest number of candidates per take
NOTES_IN_ALL = 1200  # notes drawn for all candidates of a take: about five seconds on one core
RETRY = 1_000_003  # added to a take's seed for each next candidate: far from the seeds of other takes


@dataclass(frozen=True)
class Candidate:
    """One sampled continuation: its notes (NOTE), the program (128 for drums) and part index (-1 for a new part) of
    each, its faults, its distance, the ending that it was held to, and its negative log-likelihood in nats a note, at
    temperature 1, where it was measured."""

    seed: int
    notes: np.ndarray
    program: np.ndarray
    home: np.ndarray
    faults: tuple[str, ...]
    distance: float  # from the music before the cut; see `faults.distance`
    terms: tuple[tuple[str, float], ...] = ()  # what else makes up the distance
    ending: Ending | None = None
    nats: float | None = None


class NoteWriter:
    """Writes takes as notes on the parts of a piece.

    For each take several candidates are drawn, with seeds derived from its own. The one with the fewest faults is kept,
    and of these the one nearest to the music before the cut (`faults.py`). The facts list all candidates.
    """

    endings: Endings | None = None  # of music that comes to a close
    ending: Ending | None = None  # that of the take which is being drawn
    finish = OPEN
    fewest_candidates, most_candidates = CANDIDATES
    _nats: list[float]  # of the candidates that are being drawn, where they are measured
    _corpus: Index | None = None
    _studied: tuple[Piece, ...] = ()

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
        """`context` is the model's context length in steps; None: unlimited. Raises UsageError for a request that
        doesn't fit the piece."""
        self.source, self.tokenizer, self.request, self.sampling = source, tokenizer, request, sampling
        self.finish = finish
        if finish.keep_rest and (request.start is None or request.seconds is not None):
            hint = "give `start` BAR and whole `bars`, or leave `keep_rest` out"
            raise UsageError("what lies behind the cut can only be kept behind whole bars", hint=hint)
        self.plan: Plan = make_plan(source.encoded_piece, tokenizer, request=request, context=context)
        if finish.end:
            self._end(source.encoded_piece)
        self._limits()

    def _end(self, piece: Piece) -> None:
        """Let the music come to a close in its last bar, in the key that `piece` has before the cut."""
        self.endings = endings(self.plan, piece, self.tokenizer, key=self.request.keeps.key)

    @property
    def settings(self) -> dict[str, Any]:
        """The request as plain values, for the facts."""
        return {**self.request.listed(), **self.finish.listed()}

    @property
    def bars(self) -> int:
        """The number of new bars of a take."""
        return self.plan.bars

    def compare(self, corpus: Index | None, *, studied: Sequence[Piece] = ()) -> None:
        """Compare takes with what the model was trained on, and with what it studies besides the piece. Raises
        UsageError if copies are limited and there is no index to find them by."""
        if self.sampling.max_copy is not None and corpus is None:
            what = "beside this model lies no index of what it was trained on, so copies can't be found"
            raise UsageError(what, where="`max_copy`", hint="leave it out, or use the default model")
        self._corpus, self._studied = corpus, tuple(studied)

    @property
    def around(self) -> Piece:
        """The music that the new notes join."""
        return self.source.piece.until(self.plan.cut)

    @cached_property
    def originality(self) -> Originality:
        """Compares new music with the training data, and with what was read and studied for it."""
        studied = [(Origin(f"(studied piece {n})", ""), piece) for n, piece in enumerate(self._studied, 1)]
        return Originality(self._corpus, read=[(PROMPT, self.around), *studied])

    def known(self, *, whole: bool) -> np.ndarray:
        """The ids of the music that the model may be fine-tuned on (`study.py`): all before the cut, or with `whole`
        the whole piece."""
        numbered = self.tokenizer.as_parts
        if whole and numbered is not None:
            return numbered.encode(self.source.encoded_piece, played=self.plan.played).astype(np.int64)
        return self.plan.reading.whole

    def takes(self, decoder: Decoder, seeds: Sequence[int], *, listener: Listener) -> Iterator[Take]:
        """Yield a take for each seed. The progress in new bars begins again for each round of candidates."""
        prompt = self._read(decoder)
        for seed in seeds:
            yield self._joined(*self._best(decoder, prompt, seed, listener))

    def _read(self, decoder: Decoder) -> Prompt:
        reading = self.plan.reading
        begins = (reading.whole[:1] == self.tokenizer.vocabulary.id("bos")).any()
        grammar = self.tokenizer.grammar(inside=not begins)
        prompt = read_prompt(decoder, reading.prompt, grammar=grammar, begun=reading.begun, past=reading.past)
        prompt.grammar.constrain(self._limits(), anchor=self.plan.anchor)
        return prompt

    def _closing(self, prompt: Prompt, seed: int) -> Prompt:
        """The prompt with the limits of the ending that the take of a seed draws, if the music comes to a close."""
        if self.endings is None:
            return prompt
        self.ending, grammar = self.endings.drawn(seed), prompt.grammar.copy()
        grammar.constrain(self.endings.constrained(self._limits(), self.ending), anchor=self.plan.anchor)
        return replace(prompt, grammar=grammar)

    def _limits(self) -> Constraints:
        """The plan's constraints, and what the sampling settings make less likely. Raises UsageError for a penalty that
        the tokenizer has no figures for."""
        limits, penalty = self.plan.constraints, self.sampling.figure_penalty
        if penalty == 1:
            return limits
        if not (self.tokenizer.steps and self.tokenizer.has_programs):
            what = f"a model with the tokenizer {self.tokenizer.name} knows no `figure_penalty`"
            raise UsageError(what, hint="leave it out, or take a model of notes in bars")
        return replace(limits, further=(*limits.further, Repeats(penalty)))

    def _best(
        self, decoder: Decoder, prompt: Prompt, seed: int, listener: Listener
    ) -> tuple[Candidate, list[Candidate]]:
        """(the best, all) of a seed's candidates, drawn as one batch; if all have faults, a second batch is drawn."""
        plan = self.plan
        affordable = min(self.most_candidates, NOTES_IN_ALL // max(1, plan.expected_notes))
        count = max(self.fewest_candidates, affordable)
        seeds = [(seed + attempt * RETRY) % (MOST_SEED + 1) for attempt in range(2 * count)]
        prompt = self._closing(prompt, seed)
        candidates: list[Candidate] = []
        for used in (seeds[:count], seeds[count:]):
            candidates += self._tried(decoder, prompt, used, listener)
            best = min(candidates, key=lambda each: (len(each.faults), each.distance))
            if not best.faults:
                break
        return best, candidates

    def candidates(self, decoder: Decoder, seeds: Sequence[int]) -> list[Candidate]:
        """The candidate of each seed as it is, drawn as one batch: for statistics over all that is drawn."""
        return self._tried(decoder, self._closing(self._read(decoder), seeds[0]), seeds, ignore)

    def _tried(self, decoder: Decoder, prompt: Prompt, seeds: Sequence[int], listener: Listener) -> list[Candidate]:
        generators = [torch.Generator().manual_seed(number) for number in seeds]
        self._nats = []
        drawn = self._drawn(decoder, prompt, generators, listener)
        candidates = [self._candidate(number, ids) for number, ids in zip(seeds, drawn, strict=True)]
        if len(self._nats) != len(candidates):  # holes are drawn in two stages
            return candidates
        told = zip(candidates, self._nats, strict=True)
        return [replace(each, nats=nats / max(1, len(each.notes))) for each, nats in told]

    def _drawn(
        self, decoder: Decoder, prompt: Prompt, generators: Sequence[torch.Generator], listener: Listener
    ) -> list[np.ndarray]:
        """The ids of one candidate for each generator."""
        return sample(
            decoder,
            prompt,
            fields=self.tokenizer.fields,
            settings=self.sampling,
            generators=generators,
            max_steps=self.plan.max_steps,
            bars=self.plan.bars,
            listener=listener,
            nats=self._nats,
        )

    def _candidate(self, seed: int, ids: np.ndarray) -> Candidate:
        plan, piece = self.plan, self.source.encoded_piece
        notes, program = new_notes(plan, ids, self.tokenizer)
        drawn, player = notes, program
        if plan.ensemble.voices:
            voices = np.array([voice.tracks[0] if voice.tracks else -1 for voice in plan.ensemble.voices])
            programs = np.array([voice.program for voice in plan.ensemble.voices])
            home, program = voices[program], programs[program]
        else:
            home = assign_parts(piece.tracks, self._open_parts(), notes=notes, program=program, cut=plan.cut)
        drum = program == DRUMS
        last = ~drum & (notes["start"] >= self._closing_tick())
        notes = in_the_manner_of(self.source.piece, plan, notes=notes, home=home, tokenizer=self.tokenizer, seed=seed)
        notes = plan.ensemble.kept.settled(notes, drawn, player)
        keep = ~struck_already(piece, plan, notes=notes, home=home)
        notes, program, home, drum, last = (each[keep] for each in (notes, program, home, drum, last))
        parts = np.where(home < 0, 1000 + program, home)
        new, before = stretches(piece, plan, notes=notes, home=parts, drum=drum)
        asked = None
        if plan.constraints.players.parts is not None:
            asked = frozenset(t for n in plan.constraints.players.parts for t in plan.ensemble.voices[n].tracks[:1])
        found, away = faults(new, before, asked=asked) + self._copies(notes, parts, drum), distance(new, before)
        for value in sorted(plan.ensemble.asked):
            mine = np.concatenate([np.zeros(len(new.notes) - len(notes), bool), program == value])
            if hardly_any(new, mine):
                found.append(f"hardly any {program_name(value, is_drum=value == DRUMS)}")
        if (ending := self.ending) is not None:
            away += looseness(notes[~drum], ending, part=parts[~drum], last=last[~drum])
            if not closes(notes, ending, last=last):
                found.append("no last chord")
        return Candidate(seed, notes, program, home, tuple(found), away, ending=ending)

    def _closing_tick(self) -> float:
        """The tick from which on notes belong to the last chord."""
        plan, ending = self.plan, self.ending
        if ending is None:
            return plan.end
        step = plan.anchor.ticks_per_quarter / self.tokenizer.steps
        return plan.last_line + (ending.begin - 0.5) * step

    def _copies(self, notes: np.ndarray, parts: np.ndarray, drum: np.ndarray) -> list[str]:
        """The fault of notes of which a longer stretch than is allowed is in the training data."""
        if self.sampling.max_copy is None:
            return []
        tracks = [
            Track(is_drum=bool(drum[parts == part].any()), notes=notes_array(notes[parts == part]))
            for part in np.unique(parts).tolist()
        ]
        copied = self.originality.copied(replace(self.source.piece, tracks=tuple(tracks)))
        if copied is None or copied.bars <= self.sampling.max_copy:
            return []
        return [f"{copied.bars:g} bars of {copied.source} from bar {copied.source_bar}"]

    def _open_parts(self) -> list[int]:
        """The indices of the parts that new notes may go to: those requested, if every requested name is an existing
        part; else all, the requested ones first."""
        tracks = self.source.encoded_piece.tracks
        found = [find_parts(name, tracks) for name in self.request.tracks]
        named = list(dict.fromkeys(part for parts in found for part in parts))
        others = [i for i in range(len(tracks)) if i not in named]
        return named if found and all(found) else named + others

    def _joined(self, best: Candidate, candidates: list[Candidate]) -> Take:
        plan, source = self.plan, self.source
        parts = pedalled(self._parts(best), source.channels, source.piece, plan)
        midi = splice(source.midi, parts, span=plan.span, at_end=self.request.start is None)
        rest = self._rest()
        if self.finish.keep_rest:
            midi = with_rest(midi, source.channels, span=plan.span)
        piece = piece_from_midi(midi, limits=UNLIMITED)
        kept = sum(int((t.notes["start"] < plan.cut).sum()) for t in source.piece.tracks)
        moved = rest["notes"] if rest.get("kept") else 0
        facts = {
            "ticks_per_quarter": piece.ticks_per_quarter,
            "cut_tick": plan.cut,
            "notes_kept": kept,
            "notes_added": piece.n_notes - kept - moved,
            "bars_added": plan.bars,
            "seconds_added": round(float(piece.to_seconds(plan.end) - piece.to_seconds(plan.cut)), 3),
            "warnings": [*source.encoded_piece.warnings, *plan.warnings, *self._notices(best, candidates)],
            "played": plan.played,
            "candidates": self._listed(best, candidates),
            **({"ending": best.ending.listed(steps=self.tokenizer.steps)} if best.ending is not None else {}),
            **({"rest": rest} if rest else {}),
        }
        new = alone(source.piece, parts, cut=plan.cut)
        return Take(midi, new, piece, best.notes, facts, best.faults, nats=best.nats)

    def _rest(self) -> dict[str, Any]:
        """The notes and bars of the piece behind the cut, and whether they are kept; empty if there are none."""
        piece, cut = self.source.piece, self.plan.cut
        notes = sum(int((track.notes["start"] >= cut).sum()) for track in piece.tracks)
        if not notes or self.finish.redrawn:
            return {}
        starts, _ = piece.bar_starts(piece.end - 1)
        return {"notes": notes, "bars": int((starts > cut - 0.5).sum()), "kept": self.finish.keep_rest}

    def _parts(self, best: Candidate) -> list[NewPart]:
        """The new notes grouped by the file's track and channel; notes without an existing part, by program."""
        parts = []
        for part in np.unique(best.home).tolist():
            mine = best.home == part
            if part >= 0:
                track, channel = self.source.homes[part]
                owner = self.source.piece.tracks[part]
                parts.append(NewPart(best.notes[mine], owner.program, owner.is_drum, track, channel))
                continue
            for value in np.unique(best.program[mine]).tolist():
                drums = value == DRUMS
                new = best.notes[mine & (best.program == value)]
                parts.append(NewPart(new, 0 if drums else value, drums, name=program_name(value).title()))
        return parts

    @staticmethod
    def _listed(best: Candidate, candidates: list[Candidate]) -> list[dict[str, Any]]:
        return [
            {
                "seed": each.seed,
                "faults": list(each.faults),
                "distance": round(each.distance, 4),
                **{name: round(value, 4) for name, value in each.terms},
                "kept": each is best,
            }
            for each in candidates
        ]

    def _notices(self, best: Candidate, candidates: list[Candidate]) -> list[str]:
        found = []
        if self.plan.from_nothing and not self.source.is_nothing:  # without a source no warning is needed
            found.append("empty: no notes before the cut; the music begins from nothing")
        if (rest := self._rest()) and not rest["kept"]:
            what = f"{counted(rest['bars'], 'bar')} with {counted(rest['notes'], 'note')}"
            found.append(f"rest: behind the cut {what} of the piece are left out; `keep_rest` keeps them")
        found += [
            f"refused: seed {each.seed} gave {' and '.join(each.faults)}, and was left out"
            for each in candidates
            if each.faults and each is not best
        ]
        if best.faults:
            found.append(f"broken: {' and '.join(best.faults)}; of {len(candidates)} candidates none was better")
        return found

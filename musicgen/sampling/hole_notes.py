"""Takes that fill a hole: notes between, or beside, music that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.events import Event, Listener, Progress
from musicgen.gm import program_name
from musicgen.io.midi import UNLIMITED, piece_and_homes
from musicgen.io.splice import NewPart, alone, splice
from musicgen.piece import NOTE, Piece
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.faults import SILENCE, distance, faults
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.fitting import clashes, levelled, off_scale, pitch_classes_apart, together_with
from musicgen.sampling.holes import Stage, Stages, make_hole_plan
from musicgen.sampling.loop import Prompt, read_prompt
from musicgen.sampling.manner import in_the_manner_of, struck_already
from musicgen.sampling.notes import Candidate, NoteWriter
from musicgen.sampling.placing import stretches
from musicgen.sampling.plan import Plan
from musicgen.sampling.request import Request
from musicgen.sampling.roles import typicality
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["HoleWriter"]

ONSET = 3  # the column of a step in which its onset stands
HARSH = 0.25  # more of the new notes clash with given ones than in any music that is meant to sound well
OUTSIDE = 0.35  # more of the new notes' time lies outside the scale of what is given
FEWEST_BARS = 0.25  # a new part must play in more of the bars
FEW_NOTES = 1 / 3  # a part that was never heard must have more of the notes that are foreseen
UNHEARD = 8  # candidates for parts that were never heard: enough that one of them is typical
# Weights of what tells candidates for unheard parts apart, by measurement (RESULTS.md).
FORESEEN, TYPICAL, TONES = 2.0, 2.0, 2.4


class HoleWriter(NoteWriter):
    """Writes takes as notes in a hole of a piece; see `NoteWriter` for candidates.

    A candidate's parts are compared with what they play elsewhere. Parts that play nowhere else are judged by how they
    fit the given ones (`fitting.py`), by what such a part is foreseen to be like, and by how typical they are of all
    candidates (`roles.py`).
    """

    def __init__(
        self, source: Source, tokenizer: Tokenizer, *, request: Request, sampling: SamplingSettings, context: int | None
    ) -> None:
        if tokenizer.as_parts is None:
            what = f"a model with the tokenizer {tokenizer.name} only continues"
            raise UsageError(what, hint="use one with the tokenizer `parts`, such as `default`")
        self.source, self.tokenizer, self.request, self.sampling = source, tokenizer, request, sampling
        self.plan: Plan = make_hole_plan(source.encoded_piece, tokenizer, request=request, context=context)
        assert self.plan.stages is not None
        self.stages: Stages = self.plan.stages
        self._first = self.stages.first
        if self.stages.roles:
            self.fewest_candidates = UNHEARD
        self._limits()

    def _rest(self) -> dict[str, Any]:
        return {}  # what lies behind a hole stays where it is

    def known(self, *, whole: bool) -> np.ndarray:
        return self.stages.known()

    @property
    def around(self) -> Piece:
        return self.stages.around

    # ---- drawing ---------------------------------------------------------------------------------

    def _read(self, decoder: Decoder) -> Prompt:
        return self._read_stage(decoder, self._first)

    def _read_stage(self, decoder: Decoder, stage: Stage) -> Prompt:
        reading = stage.reading
        begins = (reading.whole[:1] == self.tokenizer.vocabulary.id("bos")).any()
        grammar = self.tokenizer.grammar(inside=not begins)
        prompt = read_prompt(decoder, reading.prompt, grammar=grammar, begun=reading.begun, past=reading.past)
        limits = self._limits()
        length = replace(limits.length, bars=len(stage.given))
        begin = int(self.stages.lines[self.plan.bars - len(stage.given)]) if stage is not self._first else self.plan.cut
        anchor = replace(self.plan.anchor, tick=begin, bar_start=float(begin))
        before = 0 if stage is self._first else self.plan.bars - len(stage.given)
        prompt.grammar.constrain(replace(limits, length=length, given=stage.given, bars_before=before), anchor=anchor)
        return prompt

    def _drawn(
        self, decoder: Decoder, prompt: Prompt, generators: Sequence[torch.Generator], listener: Listener
    ) -> list[np.ndarray]:
        drawn = super()._drawn(decoder, prompt, generators, listener)
        if not self.stages.in_two:
            return drawn
        found, done = [], len(self._first.given)

        def later(event: Event) -> None:
            listener(replace(event, done=done + event.done) if isinstance(event, Progress) else event)

        for generator, ids in zip(generators, drawn, strict=True):
            (rest,) = super()._drawn(decoder, self._read_stage(decoder, self.stages.second(ids)), [generator], later)
            # The last step of the first stage, a note without an onset after it, begins the second one.
            found.append(np.concatenate([ids[:-1] if len(ids) and not ids[-1, ONSET] else ids, rest]))
        return found

    def _tried(self, decoder: Decoder, prompt: Prompt, seeds: Sequence[int], listener: Listener) -> list[Candidate]:
        return self._compared(super()._tried(decoder, prompt, seeds, listener))

    def _compared(self, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates, with how far their unheard parts are from what is foreseen, from one another and from the
        given pitch classes added to their distances; the mean over these parts."""
        stages, roles = self.stages, self.stages.roles
        if not roles:
            return candidates
        given, quarter = self._given(), self.plan.anchor.ticks_per_quarter
        everyone = np.concatenate([given, *(track.notes for track in stages.around.tracks if track.is_drum)])
        columns: dict[str, list[np.ndarray]] = {"from_foreseen": [], "from_others": [], "from_given": []}
        for number, role in roles.items():
            mine = [each.notes[each.home == self._home(number)] for each in candidates]
            each = [role.traits(notes, stages.lines, quarter=quarter, given=everyone) for notes in mine]
            columns["from_foreseen"].append(np.array([role.apart(traits) for traits in each]))
            columns["from_others"].append(np.array(typicality(role, each)))
            tones = [0.0 if role.drum else pitch_classes_apart(notes, given) for notes in mine]
            columns["from_given"].append(np.array(tones))
        table = {name: np.mean(values, axis=0).tolist() for name, values in columns.items()}
        weights = (FORESEEN, TYPICAL, TONES)
        found = []
        for candidate, terms in zip(candidates, zip(*table.values(), strict=True), strict=True):
            further = sum(weight * term for weight, term in zip(weights, terms, strict=True))
            told = tuple(zip(table, terms, strict=True))
            found.append(replace(candidate, distance=candidate.distance + further, terms=told))
        return found

    def _home(self, number: int) -> int:
        """What stands in a candidate's `home` for the notes of a part."""
        tracks = self.plan.ensemble.voices[number].tracks
        return tracks[0] if tracks else -1 - number

    # ---- ids -> notes ----------------------------------------------------------------------------

    def _candidate(self, seed: int, ids: np.ndarray) -> Candidate:
        plan, stages = self.plan, self.stages
        notes, number = self._new_notes(ids)
        drawn = notes
        tracks = np.array([self._home(n) for n in range(len(plan.ensemble.voices))])
        programs = np.array([voice.program for voice in plan.ensemble.voices])
        home, program = tracks[number], programs[number]
        reference = stages.reference
        plays = np.array([len(track.notes) > 0 for track in reference.tracks] + [False] * len(plan.ensemble.voices))
        known = np.where(plays[home] & (home >= 0), home, -1)
        notes = in_the_manner_of(reference, plan, notes=notes, home=known, tokenizer=self.tokenizer, seed=seed)
        given = self._given()
        notes = together_with(
            notes, given, mine=known < 0, part=home, quarter=plan.anchor.ticks_per_quarter, lines=stages.lines
        )
        notes["velocity"] = levelled(notes["velocity"], given["velocity"], part=home, mine=known < 0)
        notes = plan.ensemble.kept.settled(notes, drawn, number)
        keep = ~struck_already(reference, plan, notes=notes, home=known)
        keep &= (notes["start"] >= plan.cut) & (notes["start"] < plan.end)
        notes, program, home, known = notes[keep], program[keep], home[keep], known[keep]
        found = self._faults(notes, program, home, given)
        copies = self._copies(notes, home, program == DRUMS)
        return Candidate(seed, notes, program, home, (*found[0], *copies), found[1])

    def _new_notes(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array of the notes to be written, in ticks; the part number of each)."""
        plan, lines = self.plan, self.stages.lines
        n = self.tokenizer.notes(ids)
        assert n is not None  # a tokenizer with parts has bars
        mine = np.isin(n.program, sorted(plan.constraints.players.parts or ())) & (n.bar < plan.bars)
        bar, number = n.bar[mine], n.program[mine]
        per_step = plan.anchor.ticks_per_quarter / self.tokenizer.steps
        notes = np.zeros(int(mine.sum()), NOTE)
        notes["start"] = np.minimum(np.rint(lines[bar] + n.position[mine] * per_step), lines[bar + 1] - 1)
        notes["duration"] = np.maximum(1, np.rint(n.duration[mine] * per_step))
        notes["pitch"], notes["velocity"] = n.pitch[mine], np.maximum(1, n.velocity[mine])
        notes["duration"] = np.minimum(notes["duration"], plan.end - notes["start"])
        order = np.lexsort((notes["pitch"], notes["start"]))
        notes, number = notes[order], number[order]
        for value in plan.ensemble.melodic:
            line = np.flatnonzero(number == value)
            gap = notes["start"][line[1:]] - notes["start"][line[:-1]]
            notes["duration"][line[:-1]] = np.minimum(notes["duration"][line[:-1]], gap)
        keep = notes["duration"] > 0
        return notes[keep], number[keep]

    def _given(self) -> np.ndarray:
        """The notes (NOTE) of melodic parts that sound in the hole and stay, by onset."""
        tables = [np.empty(0, NOTE)]
        written = {t for n in self.plan.constraints.players.parts or () for t in self.plan.ensemble.voices[n].tracks}
        for number, track in enumerate(self.stages.around.tracks):
            if not track.is_drum and number not in written:
                ends = track.notes["start"] + track.notes["duration"]
                tables.append(track.notes[(ends > self.plan.cut) & (track.notes["start"] < self.plan.end)])
        notes = np.concatenate(tables)
        return notes[np.argsort(notes["start"], kind="stable")]

    def _faults(
        self, notes: np.ndarray, program: np.ndarray, home: np.ndarray, given: np.ndarray
    ) -> tuple[list[str], float]:
        """(the faults, the distance from what is elsewhere and from what is given) of new notes."""
        plan = self.plan
        chosen = sorted(plan.constraints.players.parts or ())
        tracks = frozenset(t for n in chosen for t in plan.ensemble.voices[n].tracks[:1])
        reference = _only(self.stages.reference, tracks)
        new, before = stretches(reference, plan, notes=notes, home=home, drum=program == DRUMS)
        found = faults(new, before, asked=tracks)
        if len(given) and SILENCE in found:  # others play
            found.remove(SILENCE)
        away = distance(new, before)
        melodic = notes[program != DRUMS]
        outside, harsh = (
            off_scale(melodic, self._scale()),
            clashes(melodic, given, ticks_per_quarter=before.ticks_per_quarter),
        )
        if harsh > HARSH:
            found.append("clashes with what is given")
        if outside > OUTSIDE:
            found.append("another key")
        for n in chosen:
            voice = plan.ensemble.voices[n]
            mine = home == self._home(n)
            new_part = not any(len(reference.tracks[t].notes) for t in voice.tracks)
            bars = len(np.unique(np.searchsorted(self.stages.lines, notes["start"][mine], side="right")))
            if new_part and bars <= FEWEST_BARS * plan.bars:
                found.append(f"hardly any {program_name(voice.program, is_drum=voice.program == DRUMS)}")
            elif n in self.stages.roles and mine.sum() < FEW_NOTES * self.stages.roles[n].notes_a_bar * plan.bars:
                found.append(f"few notes of {program_name(voice.program, is_drum=voice.program == DRUMS)}")
        return found, away + 2 * outside + 2 * harsh

    def _scale(self) -> np.ndarray:
        """The notes around the hole within 16 bars of it, whose pitch classes make the scale."""
        reach = 16 * self.plan.anchor.bar_length
        tables = [t.notes for t in self.stages.around.tracks if not t.is_drum]
        notes = np.concatenate([np.empty(0, NOTE), *tables])
        return notes[(notes["start"] >= self.plan.cut - reach) & (notes["start"] < self.plan.end + reach)]

    # ---- notes -> file ---------------------------------------------------------------------------

    def _joined(self, best: Candidate, candidates: list[Candidate]) -> Take:
        plan, source = self.plan, self.source
        parts = self._parts(best)
        homes = [
            source.homes[t]
            for n in sorted(plan.constraints.players.parts or ())
            for t in plan.ensemble.voices[n].tracks
        ]
        left_out: list[str] = []
        seated: list[tuple[int, int]] = []
        midi = splice(source.midi, parts, span=plan.span, homes=homes, warnings=left_out, seated=seated)
        piece, there = piece_and_homes(midi, limits=UNLIMITED)
        kept = sum(len(track.notes) for track in self.stages.around.tracks)
        facts = {
            "ticks_per_quarter": piece.ticks_per_quarter,
            "cut_tick": plan.cut,
            "end_tick": plan.end,
            "parts_written": [self._name(n) for n in sorted(plan.constraints.players.parts or ())],
            "part_numbers": [number for number, home in enumerate(there, 1) if home in {*homes, *seated}],
            "notes_kept": kept,
            "notes_removed": source.piece.n_notes - kept,
            "notes_added": piece.n_notes - kept,
            "bars_added": plan.bars,
            "seconds_added": round(float(piece.to_seconds(plan.end) - piece.to_seconds(plan.cut)), 3),
            "warnings": [
                *source.encoded_piece.warnings,
                *plan.warnings,
                *left_out,
                *self._notices(best, candidates),
            ],
            "played": plan.played,
            "candidates": self._listed(best, candidates),
        }
        return Take(midi, alone(source.piece, parts, cut=plan.cut), piece, best.notes, facts, best.faults)

    def _name(self, number: int) -> str:
        voice = self.plan.ensemble.voices[number]
        named = self.source.piece.tracks[voice.tracks[0]].name.strip() if voice.tracks else ""
        return named or program_name(voice.program, is_drum=voice.program == DRUMS).title()

    def _parts(self, best: Candidate) -> list[NewPart]:
        parts = []
        for n in sorted(self.plan.constraints.players.parts or ()):
            voice = self.plan.ensemble.voices[n]
            if voice.tracks:
                mine = best.notes[best.home == voice.tracks[0]]
                track, channel = self.source.homes[voice.tracks[0]]
                owner = self.source.piece.tracks[voice.tracks[0]]
                parts.append(NewPart(mine, owner.program, owner.is_drum, track, channel))
                continue
            mine, drums = best.notes[best.home == -1 - n], voice.program == DRUMS
            parts.append(NewPart(mine, 0 if drums else voice.program, drums, name=self._name(n)))
        return [part for part in parts if len(part.notes)]


def _only(piece: Piece, tracks: frozenset[int]) -> Piece:
    """The piece with the notes of these tracks alone."""
    kept = [t if n in tracks else replace(t, notes=t.notes[:0]) for n, t in enumerate(piece.tracks)]
    return replace(piece, tracks=tuple(kept))

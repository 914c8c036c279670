"""A trained model with its tokenizer: the object that continues pieces and generates new ones.

composer = Composer.load()                        # the model that comes along
take = composer.continue_file("piece.mid", seed=7)
take.save("piece.continued.mid")
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import Run, load_run
from musicgen.errors import UnreadableError, UsageError
from musicgen.evaluation.statistics import statistics
from musicgen.gm import program_name
from musicgen.io.atomic import keep_inputs, write_bytes
from musicgen.io.midi import Limits, part_homes, piece_from_midi
from musicgen.io.smf import MidiFile, smf_bytes
from musicgen.io.splice import NewPart, alone, splice
from musicgen.models.hardware import INT8_BLOCK, has_int8
from musicgen.models.memory.model import MemoryModel
from musicgen.piece import Piece
from musicgen.resources import bundled_models, run_files
from musicgen.sampling.asked import find_parts
from musicgen.sampling.continuation import Plan, Request, assign_parts, make_plan, new_notes, stretches
from musicgen.sampling.decoder import Decoder, EagerDecoder
from musicgen.sampling.eager import can_round
from musicgen.sampling.faults import distance, faults
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import Prompt, per_field, read_prompt, sample
from musicgen.sampling.manner import in_the_manner_of, struck_already
from musicgen.sampling.pedal import pedalled
from musicgen.sampling.source import Source, read_source
from musicgen.seeds import MOST_SEED, checked_seed
from musicgen.tokenizers.constraints import DRUMS
from musicgen.training.study import Studying, StudySettings, study, worth_studying

__all__ = ["DEFAULT_MODEL", "UNLIMITED", "Composer", "Source", "Studying", "Take", "read_source"]

DEFAULT_MODEL = "default"
CANDIDATES = 3, 8  # of which the best is kept: at least, at most
NOTES_IN_ALL = 1200  # that may be drawn for one take: what a core draws in about five seconds
RETRY = 1_000_003  # from a take's seed to that of its next candidate: far from its neighbours' seeds
# Limits guard against strangers' files; what was read may grow by a few bars.
UNLIMITED = Limits(megabytes=math.inf, notes=2**62, tracks=2**62, hours=math.inf)
GPU_FROM_PARAMETERS = 30_000_000  # below this, one step is faster on the CPU


@dataclass(frozen=True)
class Take:
    """One continuation: the whole file, the new notes alone, and the facts that go beside it."""

    midi: MidiFile  # the source up to the cut, then the new music
    only_new: MidiFile
    notes: np.ndarray  # NOTE, ticks of the source
    facts: dict[str, Any]  # the sidecar
    faults: tuple[str, ...]  # what a listener would call broken; empty for a good take
    inputs: tuple[Path, ...] = ()  # the files it was made from

    @property
    def piece(self) -> Piece:
        """The whole as a Piece."""
        return piece_from_midi(self.midi, limits=UNLIMITED)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the whole as a MIDI file. Raises UsageError for one that exists, unless it may be overwritten, and for
        the files that the take was made from, whatever is said of overwriting."""
        keep_inputs([path], self.inputs)
        write_bytes(Path(path), smf_bytes(self.midi), overwrite=overwrite)


@dataclass(frozen=True)
class Candidate:
    """One drawing: its new notes with program value and part (a track, or -1), and how good it is."""

    seed: int
    notes: np.ndarray
    program: np.ndarray
    home: np.ndarray
    faults: tuple[str, ...]
    distance: float  # from the music before the cut; see `faults.distance`


def _check_int8(run: Run, device: str) -> None:
    if not device.startswith("cpu"):
        raise UsageError(f"weights of 8 bits are for a CPU, not for {device}", where="--int8", hint="use --device cpu")
    if not has_int8():
        what = "this PyTorch can't multiply with weights of 8 bits on this CPU"
        raise UsageError(what, where="--int8", hint="leave --int8 out")
    if not any(can_round(layer) for layer in run.model.modules()):
        what = f"this {run.model.settings.family} model has no layer for it: none is a multiple of {INT8_BLOCK} wide"
        raise UsageError(what, where="--int8", hint="leave --int8 out")


class Composer:
    """Continues pieces with one trained model."""

    def __init__(self, run: Run, *, device: str = "auto", int8: bool = False) -> None:
        """`device` is auto, cpu, cuda or mps; auto takes a GPU only for a model that is faster there.

        `int8`: draw with weights of 8 bits, faster on a CPU and a little less exact. Raises UsageError for a device
        that isn't there, and for `int8` where it can't be had.
        """
        self.run, self.tokenizer = run, run.tokenizer
        self._files = () if run.folder is None else tuple(run_files(run.folder))
        if device == "auto":
            worth = run.model.n_parameters > GPU_FROM_PARAMETERS and not int8
            device = "cuda" if worth and torch.cuda.is_available() else "cpu"
        if int8:
            _check_int8(run, device)
        try:
            self.model = run.model.to(torch.device(device))
        except (RuntimeError, AssertionError):
            raise UsageError(f"no device {device!r} on this machine", hint="use --device auto") from None
        self.decoder, self.int8 = EagerDecoder(self.model, int8=int8), int8

    @classmethod
    def load(
        cls, model: str | os.PathLike[str] = DEFAULT_MODEL, *, device: str = "auto", int8: bool = False
    ) -> Composer:
        """Load a run folder, or by name a model that comes with the package."""
        if str(model) == DEFAULT_MODEL and not bundled_models():
            raise UnreadableError("this copy of musicgen carries no model", hint="name a run folder with -m")
        return cls(load_run(model), device=device, int8=int8)

    @property
    def can_study(self) -> bool:
        """Whether the model can learn from music before it goes on: one of `parts` with a memory of the piece."""
        return isinstance(self.model, MemoryModel) and self.tokenizer.as_parts is not None

    def continue_file(
        self,
        path: str | os.PathLike[str],
        *,
        seed: int = 0,
        request: Request | None = None,
        studying: Studying | None = None,
    ) -> Take:
        """One take of a file's continuation under the default sampling settings."""
        return next(self.takes(read_source(path), request=request or Request(), seed=seed, studying=studying))

    def takes(
        self,
        source: Source,
        *,
        request: Request,
        sampling: SamplingSettings | None = None,
        seed: int = 0,
        count: int = 1,
        studying: Studying | None = None,
        on_bars: Callable[[int, int], None] = lambda done, of: None,
    ) -> Iterator[Take]:
        """`count` continuations; take k (from 0) has seed `seed + k` and is the same alone or among others.

        First the piece is studied (`Studying`). Of each take several candidates are drawn, with seeds that follow from
        its own, and the best is kept: one that no listener would call broken, and the nearest to the music before the
        cut. Its facts say what the others were. `on_bars(done, of)` is told how far the new bars have come, for each
        drawing anew. Raises UsageError for a request that doesn't fit the piece, and for seeds beyond
        `seeds.MOST_SEED`, at once.
        """
        settings = (sampling or SamplingSettings()).validate()
        seed = checked_seed(seed, count=count)
        per_field(settings, self.tokenizer.fields)
        plan = make_plan(source.heard, self.tokenizer, request=request, context=self.model.context)

        def drawn() -> Iterator[Take]:
            decoder, study_facts = self._studied(source, plan, request, studying or Studying())
            prompt = self._read(plan, decoder)
            for number in range(seed, seed + count):
                yield self._best(source, plan, decoder, prompt, request, settings, number, study_facts, on_bars)

        return drawn()

    def _studied(
        self, source: Source, plan: Plan, request: Request, studying: Studying
    ) -> tuple[Decoder, dict[str, Any]]:
        """A decoder of the model that has studied the music, and the facts: by how many updates, how many pieces, and
        whether what lies behind the cut was among them."""
        settings = StudySettings(updates=studying.updates)
        nothing = {"updates": 0, "pieces": 0, "whole": False}
        numbered = self.tokenizer.as_parts
        if not settings.updates or not isinstance(self.model, MemoryModel) or numbered is None:
            return self.decoder, nothing
        whole = studying.whole and request.start is not None
        if whole:
            pieces = [numbered.encode(source.heard, played=plan.played).astype(np.int64)]
        else:
            pieces = [np.concatenate([plan.past, plan.prompt])]
        pieces += [self.tokenizer.encode(piece).astype(np.int64) for piece in studying.also]
        # The piece in hand, unless there is too little of it.
        first = 0.5 if studying.also and worth_studying(pieces[:1]) else 0.0
        pieces = worth_studying(pieces)
        updates = settings.updates_for(sum(len(ids) for ids in pieces))
        if not updates:
            return self.decoder, nothing
        done = 0

        def on_update() -> None:
            nonlocal done
            done += 1
            studying.on_update(done, updates)

        learned = study(self.model, pieces, settings=settings, seed=0, first=first, on_update=on_update)
        return EagerDecoder(learned, int8=self.int8), {"updates": updates, "pieces": len(pieces), "whole": whole}

    def _read(self, plan: Plan, decoder: Decoder) -> Prompt:
        first = plan.past if len(plan.past) else plan.prompt
        begins = (first[:1] == self.tokenizer.vocabulary.id("bos")).any()
        grammar = self.tokenizer.grammar(inside=not begins)
        prompt = read_prompt(decoder, plan.prompt, grammar=grammar, begun=plan.begun, past=plan.past)
        prompt.grammar.constrain(plan.constraints, anchor=plan.anchor)
        return prompt

    def _best(
        self,
        source: Source,
        plan: Plan,
        decoder: Decoder,
        prompt: Prompt,
        request: Request,
        settings: SamplingSettings,
        seed: int,
        study_facts: dict[str, Any],
        on_bars: Callable[[int, int], None],
    ) -> Take:
        """The best of a seed's candidates, drawn in lockstep; where all are broken, as many are drawn once more."""
        fewest, most = CANDIDATES
        count = max(fewest, min(most, NOTES_IN_ALL // max(1, plan.expected_notes)))
        seeds = [(seed + attempt * RETRY) % (MOST_SEED + 1) for attempt in range(2 * count)]
        candidates: list[Candidate] = []
        for used in (seeds[:count], seeds[count:]):
            drawn = sample(
                decoder,
                prompt,
                fields=self.tokenizer.fields,
                settings=settings,
                generators=[torch.Generator().manual_seed(number) for number in used],
                max_steps=plan.max_steps,
                on_step=lambda bars: on_bars(min(bars, plan.bars), plan.bars),
            )
            candidates += [
                self._candidate(source, plan, request, number, *new_notes(plan, ids, self.tokenizer))
                for number, ids in zip(used, drawn, strict=True)
            ]
            best = min(candidates, key=lambda each: (len(each.faults), each.distance))
            if not best.faults:
                break
        notices = [
            f"refused: seed {each.seed} gave {' and '.join(each.faults)}, and was left out"
            for each in candidates
            if each.faults and each is not best
        ]
        if best.faults:
            notices.append(f"broken: {' and '.join(best.faults)}; of {len(candidates)} candidates none was better")
        return self._join(source, plan, request, settings, seed, best, tuple(notices), candidates, study_facts)

    def _candidate(
        self, source: Source, plan: Plan, request: Request, seed: int, notes: np.ndarray, program: np.ndarray
    ) -> Candidate:
        tracks = source.heard.tracks
        if plan.voices:
            voices = np.array([voice.tracks[0] if voice.tracks else -1 for voice in plan.voices])
            programs = np.array([voice.program for voice in plan.voices])
            home, program = voices[program], programs[program]
        else:
            home = assign_parts(tracks, self._open_parts(source.heard, request), notes, program, cut=plan.cut)
        notes = in_the_manner_of(source.piece, plan, notes, home, tokenizer=self.tokenizer, seed=seed)
        keep = ~struck_already(source.heard, plan, notes, home)
        notes, program, home = notes[keep], program[keep], home[keep]
        new, before = stretches(source.heard, plan, notes, np.where(home < 0, 1000 + program, home), program == DRUMS)
        asked = None
        if plan.constraints.parts is not None:
            asked = frozenset(t for n in plan.constraints.parts for t in plan.voices[n].tracks[:1])
        found = faults(new, before, asked=asked)
        return Candidate(seed, notes, program, home, tuple(found), distance(new, before))

    def _join(
        self,
        source: Source,
        plan: Plan,
        request: Request,
        settings: SamplingSettings,
        seed: int,
        best: Candidate,
        notices: tuple[str, ...],
        candidates: list[Candidate],
        study_facts: dict[str, Any],
    ) -> Take:
        piece = source.piece
        homes = part_homes(source.midi)
        notes, program, part_of_note = best.notes, best.program, best.home
        parts = []
        for part in np.unique(part_of_note).tolist():
            mine = part_of_note == part
            if part >= 0:
                track, channel = homes[part]
                owner = piece.tracks[part]
                parts.append(NewPart(notes[mine], owner.program, owner.is_drum, track, channel))
                continue
            for value in np.unique(program[mine]).tolist():
                drums = value == DRUMS
                new = notes[mine & (program == value)]
                parts.append(NewPart(new, 0 if drums else value, drums, name=program_name(value).title()))
        parts = pedalled(parts, source.midi, piece, plan)
        midi = splice(source.midi, parts, cut=plan.cut, end=plan.end, at_end=request.start is None)
        joined = piece_from_midi(midi, limits=UNLIMITED)
        kept = sum(int((t.notes["start"] < plan.cut).sum()) for t in piece.tracks)
        planned = list(plan.warnings)
        if plan.from_nothing and source.sha256:  # whoever gave no source knows that there is nothing before it
            planned.append("empty: no notes before the cut; the music begins from nothing")
        seconds = float(joined.to_seconds(plan.end) - joined.to_seconds(plan.cut))
        facts = {
            "model": self.run.name,
            "model_sha256": self.run.sha256,
            "seed": seed,
            "settings": {**asdict(settings), **asdict(request), "int8": self.int8},
            "source": source.name,
            "source_sha256": source.sha256,
            "ticks_per_quarter": piece.ticks_per_quarter,
            "cut_tick": plan.cut,
            "notes_kept": kept,
            "notes_added": joined.n_notes - kept,
            "bars_added": plan.bars,
            "seconds_added": round(seconds, 3),
            "warnings": [*source.heard.warnings, *planned, *notices],
            "statistics": {
                "before": statistics(piece, begin=max(0, round(plan.cut - 16 * plan.anchor.bar_length)), end=plan.cut),
                "new": statistics(joined, begin=plan.cut, end=plan.end),
            },
            "played": plan.played,
            "study": study_facts,
            "candidates": [
                {
                    "seed": each.seed,
                    "faults": list(each.faults),
                    "distance": round(each.distance, 4),
                    "kept": each is best,
                }
                for each in candidates
            ],
            "licence": self.run.card.get("licence", "unknown"),
        }
        inputs = () if source.path is None else (source.path,)
        return Take(midi, alone(piece, parts, cut=plan.cut), notes, facts, best.faults, (*inputs, *self._files))

    @staticmethod
    def _open_parts(piece: Piece, request: Request) -> list[int]:
        """The parts that new notes may go to: those that are asked for; all of them where nobody asks, or for more."""
        found = [find_parts(name, piece.tracks) for name in request.tracks]
        named = list(dict.fromkeys(part for parts in found for part in parts))
        others = [i for i in range(len(piece.tracks)) if i not in named]
        return named if found and all(found) else named + others

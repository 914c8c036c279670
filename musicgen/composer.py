"""A trained model with its tokenizer: the object that continues pieces and generates new ones.

composer = Composer.load()                        # the model that comes along
take = composer.continue_file("piece.mid", seed=7)
take.save("piece.continued.mid")
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import Run, load_run
from musicgen.errors import UnreadableError, UsageError
from musicgen.evaluation.statistics import statistics
from musicgen.gm import program_name
from musicgen.io.atomic import write_bytes
from musicgen.io.midi import Limits, midi_from_piece, part_homes, piece_from_midi, read_bytes
from musicgen.io.score_text import read_texts
from musicgen.io.smf import MidiFile, parse_smf, smf_bytes
from musicgen.io.splice import NewPart, splice
from musicgen.piece import METER, TEMPO, Piece, Track
from musicgen.resources import bundled_models
from musicgen.sampling.continuation import Plan, Request, assign_parts, faults, make_plan, new_notes
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import Prompt, read_prompt, sample
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["DEFAULT_MODEL", "UNLIMITED", "Composer", "Source", "Take", "read_source"]

DEFAULT_MODEL = "default"
ATTEMPTS = 4  # one and three retries
RETRY = 1_000_003  # from a take's seed to that of its next attempt: far from its neighbours' seeds
TOGETHER = 8  # takes in lockstep; more would wait longer for the first
# Limits guard against strangers' files; what was read may grow by a few bars.
UNLIMITED = Limits(megabytes=math.inf, notes=2**62, tracks=2**62, hours=math.inf)
GPU_FROM_PARAMETERS = 30_000_000  # below this, one step is faster on the CPU


@dataclass(frozen=True)
class Source:
    """What is continued: the file's events, the piece in them, and where they came from."""

    midi: MidiFile
    piece: Piece
    name: str
    sha256: str
    text: str | None = None  # of an ABC file: its first tune, as it stands there


@dataclass(frozen=True)
class Take:
    """One continuation: the whole file, the new notes alone, and the facts that go beside it."""

    midi: MidiFile  # the source up to the cut, then the new music
    only_new: MidiFile
    notes: np.ndarray  # NOTE, ticks of the source
    facts: dict[str, Any]  # the sidecar
    faults: tuple[str, ...]  # what a listener would call broken; empty for a good take

    @property
    def piece(self) -> Piece:
        """The whole as a Piece."""
        return piece_from_midi(self.midi, limits=UNLIMITED)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the whole as a MIDI file."""
        write_bytes(Path(path), smf_bytes(self.midi), overwrite=overwrite)


def read_source(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Source:
    """Read a MIDI file or a score (MusicXML, kern, ABC) to continue it. Raises UnreadableError."""
    from musicgen.io import SCORE_SUFFIXES, read_score

    limits = limits or Limits()
    name = os.fspath(path)
    data = read_bytes(path, max_megabytes=limits.megabytes)
    text = None
    if Path(name).suffix.lower() in SCORE_SUFFIXES:
        piece = read_score(path, limits=limits)
        midi = midi_from_piece(piece)
        piece = replace(piece_from_midi(midi, where=name, limits=limits), warnings=piece.warnings)
        if Path(name).suffix.lower() == ".abc":
            text = read_texts(name, limits=limits)[0].text
    else:
        midi = parse_smf(data, where=name, max_tracks=limits.tracks)
        piece = piece_from_midi(midi, where=name, limits=limits)
    return Source(midi, piece, Path(name).name, hashlib.sha256(data).hexdigest(), text)


class Composer:
    """Continues pieces with one trained model."""

    def __init__(self, run: Run, *, device: str = "auto", int8: bool = False) -> None:
        """`device` is auto, cpu, cuda or mps; auto takes a GPU only for a model that is faster there.

        `int8`: draw with weights of 8 bits, faster on a CPU and a little less exact.
        """
        self.run, self.tokenizer = run, run.tokenizer
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() and run.model.n_parameters > GPU_FROM_PARAMETERS else "cpu"
        try:
            self.model = run.model.to(torch.device(device))
        except (RuntimeError, AssertionError):
            raise UsageError(f"no device {device!r} on this machine", hint="use --device auto") from None
        self.model.faster(int8=int8)
        self.int8 = int8

    @classmethod
    def load(
        cls, model: str | os.PathLike[str] = DEFAULT_MODEL, *, device: str = "auto", int8: bool = False
    ) -> Composer:
        """Load a run folder, or by name a model that comes with the package."""
        if str(model) == DEFAULT_MODEL and not bundled_models():
            raise UnreadableError("this copy of musicgen carries no model", hint="name a run folder with -m")
        return cls(load_run(model), device=device, int8=int8)

    def continue_file(self, path: str | os.PathLike[str], *, seed: int = 0, request: Request | None = None) -> Take:
        """One take of a file's continuation under the default sampling settings."""
        return next(self.takes(read_source(path), request=request or Request(), seed=seed))

    def takes(
        self,
        source: Source,
        *,
        request: Request,
        sampling: SamplingSettings | None = None,
        seed: int = 0,
        count: int = 1,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Take]:
        """`count` continuations; take k (from 0) has seed `seed + k` and is the same alone or among others.

        A take that a listener would call broken is tried again with another seed that follows from its own; its
        facts say so and hold the seed that was used. Raises UsageError for a request that doesn't fit the piece.
        """
        settings = (sampling or SamplingSettings()).validate()
        plan = make_plan(source.piece, self.tokenizer, request=request, context=self.model.context)
        prompt = self._read(plan)
        for first in range(0, count, TOGETHER):
            seeds = range(seed + first, seed + min(count, first + TOGETHER))
            yield from self._good_takes(source, plan, prompt, request, settings, list(seeds), on_step)

    def _read(self, plan: Plan) -> Prompt:
        first = plan.past if len(plan.past) else plan.prompt
        begins = (first[:1] == self.tokenizer.vocabulary.id("bos")).any()
        grammar = self.tokenizer.grammar(inside=not begins)
        prompt = read_prompt(self.model, plan.prompt, grammar=grammar, begun=plan.begun, past=plan.past)
        prompt.grammar.constrain(plan.constraints, anchor=plan.anchor)
        return prompt

    def _good_takes(
        self,
        source: Source,
        plan: Plan,
        prompt: Prompt,
        request: Request,
        settings: SamplingSettings,
        seeds: list[int],
        on_step: Callable[[], None],
    ) -> list[Take]:
        """A take for each seed, drawn in lockstep; the broken ones are drawn again, together."""
        takes: dict[int, Take] = {}
        notices: dict[int, list[str]] = {seed: [] for seed in seeds}
        for attempt in range(ATTEMPTS):
            open_seeds = [seed for seed in seeds if seed not in takes]
            used = [(seed + attempt * RETRY) % 2**31 for seed in open_seeds]
            drawn = sample(
                self.model,
                prompt,
                fields=self.tokenizer.fields,
                settings=settings,
                generators=[torch.Generator().manual_seed(number) for number in used],
                max_steps=plan.max_steps,
                on_step=on_step,
            )
            for seed, number, ids in zip(open_seeds, used, drawn, strict=True):
                notes, program = new_notes(plan, ids, self.tokenizer)
                bar_length = plan.anchor.bar_length
                found = faults(notes, cut=plan.cut, end=plan.end, bar_length=bar_length, before=source.piece)
                last = attempt + 1 == ATTEMPTS
                if found and not last:
                    notices[seed].append(f"retried: seed {number} gave {' and '.join(found)}; another was tried")
                    continue
                if found:
                    notices[seed].append(f"broken: {' and '.join(found)} after {ATTEMPTS} seeds")
                takes[seed] = self._join(
                    source, plan, request, settings, number, notes, program, tuple(notices[seed]), tuple(found)
                )
            if len(takes) == len(seeds):
                break
        return [takes[seed] for seed in seeds]

    def _join(
        self,
        source: Source,
        plan: Plan,
        request: Request,
        settings: SamplingSettings,
        seed: int,
        notes: np.ndarray,
        program: np.ndarray,
        notices: tuple[str, ...],
        found: tuple[str, ...],
    ) -> Take:
        piece = source.piece
        homes = part_homes(source.midi)
        if plan.voices:
            home = np.array([voice.tracks[0] if voice.tracks else -1 for voice in plan.voices])
            part_of_note = home[program]
            program = np.array([voice.program for voice in plan.voices])[program]
        else:
            part_of_note = assign_parts(piece.tracks, self._open_parts(piece, request), notes, program, cut=plan.cut)
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
            "warnings": [*piece.warnings, *planned, *notices],
            "statistics": {
                "before": statistics(piece, begin=max(0, round(plan.cut - 16 * plan.anchor.bar_length)), end=plan.cut),
                "new": statistics(joined, begin=plan.cut, end=plan.end),
            },
            "licence": self.run.card.get("licence", "unknown"),
        }
        return Take(midi, self._only_new(piece, plan, parts), notes, facts, found)

    @staticmethod
    def _open_parts(piece: Piece, request: Request) -> list[int]:
        """The parts that new notes may go to: those named by number; all of them where any is named otherwise."""
        named = [int(name) - 1 for name in request.tracks if name.isdigit()]
        # Asked for by name or instrument: every part that plays it.
        others = [i for i in range(len(piece.tracks)) if i not in named]
        return named + others if len(named) < len(request.tracks) or not named else named

    @staticmethod
    def _only_new(piece: Piece, plan: Plan, parts: list[NewPart]) -> MidiFile:
        """The new notes alone from tick 0, in the tempo and meter of the cut."""
        tracks = []
        for part in parts:
            notes = part.notes.copy()
            notes["start"] -= plan.cut
            tracks.append(
                Track(
                    part.name or program_name(part.program, is_drum=part.is_drum).title(),
                    part.program,
                    part.is_drum,
                    notes,
                )
            )
        tempos = np.array([(0, piece.tempo_at(plan.cut))], TEMPO)
        meters = np.array([(0, *piece.meter_at(plan.cut))], METER)
        return midi_from_piece(Piece(piece.ticks_per_quarter, tuple(tracks), tempos, meters))

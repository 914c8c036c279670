"""A trained model with its tokenizer: the object that continues pieces and generates new ones.

composer = Composer.load()                            # the bundled model
(take,) = composer.continue_("piece.mid", bars=4, seed=7)
take.save("piece.continued.mid")                      # and its facts beside it, as piece.continued.json
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import Run, load_run
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Began, Finished, Listener, Warned, ignore
from musicgen.facts import FACTS, note_facts, shipping_facts
from musicgen.originality import Index, index_of_run
from musicgen.piece import Piece
from musicgen.resources import bundled_models, run_files
from musicgen.sampling.decoder import Decoder, EagerDecoder
from musicgen.sampling.eager import check_int8
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.hole_notes import HoleWriter
from musicgen.sampling.loop import per_field
from musicgen.sampling.notes import NoteWriter
from musicgen.sampling.request import Keeps, Request, keeping, part_names
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take, Writer
from musicgen.sampling.text import TextWriter
from musicgen.scoring import Scoring
from musicgen.seeds import checked_seed
from musicgen.stopping import Cancel, cancellable
from musicgen.training.study import Studying, StudySettings, study, worth_studying
from musicgen.words import sentence

__all__ = ["DEFAULT_MODEL", "Composer", "Keeps", "Request", "SamplingSettings", "Source", "Studying", "Take"]

DEFAULT_MODEL = "default"
GPU_FROM_PARAMETERS = 30_000_000  # below this, one step is faster on the CPU


def _source(piece: Piece | Source | str | os.PathLike[str]) -> Source:
    if isinstance(piece, Source):
        return piece
    return Source.of_piece(piece) if isinstance(piece, Piece) else Source.read(piece)


class Composer:
    """Continues pieces, and generates new ones, with one trained model."""

    def __init__(self, run: Run, *, device: str = "auto", int8: bool = False) -> None:
        """`device` is auto, cpu, cuda or mps; auto is CUDA, if available, for models large enough to be faster there.

        `int8` samples with 8-bit weights: faster on a CPU and slightly less exact. Raises UsageError for a device that
        isn't available, and if `int8` isn't supported.
        """
        self.run, self.tokenizer = run, run.tokenizer
        self._files = () if run.folder is None else tuple(run_files(run.folder))
        if device == "auto":
            worth = run.model.n_parameters > GPU_FROM_PARAMETERS and not int8
            device = "cuda" if worth and torch.cuda.is_available() else "cpu"
        if int8:
            check_int8(run.model, device)
        try:
            self.model = run.model.to(torch.device(device))
        except (RuntimeError, AssertionError):
            raise UsageError(f"no device {device!r} on this machine", hint="use --device auto") from None
        self.decoder, self.int8 = EagerDecoder(self.model, int8=int8), int8

    @classmethod
    def load(
        cls, model: str | os.PathLike[str] = DEFAULT_MODEL, *, device: str = "auto", int8: bool = False
    ) -> Composer:
        """Load a run folder, or a bundled model by its name."""
        if str(model) == DEFAULT_MODEL and not bundled_models():
            raise UnreadableError("this copy of musicgen carries no model", hint="name a run folder with -m")
        return cls(load_run(model), device=device, int8=int8)

    @property
    def can_study(self) -> bool:
        """Whether the model can be fine-tuned on a piece (`study.py`): it must be one that studies, as those with a
        memory do, and its tokenizer one of parts."""
        return self.model.studies and self.tokenizer.as_parts is not None

    # ---- what is asked ---------------------------------------------------------------------------

    def continue_(
        self,
        piece: Piece | Source | str | os.PathLike[str],
        *,
        bars: int | None = 8,
        seconds: float | None = None,
        start: int | None = None,
        tracks: str | Sequence[str | int] = (),
        key: str | None = None,
        pitch_range: str | tuple[int, int] | None = None,
        max_polyphony: int = 0,
        keeps: Keeps | None = None,
        played: bool | None = None,
        max_copy: float | None = None,
        temperature: float = SamplingSettings.temperature,
        top_k: int = SamplingSettings.top_k,
        top_p: float = SamplingSettings.top_p,
        min_p: float = SamplingSettings.min_p,
        repetition_penalty: float = SamplingSettings.repetition_penalty,
        typical_p: float = SamplingSettings.typical_p,
        figure_penalty: float = SamplingSettings.figure_penalty,
        field_temperatures: Mapping[str, float] | None = None,
        as_text: bool = False,
        studying: Studying | None = None,
        seed: int = 0,
        takes: int = 1,
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> list[Take]:
        """Continue a piece: a path to a MIDI file or score, the name of a bundled piece, or a `Piece`.

        Adds `bars` whole new bars (None: 8, but text that begins from nothing ends where it likes), or `seconds` of new
        music, at the piece's end or from bar `start`, counted from 0.
        `tracks` are the parts to continue: numbers from 1, names or instruments, as a sequence or separated by commas.
        `key`, such as "G" or "F#m", and `pitch_range`, such as "C3-C6" or (48, 84), constrain melodic parts;
        `max_polyphony` limits the notes sounding at once (0: no limit), and `keeps` (`Keeps`) chords, density and more.
        `played`: a human performance, off the grid (True), or a score (False); None: as the piece is. `max_copy` is the
        longest stretch of training data, in bars, that a take may have; others are drawn again. For the sampling
        parameters see `SamplingSettings`
        (`field_temperatures` maps field names, as in {"pitch": 1.2}), for `studying` see `Studying`. A model of text
        continues an ABC file as text, and other pieces too if `as_text` is set.

        Take k of `takes`, from 0, has seed `seed` + k and doesn't depend on the other takes. `listener` gets events of
        progress (`events.py`); `cancel` ends the work from another thread, with Cancelled (`stopping.py`). Raises
        UnreadableError for a file that can't be read, UsageError for a request that doesn't fit the piece.
        """
        fields = tuple((field_temperatures or {}).items())
        drawn = self.takes(
            _source(piece),
            request=Request(
                bars=bars,
                seconds=seconds,
                start=start,
                tracks=part_names(tracks),
                keeps=keeping(keeps, key=key, pitch_range=pitch_range, max_polyphony=max_polyphony),
                played=played,
            ),
            sampling=SamplingSettings(
                temperature, top_k, top_p, min_p, repetition_penalty, fields, max_copy, typical_p, figure_penalty
            ),
            as_text=as_text,
            studying=studying,
            seed=seed,
            count=takes,
            listener=listener,
            cancel=cancel,
        )
        return list(drawn)

    def generate(
        self,
        *,
        bars: int | None = None,
        seconds: float | None = None,
        tempo: float | None = None,
        meter: str | tuple[int, int] | None = None,
        tracks: str | Sequence[str | int] = (),
        key: str | None = None,
        pitch_range: str | tuple[int, int] | None = None,
        max_polyphony: int = 0,
        keeps: Keeps | None = None,
        played: bool | None = None,
        max_copy: float | None = None,
        temperature: float = SamplingSettings.temperature,
        top_k: int = SamplingSettings.top_k,
        top_p: float = SamplingSettings.top_p,
        min_p: float = SamplingSettings.min_p,
        repetition_penalty: float = SamplingSettings.repetition_penalty,
        typical_p: float = SamplingSettings.typical_p,
        figure_penalty: float = SamplingSettings.figure_penalty,
        field_temperatures: Mapping[str, float] | None = None,
        studying: Studying | None = None,
        seed: int = 0,
        takes: int = 1,
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> list[Take]:
        """Generate new music without a prompt: by default 8 bars, at 120 quarters per minute, in 4/4, for piano; a
        model of text chooses length, meter and tempo itself by default.

        `tempo` is in quarters per minute, `meter` like "6/8", `tracks` are instruments; other parameters and the takes
        are as in `continue_`. Raises UsageError for a request that the model doesn't support.
        """
        return self.continue_(
            Source.nothing(tempo=tempo, meter=meter),
            bars=bars,
            seconds=seconds,
            tracks=tracks,
            key=key,
            pitch_range=pitch_range,
            max_polyphony=max_polyphony,
            keeps=keeps,
            played=played,
            max_copy=max_copy,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            typical_p=typical_p,
            figure_penalty=figure_penalty,
            field_temperatures=field_temperatures,
            studying=studying,
            seed=seed,
            takes=takes,
            listener=listener,
            cancel=cancel,
        )

    def infill(
        self,
        piece: Piece | Source | str | os.PathLike[str],
        *,
        begin: int,
        end: int,
        tracks: str | Sequence[str | int] = (),
        key: str | None = None,
        pitch_range: str | tuple[int, int] | None = None,
        max_polyphony: int = 0,
        keeps: Keeps | None = None,
        played: bool | None = None,
        sampling: SamplingSettings | None = None,
        studying: Studying | None = None,
        seed: int = 0,
        takes: int = 1,
    ) -> list[Take]:
        """Write the bars `begin` to before `end`, counted from 0, of a piece anew, knowing what is on both sides.

        `tracks` are the parts that are written, by default all; the others are heard and stay. Outside these bars and
        parts every event of the file stays. Other parameters are as in `continue_`; needs a model with the tokenizer
        `parts`. Raises UnreadableError for a file that can't be read, UsageError for bars or parts that it hasn't got.
        """
        request = Request(
            start=begin,
            until=end,
            tracks=part_names(tracks),
            keeps=keeping(keeps, key=key, pitch_range=pitch_range, max_polyphony=max_polyphony),
            played=played,
        )
        return list(
            self.takes(_source(piece), request=request, sampling=sampling, studying=studying, seed=seed, count=takes)
        )

    def accompany(
        self,
        piece: Piece | Source | str | os.PathLike[str],
        *,
        add: str | Sequence[str] = (),
        rewrite: str | Sequence[str | int] = (),
        begin: int = 0,
        end: int | None = None,
        key: str | None = None,
        pitch_range: str | tuple[int, int] | None = None,
        max_polyphony: int = 0,
        keeps: Keeps | None = None,
        played: bool | None = None,
        sampling: SamplingSettings | None = None,
        studying: Studying | None = None,
        seed: int = 0,
        takes: int = 1,
    ) -> list[Take]:
        """Add parts to a piece: `add` are instruments, such as "bass,drums"; `rewrite` are parts of the piece that are
        written anew.

        They play from bar `begin` to before bar `end`, counted from 0, by default throughout. All other parts stay as
        they are. Other parameters and errors are as in `infill`.
        """
        request = Request(
            start=begin,
            until=end,
            everywhere=end is None,
            add=part_names(add),
            tracks=part_names(rewrite),
            keeps=keeping(keeps, key=key, pitch_range=pitch_range, max_polyphony=max_polyphony),
            played=played,
        )
        if not request.add and not request.tracks:
            raise UsageError("no part is named", hint="name instruments to add, or parts to write anew")
        return list(
            self.takes(_source(piece), request=request, sampling=sampling, studying=studying, seed=seed, count=takes)
        )

    def takes(
        self,
        source: Source,
        *,
        request: Request | None = None,
        sampling: SamplingSettings | None = None,
        as_text: bool = False,
        studying: Studying | None = None,
        seed: int = 0,
        count: int = 1,
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> Iterator[Take]:
        """Iterate over the takes of `continue_` and `generate` as they are drawn, from a source.

        First the model is fine-tuned on the piece (`Studying`), then a writer of notes or of text draws the takes.
        `listener` gets the updates of study, the new bars of each take as they come, and each warning once
        (`events.py`). `cancel` ends the iteration with Cancelled. Raises UsageError for a request that doesn't fit the
        piece, and for seeds beyond `seeds.MOST_SEED`, at the call rather than during iteration.
        """
        settings = (sampling or SamplingSettings()).validate()
        seeds = range(checked_seed(seed, count=count), seed + count)
        per_field(settings, self.tokenizer.fields)
        writer = self._writer(source, request or Request(), settings, as_text=as_text, studying=studying)
        tell = cancellable(listener, cancel)
        inputs = (*(() if source.path is None else (source.path,)), *self._files)

        def drawn() -> Iterator[Take]:
            decoder, learned = self._studied(writer, studying or Studying(), tell)
            takes, warned = writer.takes(decoder, seeds, listener=tell), set()
            for k, number in enumerate(seeds, 1):
                tell(Began("take", "bar", writer.bars, f"take {k} of {count}"))
                take = next(takes)
                facts = {
                    "model": self.run.name,
                    "model_sha256": self.run.sha256,
                    "seed": number,
                    "settings": {**settings.listed(), **writer.settings},
                    "source": source.name,
                    "source_sha256": source.sha256,
                    "licence": self.run.card.get("licence", "unknown"),
                    "shipping": shipping_facts(self.run.card, learned, also=studying.also if studying else ()),
                    **take.facts,
                }
                if isinstance(writer, NoteWriter):
                    facts |= {"study": learned, **note_facts(writer, take)}
                    facts["settings"]["int8"] = self.int8
                for line in facts["warnings"]:
                    # Rejected candidates are listed in the facts alone.
                    if line not in warned and not line.startswith("refused: "):
                        tell(Warned(f"{source.name}: {sentence(line)}"))
                        warned.add(line)
                tell(Finished("take"))
                yield replace(take, facts={key: facts[key] for key in FACTS if key in facts}, inputs=inputs)

        return drawn()

    # ---- small steps -----------------------------------------------------------------------------

    @cached_property
    def corpus(self) -> Index | None:
        """The index of what the model was trained on, by which copies are found; None if none lies beside it."""
        return index_of_run(self.run.folder)

    def _writer(
        self, source: Source, request: Request, settings: SamplingSettings, *, as_text: bool, studying: Studying | None
    ) -> Writer:
        """The writer for a source: of text if `as_text`, or if the model writes text and the source is text or empty;
        else of notes."""
        context = self.model.context
        from_text = source.text is not None or source.is_nothing
        if as_text or (from_text and self.tokenizer.as_text is not None):
            if settings.max_copy is not None:
                raise UsageError("is for takes of notes, not of ABC text", where="--max-copy", hint="leave it out")
            return TextWriter(source, self.tokenizer, request=request, sampling=settings, context=context)
        if request.bars is None:
            request = replace(request, bars=Request.bars)
        kind = HoleWriter if request.is_hole else NoteWriter
        notes = kind(source, self.tokenizer, request=request, sampling=settings, context=context)
        studied: tuple[Piece, ...] = ()
        if studying is not None and self.can_study:
            studied = (*studying.also, *((source.piece,) if studying.whole and request.start is not None else ()))
        notes.compare(self.corpus, studied=studied)
        return notes

    def _studied(self, writer: Writer, studying: Studying, listener: Listener) -> tuple[Decoder, dict[str, Any]]:
        """(a decoder of the model after study, the facts about it): the number of updates and pieces, and whether the
        music after the cut was included."""
        settings = StudySettings(updates=studying.updates)
        nothing = {"updates": 0, "pieces": 0, "whole": False}
        if not settings.updates or not self.can_study:
            return self.decoder, nothing
        # A model that can study reads notes, and so does its writer.
        assert isinstance(writer, NoteWriter)
        whole = studying.whole and writer.request.start is not None
        pieces = [writer.known(whole=whole)]
        pieces += [self.tokenizer.encode(piece).astype(np.int64) for piece in studying.also]
        # Half of the updates are on the piece to be continued, unless it is too short.
        first = 0.5 if studying.also and worth_studying(pieces[:1]) else 0.0
        pieces = worth_studying(pieces)
        updates = settings.updates_for(sum(len(ids) for ids in pieces))
        if not updates:
            return self.decoder, nothing
        scoring = Scoring.of(self.tokenizer, next(self.model.parameters()).device)
        learned = study(self.model, pieces, scoring=scoring, settings=settings, seed=0, first=first, listener=listener)
        return EagerDecoder(learned, int8=self.int8), {"updates": updates, "pieces": len(pieces), "whole": whole}

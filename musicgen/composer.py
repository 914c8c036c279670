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

import torch

from musicgen.checkpoint import Run, load_run
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Began, Finished, Listener, Warned, ignore
from musicgen.facts import FACTS, note_facts, shipping_facts
from musicgen.originality import Index, index_of_run
from musicgen.picking import ANY_MUSIC, NAMED, Picked, known_cards, picked
from musicgen.piece import Piece
from musicgen.replaying import Replaying
from musicgen.resources import bundled_models, run_files
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.eager import check_int8
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import per_field
from musicgen.sampling.notes import NoteWriter
from musicgen.sampling.ranking import ranked
from musicgen.sampling.request import ADDED_TEMPERATURE, OPEN, Finish, Keeps, Request, keeping, part_names
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.seeds import checked_seed
from musicgen.stopping import Cancel, cancellable
from musicgen.studied import NOTHING_LEARNED, learnt, studied
from musicgen.training.study import Studying
from musicgen.words import sentence
from musicgen.writers import writer_for

__all__ = ["DEFAULT_MODEL", "Composer", "Keeps", "Request", "SamplingSettings", "Source", "Studying", "Take"]

DEFAULT_MODEL = "default"
Model = str | os.PathLike[str] | Picked
GPU_FROM_PARAMETERS = 30_000_000  # below this, one step is faster on the CPU


class Composer(Replaying):
    """Continues pieces, and generates new ones, with one trained model.

    >>> composer = Composer.load()  # the bundled model
    >>> (take,) = composer.continue_("schubert-unfinished", bars=1, studying=Studying(updates=0), seed=7)
    >>> take.facts["bars_added"]
    1
    """

    def __init__(self, run: Run, *, device: str = "auto", int8: bool = False, reason: str = NAMED) -> None:
        """`device` is auto, cpu, cuda or mps; auto is CUDA, if available, for models large enough to be faster there.

        `int8` samples with 8-bit weights: faster on a CPU and slightly less exact. `reason` says in sidecars why it is
        this model (`picking.py`). Raises UsageError for a device that isn't available, and if `int8` isn't supported.
        """
        self.run, self.tokenizer, self.reason = run, run.tokenizer, reason
        self._files = () if run.folder is None else tuple(run_files(run.folder))
        if device == "auto":
            worth = run.model.n_parameters > GPU_FROM_PARAMETERS and not int8 and torch.cuda.is_available()
            device = "cuda" if worth else "cpu"
        if int8:
            check_int8(run.model, device)
        try:
            self.model = run.model.to(torch.device(device))
        except (RuntimeError, AssertionError):
            raise UsageError(f"no device {device!r} on this machine", hint="use `device` auto") from None
        self.decoder, self.int8 = EagerDecoder(self.model, int8=int8), int8

    def __repr__(self) -> str:
        return f"Composer({self.run.name}: {self.model.settings.family}, {self.model.n_parameters:,} parameters)"

    @classmethod
    def load(cls, model: Model = DEFAULT_MODEL, *, device: str = "auto", int8: bool = False) -> Composer:
        """Load a run folder, or a bundled model by its name; a `Picked` brings the reason for it."""
        if not isinstance(model, Picked):
            model = Picked(os.fspath(model), ANY_MUSIC if str(model) == DEFAULT_MODEL else NAMED)
        if model.is_default and not bundled_models():
            raise UnreadableError("this copy of musicgen carries no model", hint="name a run folder with -m")
        return cls(load_run(model.model), device=device, int8=int8, reason=model.reason)

    @classmethod
    def for_piece(cls, piece: Piece | Source | str | os.PathLike[str], *, as_text: bool = False) -> Composer:
        """Load the model that a piece is for, of those that are here (`picking.py`), as `musicgen continue` does."""
        return cls.load(picked(Source.of(piece).piece, cards=known_cards(), as_text=as_text))

    @property
    def can_study(self) -> bool:
        """Whether the model can be fine-tuned on a piece: one with a memory can, if its tokenizer is one of parts."""
        return self.model.studies and self.tokenizer.as_parts is not None

    # ---- what is asked ---------------------------------------------------------------------------

    def continue_(
        self,
        piece: Piece | Source | str | os.PathLike[str],
        *,
        bars: int | None = 8,
        seconds: float | None = None,
        start: int | None = None,
        end: bool = False,
        keep_rest: bool = False,
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
        best: int | None = None,
        listener: Listener = ignore,
        cancel: Cancel | None = None,
    ) -> list[Take]:
        """Continue a piece: a path to a MIDI file or score, the name of a bundled piece, or a `Piece`.

        Adds `bars` whole new bars (None: 8, but text that begins from nothing ends where it likes), or `seconds` of new
        music, at the piece's end or from bar `start`, counted from 0. With `end` it
        comes to a close in the last bar; with `keep_rest` what lay behind bar `start` follows it.
        `tracks` are the parts to continue: numbers from 1, names or instruments, as a sequence or separated by commas.
        `key`, such as "G" or "F#m", and `pitch_range`, such as "C3-C6" or (48, 84), constrain melodic parts;
        `max_polyphony` limits the notes sounding at once (0: no limit), and `keeps` (`Keeps`) chords, density and more.
        `played`: a human performance, off the grid (True), or a score (False); None: as the piece is. `max_copy` is the
        longest stretch of training data, in bars, that a take may have; others are drawn again. For the sampling
        parameters see `SamplingSettings`
        (`field_temperatures` maps field names, as in {"pitch": 1.2}), for `studying` see `Studying`. A model of text
        continues an ABC file as text, and other pieces too if `as_text` is set.

        Take k of `takes`, from 0, has seed `seed` + k and doesn't depend on the other takes. With `best` only so many
        are returned, the best first (`ranking.py`). `listener` gets events of
        progress (`events.py`); `cancel` ends the work from another thread, with Cancelled (`stopping.py`). Raises
        UnreadableError for a file that can't be read, UsageError for a request that doesn't fit the piece.
        """
        fields = tuple((field_temperatures or {}).items())
        drawn = self.takes(
            Source.of(piece),
            request=Request(
                bars=bars,
                seconds=seconds,
                start=start,
                tracks=part_names(tracks),
                keeps=keeping(keeps, key=key, pitch_range=pitch_range, max_polyphony=max_polyphony),
                played=played,
            ),
            finish=Finish(end, keep_rest),
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
        return list(drawn) if best is None else ranked(list(drawn), best)

    def generate(
        self,
        *,
        bars: int | None = None,
        seconds: float | None = None,
        end: bool = False,
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
        best: int | None = None,
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
            end=end,
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
            best=best,
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
            self.takes(Source.of(piece), request=request, sampling=sampling, studying=studying, seed=seed, count=takes)
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
        they are. Without `sampling` added parts are drawn at ADDED_TEMPERATURE. Other parameters and errors are as in
        `infill`; drums can't be added to drums.
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
        sampling = sampling or (SamplingSettings(ADDED_TEMPERATURE) if request.add else None)
        return list(
            self.takes(Source.of(piece), request=request, sampling=sampling, studying=studying, seed=seed, count=takes)
        )

    def takes(
        self,
        source: Source,
        *,
        request: Request | None = None,
        finish: Finish = OPEN,
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
        writer = writer_for(
            source,
            self.tokenizer,
            request=request or Request(),
            finish=finish,
            sampling=settings,
            context=self.model.context,
            as_text=as_text,
        )
        if isinstance(writer, NoteWriter):
            writer.compare(self.corpus, studied=learnt(writer, studying) if self.can_study else ())
        tell = cancellable(listener, cancel)
        inputs = (*(() if source.path is None else (source.path,)), *self._files)

        def drawn() -> Iterator[Take]:
            decoder, learned = self.decoder, NOTHING_LEARNED
            if self.can_study and isinstance(writer, NoteWriter):  # a model that can study reads notes
                model, learned = studied(
                    self.model, self.tokenizer, writer=writer, studying=studying or Studying(), listener=tell
                )
                decoder = EagerDecoder(model, int8=self.int8) if learned["updates"] else decoder
            takes, warned = writer.takes(decoder, seeds, listener=tell), set()
            for k, number in enumerate(seeds, 1):
                tell(Began("take", "bar", writer.bars, f"take {k} of {count}"))
                take = next(takes)
                facts = {
                    "model": self.run.name,
                    "model_sha256": self.run.sha256,
                    "model_reason": self.reason,
                    "seed": number,
                    "settings": {**settings.listed(), **writer.settings, **source.listed()},
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

"""Takes as text: tunes by a model whose tokens are characters of ABC.

A continued tune begins with the user's text, unchanged; new lines follow it. The take's MIDI file is a conversion of
the text, with repeats played.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from musicgen.errors import MusicgenError, UsageError
from musicgen.events import Listener
from musicgen.io.midi import midi_from_piece
from musicgen.io.scores import read_tune
from musicgen.piece import NOTE, Piece
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import Prompt, read_prompt, sample
from musicgen.sampling.notes import RETRY
from musicgen.sampling.request import Request
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.sampling.tune_form import loose_ends
from musicgen.seeds import MOST_SEED
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.abc.fields import meter_value
from musicgen.tokenizers.abc.tokenizer import header_of
from musicgen.tokenizers.constraints import Constraints, LengthLimits, PitchLimits, RoomLimits

__all__ = ["TextWriter"]

TOGETHER = 8  # takes drawn as one batch
LONGEST_PROMPT = 2048  # characters
MAX_STEPS = 200_000  # never reached: the grammar ends a tune long before


class TextWriter:
    """Writes takes as ABC text that follows the text of a source, or as new tunes if the source is empty.

    A tune ends after the requested number of bars, as written; if no number is requested, the model ends it, after at
    least 8 bars, and of several new ones the one with the fewest loose ends is kept (`tune_form.py`).
    """

    def __init__(
        self, source: Source, tokenizer: Tokenizer, *, request: Request, sampling: SamplingSettings, context: int | None
    ) -> None:
        """`context` is the model's context length in characters; None: unlimited. Raises UsageError for a model that
        doesn't write ABC text, and for a request that isn't supported for text."""
        if tokenizer.as_text is None:
            what = f"this model writes {tokenizer.name}, not ABC text"
            raise UsageError(what, hint="choose -f mid, or a model of abc with -m")
        _refuse(request)
        if sampling.figure_penalty != 1:
            raise UsageError("a model of ABC text knows no `figure_penalty`", hint="leave `figure_penalty` out")
        if source.meter is not None and meter_value(*source.meter) is None:
            what = "a tune in {}/{} can't be asked for".format(*source.meter)
            raise UsageError(what, hint="try 4/4, 3/4, 6/8 or 9/8")
        self.source, self.tokenizer, self.sampling = source, tokenizer, sampling
        self.form = tokenizer.as_text
        self.asked = Constraints(
            pitches=PitchLimits(*request.keeps.pitch_range),
            room=RoomLimits(max_polyphony=request.keeps.max_polyphony),
            length=LengthLimits(request.bars, meter=source.meter),
        )
        self.new_tune = tokenizer.grammar(self.asked)
        text = source.text
        if text is None:  # a source of notes is converted to a plain ABC tune
            text = "" if source.is_nothing else self.form.text(tokenizer.encode(source.piece))
        self.text = text.rstrip() + "\n" if text else ""  # an empty line would end the tune
        self.before = read_tune(self.text) if text else Piece()
        ids = self.form.encode_text(self.text)[:-1] if text else self.form.encode_text("")[:1]
        self.ids = tokenizer.tail(ids.astype("int64"), LONGEST_PROMPT if context is None else context * 3 // 4)

    @property
    def settings(self) -> dict[str, Any]:
        """The request as plain values, for the facts."""
        return {"bars": self.asked.length.bars, "max_polyphony": self.asked.room.max_polyphony}

    @property
    def bars(self) -> int | None:
        """The number of new bars of a take; None if a tune may end where it likes."""
        return self.asked.length.bars

    def takes(self, decoder: Decoder, seeds: Sequence[int], *, listener: Listener) -> Iterator[Take]:
        """Yield a take for each seed. Progress is the number of new bars of the slowest take being drawn."""
        prompt = self._read(decoder)
        eos = self.tokenizer.vocabulary.id("eos")
        if not self.text and self.bars is None:
            for number in seeds:
                yield self._best(decoder, prompt, number, listener=listener)
            return
        for first in range(0, len(seeds), TOGETHER):
            drawn = sample(
                decoder,
                prompt,
                fields=self.tokenizer.fields,
                settings=self.sampling,
                generators=[torch.Generator().manual_seed(seed) for seed in seeds[first : first + TOGETHER]],
                max_steps=MAX_STEPS,
                bars=self.asked.length.bars,
                listener=listener,
            )
            for ids in drawn:
                yield self._joined(self._with_tempo(self.form.text(ids[ids != eos])))

    def _best(self, decoder: Decoder, prompt: Prompt, seed: int, *, listener: Listener) -> Take:
        """Of whole tunes that were drawn with seeds which follow from a take's, the one with the fewest loose ends."""
        used = [(seed + RETRY * k) % (MOST_SEED + 1) for k in range(TOGETHER)]
        drawn = sample(
            decoder,
            prompt,
            fields=self.tokenizer.fields,
            settings=self.sampling,
            generators=[torch.Generator().manual_seed(number) for number in used],
            max_steps=MAX_STEPS,
            bars=None,
            listener=listener,
        )
        eos = self.tokenizer.vocabulary.id("eos")
        takes = [self._joined(self._with_tempo(self.form.text(ids[ids != eos]))) for ids in drawn]
        loose = [loose_ends(take.text or "", take.piece) for take in takes]
        weights = [sum(why.values()) for why in loose]
        best = min(range(TOGETHER), key=lambda k: (len(takes[k].faults), weights[k]))
        listed = [
            {"seed": used[k], "faults": [*takes[k].faults, *loose[k]], "distance": weights[k], "kept": k == best}
            for k in range(TOGETHER)
        ]
        return replace(takes[best], facts={**takes[best].facts, "candidates": listed})

    def _read(self, decoder: Decoder) -> Prompt:
        if not self.text:
            return read_prompt(decoder, self.ids, grammar=self.new_tune.copy())
        prompt = read_prompt(decoder, self.ids, grammar=self.tokenizer.grammar())
        prompt.grammar.constrain(self.asked)
        return prompt

    def _with_tempo(self, new: str) -> str:
        """A new tune with the requested tempo, if any, in its header."""
        if self.source.tempo is None:
            return new
        tempo = round(60e6 / self.source.piece.tempo_at(0), 2)
        head, rest = new.split("\nK:", 1)
        head = re.sub(r"\nQ:.*", "", head)
        return f"{head}\nQ:1/4={tempo:g}\nK:{rest}"

    def _joined(self, new: str) -> Take:
        head = header_of(self.text) if self.text else ""
        faults: list[str] = []
        pieces = []
        for text in (self.text + new, head + new):
            try:
                pieces.append(read_tune(text))
            except MusicgenError as error:
                faults.append(error.what)
                pieces.append(Piece())
        piece, alone = pieces
        cut = self.before.end
        facts = {
            "ticks_per_quarter": piece.ticks_per_quarter,
            "cut_tick": cut,
            "notes_kept": self.before.n_notes,
            "notes_added": piece.n_notes - self.before.n_notes,
            "bars_added": self._bars(head + new),
            "seconds_added": round(piece.seconds - self.before.seconds, 3),
            "characters_added": len(new),
            "warnings": [
                *self.before.warnings,
                *self.form.report_text(self.text),
                *(f"broken: {what}" for what in faults),
            ],
        }
        notes = [np.empty(0, NOTE), *(track.notes[track.notes["start"] >= cut] for track in piece.tracks)]
        return Take(
            midi_from_piece(piece),
            midi_from_piece(alone),
            piece,
            np.concatenate(notes),
            facts,
            tuple(dict.fromkeys(faults)),
            self.text + new,
            head + new,
        )

    def _bars(self, text: str) -> int:
        """The number of bars with notes in a tune as written, repeats not expanded."""
        walker = self.tokenizer.grammar()
        for token in self.form.encode_text(text)[:-1].tolist():
            walker.advance(token)
        return walker.bars_done


def _refuse(request: Request) -> None:
    """Raise UsageError for options of a request that only models of notes support."""
    for name, asked in (
        ("`seconds`", request.seconds),
        ("`tracks`", request.tracks),
        ("`start`", request.start),
        ("`played`", request.played),
    ):
        if asked is not None and asked != ():
            raise UsageError(f"a model of ABC text knows no {name}", hint=f"leave {name} out")
    for name in request.keeps.asked():
        what = f"a model of ABC text can't be held to {name}"
        raise UsageError(what, hint=f"leave {name} out, or take a model of notes")

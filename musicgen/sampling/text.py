"""Tunes as text: written from nothing or continued by a model whose tokens are characters.

A continued tune begins with the user's text, unchanged; new lines follow it. The take is text first; its MIDI file is
what the text sounds like, repeats played.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from musicgen.errors import MusicgenError, UsageError
from musicgen.io.midi import midi_from_piece
from musicgen.io.scores import read_tune
from musicgen.io.smf import MidiFile
from musicgen.piece import Piece
from musicgen.sampling.decoder import Decoder
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import per_field, read_prompt, sample
from musicgen.seeds import checked_seed
from musicgen.tokenizers.abc.tokenizer import Abc, header_of
from musicgen.tokenizers.constraints import Constraints

__all__ = ["TextTake", "refuse", "text_takes"]

TOGETHER = 8  # takes in lockstep
LONGEST_PROMPT = 2048  # characters
MAX_STEPS = 200_000  # the grammar ends a tune long before


@dataclass(frozen=True)
class TextTake:
    """One tune: its text, the new part alone, the facts that go beside it, and what a listener would call broken."""

    text: str
    new_text: str
    piece: Piece
    new_piece: Piece
    facts: dict[str, Any]
    faults: tuple[str, ...]

    @property
    def midi(self) -> MidiFile:
        return midi_from_piece(self.piece)

    @property
    def only_new(self) -> MidiFile:
        return midi_from_piece(self.new_piece)


def text_takes(
    run: Any,
    decoder: Decoder,
    *,
    source: str = "",
    about: dict[str, Any] | None = None,
    bars: int | None = None,
    constraints: Constraints | None = None,
    tempo: float | None = None,
    sampling: SamplingSettings | None = None,
    seed: int = 0,
    count: int = 1,
    on_step: Callable[[int], None] = lambda bars: None,
) -> Iterator[TextTake]:
    """`count` tunes by a loaded run and a decoder of its model; take k (from 0) has seed `seed + k`.

    `source` is the text to continue, empty for a new tune; `bars` are new bars as written, None: the tune ends where
    it likes, after 8 at least. `tempo` (quarters a minute) is written into a new tune. `about` goes into the facts.
    `on_step(bars)` is told how many new bars are behind the slowest of the takes at hand. Raises UsageError for a
    request that text can't be held to, at once.
    """
    tokenizer, settings = run.tokenizer, (sampling or SamplingSettings()).validate()
    seed = checked_seed(seed, count=count)
    asked = Constraints(bars=bars) if constraints is None else constraints
    v = tokenizer.vocabulary
    if source:
        source = source.rstrip() + "\n"  # an empty line would end the tune
    ids = tokenizer.encode_text(source)[:-1] if source else tokenizer.encode_text("")[:1]
    context = run.model.context
    ids = tokenizer.tail(ids.astype("int64"), LONGEST_PROMPT if context is None else context * 3 // 4)
    grammar = tokenizer.grammar() if source else tokenizer.grammar(asked)
    prompt = read_prompt(decoder, ids, grammar=grammar)
    if source:
        prompt.grammar.constrain(asked)
    before = read_tune(source) if source else Piece()
    per_field(settings, tokenizer.fields)

    def drawn() -> Iterator[TextTake]:
        for first in range(0, count, TOGETHER):
            seeds = range(seed + first, seed + min(count, first + TOGETHER))
            drawn = sample(
                decoder,
                prompt,
                fields=tokenizer.fields,
                settings=settings,
                generators=[torch.Generator().manual_seed(number) for number in seeds],
                max_steps=MAX_STEPS,
                on_step=on_step,
            )
            for number, new_ids in zip(seeds, drawn, strict=True):
                new = tokenizer.text(new_ids[new_ids != v.id("eos")])
                if tempo is not None and not source:
                    head, rest = new.split("\nK:", 1)
                    head = re.sub(r"\nQ:.*", "", head)
                    new = f"{head}\nQ:1/4={tempo:g}\nK:{rest}"
                yield _take(
                    run, source, new, before, number, settings, asked, about or {}, tokenizer.report_text(source)
                )

    return drawn()


def _take(
    run: Any,
    source: str,
    new: str,
    before: Piece,
    seed: int,
    settings: SamplingSettings,
    asked: Constraints,
    about: dict[str, Any],
    warnings: list[str],
) -> TextTake:
    head = header_of(source) if source else ""
    faults: list[str] = []
    pieces = []
    for text in (source + new, head + new):
        try:
            pieces.append(read_tune(text))
        except MusicgenError as error:
            faults.append(error.what)
            pieces.append(Piece())
    piece, alone = pieces
    facts = {
        "model": run.name,
        "model_sha256": run.sha256,
        "seed": seed,
        "settings": {**asdict(settings), "bars": asked.bars, "max_polyphony": asked.max_polyphony},
        **about,
        "ticks_per_quarter": piece.ticks_per_quarter,
        "cut_tick": before.end,
        "notes_kept": before.n_notes,
        "notes_added": piece.n_notes - before.n_notes,
        "bars_added": _bars(run.tokenizer, head, new),
        "seconds_added": round(piece.seconds - before.seconds, 3),
        "characters_added": len(new),
        "warnings": [*before.warnings, *warnings, *(f"broken: {what}" for what in faults)],
        "licence": run.card.get("licence", "unknown"),
    }
    return TextTake(source + new, head + new, piece, alone, facts, tuple(dict.fromkeys(faults)))


def _bars(tokenizer: Abc, head: str, new: str) -> int:
    """New bars with notes, as written."""
    walker = tokenizer.grammar()
    for token in tokenizer.encode_text(head + new)[:-1].tolist():
        walker.advance(token)
    return walker.bars_done


def refuse(request: Any) -> None:
    """Raise UsageError for what a request of notes may ask and a text can't be held to."""
    for name, asked in (
        ("--seconds", request.seconds),
        ("--tracks", request.tracks),
        ("--from", request.start),
        ("--played", request.played),
    ):
        if asked is not None and asked != ():
            raise UsageError(f"a model of ABC text knows no {name}", hint=f"leave {name} out")

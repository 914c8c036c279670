"""Which writer draws the takes of a request: one of notes at the end of a piece, of notes in a hole, or of text."""

from __future__ import annotations

from dataclasses import replace

from musicgen.errors import UsageError
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.hole_notes import HoleWriter
from musicgen.sampling.long_notes import LongWriter
from musicgen.sampling.request import OPEN, Finish, Request
from musicgen.sampling.source import Source
from musicgen.sampling.take import Writer
from musicgen.sampling.text import TextWriter
from musicgen.tokenizers import Tokenizer

__all__ = ["writer_for"]


def writer_for(
    source: Source,
    tokenizer: Tokenizer,
    *,
    request: Request,
    finish: Finish,
    sampling: SamplingSettings,
    context: int | None,
    as_text: bool,
) -> Writer:
    """The writer for a source: of text if `as_text`, or if the model writes text and the source is text or empty; else
    of notes. `context` is the model's context length in steps; None: unlimited.

    Raises UsageError for a request that doesn't fit the source or the tokenizer.
    """
    from_text = source.text is not None or source.is_nothing
    if as_text or (from_text and tokenizer.as_text is not None):
        if sampling.max_copy is not None:
            raise UsageError("is for takes of notes, not of ABC text", where="`max_copy`", hint="leave it out")
        if finish != OPEN:
            raise UsageError("a tune as text ends as its model likes", hint="leave `end` and `keep_rest` out")
        return TextWriter(source, tokenizer, request=request, sampling=sampling, context=context)
    if request.bars is None:
        request = replace(request, bars=Request.bars)
    if request.is_hole:
        return HoleWriter(source, tokenizer, request=request, sampling=sampling, context=context)
    return LongWriter(source, tokenizer, request=request, sampling=sampling, context=context, finish=finish)

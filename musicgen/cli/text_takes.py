"""Takes by a model that writes ABC text, for `continue` and `generate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from musicgen.errors import UsageError

if TYPE_CHECKING:
    from musicgen.tokenizers import Tokenizer

__all__ = ["draw_text", "source_text"]


def source_text(tokenizer: Tokenizer, source: Any, outputs: Any) -> str | None:
    """The text that a take goes on from, empty for a new tune; None where notes are continued, not text.

    A piece of notes is continued as notes, unless text is what is asked for. Raises UsageError where the model
    writes no text and text is asked for.
    """
    wanted = "abc" in outputs.formats
    if tokenizer.as_text is None:
        if wanted:
            raise UsageError(
                f"this model writes {tokenizer.name}, not ABC text", hint="choose -f mid, or a model of abc with -m"
            )
        return None
    if source.text is not None:
        return str(source.text)
    if not source.sha256:
        return ""
    return tokenizer.as_text.text(tokenizer.encode(source.piece)) if wanted else None


def draw_text(
    composer: Any,
    text: str,
    source: Any,
    options: dict[str, Any],
    request: Any,
    sampling: Any,
    seed: int,
    on_bars: Callable[[int, int | None], None],
) -> Iterator[Any]:
    """The takes. A new tune ends where it likes unless --bars is given."""
    from musicgen.gm import key_pitch_classes
    from musicgen.sampling.text import refuse, text_takes
    from musicgen.tokenizers.abc.fields import meter_value
    from musicgen.tokenizers.constraints import Constraints

    refuse(request)
    meter = source.piece.meter_at(0) if _given("meter") else None
    if meter is not None and meter_value(*meter) is None:
        raise UsageError(f"a tune in {meter[0]}/{meter[1]} can't be asked for", hint="try 4/4, 3/4, 6/8 or 9/8")
    asked = Constraints(
        meter=meter,
        pitch_low=request.pitch_low,
        pitch_high=request.pitch_high,
        pitch_classes=key_pitch_classes(request.key) if request.key else None,
        bars=request.bars if text or _given("bars") else None,
        max_polyphony=request.max_polyphony,
    )
    return text_takes(
        composer.run,
        composer.decoder,
        source=text,
        about={"source": source.name, "source_sha256": source.sha256},
        constraints=asked,
        tempo=round(60e6 / source.piece.tempo_at(0), 2) if _given("tempo") else None,
        sampling=sampling,
        seed=seed,
        count=options["takes"],
        on_step=lambda bars: on_bars(bars, asked.bars),
    )


def _given(name: str) -> bool:
    """Whether the user gave an option, rather than its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"

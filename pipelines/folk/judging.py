"""Whether drawn texts are tunes: each is read in a process of its own, whatever it is."""

from __future__ import annotations

from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.abc.tune import score_of
from musicgen.io.scores.files import abc_tunes
from musicgen.workers import Failure, Pool

LEAST_BARS = 8
JUDGE_S = 60.0  # to read a tune
# Warnings of the reader about what it passed over.
UNREAD = (
    "header", "fields", "characters", "decorations", "lengths", "broken", "tuplets", "endings", "quotes"
)  # fmt: skip


def written_bars(text: str) -> int:
    """How many bars of a tune hold notes, as written. Raises UnreadableError for what is no tune, or not one, or has
    signs that can't be read."""
    tunes = abc_tunes(text, Path("tune.abc"))
    score = score_of(tunes[0].text, "tune.abc", Limits())
    unread = [warning for warning in score.warnings if warning.startswith(UNREAD)]
    if len(tunes) > 1 or unread:
        raise UnreadableError("is not one whole tune", hint="; ".join(unread) or f"{len(tunes)} tunes")
    return max(len({bar for bar, *_ in part.notes}) for part in score.parts)


def judge(texts: list[str]) -> tuple[int, int]:
    """How many are one tune that can be read, and how many of these have enough bars."""
    bars = [got for _, got in Pool(wall_s=JUDGE_S).each(written_bars, texts) if not isinstance(got, Failure)]
    return len(bars), sum(number >= LEAST_BARS for number in bars)

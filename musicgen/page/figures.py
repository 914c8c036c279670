"""The statistics of a take as a table in words, beside what came before and people's music of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from musicgen.gm import pitch_name

__all__ = ["in_numbers"]

MOST_ROWS = 40
NAMES = {
    "notes_per_bar": "notes a bar", "silent_bars": "silent bars", "repeated_bars": "bars like the one before",
    "polyphony": "notes at once", "on_eighths": "onsets on eighth notes", "mean_pitch": "mean pitch",
    "pitch_range": "lowest and highest pitch", "pitch_class_entropy": "variety of pitch classes (bits)",
    "scale_consistency": "notes of one scale", "polyphony_rate": "time with more than two pitches",
    "groove_consistency": "rhythm like that of the bar before",
}  # fmt: skip
SHARES = frozenset(
    ("silent_bars", "repeated_bars", "on_eighths", "scale_consistency", "polyphony_rate", "groove_consistency")
)
COLUMNS = {"before": "before the new music", "new": "new music"}


def in_numbers(statistics: Any) -> str:
    """A table as HTML with a column for each set of statistics that has notes; empty without any.

    Three numbers are the 10th percentile, the median and the 90th percentile of many pieces.
    """
    sets = statistics if isinstance(statistics, Mapping) else {}
    columns = {str(k): v for k, v in sets.items() if isinstance(v, Mapping) and v and v.get("notes") != 0}
    rows = [key for column in columns.values() for key in column if key not in ("kind", "pieces")]
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(_heading(name, column))}</th>' for name, column in columns.items())
    body = "".join(
        f'<tr><th scope="row">{escape(NAMES.get(key, key.replace("_", " ")))}</th>'
        + "".join(f"<td>{escape(_cell(key, column.get(key)))}</td>" for column in columns.values())
        + "</tr>"
        for key in list(dict.fromkeys(rows))[:MOST_ROWS]
    )
    return (
        '<div class="wide"><table><caption>In numbers</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _heading(name: str, column: Mapping[str, Any]) -> str:
    if name == "reference" and isinstance(column.get("pieces"), int):
        return f"{column['pieces']:,} pieces by people ({column.get('kind')}): median, and four in five"
    return COLUMNS.get(name, name.replace("_", " "))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key == "pitch_range" and _are_pitches(value):
        return " to ".join(map(pitch_name, value))
    if isinstance(value, list | tuple) and len(value) == 3 and all(_is_number(each) for each in value):
        low, median, high = (_number(key, each) for each in value)
        return median if low == median == high else f"{median} ({low} to {high})"
    return _number(key, value) if _is_number(value) else str(value)


def _number(key: str, value: float) -> str:
    if key in SHARES:
        return f"{100 * value:.0f} %"
    if key == "mean_pitch":
        return pitch_name(min(127, max(0, round(value))))
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_pitches(value: Any) -> bool:
    return isinstance(value, Sequence) and all(type(each) is int and 0 <= each <= 127 for each in value)

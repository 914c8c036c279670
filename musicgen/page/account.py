"""The account of a piece in plain words, as HTML: what it is, what made it, what is known of it.

All text from files is escaped here. What a sidecar says beyond the keys that have words of their own is told under the
key's name, so that new facts appear without a change here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from musicgen.originality.account import TELLING_TURNS
from musicgen.page.figures import in_numbers
from musicgen.page.heard import Heard, stem_of
from musicgen.page.roll import part_titles
from musicgen.piece import Piece
from musicgen.words import counted, sentence

__all__ = ["account", "asked_for", "heading", "kind", "labels"]

MOST_SHOWN = 40  # values of a list
MOST_NAMED = 60  # characters of the names of parts in a title
MOST_RAW = 200_000  # characters of the whole sidecar
# Keys that `_told` or the facts' full text tell.
TOLD = frozenset((
    "source", "source_sha256", "ticks_per_quarter", "cut_tick", "end_tick", "parts_written", "part_numbers",
    "notes_kept", "notes_removed", "notes_added",
    "bars_added", "seconds_added", "model", "model_sha256", "licence", "seed", "settings", "played", "study",
    "candidates", "warnings", "statistics", "originality", "shipping", "rest", "files",
))  # fmt: skip
# Values of settings that forbid nothing.
OPEN = {"pitch_high": 127, "repetition_penalty": 1, "figure_penalty": 1, "typical_p": 1}


def kind(heard: Heard) -> str:
    """What a piece is, in a word or two; empty where nothing tells it.

    A source without notes kept is new music; a span that closes is filled in; parts that are new all through
    accompany.
    """
    if heard.span is None and "cut_tick" not in heard.facts:
        return ""
    parts = _listed(names) if (names := _new_parts(heard)) else ""
    if len(parts) > MOST_NAMED:
        parts = counted(len(names), "part")
    if heard.span is not None and parts and heard.span.begin == 0 and heard.span.is_open:
        return f"with {parts} {'written anew' if heard.facts.get('notes_removed') else 'added'}"
    if not heard.facts.get("notes_kept"):
        return "new music"
    if heard.span is None:
        return "the new bars alone"
    first, last = _bars(heard)
    if heard.span.is_open:
        return f"continued from bar {first}"
    where = f"bar {first}" if first == last else f"bars {first} to {last}"
    return f"{where} filled in{f' for {parts}' if parts else ''}"


def heading(heard: Sequence[Heard]) -> str:
    """The title of a page: the piece and what was done with it, or the names of the pieces."""
    kinds = list(dict.fromkeys(kind(each) for each in heard))
    sources = {str(each.facts.get("source", "")) for each in heard}
    if len(sources) == 1 and len(kinds) == 1 and kinds[0]:
        takes = f" ({counted(len(heard), 'take')})" if len(heard) > 1 else ""
        if kinds[0] == "new music":
            return f"New music{takes}"
        return f"{stem_of(sources.pop())}, {kinds[0]}{takes}"
    names = [each.name for each in heard]
    return _listed(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def labels(heard: Sequence[Heard]) -> list[str]:
    """What each piece of a page is called in short: takes of one source by number, others by name."""
    sources = {each.facts.get("source") for each in heard}
    is_takes = len(heard) > 1 and len(sources) == 1 and all(kind(each) for each in heard)
    return [f"Take {number}" if is_takes else each.name for number, each in enumerate(heard, 1)]


def account(heard: Heard) -> str:
    """The account of one piece as HTML, for within its section."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in _told(heard) if value)
    tables = [in_numbers(heard.facts.get("statistics"))]
    raw = json.dumps(heard.facts, indent=2, ensure_ascii=False, default=str)
    if heard.facts and len(raw) <= MOST_RAW:
        tables.append(f"<details><summary>All that the sidecar says</summary><pre>{_text(raw)}</pre></details>")
    return f"<dl>{rows}</dl>{''.join(tables)}"


def _told(heard: Heard) -> Iterator[tuple[str, str]]:
    facts, piece = heard.facts, heard.piece
    yield "What this is", _text(_what(heard)) if facts else ""
    yield "The whole", _text(_size(piece))
    if not facts:
        yield "Account", "No sidecar lies beside this file, so nothing is known of how it was made."
    if isinstance(facts.get("notes_added"), int):
        yield "New music", _text(_added(facts))
    if facts.get("notes_kept"):
        yield "Kept as it was", _text(f"{_count(facts['notes_kept'], 'note')} of {_plain(facts.get('source'))}")
    yield "Behind the cut", _text(_rest(facts.get("rest")))
    warnings = [w for w in facts.get("warnings", ()) if isinstance(w, str)] if _is_list(facts.get("warnings")) else []
    lines = [sentence(w) for w in dict.fromkeys((*warnings, *piece.warnings))]
    yield "Take note", _bullets(lines)
    yield "Was it heard before?", _heard_before(facts.get("originality"))
    if "model" in facts:
        digest = str(facts.get("model_sha256", ""))[:12]
        yield "Model", _text(f"{facts['model']}" + (f", weights {digest}…" if digest else ""))
    yield "Licence", _value(facts.get("licence"))
    yield "May it be passed on?", _text(_shipping(facts.get("shipping")))
    if "seed" in facts:
        yield "Seed", _text(f"{_plain(facts['seed'])}; the same seed and settings make the same take")
    yield "Settings", _text(asked_for(facts.get("settings")))
    if isinstance(facts.get("played"), bool):
        yield "Heard as", "played by hands, off the grid" if facts["played"] else "a score, on the grid"
    yield "Studied first", _text(_study(facts.get("study")))
    yield "Chosen from", _text(_chosen(facts.get("candidates")))
    for key, value in facts.items():
        if key not in TOLD:
            yield _named(key), _value(value)


# ---- sentences -------------------------------------------------------------------------------------------


def _what(heard: Heard) -> str:
    said = kind(heard)
    source = _plain(heard.facts.get("source", ""))
    if said == "new music":
        return "New music, made from nothing"
    if said == "the new bars alone":
        return f"The new bars of a take of {source}, without what they follow"
    return f"{source}, {said}" if said and source else heard.name


def _size(piece: Piece) -> str:
    bars = len(piece.bar_starts(max(piece.end - 1, 0))[0])
    minutes, seconds = divmod(round(piece.seconds), 60)
    parts = sum(len(track.notes) > 0 for track in piece.tracks)
    return (
        f"{counted(piece.n_notes, 'note')}, {counted(parts, 'part')}, {counted(bars, 'bar')}, {minutes}:{seconds:02d}"
    )


def _added(facts: Mapping[str, Any]) -> str:
    said = _count(facts["notes_added"], "note")
    if isinstance(facts.get("bars_added"), int):
        said += f" in {_count(facts['bars_added'], 'bar')}"
    if isinstance(facts.get("seconds_added"), int | float):
        said += f", {facts['seconds_added']:.1f} seconds"
    return said


def _heard_before(told: Any) -> str:
    """What an account of originality comes to; one of another form is told as it is."""
    if not _is_map(told) or "pieces" not in told:
        return _value(told)
    longest, returns, pieces = told.get("longest"), told.get("returns"), told["pieces"]
    if not isinstance(pieces, int):
        lines = ["not known: no index of what the model learned from lies beside it"]
    elif not _is_map(longest):
        lines = [f"nothing of note in common with the {_count(pieces, 'piece')} that the model learned from"]
    else:
        share = told.get("share")
        lines = [
            f"the longest stretch in common with the {_count(pieces, 'piece')} that the model learned from: "
            f"{_stretch(longest)}, as in {_plain(longest.get('source'))}, bar {_plain(longest.get('source_bar'))} "
            f"({_plain(longest.get('licence'))})"
        ]
        if isinstance(share, float | int) and share:
            lines.append(f"{_share(share)} of the new notes stand in such stretches of two bars or more")
        elif int(longest.get("turns", TELLING_TURNS)) < TELLING_TURNS:
            lines.append("that is no more than most music has in common")
    if _is_map(returns):
        where = _plain(returns.get("source")).strip("()")
        lines.append(f"taken up from {where}, bar {_plain(returns.get('source_bar'))}: {_stretch(returns)}")
    return _bullets(lines) if len(lines) > 1 else _text(lines[0])


def _stretch(match: Mapping[str, Any]) -> str:
    return (
        f"{_count(match.get('notes'), 'note')} ({_plain(match.get('bars'))} bars) from bar {_plain(match.get('bar'))} "
        f"on, {_plain(match.get('line')).strip(': ')}"
    )


def _shipping(told: Any) -> str:
    if not _is_map(told):
        return ""
    answer = {True: "yes, by the licences of what the model learned from", False: "no"}
    reasons = [str(each) for each in told.get("reasons", ())] if _is_list(told.get("reasons")) else []
    said = answer.get(told["may_ship"], "not known") if isinstance(told.get("may_ship"), bool) else "not known"
    return said + (f": {'; '.join(reasons)}" if reasons else "")


def _rest(rest: Any) -> str:
    if not _is_map(rest) or not rest.get("notes"):
        return ""
    what = f"{_count(rest.get('bars'), 'bar')} with {_count(rest['notes'], 'note')}"
    return f"{what}, which follow the new music" if rest.get("kept") else f"{what}, left out"


def asked_for(settings: Any) -> str:
    """The settings of a take in words, bars counted from 1; those that forbid nothing are left out.

    >>> asked_for({"temperature": 0.7, "top_k": 0, "start": 40, "until": 44, "tracks": ["bass"], "pitch_high": 127})
    'bars 41 to 44 · temperature 0.7 · tracks bass'
    """
    if not _is_map(settings):
        return ""
    shown = {k: v for k, v in settings.items() if (v or k == "temperature") and not (k in OPEN and OPEN[k] == v)}
    start, until = settings.get("start"), settings.get("until")
    where = ""
    if isinstance(start, int) and not shown.pop("everywhere", False):  # bars are counted from 0 there
        where = f"bars {start + 1} to {until}" if isinstance(until, int) else f"from bar {start + 1}"
        where = f"bar {until}" if until == start + 1 else where
    for key in ("start", "until"):
        shown.pop(key, None)
    said = [f"{key.replace('_', ' ')} {_flat(value)}" for key, value in shown.items()]
    return " · ".join([where] * bool(where) + said)


def _flat(value: Any) -> str:
    """A value on one line."""
    if _is_map(value):
        return ", ".join(f"{key.replace('_', ' ')} {_flat(each)}" for key, each in list(value.items())[:MOST_SHOWN])
    return ", ".join(map(_flat, value)) if _is_list(value) else _plain(value)


def _study(study: Any) -> str:
    if not isinstance(study, Mapping) or not isinstance(study.get("updates"), int):
        return ""
    if not study["updates"]:
        return "nothing: the model stayed as it was"
    pieces = study.get("pieces", 1)
    what = "the piece" if pieces == 1 else f"{_plain(pieces)} pieces"
    behind = ", what lies behind the cut included" if study.get("whole") else ""
    return f"{what}, in {_count(study['updates'], 'small step')}{behind}"


def _chosen(candidates: Any) -> str:
    if not _is_list(candidates) or not candidates:
        return ""
    told = [each for each in candidates if isinstance(each, Mapping)]
    faulty = sum(bool(each.get("faults")) for each in told)
    near = (
        "nearest to what is usual beside the given parts"
        if any("from_foreseen" in each for each in told)
        else "nearest to the music before"
    )
    said = f"{_count(len(candidates), 'candidate')}, as the one with the fewest faults and {near}"
    return f"{said}; {faulty} had faults" if faulty else said


# ---- values of any kind ----------------------------------------------------------------------------------


def _value(value: Any) -> str:
    """A value of JSON as HTML; empty for none."""
    if _is_map(value):
        rows = [(_named(key), _text(_flat(each))) for key, each in list(value.items())[:MOST_SHOWN]]
        shown = "".join(f"<li>{escape(name)}: {text}</li>" for name, text in rows if text)
        return f'<ul class="values">{shown}</ul>' if shown else ""
    if _is_list(value):
        if any(_is_map(each) or _is_list(each) for each in value):
            more = f"<li>and {len(value) - MOST_SHOWN:,} more</li>" if len(value) > MOST_SHOWN else ""
            return f"<ul>{''.join(f'<li>{_text(_flat(each))}</li>' for each in value[:MOST_SHOWN])}{more}</ul>" * bool(
                value
            )
        return _text(", ".join(_plain(each) for each in value[:MOST_SHOWN]))
    return _text(_plain(value))


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _plain(value: Any) -> str:
    """A number, text or truth value in words; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """Text safe within HTML; bytes of a file name that are no UTF-8 are shown as question marks."""
    return escape(text.encode("utf-8", "replace").decode())


def _bullets(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - MOST_SHOWN:,} more"] if len(lines) > MOST_SHOWN else []
    shown = "".join(f"<li>{_text(line)}</li>" for line in [*lines[:MOST_SHOWN], *more])
    return f"<ul>{shown}</ul>" if shown else ""


def _named(key: str) -> str:
    return key.replace("_", " ").strip().capitalize()


def _listed(names: Sequence[str]) -> str:
    """Names as a list in words.

    >>> _listed(["bass"]), _listed(["bass", "drums", "strings"])
    ('bass', 'bass, drums and strings')
    """
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _count(number: Any, one: str) -> str:
    return counted(number, one) if isinstance(number, int) else f"{_plain(number)} {one}s"


def _new_parts(heard: Heard) -> list[str]:
    """What the parts that were written are called; empty if they are all parts."""
    if heard.new_parts is None:
        return []
    titles = part_titles(heard.piece)
    return [titles[n] for n in sorted(heard.new_parts) if n in titles] or [str(n) for n in heard.facts["parts_written"]]


def _bars(heard: Heard) -> tuple[int, int]:
    """The first and the last bar of the span, counted from 1."""
    assert heard.span is not None
    starts, _ = heard.piece.bar_starts(max(heard.span.begin, heard.span.end - 1))
    first = int((starts <= heard.span.begin).sum())
    return first, max(first, int((starts < heard.span.end).sum()))


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)

"""A page put together: one HTML file that asks nothing of anybody, with style, script, music and sound in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from musicgen.errors import MusicgenError, UsageError
from musicgen.io.atomic import keep_inputs, write_text
from musicgen.page.account import account, heading, labels
from musicgen.page.heard import Heard, Playable, heard_of, read_heard
from musicgen.page.roll import rolls
from musicgen.page.sound import sounds
from musicgen.piece import Piece
from musicgen.render import check_soundfont

__all__ = ["MOST_TAKES", "Page", "page_html", "write_page"]

MOST_TAKES = 32
MOST_BYTES = 4_900_000  # of a page, while its sound can be made that small
SILENCE = "This page was written without sound."
SCRIPTS = ("player.js", "roll.js", "page.js")

Music = Piece | Playable | Heard | str | os.PathLike[str]


@dataclass(frozen=True)
class Page:
    """A page: its `html`, the number of `takes` on it, and named `warnings`."""

    html: str = field(repr=False)  # megabytes
    takes: int
    warnings: tuple[str, ...] = ()


def write_page(
    music: Music | Sequence[Music],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    sound: bool = True,
    soundfont: str | Path | None = None,
    overwrite: bool = False,
) -> Page:
    """Write one HTML file to hear and compare pieces by: piano roll, sound, account and MIDI file of each.

    `music` is a piece or several, at most MOST_TAKES: takes, pieces, or files with their sidecars. `title` is by
    default what was done with the piece. Without `sound`, or where no sound can be made, which is a warning, the page
    shows the music in time but is silent. Raises UsageError for no or too many pieces, a name that doesn't end in
    .html and an output that exists or is an input, UnreadableError for a file or a `soundfont` that can't be read.

    >>> write_page([], "page.html")
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: ...
    """
    several = [music] if isinstance(music, Piece | Heard | str | os.PathLike) or hasattr(music, "heard") else music
    paths = [each for each in several if isinstance(each, str | os.PathLike)]
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError("a page is HTML", where=path, hint="end the name in .html")
    keep_inputs([path], [*paths, soundfont])
    heard = [_heard(each, name=f"take {number}") for number, each in enumerate(several, 1)]
    page = page_html(heard, title=title, sound=sound, soundfont=soundfont)
    write_text(Path(path), page.html, overwrite=overwrite)
    return page


def page_html(
    heard: Sequence[Heard],
    *,
    title: str | None = None,
    sound: bool = True,
    soundfont: str | Path | None = None,
    most_bytes: int = MOST_BYTES,
    silence: str = SILENCE,
) -> Page:
    """The page as text; parameters and errors are those of `write_page`.

    Sound is made small enough for a page of `most_bytes`, if it can be; `silence` is what a page without it says.
    """
    if not 1 <= len(heard) <= MOST_TAKES:
        what = f"a page holds 1 to {MOST_TAKES} pieces, not {len(heard)}"
        raise UsageError(what, hint="make several pages")
    title = heading(heard) if title is None else title
    names = labels(heard)
    data = rolls(heard, labels=names)
    style, script = _package_file("page.css"), "".join(map(_package_file, SCRIPTS))
    sections = [_section(number, each, label) for number, (each, label) in enumerate(zip(heard, names, strict=True), 1)]
    room = most_bytes - len(style) - len(script) - sum(map(len, sections)) - len(_json(data))
    voices, warnings = _sounds(heard, soundfont=soundfont, most_bytes=room) if sound else ([], ())
    for number, take in enumerate(data["takes"]):
        take["sound"] = round(1000 * voices[number][1]) if voices else None
    if voices:
        silence = ""
    elif warnings:
        silence = f"There is no sound on this page: {warnings[0].removeprefix('no_sound: ')}."
    html = Template(_package_file("page.html")).substitute(
        policy=_policy(style, script),
        title=escape(title),
        style=style,
        silence=f'<p class="silence" role="note">{escape(silence)}</p>' if silence else "",
        audio="".join(
            f'<audio id="sound-{number}" controls preload="auto" aria-label="Take {number}" src="{address}"></audio>'
            for number, (address, _) in enumerate(voices, 1)
        ),
        sections="".join(sections),
        data=_json(data),
        script=script,
    )
    return Page(html, len(heard), warnings)


def _heard(music: Music, *, name: str) -> Heard:
    if isinstance(music, Heard):
        return music
    if isinstance(music, Piece):
        return heard_of(music, name=name)
    if isinstance(music, str | os.PathLike):
        return read_heard(music)
    return music.heard(name=name)


def _sounds(
    heard: Sequence[Heard], *, soundfont: str | Path | None, most_bytes: int
) -> tuple[list[tuple[str, float]], tuple[str, ...]]:
    """(the sound of each piece as in `sounds`, warnings); no sounds if they can't be made."""
    if soundfont is not None:  # one that was asked for is an error of the caller's, not a machine without sound
        check_soundfont(soundfont)
    try:
        return sounds([each.piece for each in heard], soundfont=soundfont, most_bytes=most_bytes), ()
    except MusicgenError as error:
        return [], (f"no_sound: {error}",)


def _section(number: int, heard: Heard, label: str) -> str:
    """The section of one piece: its account, and the link that saves its MIDI file."""
    name, size = escape(f"{heard.name}.mid"), f"{len(heard.midi) / 1000:,.1f} kB"
    link = f"data:audio/midi;base64,{base64.b64encode(heard.midi).decode()}"
    return (
        f'<section class="account" id="take-{number}" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{escape(label)}</h2>'
        f'<p><a class="save" download="{name}" href="{link}">Save the MIDI file</a> <span>{name}, {size}</span></p>'
        f"{account(heard)}</section>"
    )


def _policy(style: str, script: str) -> str:
    """A content security policy by which a browser refuses every request, and every script but ours."""
    allowed = {"script-src": script, "style-src": style}
    hashes = [f"{key} '{_digest(text)}'" for key, text in allowed.items()]
    return "; ".join(
        ["default-src 'none'", *hashes, "media-src data:", "img-src data:", "base-uri 'none'", "form-action 'none'"]
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _package_file(name: str) -> str:
    return (files("musicgen.page") / name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    """JSON that may stand in a script element, whatever text is in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

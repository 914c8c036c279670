"""Small MusicXML files, put together from bricks: a note, a measure, a score."""

from __future__ import annotations

from pathlib import Path

from musicgen.io.scores import read_score
from musicgen.piece import Piece


def pitch(name: str) -> str:
    """`C4`, `Bb3`, `F#5`, `Cbb4` as `<pitch>`."""
    step, octave = name[0], name[-1]
    alter = name.count("#") - name[1:].count("b")
    return f"<pitch><step>{step}</step>{f'<alter>{alter}</alter>' if alter else ''}<octave>{octave}</octave></pitch>"


def note(name: str, duration: object = 1, more: str = "", *, before: str = "", attributes: str = "") -> str:
    """A note; `before` stands before its pitch (`<chord/>`), `more` behind its duration."""
    return f"<note{attributes}>{before}{pitch(name)}<duration>{duration}</duration>{more}</note>"


def chord(name: str, duration: object = 1, more: str = "") -> str:
    return note(name, duration, more, before="<chord/>")


def notes(names: str, duration: object = 1) -> str:
    """Several notes in a row: `notes("C4 D4")`."""
    return "".join(note(name, duration) for name in names.split())


def rest(duration: object = 1, *, measure: bool = False) -> str:
    whole = ' measure="yes"' if measure else ""
    return f"<note><rest{whole}/><duration>{duration}</duration></note>"


def backup(duration: object) -> str:
    return f"<backup><duration>{duration}</duration></backup>"


def forward(duration: object) -> str:
    return f"<forward><duration>{duration}</duration></forward>"


def attributes(time: str = "4/4", *, divisions: object = 1, fifths: object = 0, more: str = "") -> str:
    """Divisions, key and time, in the order of the standard."""
    beats, unit = time.split("/")
    return (
        f"<attributes><divisions>{divisions}</divisions><key><fifths>{fifths}</fifths></key>"
        f"<time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>{more}</attributes>"
    )


def direction(inside: str, *, sound: str = "", offset: str = "") -> str:
    """`<direction>`: what is in its `<direction-type>`, an offset, the attributes of its `<sound>`."""
    played = f"<sound {sound}/>" if sound else ""
    return f"<direction><direction-type>{inside}</direction-type>{offset}{played}</direction>"


def words(text: str, *, sound: str = "") -> str:
    return direction(f"<words>{text}</words>", sound=sound)


def barline(inside: str, place: str = "right") -> str:
    return f'<barline location="{place}">{inside}</barline>'


def repeat(way: str = "backward", **more: object) -> str:
    """A repeat sign at the end of a measure, or, forward, at its begin."""
    said = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
    return barline(f'<repeat direction="{way}"{said}/>', "left" if way == "forward" else "right")


def ending(number: str, kind: str = "start", *, also: str = "") -> str:
    """A bracket that begins at a measure's begin, or stops at its end; `also` stands in the same bar line."""
    return barline(f'<ending number="{number}" type="{kind}"/>{also}', "left" if kind == "start" else "right")


def listed(ident: str, name: str = "", inside: str = "") -> str:
    return f'<score-part id="{ident}"><part-name>{name}</part-name>{inside}</score-part>'


def score(*parts: list[str], listing: str | None = None, head: str = "", numbers: list[str] | None = None) -> str:
    """A partwise score of parts P1, P2, ..; each is a list of what its measures hold."""
    if listing is None:
        listing = "".join(listed(f"P{i}") for i in range(1, len(parts) + 1))
    bodies = ""
    for i, measures in enumerate(parts, start=1):
        inside = ""
        for n, measure in enumerate(measures):
            said = numbers[n] if numbers else f'number="{n + 1}"'
            inside += f"<measure {said}>{measure}</measure>"
        bodies += f'<part id="P{i}">{inside}</part>'
    return f'<?xml version="1.0"?>{head}<score-partwise><part-list>{listing}</part-list>{bodies}</score-partwise>'


def opened(folder: Path, text: str | bytes, name: str = "score.musicxml") -> Piece:
    """The piece in a file of this text."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    piece = read_score(path)
    piece.validate()
    return piece


def rows(piece: Piece, track: int = 0) -> list[tuple[float, float, int]]:
    """(onset, length, pitch) of a track's notes, in quarters."""
    per = piece.ticks_per_quarter
    return [(n["start"] / per, n["duration"] / per, int(n["pitch"])) for n in piece.tracks[track].notes]


def heights(piece: Piece, track: int = 0) -> list[int]:
    """The pitches of a track's notes in their order."""
    return piece.tracks[track].notes["pitch"].tolist()


def kinds(piece: Piece) -> list[str]:
    """The names of its warnings."""
    return [warning.partition(":")[0] for warning in piece.warnings]

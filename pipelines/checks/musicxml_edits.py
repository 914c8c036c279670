"""What other readers of MusicXML take otherwise, taken out of a score: each edit says what, and so why it may go.

`edited` makes the file that both readers are given. Source for who is right: MusicXML 4.0 (W3C), the elements' pages.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

__all__ = ["ALWAYS", "EDITS", "edited"]

LEFT_OUT = "left-out"
TYPES = ("breve", "whole", "half", "quarter", "eighth", "16th", "32nd", "64th", "128th", "256th")
SHORTER = dict(pairwise(TYPES))
DRAWN = ("tuplet",)  # the notations that no reader plays


def without_cues(root: Element) -> None:
    """Cue notes are played: they are for orientation and aren't heard."""
    for measure in root.iter("measure"):
        notes = measure.findall("note")
        for note, following in zip(notes, [*notes[1:], None], strict=False):
            if note.find("cue") is None:
                continue
            in_chord = None if following is None else following.find("chord")
            if following is not None and in_chord is not None and note.find("chord") is None:
                following.remove(in_chord)  # the next note of its chord holds the time
                note.tag = LEFT_OUT
            else:
                _to_rest(note)


def without_graces(root: Element) -> None:
    """Grace notes, which have no time of their own, are given some of their neighbours'."""
    for measure in root.iter("measure"):
        for note in [n for n in measure.findall("note") if n.find("grace") is not None]:
            measure.remove(note)


def without_grace_ties(root: Element) -> None:
    """A note that a grace note is tied to counts as a part of that one, which takes no time."""
    for measure in root.iter("measure"):
        waiting: set[str] = set()
        for note in measure.findall("note"):
            pitch = _pitch(note)
            if note.find("grace") is not None:
                waiting.add(pitch)
                _untie(note)
            elif pitch in waiting:
                waiting.discard(pitch)
                _untie(note, "stop")


def without_unisons(root: Element) -> None:
    """Of two voices that are tied on one pitch only one goes on."""
    for part in root.findall("part"):
        for measure in part.findall("measure"):
            heard = set()
            for note, onset in _timed(measure, part):
                if note.find("pitch") is not None and note.find("grace") is None:
                    if (onset, _pitch(note)) in heard:
                        _to_rest(note)
                    heard.add((onset, _pitch(note)))


def without_shared_ties(root: Element) -> None:
    """Where two voices are tied over one moment on one pitch, the ties go on in the wrong voice."""
    for part in root.findall("part"):
        begun: dict[tuple[float, str], list[Element]] = {}
        ended: dict[tuple[float, str], list[Element]] = {}
        at = 0.0
        for measure in part.findall("measure"):
            for note, onset in _timed(measure, part):
                if note.find("grace") is not None:
                    continue
                length = float(note.findtext("duration") or 0) / float(part.get("divisions now", "1"))
                kinds = {tie.get("type") for tie in note.findall("tie")}
                for there, kind, where in ((ended, "stop", at + onset), (begun, "start", at + onset + length)):
                    if kind in kinds:
                        there.setdefault((round(where, 4), _pitch(note)), []).append(note)
            at += float(measure.get("filled", "0"))
        for moment, notes in begun.items():
            if len(notes) > 1:
                for note in notes:
                    _untie(note, "start")
                for note in ended.get(moment, ()):
                    _untie(note, "stop")


def without_ornaments(root: Element) -> None:
    """Ornaments, tremolos and arpeggios are written out: they are read as written here.

    The two notes of a tremolo are drawn as long as both together; they are given the type that they last.
    """
    for note in root.iter("note"):
        drawn = note.find("type")
        if drawn is not None and any(t.get("type") in ("start", "stop") for t in note.iter("tremolo")):
            drawn.text = SHORTER.get(drawn.text or "", drawn.text)
        for notations in note.findall("notations"):
            notations[:] = [child for child in notations if child.tag in DRAWN]


def without_ties(root: Element) -> None:
    """Ties are looked at with the other reader."""
    for note in root.iter("note"):
        _untie(note)


def without_transposition(root: Element) -> None:
    """Pitches are told as written."""
    for attributes in root.iter("attributes"):
        for child in attributes.findall("transpose"):
            attributes.remove(child)


def with_one_meter(root: Element) -> None:
    """Parts in 2/4 and 6/8 at once don't keep together: their measures are as long as they are filled."""
    for part in root.findall("part")[1:]:
        for attributes in part.iter("attributes"):
            for child in attributes.findall("time"):
                attributes.remove(child)


def with_full_measures(root: Element) -> None:
    """A part whose measure is shorter than the others' goes on at once, and is early from there on."""
    parts = root.findall("part")
    for measures in zip(*(part.findall("measure") for part in parts), strict=False):
        for measure, part in zip(measures, parts, strict=True):
            _timed(measure, part)
        lengths = [float(measure.get("filled", "0")) for measure in measures]
        for measure, part, length in zip(measures, parts, lengths, strict=True):
            if length < max(lengths):
                divisions = part.get("divisions now", "1")
                cursor = float(measure.get("cursor", "0"))
                missing = round((max(lengths) - cursor) * float(divisions))
                forward = ElementTree.SubElement(measure, "forward")
                ElementTree.SubElement(forward, "duration").text = str(missing)


def repeated_once(root: Element) -> None:
    """How often a repeat sign repeats isn't looked at: once, whatever it says."""
    for sign in root.iter("repeat"):
        sign.attrib.pop("times", None)


def numbered(root: Element) -> None:
    """Measures come in another order where brackets stand: they are numbered anew, to be told apart."""
    for part in root.findall("part"):
        for number, measure in enumerate(part.findall("measure")):
            measure.set("number", str(number))
            measure.attrib.pop("implicit", None)


def without_jumps(root: Element) -> None:
    """Da capo and dal segno aren't followed where they stand in words or beside repeats alone."""
    for parent in root.iter():
        for child in list(parent):
            jumps = ("dacapo", "dalsegno", "fine", "tocoda", "coda", "segno")
            if child.tag == "sound" and set(child.attrib) & set(jumps):
                for name in jumps:
                    child.attrib.pop(name, None)
            elif child.tag in ("segno", "coda", "words"):
                parent.remove(child)


Edit = Callable[[Element], None]
ALWAYS: dict[str, tuple[Edit, ...]] = {
    "partitura": (without_transposition,),
    "verovio": (without_ties, without_ornaments, without_graces, without_jumps, numbered),
}
EDITS: dict[str, tuple[Edit, ...]] = {
    "notes": (without_cues, with_one_meter, with_full_measures),
    "ties": (
        without_cues,
        without_grace_ties,
        without_shared_ties,
        without_unisons,
        with_one_meter,
        with_full_measures,
    ),
    "order": (repeated_once, without_jumps),
    "sounding": (without_cues, with_one_meter),
}


def _to_rest(note: Element) -> None:
    for child in list(note):
        if child.tag in ("cue", "pitch", "unpitched", "tie", "notations", "notehead"):
            note.remove(child)
    if note.find("chord") is None and note.find("grace") is None and note.find("rest") is None:
        note.insert(0, Element("rest"))
    elif note.find("rest") is None:
        note.tag = LEFT_OUT


def _untie(note: Element, kind: str = "") -> None:
    for parent in (note, *note.findall("notations")):
        for child in list(parent):
            if child.tag in ("tie", "tied") and kind in ("", child.get("type")):
                parent.remove(child)


def _pitch(note: Element) -> str:
    return " ".join(note.findtext(f"pitch/{name}") or "0" for name in ("step", "alter", "octave"))


def _timed(measure: Element, part: Element) -> list[tuple[Element, float]]:
    """The notes of a measure and their onsets in quarters.

    Where its cursor ends, and how far it is filled, is kept in it, the divisions in the part.
    """
    cursor = filled = last = 0.0
    notes = []
    for child in measure:
        if child.tag == "attributes" and child.findtext("divisions"):
            part.set("divisions now", child.findtext("divisions") or "1")
        length = float(child.findtext("duration") or 0) / float(part.get("divisions now", "1"))
        if child.tag == "backup":
            cursor = max(0.0, cursor - length)
        elif child.tag == "forward":
            cursor += length
        elif child.tag == "note":
            last = last if child.find("chord") is not None else cursor
            notes.append((child, last))
            if child.find("chord") is None:
                cursor += length
        filled = max(filled, cursor)
    measure.set("cursor", str(cursor))
    measure.set("filled", str(filled))
    return notes


def edited(root: Element, edits: tuple[Edit, ...]) -> bytes:
    """The score as bytes, with some edits."""
    root = ElementTree.fromstring(ElementTree.tostring(root))
    for edit in edits:
        edit(root)
    for element in root.iter():
        for name in ("divisions now", "cursor", "filled"):
            element.attrib.pop(name, None)
    for measure in root.iter("measure"):
        for child in measure.findall(LEFT_OUT):
            measure.remove(child)
    return ElementTree.tostring(root)

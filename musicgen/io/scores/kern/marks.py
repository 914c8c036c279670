"""The tandem interpretations and comments of Humdrum files that change what sounds; all others are ignored.

Sources: Humdrum Reference, tandem interpretations, and `trans` (4): data under `*ITr` are in concert pitch
already, data under `*Tr` are transposed; Verovio Humdrum Viewer's documentation for `!LO:TX` and `[quarter]=96`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from musicgen.io.scores.kern.sheet import Sheet, Voice
from musicgen.io.scores.kern.tokens import fifths_of, meter_of, tempo_in

__all__ = ["comment", "tandem"]

SIGNS = {"c": (4, 4), "c|": (2, 2), "C": (2, 1), "C|": (2, 1), "O": (3, 1), "O|": (3, 1)}  # of `*met`
NAMES = 80  # characters of a name that are kept
MAX_JUMPS = 1_000

TEXT = re.compile(r"!!?LO:TX(?=:)[^\t]{0,300}?:t=((?!P:)[^\t:]*)")  # with P: it is an editorial remark
JUMP = re.compile(r"\b(fine\b|d\. ?[cs]\.|da ?capo|dal ?segno|segno\b|coda\b)", re.IGNORECASE)
CAPO, SEGNO = r"(d\. ?c\.?|da ?capo)", r"(d\. ?s\.?|dal ?segno)"
END = r"(fine|fini|finis|finem|finale)\b"
TO_END = rf"( sin| usque)?\.? a[ld]?(la)?\.? {END}"
JUMPS = tuple((re.compile(words, re.IGNORECASE), mark) for words, mark in (
    (END, "Fine"), (r"\[?segno\]?", "Segno"), (r"\[?coda\]?", "Coda"), (r"(to|al) coda", "ToCoda"),
    (CAPO, "DaCapo"), (CAPO + ",?" + TO_END, "DaCapoAlFine"), (CAPO + r" al(la)? coda", "DaCapoAlCoda"),
    (SEGNO, "DalSegno"), (SEGNO + ",?" + TO_END, "DalSegnoAlFine"), (SEGNO + r" al(la)? coda", "DalSegnoAlCoda"),
))  # fmt: skip
TEMPO = re.compile(r"\*MM(\d{1,6}(?:\.\d{1,6})?)(?!\d)")
TRANSPOSED = re.compile(r"\*Trd-?\d{1,3}c(-?\d{1,3})$")
KEY = re.compile(r"\*([A-Ga-g])([#-]?):")
FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}  # of major keys


def comment(sheet: Sheet, line: int, text: str, following: Callable[[], str]) -> None:
    """Evaluate a line that begins with `!`; `following()` gives the next line that is no comment."""
    if text.startswith("!!!"):
        key, _, value = text[3:].partition(":")
        if key.startswith("OMD"):
            tempo = tempo_in(value)
            if tempo:
                sheet.tempos.append((sheet.mark(line), tempo))
        elif key.startswith("system-decoration"):
            sheet.decoration = sheet.decoration or value
        elif key == "AIN":
            codes = [word for word in value.split() if not word.isdigit()]
            sheet.only = codes[0] if len(codes) == 1 else ""
    elif "LO:TX" in text:
        for found in TEXT.finditer(text):
            tempo = tempo_in(found[1])
            if tempo:
                sheet.tempos.append((sheet.mark(line), tempo))
            elif len(sheet.jumps) < MAX_JUMPS and JUMP.search(found[1]):
                words = " ".join(found[1].replace("\\n", " ").split())
                mark = next((mark for pattern, mark in JUMPS if pattern.fullmatch(words.rstrip(" .:"))), "")
                sheet.jumps.append((sheet.mark(line), following().startswith("="), words, mark))


def tandem(sheet: Sheet, line: int, text: str, voice: Voice) -> None:
    """Evaluate a tandem interpretation: one that neither begins, ends nor moves a spine."""
    channel = voice.channel
    spine = channel.spine
    if text.startswith("*>"):
        _section(sheet, line, text)
    elif text.startswith("*part"):
        spine.part = spine.part or text[5:]
    elif text.startswith("*staff"):
        spine.staff = spine.staff or text[6:]
    elif text == "*thru":
        sheet.through = True
    elif text.startswith("*S/"):  # alternative versions (strophes) in parallel spines: only the first is read
        label = text[3:]
        spine.strophe = spine.strophe or label
        voice.channel = channel._replace(silent="" if label in ("fin", spine.strophe) else "strophes")
    elif text == "*Xstrophe":
        voice.channel = channel._replace(silent="")
    elif spine.kind != "kern":
        return
    elif text.startswith("*clef"):
        voice.channel = channel._replace(unpitched=text.startswith(("*clefX", "*clefperc")))
    elif text.startswith("*k["):
        fifths = fifths_of(text)
        if fifths is not None:
            sheet.keys.append((sheet.mark(line), spine, fifths))
    elif text.startswith("*MM"):
        tempo = TEMPO.match(text)
        if tempo and float(tempo[1]) > 0:
            sheet.tempos.append((sheet.mark(line), float(tempo[1])))
    elif text.startswith("*met("):
        sign = SIGNS.get(text[5:].partition(")")[0])
        if sign:
            sheet.signs.append((sheet.mark(line), spine, sign))
    elif text.startswith("*M"):
        _meter(sheet, line, text, voice)
    elif text.startswith("*I"):
        _instrument(text, voice)
    elif text.startswith("*Tr"):
        moved = TRANSPOSED.match(text)
        if moved:
            voice.channel = channel._replace(shift=-int(moved[1]))
    elif text in ("*cue", "*ossia"):
        voice.channel = channel._replace(silent=f"{text[1:]}s")
    elif text in ("*Xcue", "*Xossia"):
        voice.channel = channel._replace(silent="")
    elif key := KEY.match(text):
        minor = key[1].islower()
        fifths = FIFTHS[key[1].upper()] + {"#": 7, "-": -7}.get(key[2], 0) - 3 * minor
        if -7 <= fifths <= 7:
            sheet.modes.append((sheet.mark(line), spine, fifths, minor))


def _section(sheet: Sheet, line: int, text: str) -> None:
    name, bracket, inside = text[2:].partition("[")
    if bracket:
        sheet.lists.setdefault(name, [part.strip() for part in inside.partition("]")[0].split(",") if part.strip()])
    else:
        place = (sheet.mark(line), name)
        if not sheet.labels or sheet.labels[-1] != place:  # every spine repeats the label
            sheet.labels.append(place)


def _meter(sheet: Sheet, line: int, text: str, voice: Voice) -> None:
    if not text[2:3].isdigit():
        return  # *MX and *M? state that there is no meter
    meter = meter_of(text)
    if meter is None or not (1 <= meter[0] <= 64 and meter[1] in (1, 2, 4, 8, 16, 32, 64)):
        sheet.count("meters")
    else:
        sheet.meters.append((sheet.mark(line), voice.channel.spine, meter))


def _instrument(text: str, voice: Voice) -> None:
    spine = voice.channel.spine
    if text.startswith('*I"'):
        name = " ".join(text[3:].strip('" ').replace("\\n", " ").split())[:NAMES]
        spine.name = spine.name or (name if any(c.isalpha() for c in name) else "")
    elif text.startswith("*I'"):
        spine.short = spine.short or text[3:].strip()[:NAMES]
    elif text.startswith("*ITr"):
        spine.transposing = spine.transposing or text != "*ITrd0c0"
    elif text[2:3].islower() and text != "*Iempty":
        spine.code = spine.code or re.split(r"[&|]", text[2:])[0][:NAMES]

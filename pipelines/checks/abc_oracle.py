"""ABC tunes as musicgen reads them and as abc2midi plays them: pitch, onset and written length of every note.

    python pipelines/checks/abc_oracle.py --abc2midi PATH [TUNES.abc ...]

abc2midi (https://github.com/sshlien/abcmidi) is not part of the project; without it nothing is compared and nothing
fails. Each file is compared twice: as it is, and with the starts of repeats written out where ABC 2.1, section 4.8,
puts them ("the beginning of the tune, or the latest double bar line or end of repeat"), for abc2midi goes back to the
beginning where the first repeat of a tune lacks its start, and loses its way behind endings. Then small tunes, one for
each structure. Exit code 1 when a small tune differs that shouldn't, or one that should doesn't.

What abc2midi plays beyond the notes is switched off or taken out: graces, chord symbols, fermatas, trills and rolls,
swung hornpipes (R:), gaps between notes, chords spread in time. It starts every note one tick late.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from musicgen.errors import MusicgenError
from musicgen.io.midi import Limits, read_midi
from musicgen.io.scores import read_tune
from musicgen.io.scores.files import read_texts
from musicgen.piece import Piece

Notes = list[tuple[int, int, int]]  # onset, pitch, length in 480ths of a quarter

OPTIONS = ("-NGRA", "-NGUI", "-NFER", "-NFNP", "-silent")
QUIET = "%%MIDI trim 0/1\n%%MIDI chordattack 0"
SIGN = re.compile(
    r'"[^"\n]*"|^[A-Za-z]:(?![|:]).*$|%.*$|\[[A-Za-z]:[^\]\n]*\]|\[[^\]|:\n"0-9][^\]|:\n"]*\]'
    r"|(?P<bar>(?:[|:]|\[(?=\|)|\](?=\|))[|:\]]*)(?P<ending>[ \t]*\[?[ \t]*\d[\d,-]*)?|(?P<lone>\[\d[\d,-]*)",
    re.MULTILINE,
)
HEAD = "X:1\nM:4/4\nL:1/4\n"
# (tune, what abc2midi does otherwise); an empty reason: both are to agree.
STRUCTURES = (
    ("K:C\n|:G|CDEF|GAB:|", ""),
    ("K:C\n^FF=FF|F^FGf", ""),
    ("K:C\nCDEF|[K:D][M:3/4]FGA|[L:1/8]FFGGAA|", ""),
    ("K:C\n|:CDEF|[1,2 GGGG:|[3 cccc||", ""),
    ("K:C\n|::CDEF::|GABc|", "knows no section that sounds three times"),
    ("K:C\nCD[r:bad gag]EF|", ""),
    ("K:C\nC>D E<F G>>A B<<c A>>>B A<<<B", ""),
    ("K:C\nA>{gf}B C{d}>D", ""),
    ("K:C\nc>z z<c [CE]>[DF]", ""),
    ("K:C\n(3CDE (3:2:4C2DEF (5CDEFG (2CD (4CDEF (6CDEFGA (8CDEFGABc", ""),
    ("K:C\n(3A2BA (3zAB (3[CE]AB (3AB|C D", ""),
    ("M:6/8\nK:C\n(5CDEFG (9CDEFGABcd", ""),
    ("M:3/4\nK:C\n(5CDEFG", "takes 3/4 for a compound meter"),
    ("K:C\nC2/3D2/3E2/3", "reads only halves of a length"),
    ("K:C\nA/>B/ A/2>B/2 F3/2G/ A//B3// A3/", ""),
    ("K:C\nA3>B C", "leaves notes of unequal lengths alone"),
    ("K:C\nC-|C2-C-C ^F-|F F", ""),
    ("K:C\n[C-E]C [CE]-[CE] [CE]-[CD]", ""),
    ("K:C\nc-|:c:|", "a tie and a repeat: the note sounds once"),
    ("K:C\n|:c2-|1c:|2c:|", "ties only into the first ending"),
    ("K:C\nC4-|D2C2|", "ties a note to whatever follows the bar line"),
    ("K:C\n[CEG]2D [^CE]c|[CE]", ""),
    ("K:C\n[C2E]D", "gives all notes of a chord the length of the first"),
    ("K:C\n[C2E2]/2D", "one length for the chord instead of the product"),
    ("K:C\nz2 x C Z | C4|Z2|C4|X|D", ""),
    ("K:C\nCD & EF | GA & Bc", ""),
    ("K:C\n(& CD|EF & GA|Bc &) | C4", ""),
    ("K:C\nCDEF|GABc&&cdef|gabc|C4", "knows no overlay of two bars"),
    ("K:C\n|:A|1B:|2c|]D", ""),
    ("K:C\nAB[1 C:|[2 D|]E", ""),
    ("K:C\n|:A|[1-2B:|[3c|]", ""),
    ("K:C\n|:A|1B:|2c:|3d|]", ""),
    ("K:C\n|:A|[1,3B:|[2c:|D", "plays a fourth time"),
    ("K:C\n|:A|1B|2c:|D", "leaves the second ending out"),
    ("K:C\nA::B::C:|", ""),
    ("K:C\n|:A:|:B:| ||:C:||", ""),
    ("K:C\nC|:D:|||:E:|", ""),
    ("K:C\n|:A|:B:|", "repeats what has no end of its repeat"),
    ("K:C\nCC||DD:|", "goes back to the beginning, over the double bar line"),
    ("K:C\n|:C|1D:|2E|]F|G:|", "plays the first section a third time"),
    ("K:C\nC D|:E F:|G", ""),
    ("K:C\nA[|]B .| C", ""),
    ("K:C\nC|D!fine!|E!D.C.!|]", "follows no da capo"),
    ("P:AABA\nK:C\nP:A\nCD|\nP:B\n|:EF:|", ""),
    ("P:A2.(BA)2\nK:C\nP:A\nCD|\nP:B\nEF|", ""),
    ("P:BA\nK:C\nP:A\nV:1\nCD|\nV:2\nC,D,|\nP:B\nV:1\nEF|\nV:2\nE,F,|", ""),
    ("K:C\nV:1\nCDEF|G4|\nV:2 transpose=-12\nCDEF|G4|", ""),
    ("K:C\n[V:1]CDEF|[V:2]C,4|\n[V:1]G4|[V:2]G,4|", ""),
    ("K:C\nV:1\nCDEF|GABc|cccc|\nV:2\nC,4|Z2|", ""),
    ("K:D ^c _b\nCFGBcfb", ""),
    ("K:D exp _b\nCFGBcfb", ""),
    ("K:Hp\nCFGBcfb", ""),
    ("K:A Mix\nCFGB[K:Bbm]CFGB[K:F# dorian]CFGB[K:none]CFGB", ""),
    ("K:C treble-8\nC", ""),
    ("K:C\nC[K:G clef=treble+8]F", ""),
    ("K:C treble-8\nC[K:G clef=treble+8]F", "keeps the octave of the header's clef"),
    ("K:C octave=-1\nC\nK:C transpose=-2\nC", ""),
    ("K:C bass middle=d\nC", ""),
    ("K:G#\nCFG", "moves keys of more than seven accidentals by twelve fifths"),
    ("K:C\n%%MIDI transpose 2\nCD\n%%MIDI transpose 0\nCD|", ""),
    ("K:C\n%%propagate-accidentals octave\n^Cc C|C", ""),
    ("K:C\n%%MIDI nobarlines\n^CC|C", ""),
    ("K:C\n%%MIDI channel 10\n%%MIDI drummap ^F 38\n^FF C|", ""),
    ("K:C\nC!p!D +mf+E uFvG .A|", "plays a dotted note for half its length"),
    ("m:Q=cd\nK:C\nCQ", "knows no macros"),
)


def quarters(piece: Piece, *, late: int = 0) -> Notes:
    """The notes of a piece, unisons once and `late` ticks earlier."""
    longest: dict[tuple[int, int], int] = {}
    for track in piece.tracks:
        for note in track.notes.tolist():
            start, length = (round(value * 480 / piece.ticks_per_quarter) for value in note[:2])
            at = (start - late, note[2])
            longest[at] = max(longest.get(at, 0), length + late)
    return sorted((*at, length) for at, length in longest.items())


def plain(text: str, number: int) -> str:
    """The tune as `number`, without what abc2midi plays beyond its notes."""
    text = re.sub(r"^X[ \t]*:.*", f"X:{number}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^R[ \t]*:.*\n", "", text, flags=re.MULTILINE)
    head, key, body = re.split(r"^(K[ \t]*:.*)$", text, maxsplit=1, flags=re.MULTILINE)
    return f"{head}{key}\n{QUIET}{re.sub(r'~|!trill!', '', body)}\n\n"


def abc2midi(program: Path, tunes: list[str]) -> list[Notes | None]:
    """The notes of each tune by abc2midi; None where it makes no file."""
    with tempfile.TemporaryDirectory() as folder:
        text = "".join(plain(tune, number) for number, tune in enumerate(tunes, start=1))
        Path(folder, "t.abc").write_text(text, encoding="latin-1", errors="replace")
        subprocess.run([str(program), "t.abc", *OPTIONS], cwd=folder, check=False, capture_output=True)
        made = [Path(folder, f"t{number}.mid") for number in range(1, len(tunes) + 1)]
        return [quarters(read_midi(path), late=1) if path.is_file() else None for path in made]


def with_starts(text: str) -> str:
    """The tune with a |: wherever the standard puts the start of a repeat that has none.

    >>> with_starts("K:C\\nA|B||C:|D:|\\n")
    'K:C\\nA|B|| |: C:| |: D:|\\n'
    """
    head = re.search(r"^K[ \t]*:.*\n", text, re.MULTILINE)
    if head is None:
        return text
    begin, is_open, in_ending, starts = head.end(), False, False, []
    for found in SIGN.finditer(text, head.end()):
        bar, number = found["bar"] or "", found["ending"] or found["lone"]
        if not (bar or number):
            continue
        if bar.startswith(":") and not is_open:
            starts.append(begin)
            is_open = True
        if bar.endswith(":"):
            is_open, in_ending = True, False
        elif bar.startswith(":"):
            begin = found.start() + len(bar)
            # An ending right behind goes on with the section.
            in_ending = bool(number) or re.match(r"[\s!]*\[\d", text[found.end() :]) is not None
            is_open = in_ending
        elif not number and ("||" in bar or "]" in bar or "[|" in bar):
            is_open = is_open and not in_ending
            in_ending = False
            begin = begin if is_open else found.end()
        in_ending = in_ending or bool(number)
    out, done = [], 0
    for start in starts:
        start += len(re.match(r"(?:\s*(?:[A-Z]:(?![|:])|%).*\n)*", text[start:])[0])  # type: ignore[index]
        out.append(text[done:start] + " |: ")
        done = start
    return "".join(out) + text[done:]


def ours(text: str) -> Notes | None:
    try:
        return quarters(read_tune(text, limits=Limits()))
    except MusicgenError:
        return None


def compare_file(program: Path, path: Path) -> None:
    texts = read_texts(path, limits=Limits())
    read = [ours(tune.text) for tune in texts]
    written = abc2midi(program, [tune.text for tune in texts])
    explicit = abc2midi(program, [with_starts(tune.text) for tune in texts])
    equal = sum(a == b for a, b in zip(read, written, strict=True))
    told = sum(a == b for a, b in zip(read, explicit, strict=True))
    print(f"{path.name}: {len(texts)} tunes, {equal} equal as written, {told} with the starts of repeats written out")
    for tune, a, b in zip(texts, read, explicit, strict=True):
        if a != b:
            print(f"  differs: {tune.name!r}")


def compare_structures(program: Path) -> int:
    tunes = [f"{HEAD}{body}\n" for body, _ in STRUCTURES]
    theirs = abc2midi(program, tunes)
    wrong = 0
    for (body, reason), tune, other in zip(STRUCTURES, tunes, theirs, strict=True):
        if (ours(tune) == other) == bool(reason):
            wrong += 1
            print(f"  {'differs' if not reason else 'agrees all the same'}: {body!r}\n    {ours(tune)}\n    {other}")
    explained = sum(bool(reason) for _, reason in STRUCTURES)
    print(f"{len(STRUCTURES)} small tunes: {explained} differ for a reason that is told, {wrong} otherwise than told")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--abc2midi", type=Path, default=None)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    if options.abc2midi is None or not options.abc2midi.is_file():
        print("skipped: abc2midi is not here; name it with --abc2midi")
        return
    for path in options.files:
        compare_file(options.abc2midi.resolve(), path)
    sys.exit(compare_structures(options.abc2midi.resolve()) > 0)


if __name__ == "__main__":
    main()

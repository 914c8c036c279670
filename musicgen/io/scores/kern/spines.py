"""Read Humdrum files line by line: follow the columns of each spine and collect their tokens.

A file is a table whose columns split (`*^`), join (`*v`), swap (`*x`), begin (`*+` and an exclusive interpretation) and
end (`*-`). A `Voice` stands for one column between two such changes, so nested splits and joins of three columns need
no special case.

Source: Humdrum User Guide, chapters 5 and 20 (spine paths; sections and strophes).
"""

from __future__ import annotations

import re
from fractions import Fraction

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.kern.marks import comment, tandem
from musicgen.io.scores.kern.names import Spine
from musicgen.io.scores.kern.sheet import BAR, GRACE, NULL, ONSET, Channel, Row, Sheet, Voice
from musicgen.io.scores.kern.tokens import Token, level_of, symbol_of, token_of

__all__ = ["pieces_in", "read_sheet"]

MAX_BARS = 100_000
MAX_PIECES = 1_000
LEAST = 10_000  # the limit on rests and marks is derived from at least this many notes
BORDER = re.compile(r"^(?:\*\*|!!!!SEGMENT|\*-[*\-\t ]*$)", re.MULTILINE)  # where a piece begins or ends
TITLE = re.compile(r"^(?:!!!!SEGMENT|!!!OTL[^:\n]{0,20}):(.+)", re.MULTILINE)
AHEAD = 40  # lines searched for the next one that is no comment
PATHS = {"*^", "*v", "*x", "*+", "*-"}
KINDS = {"**kern": "kern", "**dynam": "dynam", "**mxhm": "chords", "**harte": "chords", "**chordsym": "chords"}
ALIEN = Token(Fraction(0), (), strange=True)  # a field that belongs to another kind of line


def pieces_in(text: str, stem: str, where: object) -> list[tuple[str, str, int]]:
    """(name, text, number of lines before it) of each piece in a file.

    Pieces are separated by `!!!!SEGMENT`, or where all spines have ended and new ones begin. A single piece is called
    `stem`; several are called by number and title. Raises UnreadableError for more than MAX_PIECES.
    """
    starts, ended, opened = [0], -1, False
    for found in BORDER.finditer(text):
        if found[0].startswith("!"):
            if opened:
                starts.append(found.start())
                ended, opened = -1, False
        elif found[0] == "**":
            if ended >= 0:
                starts.append(ended)
            ended, opened = -1, True
        else:
            ended = found.end() + 1
    if len(starts) > MAX_PIECES:
        hint = "split it into files of fewer pieces"
        raise UnreadableError(f"has more than {MAX_PIECES:,} pieces", where=where, hint=hint)
    pieces: list[tuple[str, str, int]] = []
    lines = 0
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[begin:end]
        if "**kern" in part:
            titled = TITLE.search(part)
            name = titled[1].strip().removesuffix(".krn").removesuffix(".hum")[:120] if titled else stem
            pieces.append((f"{len(pieces) + 1} {name}", part, lines))
        lines += part.count("\n")
    return [(stem, *pieces[0][1:])] if len(pieces) == 1 else pieces


def read_sheet(text: str, where: object, limits: Limits, *, before: int = 0) -> Sheet:
    """The rows of one piece, which `before` lines of its file precede.

    Raises UnreadableError, which names the line, for a malformed table and past `limits`.
    """
    return _Reader(where, limits, before).read(text)


class _Reader:
    """Reads one piece from its first line to its last."""

    def __init__(self, where: object, limits: Limits, before: int) -> None:
        self.where, self.limits, self.before = where, limits, before
        self.sheet = Sheet()
        self.columns: list[Voice] = []
        self.kern: list[tuple[int, Voice]] = []  # (column, voice) of kern spines
        self.others: list[tuple[int, Spine]] = []  # (column, spine) of dynamics and chord symbols
        self.text, self.at = "", 0  # the text, and the index at which its next line begins
        self.line = self.base = 0
        self.empty = ("", "")  # lines of null tokens alone: of data, and of interpretations
        self.loudness: dict[str, int | None] = {}
        self.symbols: dict[str, str | None] = {}
        self.notes = self.items = self.bars = 0
        self.most = 3 * max(limits.notes, LEAST)

    def broken(self, what: str, hint: str = "mend that line") -> UnreadableError:
        return UnreadableError(f"line {self.line + self.before}: {what}", where=self.where, hint=hint)

    def read(self, text: str) -> Sheet:
        self.text, opened = text, False
        while self.at < len(text):
            # Line by line: a list of all lines would take ten times the memory of the file.
            end = text.find("\n", self.at)
            line = text[self.at : end] if end >= 0 else text[self.at :]
            self.at = end + 1 if end >= 0 else len(text)
            self.line += 1
            first = line[:1]
            if first == "!":
                if "LO:TX" in line or line.startswith("!!!"):
                    comment(self.sheet, self.line, line, self.following)
                continue
            if not first or line == self.empty[1] or line.isspace():
                continue
            if line == self.empty[0]:
                self.spend(1)
                self.sheet.rows.append(Row(NULL, self.line))
                continue
            fields = line.split("\t")
            if first == "\t":
                first = line.strip("\t")[:1]  # an empty field is a null token
            if not self.columns:
                if not line.startswith("**"):
                    raise self.broken("no spine is open here", "spines begin with **kern and end with *-")
                if opened:
                    break  # another piece
                self.open([text for text in fields if text])
                opened = True
                continue
            if len(fields) != len(self.columns):
                fields = [text for text in fields if text]  # tabs may be doubled to align columns
                if len(fields) != len(self.columns):
                    spines = "1 spine is" if len(self.columns) == 1 else f"{len(self.columns):,} spines are"
                    raise self.broken(f"{len(fields):,} field{'s' * (len(fields) != 1)} where {spines} open")
            if first == "*":
                self.interpretation(fields)
            elif first == "=":
                self.barline(fields)
            else:
                self.data(fields)
        if not self.sheet.spines:
            raise UnreadableError("has no **kern spine", where=self.where, hint="only Humdrum kern scores can be read")
        if self.columns:
            self.sheet.count("ending")
        self.sheet.meters = self.sheet.meters or self.sheet.signs
        self.find_homes()
        return self.sheet

    def following(self) -> str:
        """The next line that is no comment, among the next AHEAD lines; "" if there is none."""
        at = self.at
        for _ in range(AHEAD):
            end = self.text.find("\n", at)
            line = self.text[at : end if end >= 0 else len(self.text)]
            if end < 0 or line[:1] not in ("!", ""):
                return line
            at = end + 1
        return ""

    # ---- notes -----------------------------------------------------------------------------------------

    def barline(self, fields: list[str]) -> None:
        self.bars += 1
        if self.bars > MAX_BARS:
            raise self.broken(f"more than {MAX_BARS:,} bar lines", "split the file")
        token = next((field for field in fields if ":" in field), fields[0])
        self.sheet.rows.append(Row(BAR, self.line, token))

    def data(self, fields: list[str]) -> None:
        sheet, tokens = self.sheet, self.sheet.tokens
        fresh: list[tuple[Voice, Token, Channel]] = []
        timed = False
        for column, voice in self.kern:
            text = fields[column]
            if text == "." or not text:
                continue
            token = tokens.get(text)
            if token is None:
                token = tokens[text] = self.token(text)
                self.spend(4)
            if token.strange and not voice.channel.unpitched:
                sheet.count("strange")
            timed = timed or token.length != 0
            self.notes += len(token.notes)
            fresh.append((voice, token, voice.channel))
        self.spend(len(fresh) + 1)
        sheet.rows.append(Row(ONSET if timed else GRACE if fresh else NULL, self.line, fresh, self.base))
        row = len(sheet.rows) - 1
        for column, spine in self.others:
            text = fields[column]
            if text == "." or not text:
                continue
            self.spend(1)
            if spine.kind == "dynam":
                if text not in self.loudness:
                    self.loudness[text] = level_of(text)
                level = self.loudness[text]
                if level is not None:
                    sheet.levels.append((row, spine, level))
                continue
            if text not in self.symbols:
                self.symbols[text] = symbol_of(text)
            symbol = self.symbols[text]
            if symbol is not None:
                sheet.chords.append((row, symbol))
            elif text not in ("r", "X"):
                sheet.count("chords")

    def spend(self, items: int) -> None:
        """Count what is read. Raises UnreadableError past the limits, so that no file takes long."""
        self.items += items
        if self.notes > self.limits.notes or self.items > self.most:
            notes = self.notes > self.limits.notes
            count = f"{self.limits.notes:,} notes" if notes else f"{self.most:,} notes, rests and marks"
            what = f"has more than {count}, the limit"
            raise UnreadableError(what, where=self.where, hint="raise the limit with `Limits.notes`")

    def token(self, text: str) -> Token:
        if text[0] in "*=!":
            return ALIEN
        try:
            return token_of(text)
        except ValueError as error:
            raise self.broken(f"{text[:40]!r} can't be read: {error}") from None

    # ---- spines ----------------------------------------------------------------------------------------

    def open(self, fields: list[str]) -> None:
        self.bounded(len(fields))
        for column, text in enumerate(fields):
            self.columns.append(Voice(Channel(self.spine(text, column)), end=0))
        self.relist()
        self.sheet.voices = [voice for _, voice in self.kern]

    def bounded(self, count: int) -> None:
        if count > self.limits.tracks:
            raise self.broken(f"{count:,} spines, the limit is {self.limits.tracks:,}", "leave out some of them")

    def spine(self, exclusive: str, column: int) -> Spine:
        spine = Spine(KINDS.get(exclusive.strip(), ""), column)
        if spine.kind == "kern":
            self.bounded(len(self.sheet.spines) + 1)
            self.sheet.spines.append(spine)
        return spine

    def relist(self) -> None:
        """List anew the columns that are read; dynamics and chords belong to the kern spine on their left."""
        self.kern, self.others = [], []
        self.empty = ("\t".join("." * len(self.columns)), "\t".join("*" * len(self.columns)))
        left: Spine | None = None
        for column, voice in enumerate(self.columns):
            spine = voice.channel.spine
            if spine.kind == "kern":
                self.kern.append((column, voice))
                left = spine
            elif spine.kind:
                self.others.append((column, spine))
                spine.home = spine.home or left

    def find_homes(self) -> None:
        staves = {spine.staff: spine for spine in self.sheet.spines if spine.staff}
        for _, spine, _ in self.sheet.levels:
            if spine.staff:
                spine.home = staves.get(spine.staff.split("/")[0], spine.home)
            spine.home = spine.home or self.sheet.spines[0]

    def interpretation(self, fields: list[str]) -> None:
        moves = False
        for column, text in enumerate(fields):
            if text == "*" or not text:
                continue
            self.spend(2)
            if text in PATHS:
                moves = True
            elif text.startswith("**"):
                self.exclusive(text, column)
            elif text.startswith("*tb"):
                self.base = int(text[3:]) if re.fullmatch(r"\*tb[1-9]\d{0,4}", text) else 0
            elif text[:1] == "*":
                tandem(self.sheet, self.line, text, self.columns[column])
            else:
                self.sheet.count("strange")
        if moves:
            self.move(fields)

    def exclusive(self, text: str, column: int) -> None:
        """Handle an exclusive interpretation after the first line: of a spine that `*+` added, or of a changed one."""
        old = self.columns[column]
        voice = self.columns[column] = Voice(Channel(self.spine(text, column)))
        spine, before = voice.channel.spine, old.channel.spine
        spine.part, spine.staff = before.part, before.staff
        self.sheet.rows[self.sheet.mark(self.line)].content.append(("end", old))
        self.sheet.rows[-1].content.append(("begin", voice))
        self.relist()

    def move(self, fields: list[str]) -> None:
        """Split, join, swap, begin and end columns by the spine paths of one line."""
        columns, changes = self.columns, self.sheet.rows[self.sheet.mark(self.line)].content
        swaps = [column for column, text in enumerate(fields) if text == "*x"]
        for a, b in zip(swaps[::2], swaps[1::2], strict=False):
            columns[a], columns[b] = columns[b], columns[a]
        new: list[Voice] = []
        for run in self.runs(fields):
            voice, text = columns[run[0]], fields[run[0]]
            if text == "*-":
                changes.append(("end", voice))
                continue
            new.append(voice)
            if text == "*v":
                self.sheet.count("joins", len(run) == 1)
                changes += [("join", voice, columns[column]) for column in run[1:]]
            elif text == "*^":
                new.append(Voice(voice.channel))
                changes.append(("split", voice, new[-1]))
            elif text == "*+":
                new.append(Voice(Channel(Spine("", run[0] + 1))))
        if len(new) > len(columns):
            self.bounded(len(new))
        self.columns = new
        self.relist()

    def runs(self, fields: list[str]) -> list[range]:
        """The columns of a line of spine paths as ranges; columns to be joined form one range.

        Neighbouring `*v` join into one column per spine. Those of two spines are joined with each other only if the
        number of fields in the next line requires it, or if a `*v` would otherwise have no partner.
        """
        spines = [voice.channel.spine for voice in self.columns]
        apart: list[range] = []
        whole: list[range] = []
        for column, text in enumerate(fields):
            joins = text == "*v" and column > 0 and fields[column - 1] == "*v"
            if joins:
                whole[-1] = range(whole[-1].start, column + 1)
            else:
                whole.append(range(column, column + 1))
            if joins and spines[column] is spines[column - 1]:
                apart[-1] = range(apart[-1].start, column + 1)
            else:
                apart.append(range(column, column + 1))
        if len(whole) == len(apart):
            return apart
        beside = sum({"*^": 1, "*+": 1, "*-": -1}.get(text, 0) for text in fields)
        wanted = self.following().count("\t") + 1 - beside
        lone = any(fields[run[0]] == "*v" and len(run) == 1 for run in apart)
        return whole if wanted == len(whole) or (lone and wanted != len(apart)) else apart

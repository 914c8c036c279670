"""Read the music lines of one ABC voice: notes, chords, rests, ties, tuplets, broken rhythms, decorations, texts.

An accidental holds up to the bar line, for its letter in every octave unless the tune sets another rule (ABC 2.1,
11.3). The accidental of a tied note holds over the bar line for that note alone. A chord lasts as long as its first
note (4.17). Grace notes take no time and are left out, but their accidentals hold.

Source: ABC standard 2.1, section 4.
"""

from __future__ import annotations

import re
from fractions import Fraction

from musicgen.chords import transposed_symbol
from musicgen.io.scores.abc.bars import GRID
from musicgen.io.scores.abc.fields import ALTER, length_of
from musicgen.io.scores.abc.tokens import CHORD_ITEM, DECORATIONS, MARKS, TOKEN, chord_symbol, is_jump
from musicgen.io.scores.abc.voice import PLACES, VoiceState
from musicgen.io.scores.layout import VELOCITIES

__all__ = ["Voice"]

QUOTIENTS = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # p notes in the time of q, whatever the meter
COMPOUND = (6, 9, 12, 15, 18, 21, 24)


def inside(found: re.Match[str], n: int) -> str:
    """Group `n` within the alternative of TOKEN that matched; "" if it is absent."""
    return found[(found.lastindex or 0) + n] or ""


class Voice(VoiceState):
    """A voice with the methods that read its music."""

    def music(self, line: str) -> None:
        """Read a line of music, or the part of one between inline fields."""
        shared = self.shared
        for found in TOKEN.finditer(line):
            kind = found.lastgroup
            shared.signs += 1
            if kind == "note":
                self._note(found)
            else:
                handler = KINDS.get(kind or "")
                if handler is not None:
                    handler(self, found)
            if not shared.signs & 1023:
                shared.check(len(self.notes))

    def _duration(self, text: str) -> int:
        plain = self._lengths.get(text)
        if plain is None:
            try:
                plain = round(self.unit * length_of(text))
            except ValueError:
                plain = 0
            if plain <= 0:
                self.shared.counts["lengths"] += 1
                plain = self.unit
            self._lengths[text] = plain
        return plain

    def _bent(self, duration: int) -> int:
        """`duration` scaled by open tuplets and a broken rhythm; `_use_up` then counts the note as done."""
        above, below = self.ahead or (1, 1)
        for _, q, p in self.tuplets:
            above, below = above * q, below * p
        return (2 * duration * above + below) // (2 * below)

    def _use_up(self) -> None:
        self.ahead = None
        for tuplet in self.tuplets:
            tuplet[0] -= 1
        self.tuplets = [t for t in self.tuplets if t[0] > 0]

    def _pitch(self, sign: str | None, micro: str | None, letter: str, marks: str) -> tuple[int, int]:
        """(pitch without accidentals, sounding pitch) of a note; its accidental holds from here on."""
        octave = 12 * max(-10, min(10, marks.count("'") - marks.count(","))) if marks else 0
        place = PLACES[letter] + octave
        carry = self.setup.carry
        if sign is None:
            alter = self.accidentals.get(letter.lower() if carry == "pitch" else place) if self.accidentals else None
            return place, (self.pitches[letter] + octave if alter is None else place + alter) + self.shift
        alter = ALTER[sign]
        if micro is not None:
            alter = self._microtone(sign, micro)
        elif carry != "not":
            self.accidentals[letter.lower() if carry == "pitch" else place] = alter
        return place, place + alter + self.shift

    def _microtone(self, sign: str, text: str) -> int:
        self.shared.counts["microtones"] += 1
        above, _, below = text.partition("/")
        size = Fraction(int(above[:3] or 1), max(1, int(below.strip("/")[:3] or 2)) if "/" in text else 1)
        near = int(size + Fraction(1, 2) - Fraction(1, 1000))  # a quarter tone is rounded to the unaltered note
        return near if sign[0] == "^" else -near

    def _begin(self) -> None:
        """Give pending segnos, codas and jumps their place, now that a note, rest or chord begins."""
        for mark in self.behind:
            self.signs.soft.append((self.bar, self.time, mark))
        self.behind = [m for m in self.waiting if m not in ("Segno", "Coda")]
        for mark in self.waiting:
            if mark in ("Segno", "Coda"):
                self.signs.begins.append((self.bar, self.time, mark))
        self.waiting = []

    def _note(self, found: re.Match[str]) -> None:
        sign, micro, letter, marks, length = found.group(2, 3, 4, 5, 6)
        if self.waiting or self.behind:
            self._begin()
        duration = self._lengths.get(length) or self._duration(length)
        if self.tuplets or self.ahead:
            duration = self._bent(duration)
            self._use_up()
        place, pitch = self._pitch(sign, micro, letter, marks)
        row, tie = len(self.notes), 0
        if self.tied:
            pitch, tie = self._join(place, pitch, explicit=sign is not None)
            self._leave_ties()
        self.notes.append([self.bar, self.time, duration, self._drum(pitch) if self.drum else pitch, tie])
        self.last = (row, row + 1, self.bar, self.time, duration)
        self.places = {place: row}
        self.time += duration

    def _drum(self, pitch: int) -> int:
        return self.shared.drums.get(pitch, pitch)

    def _leave_ties(self) -> None:
        """Drop and count open ties that found no note of their pitch."""
        if self.tied:
            self.shared.counts["ties"] += len(self.tied)
            self.tied = {}

    def _join(self, place: int, pitch: int, *, explicit: bool) -> tuple[int, int]:
        """(pitch, tie) of a note to which an earlier note may be tied; a tied note takes over the earlier pitch."""
        before = self.tied.get(place)
        if before is None:
            return pitch, 0
        earlier = self.notes[before]
        if explicit and pitch != earlier[3]:
            return pitch, 0
        del self.tied[place]
        earlier[4] |= 1
        return earlier[3], 2

    def _chord(self, found: re.Match[str]) -> None:
        outer = self._duration(inside(found, 2))
        first, places, goes_on = len(self.notes), {}, set()
        length = 0  # of the chord: that of its first note or rest
        for item in CHORD_ITEM.finditer(inside(found, 1)):
            kind = item.lastgroup
            if kind == "tie":
                goes_on.add(len(self.notes) - 1)
            elif kind == "other":
                self.shared.counts["characters"] += 1
            if kind not in ("note", "rest"):
                continue
            if not length and (self.waiting or self.behind):
                self._begin()
            duration = self._duration(item[6] if kind == "note" else item[8])
            if outer != self.unit:
                duration = (2 * duration * outer + self.unit) // (2 * self.unit)
            if self.tuplets or self.ahead:
                duration = self._bent(duration)
            length = length or duration
            if kind == "rest":
                continue
            place, pitch = self._pitch(item[2], item[3], item[4], item[5])
            tie = 0
            if self.tied:
                pitch, tie = self._join(place, pitch, explicit=item[2] is not None)
            places[place] = len(self.notes)
            self.notes.append([self.bar, self.time, duration, self._drum(pitch) if self.drum else pitch, tie])
        if not length:
            return
        self.shared.signs += len(self.notes) - first
        self._use_up()
        self._leave_ties()
        self.last = (first, len(self.notes), self.bar, self.time, length)
        self.places = places
        if goes_on:
            self.tied = {place: row for place, row in places.items() if row in goes_on}
        self.time += length

    def _rest(self, found: re.Match[str]) -> None:
        if self.waiting or self.behind:
            self._begin()
        duration = self._duration(inside(found, 1))
        if self.tuplets or self.ahead:
            duration = self._bent(duration)
            self._use_up()
        self._silence(duration)

    def _silence(self, duration: int) -> None:
        self._leave_ties()
        self.last = (len(self.notes), len(self.notes), self.bar, self.time, duration)
        self.places = {}
        self.time += duration

    def _whole(self, found: re.Match[str]) -> None:
        """Rests of whole bars: `Z4`."""
        if self.waiting or self.behind:
            self._begin()
        count = int(inside(found, 1) or 1)
        numerator, denominator = self.setup.meter if self.setup.meter[0] else (4, 4)
        for i in range(count):
            self._silence(4 * GRID * numerator // denominator)
            if i < count - 1:
                self.close_bar()

    def _tie(self, found: re.Match[str]) -> None:
        if not (self.places or self.tied):
            self.shared.counts["ties"] += 1
        self.tied |= self.places

    def _broken(self, found: re.Match[str]) -> None:
        sign = found[0].strip(" \t`")
        if self.last is None or len(sign) > 3 or self.last[2] != self.bar:
            self.shared.counts["broken"] += 1
            return
        below = 2 ** len(sign)
        above = 2 * below - 1 if sign[0] == ">" else 1
        self.ahead = (2 * below - above, below)
        first, end, bar, onset, length = self.last
        for row in self.notes[first:end]:
            row[2] = (2 * row[2] * above + below) // (2 * below)
        self.last = (first, end, bar, onset, (2 * length * above + below) // (2 * below))
        self.time = onset + self.last[4]

    def _tuplet(self, found: re.Match[str]) -> None:
        p, q, r = (int(inside(found, i) or 0) for i in (1, 2, 3))
        if not p or len(self.tuplets) > 3 or not (q or 2 <= p <= 9):
            self.shared.counts["tuplets"] += 1
            return
        if not q:
            numerator, denominator = self.setup.meter
            q = QUOTIENTS.get(p, 3 if numerator in COMPOUND and denominator >= 8 else 2)
        self.tuplets.append([r or p, q, p])

    def _grace(self, found: re.Match[str]) -> None:
        body = inside(found, 1)
        for item in CHORD_ITEM.finditer(body):
            if item.lastgroup == "note":
                self.shared.counts["graces"] += 1
                self._pitch(item[2], item[3], item[4], item[5])

    # ---- decorations and texts above the notes -------------------------------------------------------------

    def _letter(self, found: re.Match[str]) -> None:
        name = self.shared.symbols.get(found[0].strip(" \t`"))
        if name is None:
            self.shared.counts["characters"] += 1
        else:
            self.decorate(name)

    def _deco(self, found: re.Match[str]) -> None:
        name = inside(found, 1)
        if not self.decorate(name):
            # `!` was a line break in old files: two of them with music between look like a decoration.
            if re.fullmatch(r"[A-Ga-gz\d/,'^_=<>()\-~.]+", name):
                self.music(name)
            else:
                self.shared.counts["decorations"] += 1

    def _plus(self, found: re.Match[str]) -> None:
        """`+..+`, the old syntax of decorations and chords."""
        name = inside(found, 1)
        if not self.decorate(name):
            self.music(f"[{name}]" if re.fullmatch(r"[A-Ga-gz\d/,'^_=\-]+", name) else "#")

    def decorate(self, name: str) -> bool:
        """Apply a decoration, given by name; False for an unknown one."""
        mark = MARKS.get(re.sub(r"[^a-z]", "", name.lower())) if name not in DECORATIONS else None
        if mark is not None:
            self.waiting.append(mark)
        elif name in VELOCITIES:
            self.levels.append((self.bar, self.time, VELOCITIES[name]))
        elif name.startswith('"'):
            self._text(name.strip('"'))
        else:
            return name in DECORATIONS or name.lower() in DECORATIONS
        return True

    def _string(self, found: re.Match[str]) -> None:
        if not found[0].endswith('"') or len(found[0].strip(" \t`")) < 2:
            self.shared.counts["quotes"] += 1
        self._text(inside(found, 1))

    def _text(self, text: str) -> None:
        if text[:1] in "^_<>@":
            self.shared.counts["jumps"] += is_jump(text)
            return
        symbol = chord_symbol(text)
        if symbol is not None and not self.drum and self.shift % 12:
            symbol = transposed_symbol(symbol, self.shift)
        if symbol is not None:
            self.chords.append((self.bar, self.time, symbol))
        else:
            self.shared.counts["jumps" if is_jump(text) else "texts"] += 1

    def _other(self, found: re.Match[str]) -> None:
        self.shared.counts["characters"] += 1


KINDS = {name: getattr(Voice, f"_{name}") for name in TOKEN.groupindex if hasattr(Voice, f"_{name}")}

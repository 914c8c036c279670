"""What is amiss with the form of a whole new tune: it wanders on, doesn't close, or nothing in it returns.

Of several tunes a model draws, the one with the fewest of these is kept, as of takes of notes the one with the fewest
faults (`faults.py`). A tune with some of them is a tune all the same: they are no reason to refuse it.
"""

from __future__ import annotations

import re

import numpy as np

from musicgen.chords import chord_of
from musicgen.piece import Piece
from musicgen.tokenizers.abc.state import AbcState
from musicgen.tokenizers.abc.tokenizer import body_of, header_of
from musicgen.words import counted

__all__ = ["loose_ends", "written_bars"]

SHORTEST, LONGEST = 12, 40  # bars as written
PHRASE = 4  # bars
MOST_STILL = 0.35  # the share of intervals that are none, at most
WANDERS, FORMLESS = 3, 2  # what a tune of another length weighs, and one without repeats: the rest are single slips
FULL = 0.95  # the least share of bars that are as long as the meter says, but for the first and the last
SIGNS = re.compile(r'"[^"]*"|[\s|:\[\]]')


def loose_ends(text: str, piece: Piece) -> dict[str, int]:
    """What is amiss with the form of a tune, in words, and how much it weighs; `piece` is what it sounds like, repeats
    played."""
    bars = written_bars(text)
    count, found = len(bars), {}
    if not SHORTEST <= count <= LONGEST:
        found[f"it has {counted(count, 'bar')}"] = WANDERS
    elif count % PHRASE and (count - 1) % PHRASE:  # a pickup counts, too
        found[f"{count} bars are no whole phrases"] = 1
    inner = [is_full for _, is_full in bars[1:-1]]
    if sum(inner) < FULL * len(inner):
        found["bars aren't full"] = 1
    groups = [tuple(notes for notes, _ in bars[k : k + PHRASE]) for k in range(0, count - PHRASE + 1, PHRASE)]
    if len(set(groups)) == len(groups) and ":|" not in body_of(text):
        found["no phrase returns"] = FORMLESS
    tonic = _tonic(text)
    pitches = piece.tracks[0].notes["pitch"].astype(np.int64) if piece.tracks else np.empty(0, np.int64)
    if len(pitches) and pitches[-1] % 12 != tonic:
        found["its last note isn't the tonic"] = 1
    if len(pitches) > 1 and np.mean(np.diff(pitches) == 0) > MOST_STILL:
        found["it stands still"] = 1
    if len(piece.chords) and int(piece.chords["root"][-1]) != tonic:
        found["its last chord isn't the tonic"] = 1
    head = header_of(text).splitlines()
    if len(set(head)) < len(head):
        found["a line of its header stands twice"] = 1
    return found | {w.partition(":")[0]: 1 for w in piece.warnings if not w.startswith("chord_symbols")}


def written_bars(text: str) -> list[tuple[str, bool]]:
    """(notes, whether it is as long as the meter says) of each bar that holds some, repeats not played."""
    state, bars, notes = AbcState(), [], ""
    state.section = "header"
    for char in text:
        plays = state.section == "body" and not state.after_bar and state.now not in ("symbol", "field", "comment")
        if char in "|:" and plays:
            bars.append((SIGNS.sub("", notes), state.clock.time == state.clock.bar))
            notes = ""
        elif state.section == "body":
            notes += char
        state.take(char)
    return [bar for bar in bars if bar[0]]


def _tonic(text: str) -> int:
    """The pitch class of the tonic that the K: field names; -1 if it names none."""
    found = re.search(r"^K: *([A-G][b#]?)", text, re.MULTILINE)
    chord = chord_of(found[1]) if found else None
    return -1 if chord is None else chord[0]

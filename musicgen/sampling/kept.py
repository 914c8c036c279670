"""What new music keeps to, held against a piece: the masks of a request, and what the steps behind drawing respect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from musicgen.chords import note_name
from musicgen.errors import UsageError
from musicgen.gm import pitch_name, program_family, program_name
from musicgen.piece import NOTE, Piece
from musicgen.sampling.asked import find_parts, program_of
from musicgen.sampling.keeps import AUTO, FROM_FILE, NONE, Keeps
from musicgen.sampling.progressions import chord_bars, chords_of_bars, own_chords
from musicgen.sampling.reprises import motif, rhythms
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.constraints import DRUMS, Mask
from musicgen.tokenizers.constraints.amounts import AtLeast, OwnPolyphony, Velocities
from musicgen.tokenizers.constraints.harmony import ChordBar, Chords
from musicgen.tokenizers.constraints.patterns import Pattern, Patterns
from musicgen.tokenizers.constraints.tones import Kit, LessLikely, Ranges, Scale
from musicgen.tonality import key_of_notes, scale_pitch_classes
from musicgen.words import counted

__all__ = ["BASSES", "Ground", "Kept", "Player", "keep"]

BASSES = frozenset({*range(32, 40), 43, 58, 87})  # programs whose part is the bass
SOUNDS_ON = 1e-3  # a share of less than this is none: a strength of 1 forbids


@dataclass(frozen=True)
class Player:
    """Who is to play: a program, 128 for drums, and the indices of its tracks; none for a new part."""

    program: int
    tracks: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return program_name(self.program)


@dataclass(frozen=True)
class Ground:
    """What a request is held against: the piece; the music that new music is to be like; the ticks of the bar lines of
    all whole new bars, the last of which ends them; the bar of the piece, from 0, that the first of them is; who is to
    play, by number as the tokenizer has it; whether parts are added to what is there."""

    piece: Piece
    like: Piece
    lines: np.ndarray
    first_bar: int
    players: Mapping[int, Player]
    tokenizer: Tokenizer
    adds: bool = False

    @property
    def bars(self) -> int:
        return len(self.lines) - 1

    @property
    def steps(self) -> list[int]:
        """The length of each new bar in grid steps."""
        return [round(ticks / self.per_step) for ticks in np.diff(self.lines).tolist()]

    @property
    def per_step(self) -> float:
        """Ticks in a grid step."""
        return self.piece.ticks_per_quarter / self.tokenizer.steps

    def named(self, name: str, option: str) -> list[int]:
        """The players that a part's name means. Raises UsageError if none of them is to play."""
        parts = set(find_parts(name, self.piece.tracks)) if self.piece.tracks else set()
        found = [n for n, player in self.players.items() if parts & set(player.tracks)]
        if not found and not parts:
            programs = program_family(name) or frozenset({program_of(name)})
            found = [n for n, player in self.players.items() if player.program in programs]
        if not found:
            found = [n for n, p in self.players.items() if not p.tracks and p.program in (program_family(name) or ())]
        if not found:
            playing = ", ".join(player.name for player in self.players.values())
            raise UsageError(f"{option}: {name!r} gets no new notes", hint=f"those who do are {playing}")
        return found


@dataclass(frozen=True, eq=False)
class Kept:
    """What the music of one plan keeps to.

    `masks` hold while it is drawn; `settled` sees that the steps after that, which move notes off the grid and change
    their lengths and velocities, break nothing. `most_notes_a_bar` and `fewest` are None and 0 without a limit.
    """

    masks: tuple[Mask, ...] = ()
    most_notes_a_bar: int | None = None
    fewest: int = 0  # that a bar needs, strokes of patterns included
    velocities: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()
    _lines: np.ndarray | None = None  # ticks that no onset moves across; None: notes may move
    _per_step: float = 1.0
    _short: tuple[float, ...] = ()  # ticks: what is no longer than that stays so
    _strokes: Mapping[tuple[int, int], Mapping[int, int]] = field(default_factory=dict)  # step -> ticks from the line
    _bars: np.ndarray | None = None
    _limited: frozenset[int] = frozenset()  # players whose notes mustn't overlap more than drawn
    _all_limited: bool = False

    def cap(self, usual: int) -> int:
        """The most notes of a bar, where `usual` would be without a limit of its own."""
        return max(usual, self.fewest) if self.most_notes_a_bar is None else self.most_notes_a_bar

    def settled(self, notes: np.ndarray, drawn: np.ndarray, player: np.ndarray) -> np.ndarray:
        """`notes` (NOTE), as they became of the `drawn` ones, of the same length and order, with what is kept to
        restored: velocities are those drawn, no onset has left its bar or chord, no note sounds on longer than its
        mask let it, and onsets of a pattern are exactly those of its bar."""
        out = notes.copy()
        if self.velocities is not None:
            out["velocity"] = np.clip(drawn["velocity"], *self.velocities)
        if not len(out):
            return out
        start, ends = out["start"], out["start"] + out["duration"]
        if self._lines is not None:
            start, ends = self._within_lines(start, ends, drawn, player)
        drawn_ends = drawn["start"] + drawn["duration"]
        groups = [np.ones(len(out), bool)] if self._all_limited else [player == one for one in sorted(self._limited)]
        for mine in groups:
            ends[mine] = np.minimum(ends[mine], _following(start[mine], drawn["start"][mine], drawn_ends[mine]))
        out["start"] = start
        out["duration"] = np.maximum(1, ends - start)
        return out

    def _within_lines(
        self, start: np.ndarray, ends: np.ndarray, drawn: np.ndarray, player: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(onsets, ends) of notes, moved back across no line that the drawn ones were on another side of."""
        assert self._lines is not None
        lines, drawn_ends = self._lines, drawn["start"] + drawn["duration"]
        at = np.searchsorted(lines, drawn["start"], side="right") - 1
        inside = (at >= 0) & (at < len(lines) - 1)
        low, high = lines[np.clip(at, 0, len(lines) - 2)], lines[np.clip(at + 1, 1, len(lines) - 1)]
        moved = np.where(inside, np.clip(start, low, high - 1), np.minimum(start, lines[0] - 1))
        moved = np.where(at >= len(lines) - 1, start, moved)
        moved, fixed = self._on_strokes(moved, drawn, player)
        ends = np.where(fixed, moved + drawn["duration"], ends)
        latest = np.searchsorted(lines, drawn_ends, side="left")
        ends = np.where(latest < len(lines), np.minimum(ends, lines[np.minimum(latest, len(lines) - 1)]), ends)
        for most in self._short:
            ends = np.where(drawn["duration"] <= most, np.minimum(ends, moved + math.floor(most)), ends)
        return moved, ends

    def _on_strokes(self, start: np.ndarray, drawn: np.ndarray, player: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(the onsets, those under a pattern exactly as in its bar; which those are)."""
        start, fixed = start.copy(), np.zeros(len(start), bool)
        if self._strokes:
            assert self._bars is not None
            bar = np.searchsorted(self._bars, drawn["start"], side="right") - 1
            for n in range(len(start)):
                strokes = self._strokes.get((int(player[n]), int(bar[n])))
                if strokes is None:
                    continue
                line = int(self._bars[bar[n]])
                exact = strokes.get(round((int(drawn["start"][n]) - line) / self._per_step))
                if exact is not None:
                    start[n], fixed[n] = line + exact, True
        return start, fixed


def _following(start: np.ndarray, drawn: np.ndarray, drawn_ends: np.ndarray) -> np.ndarray:
    """For each note the earliest onset among those that were drawn at its end or later; start and length are rounded to
    ticks each by itself, so that the end may be one too late."""
    order = np.argsort(drawn, kind="stable")
    earliest = np.append(np.minimum.accumulate(start[order][::-1])[::-1], np.iinfo(np.int64).max)
    found: np.ndarray = earliest[np.searchsorted(drawn[order], drawn_ends - 1, side="left")]
    return found


def keep(keeps: Keeps, ground: Ground) -> Kept:
    """What the new music keeps to. Raises UsageError for what isn't there, and for what can't be had at once."""
    if keeps == Keeps() and not ground.adds:
        return Kept()
    _check_tokenizer(keeps, ground.tokenizer)
    melodic = {n: player for n, player in ground.players.items() if player.program != DRUMS}
    key, warnings = _key(keeps, ground)
    hard_key = key if 1 - keeps.key_strength < SOUNDS_ON else None
    masks: list[Mask] = []
    if key is not None and keeps.key_strength > 0:
        masks.append(Scale(key) if hard_key is not None else LessLikely(key, share=1 - keeps.key_strength))
    ranges = {n: pair for part, pair in keeps.own_ranges.items() for n in ground.named(part, "`ranges`")}
    if ranges or keeps.pitch_range != (0, 127):
        masks.append(Ranges(keeps.pitch_range, ranges))
    _check_ranges(hard_key, keeps, ranges, melodic)
    masks += _kit(keeps, ground)
    most = {n: most for part, most in keeps.own_most.items() for n in ground.named(part, "`polyphony`")}
    if most:
        masks.append(OwnPolyphony(most))
    bars = _chords(keeps, ground, key)
    chords: Chords | None = None
    if bars:
        _check_chords(bars, hard_key, keeps, reach={n: ranges.get(n, keeps.pitch_range) for n in melodic}, who=melodic)
        basses = frozenset(n for n, player in melodic.items() if player.program in BASSES)
        chords = Chords(bars, steps=ground.tokenizer.steps, basses=basses)
        masks.append(chords)
    reprises = rhythms(keeps, ground)
    reprises |= motif(keeps, ground, masks=tuple(masks), scale=key)
    patterns = {at: each.pattern for at, each in reprises.items()}
    if patterns:
        _check_patterns(patterns, ground, keeps, most)
        masks.append(Patterns(patterns, clears=bool(keeps.max_polyphony)))
    fewest, most_notes = _density(keeps, ground, patterns)
    if fewest:
        masks.append(AtLeast(fewest))
    if keeps.velocities is not None:
        masks.append(Velocities(_velocity_values(keeps.velocities, ground.tokenizer)))
    # Without bars there is neither of these, nor a grid.
    timed = bool(bars or patterns or fewest or most_notes is not None or most)
    return Kept(
        tuple(masks),
        most_notes,
        max([fewest, *_strokes_of(patterns, ground)]),
        keeps.velocities,
        tuple(warnings),
        _lines=_edges(ground, bars) if timed else None,
        _per_step=ground.per_step if timed else 1.0,
        _short=_short(bars, ground),
        _strokes={at: each.exact for at, each in reprises.items() if not each.pattern.is_free},
        _bars=ground.lines,
        _limited=frozenset(most),
        _all_limited=bool(keeps.max_polyphony),
    )


# ---- each in turn ----------------------------------------------------------------------------------------


def _check_tokenizer(keeps: Keeps, tokenizer: Tokenizer) -> None:
    """Tokenizers without bars have one part, and can be held to keys alone."""
    if tokenizer.steps and tokenizer.has_programs:
        return
    for option in keeps.asked():
        if option != "`key`":
            what = f"a model with the tokenizer {tokenizer.name} can't be held to {option}"
            raise UsageError(what, hint=f"leave {option} out, or take a model of notes in bars, such as `default`")


def _key(keeps: Keeps, ground: Ground) -> tuple[frozenset[int] | None, list[str]]:
    if keeps.key is None:
        return None, []
    if keeps.key != AUTO:
        return scale_pitch_classes(keeps.key), []
    tables = [np.empty(0, NOTE), *(track.notes for track in ground.like.tracks if not track.is_drum)]
    notes = np.concatenate(tables)
    found = key_of_notes(notes["pitch"], notes["duration"])
    if found is None:
        raise UsageError("`key` auto: no notes are there to find a key by", hint="name a key, as in `key` Am")
    return scale_pitch_classes(found), [f"key: the music there is in {found}"]


def _check_ranges(
    key: frozenset[int] | None, keeps: Keeps, ranges: Mapping[int, tuple[int, int]], melodic: Mapping[int, Player]
) -> None:
    for n, player in melodic.items():
        low, high = ranges.get(n, keeps.pitch_range)
        if key is not None and not {pitch % 12 for pitch in range(low, high + 1)} & key:
            what = f"no note of {keeps.key} lies between {pitch_name(low)} and {pitch_name(high)}, where {player.name}"
            raise UsageError(f"{what} is to play", hint="widen the range, or leave the key")


def _kit(keeps: Keeps, ground: Ground) -> list[Mask]:
    drums = keeps.drums
    if not drums:  # without drums they aren't among the players
        return []
    if all(player.program != DRUMS for player in ground.players.values()):
        raise UsageError("`kit`: no drums get new notes", hint="let drums play, as in `tracks` drums, or leave it out")
    return [Kit(drums)]


def _chords(keeps: Keeps, ground: Ground, key: frozenset[int] | None) -> tuple[ChordBar, ...]:
    wanted = keeps.chords
    if wanted is None and ground.adds and len(ground.piece.chords) and ground.tokenizer.steps:
        wanted = FROM_FILE
    if wanted is None or wanted == NONE:
        return ()
    told = chords_of_bars(wanted, bars=ground.bars) if wanted != FROM_FILE else own_chords(ground)
    return chord_bars(told, ground=ground, key=key)


def _check_chords(
    bars: tuple[ChordBar, ...],
    key: frozenset[int] | None,
    keeps: Keeps,
    *,
    reach: Mapping[int, tuple[int, int]],
    who: Mapping[int, Player],
) -> None:
    for chord in (chord for bar in bars for chord in bar.chords if chord.tones):
        outside = sorted(chord.tones - key) if key is not None else []
        if outside and keeps.chords != FROM_FILE and keeps.chords is not None:
            what = f"the chord {chord.name} has {note_name(outside[0])}, which is outside the key {keeps.key}"
            raise UsageError(what, hint="leave `key` out, or give `key_strength` below 1")
        for n, player in who.items():
            low, high = reach[n]
            needed = {chord.bass} if player.program in BASSES else set(chord.tones)
            needed &= set(key) if key is not None else needed
            if not {pitch % 12 for pitch in range(low, high + 1)} & needed:
                what = f"{player.name} has no note for {chord.name} between {pitch_name(low)} and {pitch_name(high)}"
                raise UsageError(what, hint="widen the range or the key")


def _check_patterns(
    patterns: Mapping[tuple[int, int], Pattern], ground: Ground, keeps: Keeps, most: Mapping[int, int]
) -> None:
    """Raise UsageError where strokes that must sound at once are more than may."""
    if not keeps.max_polyphony:
        return
    for bar in range(ground.bars):
        due = [s for (_, at), each in patterns.items() if at == bar and not each.is_free for s in each.strokes]
        for stroke in due:
            now = stroke.position
            together = sum(s.position <= now < s.position + max(s.lengths, default=1) for s in due)
            if together > keeps.max_polyphony:
                what = f"the borrowed bar has {together} notes at once, and max_polyphony is {keeps.max_polyphony}"
                raise UsageError(what, hint="allow more, or borrow the bar for one part: Bass=5")


def _strokes_of(patterns: Mapping[tuple[int, int], Pattern], ground: Ground) -> list[int]:
    """How many notes the patterns of each new bar make, of all players together."""
    full = [(bar, len(each.strokes)) for (_, bar), each in patterns.items() if not each.is_free]
    return [sum(count for at, count in full if at == bar) for bar in range(ground.bars)]


def _density(keeps: Keeps, ground: Ground, patterns: Mapping[tuple[int, int], Pattern]) -> tuple[int, int | None]:
    wanted = keeps.densities
    if wanted is None:
        return 0, None
    times = 1.0
    if wanted.is_factor:
        tracks = {t for player in ground.players.values() for t in player.tracks}
        times = _notes_a_bar(ground.like, tracks)
        if not times:
            what = "a density of so many times as before, where nothing was before"
            raise UsageError(what, hint="give numbers of notes, as in `density` 4-12")
    low = math.ceil(wanted.low * times)
    high = None if math.isinf(wanted.high) else max(1, math.floor(wanted.high * times))
    if high is not None and low > high:
        what = f"no whole number of notes is {keeps.density} of {times:.1f} notes a bar"
        raise UsageError(what, hint="widen `density`")
    room = min(ground.steps, default=0) * max(1, len(ground.players))
    if low > room:
        raise UsageError(f"no bar holds {counted(low, 'note')}", hint=f"its grid has room for {room}")
    if low > min(ground.steps, default=0):
        what = f"`density`: {counted(low, 'note')} are more than a bar has places for one after another"
        raise UsageError(what, hint=f"{min(ground.steps)} are the most")
    for bar, strokes in enumerate(_strokes_of(patterns, ground)):
        mine = {at: each for at, each in patterns.items() if at[1] == bar}
        if high is not None and strokes > high:
            what = f"the borrowed bar has {counted(strokes, 'onset')}, and the density is {keeps.density}"
            raise UsageError(what, hint="raise `density`, or borrow another bar")
        if len(mine) == len(ground.players) and low > len({s.position for each in mine.values() for s in each.strokes}):
            what = f"the borrowed bar has fewer onsets than a density of {keeps.density} needs"
            raise UsageError(what, hint="lower `density`, or borrow another bar")
    return low, high


def _notes_a_bar(piece: Piece, tracks: Iterable[int]) -> float:
    """The mean number of notes in the bars of a piece in which some of these tracks begin one."""
    starts = np.concatenate([np.empty(0, np.int64), *(piece.tracks[t].notes["start"] for t in tracks)])
    if not len(starts):
        return 0.0
    lines, _ = piece.bar_starts(int(starts.max()))
    return len(starts) / len(np.unique(np.searchsorted(lines, starts + 0.5, side="right")))


def _velocity_values(velocities: tuple[int, int], tokenizer: Tokenizer) -> np.ndarray:
    """Boolean: the velocity values whose middle is in the range; else the one that holds the middle of the range."""
    low, high = velocities
    step = tokenizer.velocity_step
    first = np.arange(0, 128, step)
    found: np.ndarray = (first + step // 2 >= low) & (first + step // 2 <= high)
    if not found.any():
        found[(low + high) // 2 // step] = True
    return found


def _edges(ground: Ground, bars: tuple[ChordBar, ...]) -> np.ndarray:
    """The ticks of bar lines and of changes of chord."""
    changes = [
        round(float(line) + chord.begin * ground.per_step)
        for line, bar in zip(ground.lines.tolist(), bars, strict=False)
        for chord in bar.chords
    ]
    return np.unique(np.concatenate([ground.lines, np.array(changes, np.int64)]))


def _short(bars: tuple[ChordBar, ...], ground: Ground) -> tuple[float, ...]:
    """The ticks of an eighth and of a beat, which passing notes don't exceed."""
    if not bars:
        return ()
    return (ground.piece.ticks_per_quarter / 2, min(bar.beat for bar in bars) * ground.per_step)

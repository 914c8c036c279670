"""Notes played as if by hands: loudness, timing and pedal for parts that have none.

take = musicgen.humanise("song.mid", seed=3)
take.save("song.humanised.mid")                       # and its facts beside it, as song.humanised.json

Pitches, and the order of the notes, stay; so does every other event of the file, tick for tick. The beat stays where
the tempo map has it; with `rubato` the map is another one, and bars and beats are on the ticks that they were on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.expression.examples import OUTPUTS
from musicgen.expression.players import Player, players_of
from musicgen.expression.playing import Played, pedalled, play, seconds_a_tick
from musicgen.expression.rubato import rubato_tempos
from musicgen.io import SCORE_SUFFIXES
from musicgen.io.controllers import SUSTAIN
from musicgen.io.midi import UNLIMITED, piece_and_homes, resolution
from musicgen.io.retempo import with_tempos
from musicgen.io.retiming import Changes, finer, retimed
from musicgen.licences import shipping_of
from musicgen.piece import NOTE, Piece
from musicgen.runs.expression import ExpressionRun, load_expression
from musicgen.sampling.asked import find_parts, listed
from musicgen.sampling.request import part_names
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.seeds import checked_seed
from musicgen.tokenizers.bars.voices import is_played

__all__ = ["HUMANISE", "STRENGTH", "Humaniser", "humanise"]

HUMANISE = "humanise"  # the model that comes along
STRENGTH = 0.7
COARSEST = 96  # ticks a quarter; below, a tick is longer than most of what timing is about
FINE = 480  # of scores, which have no ticks of their own
REACH_S = 0.06  # no onset moves farther
LOUDEST = 124
PIANOS = range(6)  # General MIDI's, without harpsichord and clavi
# A part has a loudness of its own where it has that many velocities, and that share of its notes changes it.
LEAST_VELOCITIES, LEAST_CHANGES = 9, 0.35


def humanise(
    piece: Piece | Source | str | os.PathLike[str],
    *,
    strength: float = STRENGTH,
    seed: int = 0,
    tracks: str | Sequence[str | int] = (),
    pedal: bool = True,
    rubato: float = 0.0,
    model: str | os.PathLike[str] = HUMANISE,
) -> Take:
    """Give notes loudness and timing as performers would, and a piano its pedal.

    `piece` is a path to a MIDI file or score, the name of a bundled piece, or a `Piece`. `strength` is from 0 (the
    notes as they are) to 1 (as far as performers go). `tracks` are the parts to change, as for
    `Composer.continue_`; without them those that have no loudness or timing of their own. `pedal` adds the sustain
    pedal to pianos that have none. `rubato`, from 0 to 1, bends the tempo of the whole piece, beat by beat: at 1 as far
    as pianists do.

    Raises UnreadableError for a file that can't be read, UsageError for a strength or rubato out of range, for rubato
    in a file that counts in seconds, and for a piece in which there is nothing to do.

    >>> humanise("schubert-unfinished", strength=2)
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: ...
    """
    if not isinstance(piece, Source):
        piece = Source.of_piece(piece) if isinstance(piece, Piece) else Source.read(piece)
    run, names = load_expression(model), part_names(tracks)
    return Humaniser(run, piece, strength=strength, tracks=names, pedal=pedal, rubato=rubato).take(seed)


@dataclass(frozen=True)
class _Wanted:
    """A player, and which of its sides are to be changed."""

    player: Player
    velocity: bool
    timing: bool
    pedal: bool


class Humaniser:
    """One piece and one model, of which takes are drawn."""

    def __init__(
        self,
        run: ExpressionRun,
        source: Source,
        *,
        strength: float,
        tracks: Sequence[str] = (),
        pedal: bool = True,
        rubato: float = 0.0,
    ) -> None:
        """Raises UsageError for a strength or rubato out of range, for rubato in a file that counts in seconds, for an
        unknown part, and where there is nothing to do."""
        self.strength, self.rubato = _share("strength", strength), _share("rubato", rubato)
        self.run, self.tracks, self.pedal = run, tuple(tracks), pedal
        self.source = _with_ticks(source)
        self.piece = self.source.encoded_piece
        self.warnings = list(self.piece.warnings)
        self._asked = self._parts_asked()
        self._coarse = self.piece.ticks_per_quarter < COARSEST
        if self._coarse:
            self.warnings.append(
                f"coarse: {self.piece.ticks_per_quarter} ticks a quarter are too few for timing; only loudness changes"
            )
        self._wanted = self._to_do()
        if self.rubato and resolution(self.source.midi.division)[1] is not None:
            what = "the file counts in seconds and has no tempo that could bend"
            raise UsageError(what, where=self.source.name, hint="leave the rubato out")
        if self.rubato and all(track.is_drum for track in self.piece.tracks if len(track.notes)):
            self.warnings.append("rubato: drums alone keep their tempo")

    def take(self, seed: int) -> Take:
        """The take of one seed: a function of it, the piece and the settings."""
        generator = np.random.default_rng(checked_seed(seed))
        played = [self._played(one.player, generator) for one in self._wanted] if self.strength else []
        lower = self._lower(played)
        arrays: list[Changes | None] = [None] * len(self.piece.tracks)
        controls: list[tuple[int, int, np.ndarray]] = []
        for one, how in zip(self._wanted, played, strict=False):
            self._change(arrays, one, how, lower)
            if one.pedal and how.pedal is not None:
                controls += self._pedal(one.player, how.pedal)
        midi = self.source.midi
        if played:
            midi = retimed(midi, arrays, reach=self._reach, controls=controls)
        if self.rubato:
            midi = with_tempos(midi, rubato_tempos(self.piece, depth=self.rubato))
        after, _ = piece_and_homes(midi, limits=UNLIMITED)
        changed = [part for part, one in enumerate(arrays) if one is not None]
        new = [after.tracks[part].notes for part in changed]
        facts = {
            "model": self.run.name,
            "model_sha256": self.run.sha256,
            "seed": seed,
            "settings": {
                "strength": self.strength,
                "tracks": list(self.tracks),
                "pedal": self.pedal,
                "rubato": self.rubato,
            },
            "source": self.source.name,
            "source_sha256": self.source.sha256,
            "ticks_per_quarter": after.ticks_per_quarter,
            "notes_kept": after.n_notes,
            "notes_changed": sum(_differing(self.piece.tracks[p].notes, after.tracks[p].notes) for p in changed),
            "pedal_changes": sum(len(rows) for _, _, rows in controls),
            "level_lowered": -lower,
            "seconds": [round(self.piece.seconds, 1), round(after.seconds, 1)],
            "parts": [self._told(part, after) for part in range(len(after.tracks))],
            "warnings": self.warnings,
            "licence": self.run.card.get("licence", "unknown"),
            "shipping": shipping_of(self.run.card).to_dict(),
        }
        inputs = () if self.source.path is None else (self.source.path,)
        files = tuple(sorted(path for path in self.run.folder.iterdir() if path.is_file()))
        notes = np.concatenate(new) if new else np.empty(0, NOTE)
        return Take(midi, midi, after, notes, facts, (), inputs=(*inputs, *files))

    # ---- what is to be done ----------------------------------------------------------------------

    def _parts_asked(self) -> frozenset[int]:
        found: set[int] = set()
        for name in self.tracks:
            parts = find_parts(name, self.piece.tracks)
            if not parts:
                raise UsageError(f"no part plays {name!r}", hint="`musicgen inspect` lists the parts")
            found |= set(parts)
        return frozenset(found)

    def _to_do(self) -> list[_Wanted]:
        if not self.piece.n_notes:
            raise UsageError("there are no notes", where=self.source.name, hint="give a piece that has some")
        wanted = []
        for player in players_of(self.piece, parts=self._asked or None):
            tracks = tuple(self.piece.tracks[part] for part in player.parts)
            velocity = bool(self._asked) or not _has_loudness(player.notes["velocity"])
            timing = not self._coarse and (bool(self._asked) or not is_played(replace(self.piece, tracks=tracks)))
            sustained = any((track.controls["number"] == SUSTAIN).any() for track in tracks)
            is_piano = not player.is_drummer and tracks[0].program in PIANOS
            pedal = self.pedal and is_piano and not sustained and timing
            if velocity or timing:
                wanted.append(_Wanted(player, velocity, timing, pedal))
            if not velocity or not (timing or self._coarse):
                kept = " and ".join(["loudness"] * (not velocity) + ["timing"] * (not timing and not self._coarse))
                names = ", ".join(listed(part, self.piece.tracks[part]) for part in player.parts)
                self.warnings.append(f"played: {names} has {kept} of its own, which stays; `tracks` changes it")
        if not wanted:
            what = "every part has loudness and timing of its own"
            raise UsageError(what, where=self.source.name, hint="name the parts to change all the same, with `tracks`")
        return wanted

    @cached_property
    def _reach(self) -> int:
        """The most ticks by which an onset may move: at the fastest tempo, so that it is REACH_S at the most there."""
        slowest_s = float(seconds_a_tick(self.piece, np.array([0.0])).max())
        return max(1, round(REACH_S / slowest_s))

    # ---- drawing ---------------------------------------------------------------------------------

    def _played(self, player: Player, generator: np.random.Generator) -> Played:
        name = "drums" if player.is_drummer else "pitched"
        performer = self.run.performers[name]
        found = performer.model.chances(torch.from_numpy(player.features))
        chances = {key: value.numpy().astype(np.float64) for key, value in zip(OUTPUTS[name], found, strict=True)}
        return play(player, chances, performer.habits, generator=generator)

    def _lower(self, played: Sequence[Played]) -> int:
        """By how much all velocities are lowered, so that accents fit above: a negative number, or 0."""
        most = 0.0
        for one, how in zip(self._wanted, played, strict=False):
            if one.velocity:
                high = one.player.notes["velocity"] + self.strength * how.velocity
                most = max(most, float(np.quantile(high, 0.95)) - LOUDEST)
        return -round(most)

    def _change(self, arrays: list[Changes | None], one: _Wanted, how: Played, lower: int) -> None:
        """Put what a player does into the arrays of its parts."""
        player = one.player
        before = player.notes["velocity"].astype(np.int64)
        velocity = np.rint(before + self.strength * how.velocity).astype(np.int64) if one.velocity else before
        ticks = self.strength * how.late_s / seconds_a_tick(self.piece, player.onset_s)
        shift = np.rint(ticks).astype(np.int64) if one.timing else np.zeros(len(before), np.int64)
        for part in player.parts:
            mine = player.part == part
            order = np.argsort(player.index[mine])
            arrays[part] = Changes(np.clip(velocity[mine][order] + lower, 1, 127), shift[mine][order])

    def _pedal(self, player: Player, pedal: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
        """The pedal on each channel that the player's parts use, at the track of the first part on it."""
        rows = pedalled(self.piece, player, pedal, self.run.performers["pitched"].habits)
        homes: dict[int, int] = {}
        for part in player.parts:
            track, channel = self.source.homes[part]
            homes.setdefault(channel, track)
        return [(track, channel, rows) for channel, track in homes.items()] if len(rows) else []

    # ---- telling ---------------------------------------------------------------------------------

    def _told(self, part: int, after: Piece) -> dict[str, Any]:
        """What became of one part: mean and spread of its velocities, and how far its onsets moved in
        the tempo that was."""
        old, new = self.piece.tracks[part].notes, after.tracks[part].notes
        old_s, new_s = (np.sort(self.piece.to_seconds(notes["start"])) for notes in (old, new))
        moved = 1000 * (new_s - old_s)
        said = {"part": part + 1, "name": self.piece.tracks[part].name}
        for key, notes in (("velocity_before", old), ("velocity", new)):
            velocity = notes["velocity"]
            said[key] = [round(float(velocity.mean()), 1), round(float(velocity.std()), 1)]
        return {**said, "moved_ms": round(float(np.sqrt((moved**2).mean())), 1)}


def _share(name: str, value: float) -> float:
    """`value` if it is from 0 to 1. Raises UsageError for any other."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"the {name} is {value!r}", hint="give a number from 0 to 1")
    return float(value)


def _with_ticks(source: Source) -> Source:
    """A score's own resolution may be a few ticks a quarter: its MIDI gets more. A MIDI file keeps what it has."""
    is_score = source.path is not None and source.path.suffix.lower() in SCORE_SUFFIXES
    factor = -(-FINE // source.piece.ticks_per_quarter)
    if not is_score or factor < 2 or source.midi.division * factor > 0x7FFF:
        return source
    midi = finer(source.midi, factor)
    piece, homes = piece_and_homes(midi, limits=UNLIMITED)
    return replace(source, midi=midi, piece=replace(piece, warnings=source.piece.warnings), homes=homes)


def _has_loudness(velocity: np.ndarray) -> bool:
    """Whether the velocities of a player are those of a performance: many, and changing from note to note."""
    if len(velocity) < 2:
        return False
    changes = float((velocity[1:] != velocity[:-1]).mean())
    return len(np.unique(velocity)) >= LEAST_VELOCITIES and changes >= LEAST_CHANGES


def _differing(old: np.ndarray, new: np.ndarray) -> int:
    """How many of a part's notes are others than before, note for note in the order of their pitches' onsets."""
    pairs = []
    for notes in (old, new):
        order = np.lexsort((notes["start"], notes["pitch"]))
        pairs.append(notes[order])
    return int((pairs[0] != pairs[1]).sum())

"""A melody with chords under it, or with three voices below.

take = musicgen.harmonise("tune.mid", model="runs/chords")
take.save("tune.harmonised.mid")                      # and its facts beside it, as tune.harmonised.json

The melody stays, and every other event of the file, tick for tick; new parts stand on tracks of their own. The facts
tell chords as symbols by bar and beat, and a tune as ABC has them over its notes.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import TaskRun, load_task_run
from musicgen.errors import UsageError
from musicgen.io.midi import UNLIMITED, piece_and_homes
from musicgen.io.splice import NewPart, alone, splice
from musicgen.licences import shipping_of
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.models.tasks.translator import Translator
from musicgen.piece import Piece, Span, Track
from musicgen.sampling.asked import find_parts, listed
from musicgen.sampling.source import Source
from musicgen.sampling.take import Take
from musicgen.seeds import checked_seed
from musicgen.tasks.translate.alphabet import places
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.figures import voice_leading
from musicgen.tasks.translate.harmony import fifths_of
from musicgen.tasks.translate.pairs import PER_QUARTER, Pair, line_of, source_pair
from musicgen.tasks.translate.voicing import chord_notes, symbols, voice_notes
from musicgen.tokenizers.abc.spelling import spell_tune

__all__ = ["Harmoniser", "harmonise"]

VOICES = ("Alto", "Tenor", "Bass")
PIANO = 0
BEAM = Search()


def harmonise(
    piece: Piece | Source | str | os.PathLike[str],
    *,
    model: str | os.PathLike[str],
    melody: str = "",
    search: Search = BEAM,
    seed: int = 0,
) -> Take:
    """Write chords under a melody, or alto, tenor and bass, as the model has learned.

    `piece` is a path to a MIDI file or score, the name of a bundled piece, or a `Piece`. `model` is a run of
    `musicgen train --task translate`. `melody` names the part to harmonise where there are several. `seed` draws the
    take if the `search` samples.

    Raises UnreadableError for a file or run that can't be read, UsageError for a piece without a melody.

    >>> harmonise("tune.mid", model="runs/chords").save("tune.harmonised.mid")  # doctest: +SKIP
    """
    source = Source.of(piece)
    return Harmoniser(load_task_run(model, task="translate"), source, melody=melody).take(seed, search=search)


class Harmoniser:
    """One melody and one model, of which takes are made."""

    def __init__(self, run: TaskRun, source: Source, *, melody: str = "") -> None:
        """Raises UsageError for a piece without a melody, and for one of several parts where none is named."""
        self.run, self.source = run, source
        self.piece = source.encoded_piece
        self.part = self._melody(melody)
        self.warnings = list(self.piece.warnings)
        self.pair = source_pair(self.piece, line_of(self.piece, self.track), voices=1 if self.is_chords else 3)
        if (lost := len(self.track.notes) - len(self.pair.notes_N3)) > 0:
            self.warnings.append(f"line: of the melody the highest line is read, without {lost} notes below it")

    @property
    def model(self) -> Translator:
        """The run's model."""
        model = self.run.model
        assert isinstance(model, Translator)  # as `load_task_run` has checked
        return model

    @property
    def is_chords(self) -> bool:
        """Whether chords are written, and not voices."""
        return self.model.task.pair == CHORDS

    @property
    def track(self) -> Track:
        """The melody's part."""
        return self.piece.tracks[self.part]

    def take(self, seed: int, *, search: Search) -> Take:
        """The take of one seed: a function of it, the model, the piece and the search."""
        generator = torch.Generator().manual_seed(checked_seed(seed))
        pair, nats = translate(self.model, self.pair, search=search, generator=generator)
        parts = self._parts(pair)
        midi, end = self.source.midi, max(self.piece.end, 1)
        end = max(end, *(int((part.notes["start"] + part.notes["duration"]).max(initial=0)) for part in parts))
        midi = splice(midi, parts, span=Span(0, end, is_open=False), homes=())
        piece, _ = piece_and_homes(midi, limits=UNLIMITED)
        notes = np.concatenate([part.notes for part in parts])
        count = len(self.piece.tracks)
        facts = {
            "model": self.run.name,
            "model_sha256": self.run.sha256,
            "seed": seed,
            "settings": {"pair": self.model.task.pair, "melody": self.part + 1, **_told(search)},
            "source": self.source.name,
            "source_sha256": self.source.sha256,
            "ticks_per_quarter": piece.ticks_per_quarter,
            "parts_written": [part.name for part in parts],
            "part_numbers": list(range(count + 1, len(piece.tracks) + 1)),
            "notes_kept": self.piece.n_notes,
            "notes_added": len(notes),
            "nats_per_step": round(nats / max(1, len(pair.steps_M2)), 4),
            **self._music(pair),
            "warnings": self.warnings,
            "licence": self.run.card.get("licence", "unknown"),
            "shipping": shipping_of(self.run.card).to_dict(),
        }
        inputs = () if self.source.path is None else (self.source.path,)
        files = () if self.run.folder is None else tuple(p for p in sorted(self.run.folder.iterdir()) if p.is_file())
        new = alone(self.piece, parts, cut=0)
        return Take(midi, new, piece, notes, facts, (), text=self._text(pair), inputs=(*inputs, *files))

    # ---- what is asked ---------------------------------------------------------------------------

    def _melody(self, name: str) -> int:
        tracks = self.piece.tracks
        playing = [n for n, track in enumerate(tracks) if len(track.notes) and not track.is_drum]
        if not playing:
            raise UsageError("there is no melody", where=self.source.name, hint="give a piece with notes")
        if name:
            found = [n for n in find_parts(name, tracks) if n in playing]
            if len(found) != 1:
                what = f"{len(found)} parts with notes are {name!r}"
                raise UsageError(
                    what, where="`melody`", hint="name one of them by its number; `musicgen inspect` has it"
                )
            return found[0]
        if len(playing) > 1:
            names = ", ".join(listed(n, tracks[n]) for n in playing[:8])
            what = f"there are {len(playing)} parts: {names}"
            raise UsageError(what, where=self.source.name, hint="say which one is the melody with `melody`")
        return playing[0]

    # ---- what comes of it ------------------------------------------------------------------------

    def _parts(self, pair: Pair) -> list[NewPart]:
        quarter = self.piece.ticks_per_quarter
        if self.is_chords:
            return [NewPart(chord_notes(pair, ticks_per_quarter=quarter), PIANO, False, name="Chords")]
        velocity = round(float(self.track.notes["velocity"].mean()))
        return [
            NewPart(
                voice_notes(pair, voice, ticks_per_quarter=quarter, velocity=velocity), self.track.program, False,
                name=name,
            )
            for voice, name in enumerate(VOICES)
        ]  # fmt: skip

    @property
    def _fifths(self) -> int:
        """The key signature: the piece's own, or that of the key that its melody's notes are in."""
        if len(self.piece.keys):
            return int(self.piece.keys["fifths"][0])
        return fifths_of(self.pair.notes_N3)

    def _music(self, pair: Pair) -> dict[str, Any]:
        """Facts of the music: chords as [bar, beat in quarters, symbol], counted from 1; or how the voices move."""
        if not self.is_chords:
            return {"voice_leading": {name: round(value, 4) for name, value in voice_leading([pair]).items()}}
        rows = symbols(pair, ticks_per_quarter=PER_QUARTER, fifths=self._fifths)
        bars, positions, _ = places(pair, rows["tick"])
        told = zip(bars.tolist(), positions.tolist(), rows["symbol"].tolist(), strict=True)
        return {"chords": [[bar + 1, round(1 + at / PER_QUARTER, 3), symbol] for bar, at, symbol in told]}

    def _text(self, pair: Pair) -> str | None:
        """The tune with its chords as ABC; None for voices, which it can't hold."""
        if not self.is_chords:
            return None
        chords = symbols(pair, ticks_per_quarter=self.piece.ticks_per_quarter, fifths=self._fifths)
        return spell_tune(replace(self.piece, tracks=(self.track,), chords=chords), title=_title(self.source))


def _title(source: Source) -> str:
    """The title that an ABC tune has, else the file's name."""
    written = re.search(r"^T[ \t]*:(.*)$", source.text or "", re.MULTILINE)
    return " ".join((written[1] if written else Path(source.name).stem).split()) or "Untitled"


def _told(search: Search) -> dict[str, Any]:
    """The settings of a search as far as they mean something."""
    told: dict[str, Any] = {"search": search.kind, "crossing": search.crossing, "parallels": search.parallels}
    if search.kind == "beam":
        told["width"] = search.width
    if search.kind == "sample":
        told |= {key: value for key, value in asdict(search.sampling).items() if key in ("temperature", "top_p")}
    return told

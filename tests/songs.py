"""A song in four parts, and a composer with a fake model of uniform logits, so that only masks shape what it draws."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from part_pieces import PARTS

from musicgen.composer import Composer
from musicgen.models import ModelSettings, SequenceModel
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array

BAR = 1920


class Uniform(SequenceModel):
    """Every value of a field is as likely as any other, but a bar line likelier, so that bars end."""

    embedding = None

    def __init__(self) -> None:
        super().__init__(ModelSettings("uniform", vocabulary_size=len(PARTS.vocabulary), context=256))
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def read(self, ids, state=None):
        return torch.zeros(*ids.shape[:2], 1), None

    def scores(self, hidden_BC, state=None):
        def logits_BK(number: int) -> np.ndarray:
            field = PARTS.fields[number]
            logits = torch.zeros(len(hidden_BC), field.size)
            bar = PARTS.vocabulary.id("bar") - field.first
            if 0 <= bar < field.size:
                logits[:, bar] = 2.5
            return logits

        return SimpleNamespace(logits_BK=logits_BK, take=lambda field, ids_B: None)


def composer(tokenizer=PARTS) -> Composer:
    run = SimpleNamespace(
        model=Uniform(), tokenizer=tokenizer, name="fake", sha256="0", folder=None, card={"licence": "none"}
    )
    return Composer(run, device="cpu")


def song(*, tonic: int = 0, minor: bool = False, bars: int = 12) -> Piece:
    """A melody over a bass line and chords, with drums: I IV V I, all in one key."""
    scale = (0, 2, 3, 5, 7, 8, 11) if minor else (0, 2, 4, 5, 7, 9, 11)
    roots = (0, 3, 4, 0)
    melody, bass, chords, kit = [], [], [], []
    for bar in range(bars):
        root = roots[bar % 4]
        bass += [(bar * BAR + half * 960, 900, 36 + tonic + scale[root], 80) for half in range(2)]
        chords += [(bar * BAR, 1900, 60 + tonic + scale[(root + third) % 7], 70) for third in (0, 2, 4)]
        melody += [(bar * BAR + i * 480, 470, 72 + tonic + scale[(root + 2 * i) % 7], 90) for i in range(4)]
        kit += [(bar * BAR + i * 480, 100, (36, 38)[i % 2], 90) for i in range(4)]
    tracks = (
        Track("Melody", 40, notes=notes_array(melody)),
        Track("Bass", 33, notes=notes_array(bass)),
        Track("Piano", 0, notes=notes_array(chords)),
        Track("Kit", 0, True, notes_array(kit)),
    )
    return Piece(480, tracks, np.array([(0, 500_000)], TEMPO), np.array([(0, 4, 4)], METER))

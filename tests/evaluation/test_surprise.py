"""The surprise of notes sums to the nats of the piece, each note has one, and a wrong note of a tune stands out."""

from __future__ import annotations

import memory_models
import numpy as np
import pytest
import torch
from part_pieces import PARTS, random_piece, tune

from musicgen.errors import UsageError
from musicgen.evaluation.likelihood import field_nats, step_nats
from musicgen.evaluation.surprise import KINDS, surprise
from musicgen.models import ModelSettings, build_model
from musicgen.piece import Piece, Track, notes_array
from musicgen.scoring import Scoring
from musicgen.tokenizers import Frames, FramesSettings, Notes, Performance, Remi

PITCH = KINDS.index("pitch")


def small(tokenizer, *, seed: int = 1):
    fields = tuple((f.first, f.size) for f in tokenizer.fields) if len(tokenizer.fields) > 1 else ()
    settings = ModelSettings("gru", len(tokenizer.vocabulary), width=16, layers=1, fields=fields)
    model = build_model(settings, seed=seed)
    with torch.no_grad():  # fields and places that differ clearly
        generator = torch.Generator().manual_seed(seed)
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model.eval()


MODELS = {
    "notes": (Notes(), lambda: small(Notes())),
    "remi": (Remi(), lambda: small(Remi())),
    "parts": (PARTS, lambda: small(PARTS)),
    "parts with a memory, in windows": (PARTS, lambda: memory_models.build("transformer")),
}
# Unisons of one program, drums, meters that change; several windows.
PIECES = {
    "a tune": tune(3),
    "long bars": tune(4, long_bars=True),
    "anywhere": random_piece(5, meters=[(0, 3, 4), (2880, 5, 8)]),
}


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize(("tokenizer", "build"), MODELS.values(), ids=MODELS)
def test_notes_and_the_rest_sum_to_the_nats_of_the_piece(tokenizer, build, piece):
    model = build()
    got = surprise(model, piece, tokenizer=tokenizer)
    ids = tokenizer.encode(piece).astype(np.int64)
    whole = step_nats(model, ids, Scoring.of(tokenizer)).sum()
    assert got.nats.sum() + got.other == pytest.approx(whole, rel=1e-9)
    assert 0 < got.other < whole
    assert (got.nats_NK[:, PITCH] > 0).all()


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize(("tokenizer", "build"), MODELS.values(), ids=MODELS)
def test_every_note_that_is_read_has_one_value_and_is_a_note_of_the_piece(tokenizer, build, piece):
    got = surprise(build(), piece, tokenizer=tokenizer)
    assert len(got.nats) == tokenizer.count_notes(tokenizer.encode(piece)) == piece.n_notes - got.merged
    there = {(*note[:3], n) for n, track in enumerate(piece.tracks) for note in track.notes.tolist()}
    told = list(zip(*(x.tolist() for x in (got.tick, got.duration, got.pitch, got.track)), strict=True))
    assert set(told) <= there
    assert len(set(told)) == len(told)
    assert np.array_equal(np.lexsort((got.pitch, got.track, got.tick)), np.arange(len(got.tick)))


def test_the_values_are_those_of_the_fields_that_tell_of_the_note():
    """By hand, for one note: its onset and part stand in the row before it."""
    model, piece = small(PARTS), tune(3)
    got = surprise(model, piece, tokenizer=PARTS)
    ids = PARTS.encode(piece).astype(np.int64)
    nats_TF = field_nats(model, ids, Scoring.of(PARTS))
    n = 5
    row = int(got.at[n]) + 1
    assert ids[row, 0] in (PARTS.vocabulary.base["pitch"] + got.pitch[n], PARTS.vocabulary.base["drum"] + got.pitch[n])
    by_hand = [*nats_TF[row - 1, :3], *nats_TF[row - 2, 3:5]]
    assert got.nats_NK[n].tolist() == pytest.approx(by_hand)


def test_the_planted_note_of_a_tune_that_was_learned_ranks_first():
    pattern = [60, 64, 67, 64] * 12
    tokenizer = Notes()

    def written(pitches: list[int]) -> Piece:
        return Piece(480, (Track(notes=notes_array([(240 * i, 240, pitch, 80) for i, pitch in enumerate(pitches)])),))

    fields = tuple((f.first, f.size) for f in tokenizer.fields)
    model = build_model(ModelSettings("gru", len(tokenizer.vocabulary), width=32, layers=1, fields=fields), seed=1)
    ids = torch.from_numpy(tokenizer.encode(written(pattern)).astype(np.int64))[None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        model.nats(ids[:, :-1], ids[:, 1:], pad=0)[0].mean().backward()
        optimizer.step()
    planted = list(pattern)
    planted[26] = 65
    got = surprise(model, written(planted), tokenizer=tokenizer)
    first = int(got.ranked[0])
    assert (got.tick[first], got.pitch[first]) == (26 * 240, 65)
    assert got.nats_NK[first, PITCH] > 10 * np.median(got.nats_NK[:, PITCH])


@pytest.mark.parametrize("tokenizer", [Frames(FramesSettings(2, "descending", 0)), Performance()], ids=lambda t: t.name)
def test_a_tokenizer_that_tells_no_notes_in_bars_is_refused(tokenizer):
    with pytest.raises(UsageError, match="doesn't tell notes one by one") as error:
        surprise(small(Notes()), tune(3), tokenizer=tokenizer)
    assert "parts, notes or remi" in str(error.value.hint)


def test_a_piece_without_notes_is_refused():
    with pytest.raises(UsageError, match="no notes"):
        surprise(small(Notes()), Piece(480, (Track(),)), tokenizer=Notes())

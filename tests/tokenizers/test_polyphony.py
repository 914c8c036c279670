"""No more notes sound at once than were asked for, those of the prompt included, as the decoded music has them."""

from __future__ import annotations

import numpy as np
import pytest
from limits import limited
from part_pieces import tune_rows

from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import Frames, Notes, Parts, Performance, Remi
from musicgen.tokenizers.constraints import Anchor, Constraints

BARS = [Notes(), Remi(), Parts()]
ALL = pytest.mark.parametrize("tokenizer", [*BARS, Performance(), Frames()], ids=lambda each: each.name)


def random_piece(rng: np.random.Generator) -> Piece:
    """Chords and long notes of two parts, some of which sound over many bars."""
    tracks = []
    for program in (0, 40):
        count = int(rng.integers(5, 25))
        starts = np.sort(rng.integers(0, 4 * 1920, count)) // 20 * 20
        lengths = rng.choice((100, 480, 1900, 4000, 7000), count)
        rows = zip(starts.tolist(), lengths.tolist(), rng.integers(40, 90, count).tolist(), [80] * count, strict=True)
        tracks.append(Track("", program, notes=notes_array(list(rows))))
    return Piece(480, tuple(tracks))


def walk(walker, tokenizer, rng: np.random.Generator, *, most: int) -> list[int]:
    """Draws from what is allowed, kinds first."""
    ids: list[int] = []
    while len(ids) < most:
        choices = np.flatnonzero(walker.allowed())
        kinds = tokenizer.vocabulary.kind_of_id[choices]
        token = int(rng.choice(choices[kinds == rng.choice(np.unique(kinds))]))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    return ids


def most_at_onsets(start: np.ndarray, end: np.ndarray, *, new: np.ndarray) -> int:
    """The most notes that sound at the onset of a new note."""
    return max((int(((start <= t) & (end > t)).sum()) for t in np.unique(start[new])), default=0)


def shaped(ids: list[int], tokenizer) -> np.ndarray:
    fields = len(tokenizer.fields)
    padded = ids + [0] * (-len(ids) % fields)
    return np.array(padded) if fields == 1 else np.array(padded).reshape(-1, fields)


@ALL
@pytest.mark.parametrize("most", [1, 3])
def test_notes_that_sound_on_from_a_prompt_are_counted(tokenizer, most):
    found = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        ids = tokenizer.encode(random_piece(rng))
        # A prompt with notes that sound on: up to the beginning of a bar, or for other tokenizers to anywhere.
        if tokenizer in BARS:
            end = int(rng.choice(tokenizer.bar_positions(ids)[1:])) + (2 if ids.ndim == 1 else 1)
        else:
            end = int(rng.integers(1, len(ids)))
        prompt = ids[:end].ravel().tolist()
        walker = tokenizer.grammar()
        for token in prompt:
            walker.advance(token)
        walker.constrain(limited(max_polyphony=most, may_end=False, bars=6, max_notes_a_bar=20))
        ids = prompt + walk(walker, tokenizer, rng, most=600 if len(tokenizer.fields) == 1 else 1200)
        notes, old = (tokenizer.decode(shaped(each, tokenizer)) for each in (ids, prompt))
        table = np.concatenate([track.notes for track in notes.tracks])
        known = {(n["start"], n["pitch"]) for track in old.tracks for n in track.notes}
        new = np.array([(n["start"], n["pitch"]) not in known for n in table], bool)
        found += int(new.sum())
        assert most_at_onsets(table["start"], table["start"] + table["duration"], new=new) <= most
    assert found > 20


@pytest.mark.parametrize("kind", ["accompanied", "infilled"])
@pytest.mark.parametrize("most", [1, 4])
def test_notes_of_a_bar_that_was_given_first_are_counted(kind, most):
    tokenizer, found = Parts(), 0
    mark = tokenizer.vocabulary.id("again" if kind == "accompanied" else "here")
    for seed in range(12):
        rng, rows = np.random.default_rng(seed), tune_rows(seed, kind)
        marks = np.flatnonzero(rows[:, 3] == mark)
        if not len(marks):
            continue
        prompt = rows[: int(rng.choice(marks)) + 1]
        walker = tokenizer.grammar()
        for token in prompt.ravel().tolist():
            walker.advance(token)
        walker.constrain(limited(max_polyphony=most, may_end=False, bars=1, max_notes_a_bar=20))
        whole = np.concatenate([prompt, shaped(walk(walker, tokenizer, rng, most=400), tokenizer)])
        n = tokenizer.notes(whole)
        new = n.at >= len(prompt)
        found += int(new.sum())
        place = walker.place
        start = n.bar * place.bar_steps + n.position
        assert most_at_onsets(start, start + n.duration, new=new) <= most
        if kind == "accompanied":
            later = [t for t in start[~new] if t >= start[new].min(initial=10**9)]
            sounding = [(start <= t) & (start + n.duration > t) for t in later]
            assert all(each.sum() <= max(most, each[~new].sum()) for each in sounding)
    assert found > 3


@pytest.mark.parametrize("tokenizer", BARS, ids=lambda each: each.name)
def test_a_note_that_the_cut_ends_leaves_room_at_the_cut(tokenizer):
    """Its spelling may be a few steps too long."""
    cut = 4 * 1920
    piece = Piece(480, (Track("", 0, notes=notes_array([(0, 480, 50, 80), (200, cut - 200, 60, 80)])),))
    ids = tokenizer.encode(piece, until=cut).ravel().tolist()
    walker = tokenizer.grammar()
    for token in ids[: ids.index(tokenizer.vocabulary.id("eos"))]:
        walker.advance(token)
    walker.constrain(limited(max_polyphony=1, bars=1), anchor=Anchor(cut, float(cut), 1920.0, 480, 500_000, False))
    place = walker.place
    assert [note.end - place.bar_start for note in place.notes] == [place.bar_steps]


def test_remi_goes_on_only_where_a_note_may_begin():
    tokenizer = Remi()
    v, walker = tokenizer.vocabulary, tokenizer.grammar(Constraints())
    walker.constrain(limited(max_polyphony=1))
    for kind, value in (("bos", 0), ("bar", 0), ("meter", 23), ("position", 0), ("program", 0), ("pitch", 60)):
        walker.advance(v.id(kind, value))
    for kind, value in (("velocity", 20), ("duration", 23)):  # a quarter note
        walker.advance(v.id(kind, value))
    assert np.flatnonzero(walker.allowed()[v.slice("position")]).tolist() == list(range(24, 96))

"""The sampling loop with real (untrained) models: repeatable takes, inside the grammar, with fields and without."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from limits import limited

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model
from musicgen.piece import Piece, Track, notes_array
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import read_prompt, sample
from musicgen.tokenizers import TOKENIZERS

SONG = Piece(480, (Track("", 40, notes=notes_array([(i * 240, 240, 60 + i % 5, 80) for i in range(16)])),))


@pytest.fixture(params=list(itertools.product(sorted(FAMILIES), sorted(TOKENIZERS))), ids=lambda p: "-".join(p))
def ready(request):
    """(decoder, tokenizer, prompt with a request for two bars)"""
    family, name = request.param
    tokenizer = TOKENIZERS[name]()
    fields = [(f.first, f.size) for f in tokenizer.fields] if len(tokenizer.fields) > 1 else []
    size = len(tokenizer.vocabulary)
    model = build_model(ModelSettings(family, size, width=32, layers=2, heads=2, context=64, fields=fields), seed=0)
    decoder = EagerDecoder(model)
    ids = tokenizer.encode(SONG).astype(np.int64)
    last = ids[-1:].ravel().tolist()
    begun = last[: last.index(tokenizer.vocabulary.id("eos"))]
    prompt = read_prompt(decoder, ids[:-1], begun=begun, grammar=tokenizer.grammar())
    prompt.grammar.constrain(limited(meter=(4, 4), bars=2, may_end=False, max_notes_a_bar=12, max_empty_bars=0))
    return decoder, tokenizer, prompt


def drawn(ready, seeds, *, max_steps=60, nats=None, **settings) -> list[np.ndarray]:
    decoder, tokenizer, prompt = ready
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return sample(
        decoder,
        prompt,
        fields=tokenizer.fields,
        settings=SamplingSettings(**settings),
        generators=generators,
        max_steps=max_steps,
        nats=nats,
    )


def test_a_take_is_the_same_alone_or_beside_others(ready):
    together = drawn(ready, range(8))
    for seed in (0, 3, 7):
        (alone,) = drawn(ready, [seed])
        assert np.array_equal(alone, together[seed])
    assert np.array_equal(drawn(ready, [5, 3])[1], together[3])
    assert len({take.tobytes() for take in together}) > 1, "seeds make a difference"


def test_every_step_is_allowed(ready):
    _, tokenizer, prompt = ready
    for take in drawn(ready, range(4), max_steps=200):
        walker = prompt.grammar.copy()
        values = take.ravel().tolist()
        assert values[: len(prompt.begun)] == list(prompt.begun)
        while len(prompt.begun) and not values[-1]:
            values.pop()  # a take may end inside a step
        for token in values[len(prompt.begun) :]:
            assert walker.allowed()[token]
            walker.advance(token)
        tokenizer.decode(np.concatenate([prompt.ids, take])).validate()


def test_likelihood_is_that_at_temperature_1_among_what_is_allowed(ready):
    decoder, tokenizer, prompt = ready
    told: list[float] = []
    (take,) = drawn(ready, [4], max_steps=5, nats=told, temperature=3.0)
    walker, rows, counted = prompt.grammar.copy(), prompt.row, 0.0
    with decoder.drawing():
        for number, step in enumerate(take.reshape(5, -1).tolist()):
            scores = decoder.next_step(rows)
            for k, field in enumerate(tokenizer.fields):
                if number or k >= len(prompt.begun):
                    allowed = np.flatnonzero(walker.allowed())
                    if len(allowed) > 1:
                        x = scores.logits_BK(k)[0].astype(float)
                        counted += np.log(np.exp(x[allowed - field.first]).sum()) - x[step[k] - field.first]
                    walker.advance(step[k])
                if k + 1 < len(tokenizer.fields):
                    scores.take(k, [step[k]])
            rows = decoder.step(rows, [step])
    assert told == [pytest.approx(counted, abs=1e-4)]


def test_a_field_has_its_own_temperature(ready):
    _, tokenizer, _ = ready
    names = [field.name for field in tokenizer.fields]
    with pytest.raises(UsageError, match=rf"no field 'tempo'; fields are {', '.join(names)}"):
        drawn(ready, [0], field_temperatures=(("tempo", 1.0),))
    cold = tuple((name, 0.0) for name in names)
    a, b = drawn(ready, [1, 2], field_temperatures=cold)
    assert np.array_equal(a, b), "at temperature 0 seeds make no difference"
    if len(names) > 1:
        column = names.index("velocity")
        usual = np.concatenate(drawn(ready, range(6)))[1:, column]
        cold_only = np.concatenate(drawn(ready, range(6), field_temperatures=(("velocity", 0.0),)))[1:, column]
        assert len(np.unique(cold_only)) < len(np.unique(usual))

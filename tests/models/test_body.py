"""Body and head: whatever a model reads, what its head says of the next step is what the step is scored by."""

from __future__ import annotations

import pytest
import torch

from musicgen.models import ModelSettings, build_model, select_state
from musicgen.models.layouts import FrameLayout
from musicgen.tokenizers import Frames, FramesSettings

KINDS = ["plain", "by frame", "by pitch", "by frame, voices", "by pitch, voices"]


@pytest.fixture(params=KINDS)
def model(request):
    tokenizer = Frames(FramesSettings(2, voices=4 if "voices" in request.param else 0))
    settings = ModelSettings(
        "gru", len(tokenizer.vocabulary), width=16, layers=1, frames=FrameLayout(**tokenizer.layout),
        by_frame=request.param != "plain", by_pitch="pitch" in request.param,
    )  # fmt: skip
    return build_model(settings, seed=1).eval()


def ids(model, rows: int, steps: int) -> torch.Tensor:
    """Frames of one to five pitches in the tokenizer's order, or voices that rest now and then."""
    layout, generator = model.settings.frames, torch.Generator().manual_seed(rows)
    row: list[int] = []
    while len(row) < rows * steps:
        pitches = (layout.pitch + 40 + torch.randperm(40, generator=generator)[: 1 + len(row) % 5]).tolist()
        row += [*(pitches if layout.voices else sorted(pitches, reverse=layout.descending)), layout.mark]
    return torch.tensor(row[: rows * steps]).view(rows, steps)


@torch.no_grad()
def test_scores_of_what_is_read_are_those_of_the_whole_pass(model):
    rows = ids(model, 3, 30)
    model.set_inverse_temperature([0.8])
    whole_BTV, _ = model(rows)
    hidden_BTC, state = model.read(rows[:, :20])
    assert hidden_BTC.shape[:2] == (3, 20)
    for t in range(20, 30):
        scores_BV = model.scores(hidden_BTC[:, -1], state).logits_BK(0)
        torch.testing.assert_close(scores_BV, whole_BTV[:, t - 1], atol=1e-4, rtol=1e-4)
        hidden_BTC, state = model.read(rows[:, t : t + 1], state)
    picked = select_state(state, [2, 0, 2])
    scores_BV = model.scores(hidden_BTC[[2, 0, 2], -1], picked).logits_BK(0)
    torch.testing.assert_close(scores_BV, whole_BTV[[2, 0, 2], -1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_likelihoods_are_those_of_the_choices(model):
    rows = ids(model, 2, 25)
    nats_BT, _ = model.nats(rows[:, :-1], rows[:, 1:], pad=0)
    (logits_BTV,) = model.choices(rows[:, :-1], rows[:, 1:])
    chosen_BT = -logits_BTV.log_softmax(-1).gather(2, rows[:, 1:, None])[..., 0]
    torch.testing.assert_close(nats_BT, chosen_BT, atol=1e-4, rtol=1e-4)


def test_a_head_beside_its_body_is_trained_and_moved_with_it(model):
    """Its weights stand under the body's names, where run folders have them, and it under no name of its own."""
    head = model.step_head
    assert {id(p) for p in head.parameters()} <= {id(p) for p in model.parameters()}
    assert not head.training
    assert model.train().step_head.training
    model.double()
    assert {p.dtype for p in head.parameters()} <= {torch.float64}
    assert not any("step_head" in name for name in model.state_dict())

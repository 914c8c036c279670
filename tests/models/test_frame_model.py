"""Models that read a frame at a time: what they see is what was said, in pieces or whole, and their frames sum to 1."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model, select_state
from musicgen.models.frames.by_frame import view_of
from musicgen.models.frames.set_view import LAGS, TRACES
from musicgen.models.frames.view import BLANK, NONE
from musicgen.models.heads.following import following_of
from musicgen.models.layouts import FrameLayout
from musicgen.sampling.eager import prepared
from musicgen.tokenizers import Frames, FramesSettings

WAYS = [(0, "descending"), (0, "ascending"), (4, "descending")]
LOW, HIGH = 40, 70
# One that keeps a stretch of its past in every layer and one that slides over what it has read. What a family promises
# is tested in test_models.py; here it is the frames around it, which are the same for all.
TRUNKS = ["cnn", "transformer"]


def frames(voices: int, order: str = "descending") -> Frames:
    return Frames(FramesSettings(1, order, voices))


def model(family: str, tokenizer: Frames, *, seed: int = 0):
    settings = ModelSettings(
        family,
        len(tokenizer.vocabulary),
        width=32,
        layers=2,
        context=12,
        by_frame=True,
        frames=FrameLayout(**tokenizer.layout),
    )
    net = build_model(settings, seed=seed)
    with torch.no_grad():  # a new model's scores are all but even: too even to tell a mistake by
        for part in net.outputs.parameters():
            part.mul_(30)
    return net.eval()


def music(tokenizer: Frames, count: int, *, seed: int) -> torch.Tensor:
    """BOS and `count` frames, some of them empty, and some like the one before."""
    v, rng = tokenizer.vocabulary, np.random.default_rng(seed)
    ids, last = [v.id("bos")], []
    for _ in range(count):
        if not last or rng.random() < 0.7:
            if tokenizer.voices:
                drawn = rng.integers(LOW, HIGH, tokenizer.voices)
                last = [v.id("pitch", int(p)) if rng.random() > 0.2 else v.id("rest") for p in drawn]
            else:
                drawn = np.sort(rng.choice(np.arange(LOW, HIGH), rng.integers(0, 6), replace=False))
                drawn = drawn[::-1] if tokenizer.settings.order == "descending" else drawn
                last = [v.id("pitch", int(p)) for p in drawn] + [v.id("end")]
        ids += last
    return torch.tensor(ids)


def batch(tokenizer: Frames) -> torch.Tensor:
    rows = [music(tokenizer, 14, seed=1), music(tokenizer, 20, seed=2)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@pytest.mark.parametrize(("voices", "order"), WAYS)
@pytest.mark.parametrize("family", TRUNKS)
def test_pieces_rows_and_steps_agree_with_the_whole(family, voices, order):
    tokenizer = frames(voices, order)
    net, ids = model(family, tokenizer), batch(tokenizer)
    length = ids.shape[1]
    with torch.no_grad():
        whole, _ = net(ids)
        assert whole.amax() - whole[..., 3:131].amin() > 1
        for row in range(2):
            alone, _ = net(ids[row : row + 1])
            torch.testing.assert_close(alone[0], whole[row], atol=1e-4, rtol=1e-4)
        for cuts in ([1, 2, 30], list(range(1, length))):
            state, parts = None, []
            for begin, end in itertools.pairwise([0, *cuts, length]):
                logits, state = net(ids[:, begin:end], state)
                parts.append(logits)
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
            assert state.position == length


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(TRUNKS)))
def test_any_family_can_be_the_trunk(family):
    """Read in two parts, cut inside a frame, past the context: of a trunk no more is asked than that."""
    tokenizer = frames(0)
    net, ids = model(family, tokenizer), batch(tokenizer)
    with torch.no_grad():
        whole, _ = net(ids)
        first, state = net(ids[:, :51])
        second, _ = net(ids[:, 51:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("voices", [0, 4])
@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_it_samples_each_row_as_if_alone(family, voices):
    tokenizer = frames(voices)
    net, ids = model(family, tokenizer), music(tokenizer, 12, seed=3)
    with torch.no_grad():
        whole, _ = net(ids[None])
        net = prepared(net)
        _, state = net(ids[None, :6])
        three = select_state(state, [0, 0, 0])
        other = torch.where(ids == ids[7], ids[8], ids)
        for t in range(6, len(ids)):
            step = torch.stack([ids[t], other[t], ids[t]])[:, None]
            together, three = net(step, three)
            logits, state = net(ids[None, t : t + 1], state)
            assert torch.equal(together[0], logits[0])
            assert torch.equal(together[2], logits[0])
            torch.testing.assert_close(logits[0, 0], whole[0, t], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("voices", "order"), WAYS)
def test_nothing_later_is_seen(voices, order):
    tokenizer = frames(voices, order)
    net, ids = model("lstm", tokenizer), batch(tokenizer)
    changed = ids.clone()
    changed[:, 25:] = tokenizer.vocabulary.id("pitch", 50)
    with torch.no_grad():
        (before, _), (after, _) = net(ids), net(changed)
    torch.testing.assert_close(before[:, :25], after[:, :25])
    assert not torch.allclose(before[:, 25:], after[:, 25:])


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_the_frames_that_there_are_sum_to_one(order):
    tokenizer = frames(0, order)
    v, net = tokenizer.vocabulary, model("gru", tokenizer)
    four = [50, 53, 57, 60]
    table = following_of(tokenizer)
    allowed = torch.zeros(len(v), dtype=torch.bool)
    allowed[[v.id("end"), *(v.id("pitch", p) for p in four)]] = True
    past, total = music(tokenizer, 9, seed=4), 0.0
    for count in range(5):
        for chosen in itertools.combinations(four, count):
            said = sorted(chosen, reverse=order == "descending")
            frame = torch.tensor([v.id("pitch", p) for p in said] + [v.id("end")])
            ids = torch.cat([past, frame])[None]
            with torch.no_grad():
                nats, _ = net.nats(ids[:, :-1], ids[:, 1:], pad=0, following_VV=table & allowed)
            total += nats[0, -len(frame) :].sum().neg().exp().item()
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("order", "look_back"), [("descending", 8), ("ascending", 8), ("descending", 1)])
def test_what_is_seen_of_sets_is_what_was_said(order, look_back):
    tokenizer = frames(0, order)
    v, view = tokenizer.vocabulary, view_of(FrameLayout(**tokenizer.layout), look_back=look_back)
    ids = music(tokenizer, 30, seed=5)
    seen = view.see(ids[None], view.begin(1, ids.device))
    done: list[list[int]] = []
    now: list[int] = []
    for t, token in enumerate(ids.tolist()):
        if token == v.id("end"):
            done.append(now)
            now = []
        elif t:
            pitch = token - v.base["pitch"]
            now = [*now, 127 - pitch if order == "descending" else pitch]
        last = done[-1] if done else []
        behind = [rank for rank in last if not now or rank > now[-1]]
        told = {name: value[0, t].item() for name, value in seen.categories.items()}
        assert told["next"] == (behind[0] if behind else NONE)
        assert told["after"] == (behind[1] if len(behind) > 1 else NONE)
        assert (told["emitted"], told["last"], told["beat"]) == (len(now), len(last), len(done) % 16)
        assert told["ahead"] == 8 + len(now) - (len(last) - len(behind))
        here = now[-1] if now else last[0] if last else NONE
        lags = {f"lag{lag}": done[-lag] if len(done) >= lag else [] for lag in LAGS if lag <= look_back}
        for name, ranks in {"now": now, **lags}.items():
            roll, looked_from = seen.windows[name]
            assert roll[0, t].nonzero().flatten().tolist() == ranks
            assert looked_from[0, t] == here
        for rank in range(128 if look_back > 1 else 0):
            age = next((n for n, frame in enumerate(reversed(done)) if rank not in frame), len(done))
            assert seen.windows["age"][0][0, t, rank].item() == pytest.approx(math.log2(1 + age) / 3, abs=1e-6)
            for n, keep in enumerate(TRACES):
                trace = sum((1 - keep) * keep**ago for ago, frame in enumerate(reversed(done)) if rank in frame)
                assert seen.windows[f"trace{n}"][0][0, t, rank].item() == pytest.approx(trace, abs=1e-5)
    for number, (frame, was) in enumerate(zip(done, [[], *done], strict=False)):
        vector = seen.frames_BFX[0, number]
        anew, still = vector[:128].nonzero().flatten().tolist(), vector[128:256].nonzero().flatten().tolist()
        assert anew == [rank for rank in frame if rank not in was]
        assert still == [rank for rank in frame if rank in was]
        assert vector[256:].nonzero().flatten().tolist() == [number % 16]


def test_what_is_seen_of_voices_is_what_was_said():
    tokenizer = frames(4)
    v, view = tokenizer.vocabulary, view_of(FrameLayout(**tokenizer.layout), look_back=8)
    ids = music(tokenizer, 24, seed=6)
    seen = view.see(ids[None], view.begin(1, ids.device))
    ranks = [BLANK] * 8 + [NONE if i == v.id("rest") else 127 - (i - v.base["pitch"]) for i in ids[1:].tolist()]
    for t in range(len(ids)):
        said = ranks[: 8 + t]  # what stands after t ids behind BOS
        turn, told = t % 4, {name: value[0, t].item() for name, value in seen.categories.items()}
        assert told["turn"] == turn * 16 + t // 4 % 16
        for lag in range(2, 9 if t else 8):  # BOS itself is a blank
            assert told[f"back{lag}"] == said[-lag]
        assert seen.references["same"][0, t] == min(said[-4], NONE)
        assert seen.references["emitted"][0, t] == (said[-1] if turn else NONE)
        held = 0
        while t >= 4 * (held + 2) and said[-4 * (held + 1)] == said[-4 * (held + 2)]:
            held += 1
        if t >= 4:
            assert told["held"] == turn * 32 + held
        moved = sum(said[-k] != said[-k - 4] for k in range(1, turn + 1))
        assert told["moves"] == turn * 4 + moved
        for lag in (1, 2, 3):
            own, other, was = said[-4], said[-lag], said[-lag - 4]
            follows = lag <= turn and other != was and max(own, other, was) < NONE
            beside = own + other - was if follows else NONE
            assert told[f"apart{lag}"] == (1 + (was - own) % 12 if follows else 0)
            assert seen.references[f"parallel{lag}"][0, t] == (beside if 0 <= beside < 128 else NONE)
        now, last = said[len(said) - turn :], said[len(said) - turn - 4 : len(said) - turn]
        for name, voices in (("now", now), ("last", last)):
            roll = seen.windows[name][0][0, t]
            counts = {rank: voices.count(rank) for rank in voices if rank < NONE}
            assert {int(rank): int(roll[rank]) for rank in roll.nonzero().flatten()} == counts


def test_what_does_not_go_together_is_refused():
    layout = FrameLayout(**frames(0).layout)
    with pytest.raises(UsageError, match="no frames"):
        ModelSettings("lstm", 132, by_frame=True)
    with pytest.raises(UsageError, match="horizon"):
        ModelSettings("lstm", 132, by_frame=True, frames=layout, horizon=2)
    _, state = build_model(ModelSettings("lstm", 132, width=16, layers=1)).eval()(torch.tensor([[1]]))
    net = model("lstm", frames(0))
    with pytest.raises(TypeError, match="model of frames"):
        net(torch.tensor([[1]]), state)


def test_settings_come_back_from_plain_values():
    settings = model("rnn", frames(4)).settings
    assert ModelSettings.from_dict(settings.to_dict()) == settings

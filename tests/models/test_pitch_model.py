"""Models along every pitch: their chances sum to one, and one pass, pieces and single ids agree, whatever the family."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model, select_state
from musicgen.models.frames.pitch_view import KEYS, SetLineView, VoiceLineView
from musicgen.models.heads.following import following_of
from musicgen.models.layouts import FrameLayout
from musicgen.sampling.eager import prepared
from musicgen.tokenizers import Frames, FramesSettings

ORDERS = ["descending", "ascending"]
LOW, HIGH = 40, 70
# One with a recurrent state and one that slides over what it has read. What a family promises is tested in
# test_models.py; here it is the lines of pitches around it, which are the same for all.
TRUNKS = ["lstm", "transformer"]


def model(family: str, tokenizer: Frames, *, seed: int = 0):
    settings = ModelSettings(
        family,
        len(tokenizer.vocabulary),
        width=24,
        layers=2,
        context=12,
        by_frame=True,
        by_pitch=True,
        frames=FrameLayout(**tokenizer.layout),
    )
    net = build_model(settings, seed=seed)
    with torch.no_grad():  # a new model's hazards are all but even: too even to tell a mistake by
        (net.outputs if not tokenizer.voices else net.outputs["key"]).weight.mul_(60)
        net.block.project.weight.normal_(std=0.2)
    return net.eval()


def music(tokenizer: Frames, count: int, *, seed: int) -> torch.Tensor:
    """BOS and `count` frames, some of them empty, and some like the one before."""
    v, rng = tokenizer.vocabulary, np.random.default_rng(seed)
    ids, last = [v.id("bos")], [v.id("end")]
    for _ in range(count):
        if rng.random() < 0.7:
            drawn = np.sort(rng.choice(np.arange(LOW, HIGH), rng.integers(0, 6), replace=False))
            drawn = drawn[::-1] if tokenizer.settings.order == "descending" else drawn
            last = [v.id("pitch", int(p)) for p in drawn] + [v.id("end")]
        ids += last
    return torch.tensor(ids)


def chorale(tokenizer: Frames, count: int, *, seed: int) -> torch.Tensor:
    """BOS and `count` frames of four voices, which often keep what they have and sometimes rest."""
    v, rng = tokenizer.vocabulary, np.random.default_rng(seed)
    ids, last = [v.id("bos")], [v.id("rest")] * 4
    for _ in range(count):
        drawn = [v.id("pitch", int(p)) if rng.random() > 0.1 else v.id("rest") for p in rng.integers(LOW, HIGH, 4)]
        last = [new if rng.random() < 0.4 else old for new, old in zip(drawn, last, strict=True)]
        ids += last
    return torch.tensor(ids)


def batch(tokenizer: Frames) -> torch.Tensor:
    rows = [music(tokenizer, 14, seed=1), music(tokenizer, 20, seed=2)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("family", TRUNKS)
def test_one_pass_over_frames_is_as_exact_as_a_score_for_every_id(family, order):
    tokenizer = Frames(FramesSettings(2, order))
    net, ids = model(family, tokenizer), batch(tokenizer)
    inputs, targets = ids[:, :-1], ids[:, 1:]
    with torch.no_grad():
        logits, _ = net(ids)
        chances = logits.softmax(-1)
        # They are chances already: nothing is left to renormalise, and nothing may come that is out of order.
        torch.testing.assert_close(logits.exp(), chances)
        may = following_of(tokenizer)[ids]
        assert (chances * ~may).max() == 0
        assert chances.amax(-1).std() > 0.01
        wanted = torch.nn.functional.cross_entropy(
            logits[:, :-1].transpose(1, 2), targets, ignore_index=0, reduction="none"
        )
        nats, _ = net.nats(inputs, targets, pad=0, following_VV=following_of(tokenizer))
        torch.testing.assert_close(nats, wanted, atol=1e-4, rtol=1e-4)
        for row in range(2):
            alone, _ = net(ids[row : row + 1])
            torch.testing.assert_close(alone[0], logits[row], atol=1e-4, rtol=1e-4)
        for cuts in ([1, 2, 30], range(1, inputs.shape[1])):
            state = other = None
            parts, of_nats = [], []
            for begin, end in itertools.pairwise([0, *cuts, inputs.shape[1]]):
                part, state = net(inputs[:, begin:end], state)
                parts.append(part)
                some, other = net.nats(inputs[:, begin:end], targets[:, begin:end], other, pad=0)
                of_nats.append(some)
            torch.testing.assert_close(torch.cat(parts, dim=1), logits[:, :-1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(torch.cat(of_nats, dim=1), wanted, atol=1e-4, rtol=1e-4)
            assert state.position == inputs.shape[1]


@pytest.mark.parametrize("family", TRUNKS)
def test_voices_in_pieces_rows_and_steps_agree_with_the_whole(family):
    tokenizer = Frames(FramesSettings(4, "descending", 4))
    net, ids = model(family, tokenizer), torch.stack([chorale(tokenizer, 12, seed=n) for n in (1, 2)])
    with torch.no_grad():
        whole, _ = net(ids)
        assert whole.softmax(-1).amax(-1).std() > 0.01
        for row in range(2):
            alone, _ = net(ids[row : row + 1])
            torch.testing.assert_close(alone[0], whole[row], atol=1e-4, rtol=1e-4)
        for cuts in ([1, 2, 21], range(1, ids.shape[1])):
            state, parts = None, []
            for begin, end in itertools.pairwise([0, *cuts, ids.shape[1]]):
                part, state = net(ids[:, begin:end], state)
                parts.append(part)
            torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
        changed = ids.clone()
        changed[:, 30:] = tokenizer.vocabulary.id("pitch", 50)
        after, _ = net(changed)
        torch.testing.assert_close(after[:, :30], whole[:, :30])
        assert not torch.allclose(after[:, 30:], whole[:, 30:])
        trained, _ = net.train()(ids)
        torch.testing.assert_close(trained, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("voices", [0, 4])
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(TRUNKS)))
def test_any_family_can_run_along_pitches(family, voices):
    """Read in two parts, cut inside a frame, past the context: of a trunk no more is asked than that."""
    tokenizer = Frames(FramesSettings(2, "descending", voices))
    net, ids = model(family, tokenizer), (chorale if voices else music)(tokenizer, 20, seed=2)[None]
    with torch.no_grad():
        whole, _ = net(ids)
        first, state = net(ids[:, :62])
        second, _ = net(ids[:, 62:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-4, rtol=1e-4)


def test_what_is_known_of_voices_is_what_they_said():
    tokenizer = Frames(FramesSettings(4, "ascending", 4))
    v, view = tokenizer.vocabulary, VoiceLineView(FrameLayout(**tokenizer.layout))
    ids = chorale(tokenizer, 24, seed=3)
    lines = view.see(ids[None], view.begin(1, ids.device))
    said = [None if i == v.id("rest") else i - v.base["pitch"] for i in ids[1:].tolist()]

    def number(turn: int, kind: int, pitch: int | None) -> int:
        return (turn * 11 + kind) * 89 + (88 if pitch is None or not 21 <= pitch <= 108 else pitch - 21)

    for t in range(len(ids)):
        turn, frame = t % 4, t // 4
        own = said[turn:t:4]
        assert (lines.turn_BT[0, t], lines.done_BT[0, t]) == (turn, frame)
        if frame:
            kept = next((n for n, pitch in enumerate(reversed(own)) if pitch != own[-1]), len(own)) - 1
            assert lines.held_BT[0, t] == kept
            assert lines.rested_BT[0, t] == (own[-1] is None)
            before = own[-2 - kept] if len(own) > kept + 1 else None
            assert lines.from_BTR[0, t, :2].tolist() == [number(turn, 0, own[-1]), number(turn, 1, before)]
        if frame > 1:
            moved = [lag <= turn and said[t - lag] != said[t - lag - 4] for lag in (1, 2, 3)]
            wanted = [number(turn, 2 * lag + moved[lag - 1], said[t - lag]) for lag in (1, 2, 3)]
            assert lines.from_BTR[0, t, 2::2].tolist() == wanted
            for lag in (1, 2, 3):
                now, was = said[t - lag], said[t - lag - 4]
                follows = moved[lag - 1] and None not in (now, was, own[-1])
                beside = number(turn, 7 + lag, own[-1] + now - was if follows else None)
                assert lines.from_BTR[0, t, 1 + 2 * lag] == beside
            assert lines.moves_BT[0, t] == sum(2**n for n in range(3) if moved[n])
    for frame in range(1, 25):
        told = lines.inputs_BFIK[0, frame]
        last, past = said[4 * frame - 4 : 4 * frame], said[: 4 * frame]
        for voice, pitch in enumerate(last):
            keys = [] if pitch is None else [pitch - 21]
            assert told[3 + voice].nonzero().flatten().tolist() == keys
            came = frame == 1 or said[4 * frame - 8 + voice] != pitch
            assert told[7 + voice].nonzero().flatten().tolist() == (keys if came else [])
        for key in range(88):
            ago = next((n for n in range(frame) if key + 21 in past[len(past) - 4 * n - 4 : len(past) - 4 * n]), 10**6)
            assert told[0, key] == (ago == 0)
            assert told[1, key].item() == pytest.approx(1 if ago == 0 else 1 / (1 + ago), abs=1e-5)


def test_intervals_lead_from_every_key_to_all_others():
    head = model("gru", Frames(FramesSettings(4, "descending", 4))).step_head
    torch.nn.init.normal_(head.by_turn)
    table = head._prepared().detach().view(4, 11, KEYS + 1, KEYS, -1)
    for turn, kind, here, there in ((0, 0, 0, 0), (0, 5, 3, 80), (3, 10, 87, 0), (1, 2, 50, 51)):
        expected = head.by_turn[turn, kind, 0] * head.intervals[kind, there - here + KEYS - 1]
        assert torch.equal(table[turn, kind, here, there], expected)
    assert not table[:, :, KEYS].any()


@pytest.mark.parametrize("family", TRUNKS)
def test_it_samples_each_row_as_if_alone(family):
    tokenizer = Frames(FramesSettings(2))
    net, ids = prepared(model(family, tokenizer)), music(tokenizer, 12, seed=3)
    with torch.no_grad():
        whole, _ = net(ids[None])
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


def test_every_pitch_is_treated_alike():
    """Two semitones higher, every hazard is found two keys on, but for what is learned of single keys."""
    tokenizer = Frames(FramesSettings(2, "ascending"))
    net, ids = model("lstm", tokenizer), music(tokenizer, 20, seed=4)
    moved = torch.from_numpy(tokenizer.transposed(ids.numpy(), 2).astype(np.int64))
    assert not torch.equal(ids, moved)

    def hazards(ids: torch.Tensor) -> torch.Tensor:
        reading, _ = net.head_inputs(ids[None])
        ((lines, projected_BFKD),) = reading.parts
        first = net.view.first
        roll_BFQ = net.view.rolls(lines.rank_BT, lines.done_BT, lines.begun_BQ, frames=projected_BFKD.shape[1])
        of_all = net.step_head._hazards(projected_BFKD, roll_BFQ[..., first : first + KEYS], lines.inputs_BFIK[:, :, 0])
        return of_all[0, :, first : first + KEYS]

    with torch.no_grad():
        assert not torch.allclose(hazards(ids)[:, :-2], hazards(moved)[:, 2:], atol=1e-2)
        net.inputs["key"].weight.zero_()
        torch.testing.assert_close(hazards(ids)[:, :-2], hazards(moved)[:, 2:], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("by_pitch", [True, False])
@pytest.mark.parametrize("voices", [0, 4])
def test_a_window_is_told_of_its_past_as_if_it_had_been_read(voices, by_pitch):
    tokenizer = Frames(FramesSettings(4, "descending", voices))
    ids = (chorale if voices else music)(tokenizer, 24, seed=6)
    settings = model("gru", tokenizer).settings
    net = build_model(dataclasses.replace(settings, by_pitch=by_pitch), seed=0).eval()
    cuts = (31, 0, 30)  # within a frame, at a piece's beginning
    told = net.recalling([ids[:cut] for cut in cuts])
    with torch.no_grad():
        for row, cut in enumerate(cuts):
            if not cut:
                continue
            _, state = net(ids[None, :cut])
            for name, value in told.memory.select(torch.tensor([row])).tensors.items():
                wanted = state.memory.tensors[name]
                if value.ndim > 1:
                    in_front = value.shape[1] - wanted.shape[1]
                    assert not value[:, :in_front].any()
                    value = value[:, in_front:]
                torch.testing.assert_close(value, wanted)
        window = ids[None, 30:-1]
        nats, _ = net.train().nats(window, ids[None, 31:], told.select(torch.tensor([2])), pad=0)
        forgetful, _ = net.nats(window, ids[None, 31:], pad=0)
    assert nats.isfinite().all()
    assert not torch.allclose(nats, forgetful)


def test_pitches_that_no_piano_has_are_unlikely_and_possible():
    tokenizer = Frames(FramesSettings(2))
    v, net = tokenizer.vocabulary, model("gru", tokenizer)
    ids = torch.tensor([[v.id("bos"), v.id("pitch", 120), v.id("pitch", 60), v.id("pitch", 3), v.id("end")]])
    with torch.no_grad():
        nats, _ = net.nats(ids[:, :-1], ids[:, 1:], pad=0)
    assert nats[0, 0] > 10
    assert nats[0, 2] > 10
    assert nats.isfinite().all()


@pytest.mark.parametrize("order", ORDERS)
def test_lines_are_told_what_was_said(order):
    tokenizer = Frames(FramesSettings(2, order))
    v, view = tokenizer.vocabulary, SetLineView(FrameLayout(**tokenizer.layout))
    ids = music(tokenizer, 30, seed=5)
    lines = view.see(ids[None], view.begin(1, ids.device))
    frames: list[set[int]] = [set()]
    for token in ids[1:].tolist():
        if token == v.id("end"):
            frames.append(set())
        else:
            frames[-1].add(token - v.base["pitch"])
    past = [set(), set()]
    for number in range(len(frames)):
        for key in range(88):
            pitch = 108 - key if order == "descending" else 21 + key
            last, before = pitch in past[-1], pitch in past[-2]
            age = next((n for n, frame in enumerate(reversed(past)) if pitch not in frame), 0)
            rest = next((n for n, frame in enumerate(reversed(past[2:])) if pitch in frame), 10**6)
            wanted = (last, last and not before, before, np.log2(1 + age) / 3, 1 if last else 1 / (1 + rest))
            told = lines.inputs_BFIK[0, number, :5, key]
            torch.testing.assert_close(told, torch.tensor([float(x) for x in wanted]), atol=1e-5, rtol=0)
        past.append(frames[number])
    assert lines.number_BF[0].tolist() == list(range(len(frames)))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match="by_pitch"):
        ModelSettings("lstm", 132, by_pitch=True)
    _, state = build_model(ModelSettings("lstm", 132, width=16, layers=1)).eval()(torch.tensor([[1]]))
    with pytest.raises(TypeError, match="model of pitches"):
        model("lstm", Frames(FramesSettings(2)))(torch.tensor([[1]]), state)

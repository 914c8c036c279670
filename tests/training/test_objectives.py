"""What is learned of a batch: the next step, several, and what teachers say, whatever a step is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from step_kinds import KINDS, build, some
from training_tunes import MODELS, REMI, Tunes, on_steps, recipe, weights

from musicgen.checkpoint import load_run
from musicgen.errors import UsageError
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.scoring import Scoring
from musicgen.training.batch import Batch
from musicgen.training.loop import train
from musicgen.training.next_note import NextNote
from musicgen.training.objectives import NextSteps, Taught

TAUGHT = [kind for kind in KINDS if kind != "remembered"]


def batch_of(kind: str, *, padded: int = 0) -> tuple[Batch, Scoring]:
    """Something to learn from; the last `padded` steps are padding."""
    scoring = Scoring.of(KINDS[kind][0])
    ids, targets = some(kind)
    rows = torch.cat([ids, targets[:, -1:]], dim=1)
    if padded:
        rows[:, -padded:] = scoring.pad
    return Batch.of(rows.numpy(), scoring), scoring


def model(kind: str, family: str) -> SequenceModel:
    tokenizer, shape = KINDS[kind]
    return build(family, tokenizer, **shape)


def taught(kind: str, *families: str, share: float = 1.0, padded: int = 0) -> tuple[Taught, Batch]:
    """A student in training, its teachers, and a batch."""
    torch.manual_seed(0)
    teachers = [model(kind, family) for family in families]
    batch, scoring = batch_of(kind, padded=padded)
    return Taught(model(kind, "gru").train(), scoring, teachers=teachers, share=share), batch


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_of_what_was_chosen(kind):
    net, (batch, scoring) = model(kind, "lstm").train(), batch_of(kind, padded=3)
    nats, _ = net.nats(batch.inputs, batch.targets, pad=scoring.pad, following_VV=scoring.following_VV)
    loss = NextSteps(net, scoring)(batch)
    torch.testing.assert_close(loss.mean, nats[batch.targets != scoring.pad].mean())
    steps = nats if nats.ndim == 2 else nats.sum(-1)
    counted = (batch.targets != scoring.pad).view(*steps.shape, -1).any(-1)
    torch.testing.assert_close(loss.figure, steps[counted].mean().detach())
    assert not loss.figure.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_of_what_was_read_before_the_head_alone_gives_the_same_loss(kind):
    net, (batch, scoring) = model(kind, "lstm").train(), batch_of(kind, padded=3)
    reading, _ = net.head_inputs(batch.inputs, targets=batch.targets)
    objective = NextSteps(net, scoring)
    whole, again = objective(batch), objective(replace(batch, reading=reading))
    torch.testing.assert_close(again.mean, whole.mean)
    if net.studies:
        places = torch.tensor([2, 0, 2])
        some_steps = replace(batch, reading=reading).at(places, scoring)
        nats, _ = net.nats(batch.inputs, batch.targets, pad=scoring.pad)
        kept = batch.targets[:, places] != scoring.pad
        assert (some_steps.n_values, some_steps.n_steps) == (int(kept.sum()), int(kept.any(-1).sum()))
        torch.testing.assert_close(objective(some_steps).mean, nats[:, places][kept].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_counts_nothing(kind):
    net = model(kind, "lstm")
    scoring = Scoring.of(KINDS[kind][0])
    ids, targets = some(kind)
    rows = torch.cat([ids, targets[:, -1:]], dim=1)
    longer = torch.cat([rows, torch.full_like(rows[:, :5], scoring.pad)], dim=1)
    short, long = (Batch.of(each.numpy(), scoring) for each in (rows, longer))
    assert (short.n_values, short.n_steps) == (long.n_values, long.n_steps)
    one, other = (NextSteps(net, scoring)(batch) for batch in (short, long))
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.figure, other.figure)


def test_over_a_horizon_it_is_the_mean_over_the_steps_ahead():
    net = build_model(ModelSettings(vocabulary_size=len(REMI.vocabulary), **MODELS["lstm"], horizon=3), seed=3).eval()
    batch, scoring = batch_of("ids")
    ahead, state = net.nats_ahead(batch.inputs, batch.targets, pad=scoring.pad)
    loss = NextSteps(net, scoring)(batch)
    torch.testing.assert_close(loss.mean, sum(each.sum() for each in ahead) / 3 / batch.n_values)
    torch.testing.assert_close(loss.figure, ahead[0].mean().detach())
    assert state is not None
    assert loss.state is not None


def test_what_wraps_an_objective_sees_all_of_its_weights_and_none_of_the_teachers():
    objective, batch = taught("ids", "lstm", "window")
    assert {id(p) for p in objective.parameters()} == {id(p) for p in objective.model.parameters()}
    objective.train()
    assert not any(teacher.training for teacher in objective.teachers)
    objective(batch).mean.backward()
    assert all(p.grad is not None for p in objective.parameters())


@pytest.mark.parametrize("kind", TAUGHT)
def test_chances_are_the_mean_of_those_of_the_teachers_and_sum_to_one(kind):
    objective, batch = taught(kind, "lstm", "window")
    together = objective.chances(batch)
    for chances in together:
        torch.testing.assert_close(chances.sum(-1), torch.ones(chances.shape[:2]))
    asked = {"pad": objective.scoring.pad, "following_VV": objective.scoring.following_VV}
    nats = [each.nats(batch.inputs, batch.targets, **asked)[0].detach() for each in objective.teachers]
    expected = -torch.stack([(-each).exp() for each in nats]).mean(0).log()
    firsts = [first for first, _ in objective.model.settings.fields] or [0]
    for field, (chances, first) in enumerate(zip(together, firsts, strict=True)):
        target_BT = batch.targets[..., field] if len(together) > 1 else batch.targets
        of_target = -chances.gather(2, (target_BT - first)[..., None])[..., 0].log()
        torch.testing.assert_close(
            of_target, expected[..., field] if len(together) > 1 else expected, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("kind", TAUGHT)
def test_without_a_share_the_loss_is_that_of_the_music(kind):
    objective, batch = taught(kind, "lstm", share=0.0)
    plain = NextSteps(objective.model, objective.scoring)(batch)
    torch.testing.assert_close(objective(batch).mean, plain.mean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", TAUGHT)
def test_to_a_student_that_says_the_same_nothing_is_to_be_learned(kind):
    objective, batch = taught(kind, "lstm")
    objective = Taught(objective.teachers[0], objective.scoring, teachers=objective.teachers, share=1.0)
    if objective.scoring.following_VV is None:
        entropy = [-torch.special.xlogy(c, c).sum(-1) for c in objective.chances(batch)]
        ((nats,), _) = objective.nats(batch)
        torch.testing.assert_close(nats, torch.stack(entropy, -1) if nats.ndim == 3 else entropy[0])
    objective(batch).mean.backward()
    # At the lowest point of the expected loss the gradient is nought.
    assert max(p.grad.abs().max().item() for p in objective.parameters() if p.grad is not None) < 1e-5


def test_a_model_with_a_memory_says_that_it_neither_teaches_nor_is_taught():
    objective, batch = taught("remembered", "lstm")
    with pytest.raises(UsageError, match="a model with a memory neither teaches nor is taught; leave `teachers` out"):
        objective(batch)


def test_what_is_padding_is_taught_nothing():
    objective, batch = taught("ids", "lstm", padded=8)
    ((nats,), _) = objective.nats(batch)
    assert nats[:, :4].gt(0).all()
    assert not nats[:, 4:].any()


def test_a_student_comes_to_say_what_its_teacher_says(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=60, learning_rate=2e-2), folder=tmp_path / "teacher", device="cpu")
    teacher = load_run(tmp_path / "teacher").model
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = recipe("transformer", steps=60, learning_rate=2e-2, calibrate=False)
    for name, teachers in (("alone", []), ("taught", [teacher])):
        train(Tunes(), REMI, recipe=settings, folder=tmp_path / name, device="cpu", task=NextNote(teachers))
    ids = torch.from_numpy(Tunes().tokens[:96].astype("int64"))[None]
    with torch.no_grad():
        told = teacher(ids)[0].softmax(-1)
        apart = {
            name: (told * (told.log() - load_run(tmp_path / name).model(ids)[0].log_softmax(-1))).sum(-1).mean()
            for name in ("alone", "taught")
        }
    assert apart["taught"] < 0.7 * apart["alone"]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_resumed_run_with_teachers_equals_an_uninterrupted_one(tmp_path):
    teacher = build_model(ModelSettings(vocabulary_size=len(REMI.vocabulary), **MODELS["lstm"]), seed=3)
    given = {"recipe": recipe("lstm", taught=0.7), "device": "cpu", "task": NextNote([teacher])}
    train(Tunes(), REMI, folder=tmp_path / "whole", **given)

    def interrupt(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Tunes(), REMI, folder=tmp_path / "parts", listener=on_steps(interrupt), **given)
    train(Tunes(), REMI, folder=tmp_path / "parts", resume=True, **given)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize(("changes", "what"), [({"carry": True}, "carry"), ({}, "a horizon")])
def test_what_teachers_do_not_go_with(changes, what, tmp_path):
    teacher = build_model(ModelSettings(vocabulary_size=len(REMI.vocabulary), **MODELS["lstm"]), seed=3)
    settings = recipe("lstm", **changes)
    if not changes:
        settings.model["horizon"] = 2
    try:
        with pytest.raises(UsageError, match=f"{what} and teachers don't go together; leave one of them out"):
            train(Tunes(), REMI, recipe=settings, folder=tmp_path / "run", device="cpu", task=NextNote([teacher]))
    finally:
        settings.model.pop("horizon", None)

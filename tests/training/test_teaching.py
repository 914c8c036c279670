"""Learning from models: the mean of what they say, whatever a step is, and a student that comes to say it."""

from __future__ import annotations

import pytest
import torch
from step_kinds import KINDS, build, some
from training_tunes import MODELS, REMI, Tunes, recipe, weights

from musicgen.checkpoint import load_run
from musicgen.errors import UsageError
from musicgen.models import ModelSettings, build_model
from musicgen.models.heads.following import following_of
from musicgen.training.loop import train
from musicgen.training.teaching import Teachers

TAUGHT = [kind for kind in KINDS if kind != "remembered"]


def of(kind: str, *students: str, share: float = 1.0):
    """Teachers, a student in training, and what to ask them of."""
    tokenizer, shape = KINDS[kind]
    torch.manual_seed(0)
    models = [build(family, tokenizer, **shape) for family in students]
    student = build("gru", tokenizer, **shape).train()
    asked = {"pad": tokenizer.vocabulary.id("pad"), "following_VV": following_of(tokenizer)}
    return Teachers(models, student, share=share), student, *some(kind), asked


@pytest.mark.parametrize("kind", TAUGHT)
def test_chances_are_the_mean_of_those_of_the_teachers_and_sum_to_one(kind):
    teachers, _, ids, targets, asked = of(kind, "lstm", "window")
    together = teachers.chances(ids, targets, None, following_VV=asked["following_VV"])
    for chances in together:
        torch.testing.assert_close(chances.sum(-1), torch.ones(chances.shape[:2]))
    nats = [model.nats(ids, targets, **asked)[0].detach() for model in teachers.models]
    expected = -torch.stack([(-each).exp() for each in nats]).mean(0).log()
    firsts = [first for first, _ in teachers.models[0].settings.fields] or [0]
    for field, (chances, first) in enumerate(zip(together, firsts, strict=True)):
        target_BT = targets[..., field] if len(together) > 1 else targets
        of_target = -chances.gather(2, (target_BT - first)[..., None])[..., 0].log()
        torch.testing.assert_close(
            of_target, expected[..., field] if len(together) > 1 else expected, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("kind", TAUGHT)
def test_without_a_share_the_loss_is_that_of_the_music(kind):
    teachers, student, ids, targets, asked = of(kind, "lstm", share=0.0)
    plain, _ = student.nats(ids, targets, **asked)
    torch.testing.assert_close(teachers.nats(student, ids, targets, None, None, **asked), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", TAUGHT)
def test_to_a_student_that_says_the_same_nothing_is_to_be_learned(kind):
    teachers, _, ids, targets, asked = of(kind, "lstm")
    student = teachers.models[0]
    nats = teachers.nats(student, ids, targets, None, None, **asked)
    entropy = [-torch.special.xlogy(c, c).sum(-1) for c in teachers.chances(ids, targets, None, following_VV=None)]
    if asked["following_VV"] is None:
        torch.testing.assert_close(nats, torch.stack(entropy, -1) if nats.ndim == 3 else entropy[0])
    nats.mean().backward()
    # At the lowest point of the expected loss the gradient is nought.
    assert max(p.grad.abs().max().item() for p in student.parameters() if p.grad is not None) < 1e-5


def test_a_model_with_a_memory_says_that_it_neither_teaches_nor_is_taught():
    teachers, student, ids, targets, asked = of("remembered", "lstm")
    with pytest.raises(UsageError, match="a model with a memory neither teaches nor is taught; leave --teacher out"):
        teachers.nats(student, ids, targets, None, None, **asked)


def test_what_is_padding_counts_nothing():
    teachers, student, ids, targets, asked = of("ids", "lstm")
    targets = targets.clone()
    targets[:, 4:] = asked["pad"]
    nats = teachers.nats(student, ids, targets, None, None, **asked)
    assert nats[:, :4].gt(0).all()
    assert not nats[:, 4:].any()


def test_a_student_comes_to_say_what_its_teacher_says(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=60, learning_rate=2e-2), folder=tmp_path / "teacher", device="cpu")
    teacher = load_run(tmp_path / "teacher").model
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = recipe("transformer", steps=60, learning_rate=2e-2, calibrate=False)
    for name, teachers in (("alone", []), ("taught", [teacher])):
        train(Tunes(), REMI, recipe=settings, folder=tmp_path / name, device="cpu", teachers=teachers)
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
    given = {"recipe": recipe("lstm", taught=0.7), "device": "cpu", "teachers": [teacher]}
    train(Tunes(), REMI, folder=tmp_path / "whole", **given)

    def interrupt(progress):
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Tunes(), REMI, folder=tmp_path / "parts", report=interrupt, **given)
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
            train(Tunes(), REMI, recipe=settings, folder=tmp_path / "run", device="cpu", teachers=[teacher])
    finally:
        settings.model.pop("horizon", None)

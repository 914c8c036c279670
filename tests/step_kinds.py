"""Small models of every kind of step: ids, frames by frame and along pitches, fields, notes in parts with a memory; and
something to read."""

from __future__ import annotations

import torch
from memory_models import music
from part_pieces import PARTS
from training_tunes import REMI

from musicgen.models import ModelSettings, build_model
from musicgen.models.layouts import FrameLayout
from musicgen.tokenizers import Frames, FramesSettings


def frames(voices: int) -> Frames:
    return Frames(FramesSettings(2, "descending", voices))


def build(family: str, tokenizer, **shape):
    layout = getattr(tokenizer, "layout", None)
    settings = ModelSettings(
        family,
        len(tokenizer.vocabulary),
        width=16,
        layers=1,
        context=32,
        frames=None if layout is None else FrameLayout(**layout),
        **shape,
    )
    net = build_model(settings, seed=1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return net.eval()


KINDS = {
    "ids": (REMI, {}),
    "frames": (frames(0), {"by_frame": True}),
    "voices": (frames(4), {"by_frame": True}),
    "pitches": (frames(0), {"by_frame": True, "by_pitch": True}),
    "pitches of voices": (frames(4), {"by_frame": True, "by_pitch": True}),
    "fields": (REMI, {"fields": ((10, 20), (30, 25))}),
    "remembered": (PARTS, {"fields": tuple((f.first, f.size) for f in PARTS.fields), "steps": PARTS.memory}),
}


def some(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    tokenizer, shape = KINDS[kind]
    v = tokenizer.vocabulary
    if "steps" in shape:
        ids = music(0, 1, steps=30)
    elif "fields" in shape:
        ids = torch.stack([torch.randint(10, 30, (2, 13)), torch.randint(30, 55, (2, 13))], dim=-1)
    elif tokenizer is REMI:
        ids = torch.randint(4, len(v), (2, 13))
    else:
        frame = [v.id("pitch", 70), v.id("pitch", 62), v.id("pitch", 55)]
        frame += [v.id("pitch", 40) if tokenizer.voices else v.id("end")]
        ids = torch.tensor([[v.id("bos"), *frame * 3]] * 2)
    return ids[:, :-1], ids[:, 1:]

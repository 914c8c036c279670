"""A family's model as the trunk of another body: it reads vectors and has no head."""

from __future__ import annotations

import dataclasses

from musicgen.models.body import SequenceModel
from musicgen.models.heads.fields import FieldHead
from musicgen.models.settings import ModelSettings

__all__ = ["make_trunk"]


def make_trunk(family: type[SequenceModel], settings: ModelSettings, *, inputs: int) -> SequenceModel:
    """A body of the family that reads vectors of `inputs` numbers, configured as for steps with fields."""
    plain = dataclasses.replace(
        settings, vocabulary_size=inputs, fields=((0, inputs),), horizon=1, by_frame=False, by_pitch=False,
        frames=None, steps=None,
    )  # fmt: skip
    trunk = family(plain)
    # A head is made and dropped, so that later weights drawn from the same seed equal those of the published runs.
    trunk.step_head = FieldHead(plain.fields, vocabulary_size=inputs, width=plain.width, dropout=plain.dropout)
    trunk.first_weights()
    del trunk.step_head
    return trunk

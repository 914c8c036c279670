"""The families of models by name. A new family is a class and a line here, or a plug-in (`plugins.py`).

Classes are imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from musicgen import plugins
from musicgen.errors import UsageError
from musicgen.models.body import SequenceModel
from musicgen.models.hardware import check_memory
from musicgen.models.heads.fields import FieldHead
from musicgen.models.heads.head import Head
from musicgen.models.heads.token import TokenHead
from musicgen.models.presets import PRESETS
from musicgen.models.settings import ModelSettings, nearest

__all__ = [
    "FAMILIES", "blank_model", "build_model", "count_parameters", "drawn_from", "family_named", "preset", "sizes_of",
    "without_storage",
]  # fmt: skip

# The ladder of sequence models, from a window of the past to attention; each remedies a weakness of the one before.
# By name: (module in ladder/, class).
FAMILIES: dict[str, tuple[str, str]] = {
    "window": ("window", "Window"),
    "cnn": ("cnn", "CNN"),
    "rnn": ("rnn", "RNN"),
    "gru": ("rnn", "GRU"),
    "lstm": ("rnn", "LSTM"),
    "cnn-lstm": ("cnn_lstm", "CNNLSTM"),
    "transformer": ("transformer", "Transformer"),
}


def build_model(settings: ModelSettings, *, seed: int = 0) -> SequenceModel:
    """A new model on the CPU, in training mode; its first weights depend on the settings and the seed alone.

    The global random state stays as it was. Raises UsageError for a family that doesn't exist or a width that
    the family can't have, ResourceError where the machine's memory can't hold it.

    >>> build_model(ModelSettings("gru", 50, width=8, layers=1)).n_parameters
    832
    """
    check_memory(count_parameters(settings))
    with drawn_from(seed):
        return _new(settings)


def blank_model(settings: ModelSettings) -> SequenceModel:
    """Such a model on the meta device, with no storage for its weights. Raises UsageError as `build_model`."""
    with without_storage():
        return _new(settings)


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """What is made within is on the CPU, with first weights drawn from `seed`; the global random state stays as it
    was."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield


@contextmanager
def without_storage() -> Iterator[None]:
    """What is made within is on the meta device, where weights have no values."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Skips the initialisation of weights: on the meta device they have no values, and filling them would make PyTorch
    import its compiler, which takes as long as importing all the rest of it."""

    FILLS = frozenset({"normal_", "uniform_", "trunc_normal_"})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, unless it fills a tensor: then return that."""
        kwargs = kwargs or {}
        if func.__name__ in self.FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def count_parameters(settings: ModelSettings) -> int:
    """The number of parameters of such a model.

    >>> count_parameters(ModelSettings("gru", 50, width=8, layers=1))
    832
    """
    return blank_model(settings).n_parameters


def family_named(name: str) -> type[SequenceModel]:
    """The body class of a family, of musicgen or of a plug-in. Raises UsageError for a name that doesn't exist."""
    if name in FAMILIES:
        return _class("ladder", *FAMILIES[name])
    found: type[SequenceModel] | None = plugins.load_plugin(plugins.FAMILIES, str(name), SequenceModel)
    if found is None:
        hint = nearest(str(name), [*FAMILIES, *plugins.installed(plugins.FAMILIES)])
        raise UsageError(f"there is no model family {name!r}", where="model", hint=hint)
    return found


def sizes_of(family: str) -> Mapping[str, Mapping[str, Any]]:
    """The settings of a family's preset sizes, by size; those of a plug-in are the attribute `presets` of its class.

    Raises UsageError for a family that doesn't exist.

    >>> sizes_of("lstm")["tiny"]["layers"]
    2
    """
    if family in PRESETS:
        return PRESETS[family]
    sizes = getattr(family_named(family), "presets", {})
    return sizes if isinstance(sizes, Mapping) else {}


def preset(family: str, size: str, *, vocabulary_size: int, embedding: str = "learned") -> ModelSettings:
    """The settings of a family's size. Raises UsageError for a name that doesn't exist, offering the nearest.

    >>> preset("gru", "tiny", vocabulary_size=1200).width
    256
    """
    sizes = sizes_of(family)
    if size not in sizes:
        hint = nearest(size, sizes) if sizes else "it has none: give a recipe"
        raise UsageError(f"there is no preset {size!r}", where=family, hint=hint)
    return ModelSettings.from_dict(
        {**sizes[size], "family": family, "vocabulary_size": vocabulary_size, "embedding": embedding}
    )


def _new(settings: ModelSettings) -> SequenceModel:
    """A body with its head attached. Their weights are drawn in this order."""
    family = family_named(settings.family)
    model = _body(settings, family)
    model.attach(_head(settings, model))
    model.first_weights()
    return model


def _body(settings: ModelSettings, family: type[SequenceModel]) -> SequenceModel:
    if settings.by_pitch:
        return _class("frames", "by_pitch", "PitchModel")(settings, family)
    if settings.by_frame:
        return _class("frames", "by_frame", "FrameModel")(settings, family)
    if settings.steps and settings.with_memory:
        return _class("memory", "model", "MemoryModel")(settings, family)
    return family(settings)


def _head(settings: ModelSettings, model: Any) -> Head:
    """The head that fits the settings."""
    V, C, dropout = settings.vocabulary_size, settings.width, settings.dropout
    if settings.by_pitch:
        if model.layout.voices:
            return _class("frames", "pitch_voices", "VoiceKeys")(settings, model.view, width=model.project.out_features)
        return _class("frames", "pitch_sets", "Hazards")(settings, model.view)
    if settings.by_frame:
        return _class("frames", "speller", "Speller")(settings, model.view)
    if settings.steps and settings.with_memory:
        return _class("memory", "head", "PointerHead")(settings.steps, width=C, dropout=dropout)
    if settings.fields:
        return FieldHead(settings.fields, vocabulary_size=V, width=C, dropout=dropout)
    return TokenHead(width=C, vocabulary_size=V, tied=model.embedding if settings.embedding == "learned" else None)


def _class(*path: str) -> Any:
    *room, name = path
    return getattr(import_module(".".join(["musicgen.models", *room])), name)

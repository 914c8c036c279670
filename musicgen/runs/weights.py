"""Weights in safetensors files from untrusted sources: the header is checked before any memory is allocated.

The header is a length of eight bytes, then JSON: the dtype, shape and offsets of each tensor in the data that follow.
It is cheap to read, and has all that must agree with a model's shape. The shapes that a recipe implies are those of a
blank model, which has no storage (PyTorch's meta device).

Some layers were named otherwise in earlier versions. Their tensors get today's names here, as header and data are
read, so that everything behind sees one name and files of any age load (`RENAMED`).

Source: the format's description, https://github.com/huggingface/safetensors, section Format.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from musicgen.errors import UnreadableError
from musicgen.io.bounded import COPY, parse_json

__all__ = [
    "Entry",
    "check_optimizer",
    "check_weights",
    "fits_header",
    "load_tensors",
    "load_weights",
    "read_header",
]

MOST_HEADER = 4_000_000  # bytes; a model of a thousand tensors needs a tenth of a megabyte
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
# Former names of layers, and today's. In a tensor's name, `told` stands between dots, perhaps with a number behind.
RENAMED = {
    "told": "input_table", "hear": "project", "learn": "from_fields", "deepen": "residual", "said": "emitted",
    "sure": "confidence",
}  # fmt: skip
_FORMER = re.compile(rf"(?<![^.])({'|'.join(RENAMED)})(?=\d*(?:\.|$))")
FLOATS = ("F16", "BF16", "F32", "F64")  # as weights are stored


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its dtype by the format's name, and its shape."""

    dtype: str
    shape: tuple[int, ...]


# ---- the header ----------------------------------------------------------------------------------------


def read_header(path: str | os.PathLike[str]) -> dict[str, Entry]:
    """The entries of a safetensors file's tensors, by today's name. Raises UnreadableError where it is no such file, or
    where header and data don't agree: the tensors must fill the data without gaps or overlaps."""
    where = os.fspath(path)
    try:
        info = os.stat(where)
        if not stat.S_ISREG(info.st_mode):
            raise UnreadableError("is not a regular file", where=where, hint=COPY)
        with open(where, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            room = info.st_size - 8
            if room < 2 or length > room:
                raise UnreadableError("ends inside its header", where=where, hint=COPY)
            if length > MOST_HEADER:
                raise UnreadableError(f"has a header of {length:,} bytes", where=where, hint=COPY)
            data = file.read(length)
    except OSError as error:
        raise UnreadableError(f"can't be read ({error.strerror})", where=where, hint=COPY) from None
    table = parse_json(data, where=where)
    if not isinstance(table, dict):
        raise UnreadableError("has a header that is no table", where=where, hint=COPY)
    # JSON allows duplicate names, and parsers differ in which one they keep.
    pairs = json.loads(data, object_pairs_hook=list)
    if len(pairs) != len(table):
        raise UnreadableError("names a tensor twice in its header", where=where, hint=COPY)
    table.pop("__metadata__", None)
    places = sorted((_place(name, entry, where) for name, entry in table.items()), key=lambda place: place[1:3])
    at = 0
    for name, begin, end, _ in places:
        if begin != at:
            what = f"the tensor {name!r} begins at byte {begin:,} of the data, the one before it ends at {at:,}"
            raise UnreadableError(what, where=where, hint=COPY)
        at = end
    if at != room - length:
        what = f"has {room - length:,} bytes of data, its header accounts for {at:,}"
        raise UnreadableError(what, where=where, hint=COPY)
    entries = {_today(name): entry for name, _, _, entry in places}
    if len(entries) != len(places):
        raise UnreadableError("names a tensor twice, by a former and by today's name", where=where, hint=COPY)
    return entries


def _today(name: str) -> str:
    """Today's name of a tensor.

    >>> _today("field_head.learn.0.weight"), _today("inputs.sure1.weight"), _today("blocks.0.norm.weight")
    ('field_head.from_fields.0.weight', 'inputs.confidence1.weight', 'blocks.0.norm.weight')
    """
    return _FORMER.sub(lambda former: RENAMED[former[1]], name)


def _place(name: str, entry: Any, where: str) -> tuple[str, int, int, Entry]:
    """(name, begin, end, entry) of one tensor. Raises UnreadableError where its size doesn't match dtype and shape."""
    table: dict[str, Any] = entry if isinstance(entry, dict) else {}
    shape: Any = table.get("shape")
    span: Any = table.get("data_offsets")
    dtype = table.get("dtype")
    is_one = isinstance(shape, list) and isinstance(span, list) and len(span) == 2 and isinstance(dtype, str)
    if not (is_one and dtype in BITS and all(type(n) is int and 0 <= n < 2**62 for n in [*shape, *span])):
        raise UnreadableError(f"the tensor {name!r} is not described as one", where=where, hint=COPY)
    begin, end = span
    if (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        what = f"the tensor {name!r} of shape {_times(shape)} has {end - begin:,} bytes"
        raise UnreadableError(what, where=where, hint=COPY)
    return name, begin, end, Entry(dtype, tuple(shape))


def fits_header(values: Mapping[str, Any], header: Mapping[str, Entry], *, where: object) -> None:
    """Raise UnreadableError where a recipe's [model] asks for more than the file can hold, whatever the family.

    To be called before a blank model is made: even without storage, a million layers take long to build.
    """
    widest = max((max(entry.shape, default=1) for entry in header.values()), default=0)
    most = {"width": (widest, "wide"), "layers": (len(header), "tensors"), "horizon": (len(header), "tensors")}
    for name, (limit, kind) in most.items():
        value = values.get(name, 1)
        if isinstance(value, int) and value > limit:
            found = f"{limit:,} {kind}" if kind == "tensors" else f"no tensor wider than {limit:,}"
            what = f"the recipe says {name} = {value:,}, and there {'are' if kind == 'tensors' else 'is'} {found}"
            raise UnreadableError(what, where=where, hint=COPY)


# ---- weights -------------------------------------------------------------------------------------------


def check_weights(header: Mapping[str, Entry], model: torch.nn.Module, *, where: object) -> None:
    """Raise UnreadableError unless the file holds exactly the model's weights, with their shapes and a float dtype.

    The model may be blank.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, entry in header.items():
        if name not in wanted:
            raise UnreadableError(f"the recipe's model has no tensor {name!r}", where=where, hint=COPY)
        if entry.shape != wanted[name]:
            what = f"the tensor {name!r} is {_times(entry.shape)}, and the recipe asks for {_times(wanted[name])}"
            raise UnreadableError(what, where=where, hint=COPY)
        if entry.dtype not in FLOATS:
            raise UnreadableError(f"the tensor {name!r} holds {entry.dtype}, not floats", where=where, hint=COPY)
    if lacking := [name for name in wanted if name not in header]:
        raise UnreadableError(f"lacks the tensor {lacking[0]!r}", where=where, hint=COPY)


def load_weights(path: str | os.PathLike[str], model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of `model` from a file, after `check_weights`; all are finite. The model may be blank. Raises
    UnreadableError."""
    header = read_header(path)
    check_weights(header, model, where=path)
    return _loaded(path, header)


def load_tensors(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """All tensors of a file, with its header checked. Raises UnreadableError, also for NaN or infinity."""
    return _loaded(path, read_header(path))


def _loaded(path: str | os.PathLike[str], header: Mapping[str, Entry]) -> dict[str, torch.Tensor]:
    if odd := [name for name, entry in header.items() if entry.dtype.startswith("F8") or entry.dtype == "U64"]:
        raise UnreadableError(f"the tensor {odd[0]!r} holds {header[odd[0]].dtype}", where=path, hint=COPY)
    try:
        tensors = {_today(name): value for name, value in load_file(Path(path)).items()}
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"can't be read ({error})", where=path, hint=COPY) from None
    for name, value in tensors.items():
        # Minimum and maximum show both NaN and infinity; the sum of a finite tensor could overflow.
        if value.is_floating_point() and value.numel() and not torch.stack(value.aminmax()).isfinite().all():
            count = int((~value.isfinite()).sum())
            what = f"the tensor {name!r} has {count:,} numbers that are NaN or infinite"
            raise UnreadableError(what, where=path, hint="this model is broken: use another")
    return tensors


def check_optimizer(
    values: Mapping[str, torch.Tensor | float], optimizers: Sequence[torch.optim.Optimizer], *, where: object
) -> None:
    """Raise UnreadableError unless each value, named like "0.12.exp_avg" (optimizer, parameter, key), belongs to an
    existing parameter and is a number or of its shape, and all parameters of one optimizer have the same keys."""
    known: dict[tuple[int, int], set[str]] = {}
    for name, value in values.items():
        which, number, key = (*name.split(".", 2), "", "")[:3]
        shape = None
        if key and all(part.isascii() and part.isdigit() and len(part) < 9 for part in (which, number)):
            shapes = _parameters(optimizers, int(which))
            shape = shapes[int(number)] if int(number) < len(shapes) else None
        if shape is None:
            raise UnreadableError(f"the optimizer has no {name!r}", where=where, hint=COPY)
        if isinstance(value, torch.Tensor) and tuple(value.shape) not in ((), shape):
            what = f"the optimizer's {name!r} is {_times(value.shape)}, and its weights are {_times(shape)}"
            raise UnreadableError(what, where=where, hint=COPY)
        known.setdefault((int(which), int(number)), set()).add(key)
    for (one, nth), keys in known.items():  # a weight that never had a gradient has no values
        if keys != next(other for place, other in known.items() if place[0] == one):
            what = f"the optimizer's values of weight {one}.{nth} are others than those of its first"
            raise UnreadableError(what, where=where, hint=COPY)


def _parameters(optimizers: Sequence[torch.optim.Optimizer], which: int) -> list[tuple[int, ...]]:
    """The shapes of one optimizer's parameters, in the order of their numbers."""
    if which >= len(optimizers):
        return []
    return [tuple(parameter.shape) for group in optimizers[which].param_groups for parameter in group["params"]]


def _times(shape: Iterable[int]) -> str:
    return " x ".join(str(n) for n in shape) or "a single number"

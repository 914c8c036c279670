"""Writes a run as one ONNX file, with all that is needed to draw from it: vocabulary, tokenizer, licence.

The file is written only if onnxruntime, reading it, gives PyTorch's logits. Needs the extra `onnx`.

Source: ONNX, https://onnx.ai/onnx/intro/concepts.html; made by `torch.onnx`, opset 18.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from musicgen.checkpoint import Run, load_run
from musicgen.errors import CheckError, UsageError
from musicgen.exporting.checking import largest_difference, likely_steps
from musicgen.exporting.steps import Form, StateStep, WindowStep, check_exportable, form_of
from musicgen.io.atomic import keep_inputs, write_bytes
from musicgen.licences import shipping_of
from musicgen.resources import run_files

__all__ = ["TOLERANCE", "Exported", "export_onnx"]

TOLERANCE = 1e-4  # of logits; float32 rounds a sum of a thousand products of size 1 to about 1e-5
OPSET = 18


@dataclass(frozen=True)
class Exported:
    """An exported model: the file, how it is called, and how far its logits are from PyTorch's at most.

    `inputs` and `outputs` map names to shapes, in their order: numbers, and "batch" and "time" where any will do.
    """

    path: Path
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    largest_difference: float
    megabytes: float


def export_onnx(
    run: str | os.PathLike[str] | Run,
    output: str | os.PathLike[str],
    *,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> Exported:
    """Export one step of a run, or of a model that is here, as ONNX to the file `output`.

    The graph takes `ids`, int64, and gives logits, float32, of the next step, already multiplied by the model's inverse
    temperature. A recurrent model takes one step, (batch,) or (batch, fields), with its state, and gives the next
    state; the first one is zeros. Others take a window, (batch, time) or (batch, time, fields). With fields, it also
    takes `chosen` (batch, fields), the fields of the next step that have been chosen so far, and gives the logits of
    each field. The metadata have vocabulary, tokenizer, licence, and how to call it (`reads`, `longest_window`,
    `first_step`).

    Raises UsageError for a model that has no such step, and where the extra `onnx` isn't installed; CheckError if
    onnxruntime's logits differ from PyTorch's by more than `tolerance`: then nothing is written.

    >>> export_onnx("default", "default.onnx")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: this transformer model looks up in Python, outside of its network, ...
    """
    loaded = run if isinstance(run, Run) else load_run(run)
    path, model = Path(output), loaded.model.eval().cpu()
    check_exportable(model)
    runtime, helper = _packages()
    if loaded.folder is not None:
        keep_inputs([path], run_files(loaded.folder))
    if os.path.lexists(path) and not overwrite:
        raise UsageError("already exists", where=path, hint="pass `overwrite` to replace it")
    form = form_of(model)
    proto = _graph(loaded, form)
    helper.set_model_props(proto, _metadata(loaded, form))
    data = proto.SerializeToString()
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    worst = largest_difference(session, model, loaded.tokenizer, form)
    if not worst <= tolerance:
        what = f"not written: onnxruntime's logits differ from PyTorch's by {worst:.2g}, more than {tolerance:g}"
        raise CheckError(what, where=path, hint="raise `tolerance` if that is near enough")
    write_bytes(path, data, overwrite=overwrite)
    inputs, outputs = (
        {each.name: list(each.shape) for each in side} for side in (session.get_inputs(), session.get_outputs())
    )
    return Exported(path, inputs, outputs, worst, round(len(data) / 1e6, 1))


def _packages() -> tuple[Any, Any]:
    """onnxruntime and onnx.helper. Raises UsageError where one is missing."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # by which torch.onnx makes the graph
        from onnx import helper
    except ImportError as error:
        hint = "install the extra: pip install 'musicgen-symbolic[onnx]'"
        raise UsageError(f"export needs the package {error.name or 'onnx'}", hint=hint) from None
    return onnxruntime, helper


def _graph(run: Run, form: Form) -> Any:
    """The ONNX model (a protobuf message) of one step."""
    fields = [each.name for each in run.tokenizer.fields]
    steps = torch.from_numpy(likely_steps(run.tokenizer, 4))
    batch = torch.export.Dim("batch")
    chosen = [steps[:2, 3]] if form.n_fields else []
    chosen_dims = [{0: batch}] if form.n_fields else []
    module: torch.nn.Module
    arguments: tuple[Any, ...]
    dims: tuple[Any, ...]
    if form.state:
        module = StateStep(run.model, list(form.state))
        arguments = (steps[:2, 0], [*form.zeros(2).values()], *chosen)
        dims = ({0: batch}, [{shape.index(0): batch} for shape in form.state.values()], *chosen_dims)
    else:
        module = WindowStep(run.model)
        arguments = (steps[:2, :3], *chosen)
        time = torch.export.Dim("time", max=form.longest) if form.longest else torch.export.Dim("time")
        dims = ({0: batch, 1: time}, *chosen_dims)
    logits = [f"logits_{name}" for name in fields] if form.n_fields else ["logits"]
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            module.eval(),
            arguments,
            input_names=["ids", *form.state, *(["chosen"] if chosen else [])],
            output_names=[*logits, *(f"next_{name}" for name in form.state)],
            dynamic_shapes=dims,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own workings."""
    names = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _metadata(run: Run, form: Form) -> dict[str, str]:
    """The file's metadata: texts, those that aren't one word as JSON."""
    from musicgen import __version__

    tokenizer, vocabulary = run.tokenizer, run.tokenizer.vocabulary
    first: Tensor = torch.from_numpy(likely_steps(tokenizer, 1))[0, 0]
    values: dict[str, Any] = {
        "vocabulary": [vocabulary.token(n) for n in range(len(vocabulary))],
        "fields": [{"name": each.name, "first": each.first, "size": each.size} for each in tokenizer.fields],
        "tokenizer": tokenizer.spec,
        "first_step": first.tolist(),
        "longest_window": getattr(run.model, "reach", form.longest),
        "state": {name: ["batch" if n == 0 else n for n in shape] for name, shape in form.state.items()},
        "shipping": shipping_of(run.card).to_dict(),
    }
    texts = {
        "made_by": f"musicgen {__version__}",
        "reads": "state" if form.state else "window",
        "family": run.model.settings.family,
        "title": str(run.card.get("title", run.name)),
        "licence": str(run.card.get("licence", "unknown")),
        "model_sha256": run.sha256,
    }
    return {**texts, **{name: json.dumps(value) for name, value in values.items()}}

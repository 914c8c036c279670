"""The pictures of a run: which ones it has, what they are drawn from, and the files they become.

    loss.png             train and validation loss over the training steps, and the learning rate
    gradients.png        the norm of each layer's gradient over the training steps
    memory.png           how much a prediction depends on what was read k steps before
    pitches.png          the pitches' embeddings in the plane, and their likeness by interval
    attention.layerN.png a Transformer's attention over an excerpt, head by head
    gates.png            the gates of an LSTM or GRU over an excerpt

What a run lacks is left out and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from musicgen.checkpoint import Run
from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus, own_corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.io.atomic import keep_inputs, together
from musicgen.models.ladder.transformer import Transformer, attention_weights
from musicgen.pictures import plots, probes
from musicgen.pictures.step_roll import bar_lines, pitch_kind, step_notes
from musicgen.piece import Piece

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Album", "draw_run", "refuse_to_replace"]

STEPS = 96  # of an excerpt that is looked at: more can't be told apart on a page
EXCERPTS = 16  # over which memory is averaged
LONGEST_LAG = 256
NAMES = ("loss.png", "gradients.png", "memory.png", "pitches.png", "attention.layer*.png", "gates.png")


@dataclass
class Album:
    """Figures by file name, in order, and a line for each picture that a run doesn't have."""

    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write all figures into `folder`, which is made where its parent exists, or none; return their paths.

        Raises UsageError before anything is written when one of them exists and `overwrite` is False, or when there
        are none.
        """
        folder = Path(folder)
        if not self.figures:
            raise UsageError("this run has nothing to draw", where=folder, hint="name a piece with --piece")
        refuse_to_replace(folder, overwrite=overwrite)
        paths = [folder / name for name in self.figures]
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        try:
            with together(paths, overwrite=overwrite) as drawn:
                for path, figure in zip(drawn, self.figures.values(), strict=True):
                    plots.write_png(figure, path)
        except BaseException:
            if made:
                folder.rmdir()
            raise
        return paths


def refuse_to_replace(folder: str | Path, *, overwrite: bool = False, inputs: Iterable[str | Path | None] = ()) -> None:
    """Raises UsageError where pictures can't go to `folder`, or some lie there already and `overwrite` is False, or one
    of them is an input.

    Drawing takes a while: this is known before.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name")
    if not folder.parent.is_dir():
        raise UsageError("its folder does not exist", where=folder, hint=f"create {folder.parent} first")
    there = [path for pattern in NAMES for path in sorted(folder.glob(pattern))]
    keep_inputs(there, inputs)
    if there and not overwrite:
        raise UsageError("already exists", where=there[0], hint="pass --overwrite to replace it")


def draw_run(run: Run, folder: str | Path, *, piece: Piece | None = None) -> Album:
    """All pictures of the run that lies in `folder`. `piece` is what attention and gates are drawn over.

    Without a piece they take the first of the validation split that is long enough. Raises UsageError where
    matplotlib is not installed or the piece has nothing to read.
    """
    folder, album = Path(folder), Album()
    source = _source(run, folder, album)
    _try(album, "loss.png", lambda: _loss(run, folder / "log.csv"))
    _try(album, "gradients.png", lambda: _gradients(run, folder / "gradients.csv"))
    _try(album, "memory.png", lambda: _memory(run, source))
    _try(album, "pitches.png", lambda: _pitches(run, source))
    body = run.model.trunk if run.model.reads_frames else run.model
    if isinstance(body, Transformer) or hasattr(body, "gates"):
        ids, title = _excerpt(run, source, piece)
        if ids is None:
            name = "attention" if isinstance(body, Transformer) else "gates.png"
            album.left_out.append(f"{name}: no corpus to take an excerpt from; name a piece with --piece")
        else:
            _over_excerpt(run, album, ids, title)
    return album


class _Absent(Exception):
    """Why a run doesn't have a picture."""


def _try(album: Album, name: str, draw: Callable[[], Figure]) -> None:
    try:
        album.figures[name] = draw()
    except _Absent as reason:
        album.left_out.append(f"{name}: {reason}")


def _source(run: Run, folder: Path, album: Album) -> Corpus | None:
    """The run's own corpus, or None and a line that says why."""
    try:
        source = Corpus.open(own_corpus(folder, run.recipe.data.corpus))
    except MusicgenError as error:
        album.left_out.append(f"what needs the corpus: {error.what}")
        return None
    if source.spec != run.tokenizer.spec:
        album.left_out.append(f"what needs the corpus: {source.folder} was built with another tokenizer")
        return None
    source.check()
    return source


def _loss(run: Run, path: Path) -> Figure:
    if not path.is_file():
        raise _Absent(f"there is no {path.name} in this run")
    log = probes.read_columns(path)
    needed = {"step", "train_nats_per_token", "valid_nats_per_token", "learning_rate"}
    if needed - set(log) or not len(log["step"]):
        raise _Absent(f"{path.name} holds no steps")
    return plots.draw_loss(log, title=f"{_name(run)}: loss")


def _gradients(run: Run, path: Path) -> Figure:
    if not path.is_file():
        raise _Absent(f"there is no {path.name} in this run")
    layers = probes.read_gradients(path)
    if not layers:
        raise _Absent(f"{path.name} holds no steps")
    return plots.draw_gradients(layers, title=f"{_name(run)}: gradients by layer, before clipping")


def _memory(run: Run, source: Corpus | None) -> Figure:
    if source is None:
        raise _Absent("it needs the run's corpus")
    spans = source.spans("valid") if len(source.spans("valid")) else source.spans("train")
    if not len(spans):
        raise _Absent("the corpus has no pieces to train on or to validate with")
    length = min(LONGEST_LAG, run.model.context or LONGEST_LAG)
    # The longest lag that still finds enough pieces.
    length = min(length, int(np.sort(spans[:, 1])[-min(EXCERPTS, len(spans))]) - 1)
    if length < 2:
        raise _Absent("the pieces of the corpus are too short")
    spans = spans[spans[:, 1] > length]
    chosen = spans[spread(len(spans), EXCERPTS)]
    # Out of the middle of a piece: at its beginning there is little to remember, at its end nothing to predict.
    begins = chosen[:, 0] + (chosen[:, 1] - length - 1) // 2
    windows = np.stack([source.tokens[begin : begin + length + 1] for begin in begins.tolist()])
    ids = _tensor(run, windows)
    pad = run.tokenizer.vocabulary.id("pad")
    norm_NK = probes.gradient_by_lag(run.model, ids[:, :-1], ids[:, 1:], pad=pad)
    title = f"{_name(run)}: what the next step's nats depend on"
    return plots.draw_memory(norm_NK, title=title, unit=_unit(run))


def _pitches(run: Run, source: Corpus | None) -> Figure:
    kind = pitch_kind(run.tokenizer)
    if kind is None:
        raise _Absent(f"the tokenizer {run.tokenizer.name} has no pitch tokens")
    if source is None:
        raise _Absent("it needs the run's corpus")
    rows_VC = probes.input_rows(run.model)
    if rows_VC is None:
        raise _Absent("this model has no row for a token")
    base, counts = run.tokenizer.vocabulary.base[kind], np.zeros(128, np.int64)
    for offset, length in source.spans("train").tolist():
        ids = np.asarray(source.tokens[offset : offset + length]).astype(np.int64) - base
        counts += np.bincount(ids[(ids >= 0) & (ids < 128)], minlength=128)
    pitch_P = np.flatnonzero(counts)
    if len(pitch_P) < 3:
        raise _Absent("fewer than three pitches occur in the training data")
    rows_PC = rows_VC[base + pitch_P].astype(np.float64)
    points_P2, shares = probes.plane(rows_PC)
    means_12C = probes.pitch_classes(rows_PC, pitch_P)
    return plots.draw_pitches(
        points_P2,
        pitch_P,
        shares=shares,
        counts_P=counts[pitch_P],
        by_interval=probes.similarity_by_interval(rows_PC, pitch_P),
        classes=None if means_12C is None else probes.plane(means_12C),
        title=f"{_name(run)}: input embedding of the pitches",
    )


def _excerpt(run: Run, source: Corpus | None, piece: Piece | None) -> tuple[np.ndarray | None, str]:
    """The ids to look at, from the beginning of a piece, and what to call them."""
    longest = min(STEPS, run.model.context or STEPS)
    if run.model.reads_frames:
        longest = STEPS * 4  # as many ids as frames of three notes take
    if piece is not None:
        ids = run.tokenizer.encode(piece)
        if not run.tokenizer.count_notes(ids):
            raise UsageError("the piece has no notes that this run's tokenizer reads", hint="choose another --piece")
        return ids[:longest].astype(np.int64), "the opening of the piece"
    records = [] if source is None else source.pieces("valid") or source.pieces("train")
    if source is None or not records:
        return None, ""
    record = next((r for r in records if r.length >= longest), max(records, key=lambda r: r.length))
    return np.asarray(source.ids(record)[:longest]).astype(np.int64), f"the opening of {record.source}"


def _over_excerpt(run: Run, album: Album, ids: np.ndarray, title: str) -> None:
    notes, bars = step_notes(run.tokenizer, ids), bar_lines(run.tokenizer, ids)
    batch = _tensor(run, ids[None])
    body: Any = run.model
    if run.model.reads_frames:
        # The trunk's steps are frames, of which the first stands before the piece.
        body = run.model.trunk
        batch, done_BT, which = run.model.trunk_steps(batch)
        title = f"{title}, {which}" if which else title
        if notes is not None:
            of_step = np.append(done_BT[0].cpu().numpy(), batch.shape[1] - 1) + 1
            notes = notes._replace(begin=of_step[notes.begin], end=of_step[notes.end])
    if isinstance(body, Transformer):
        for layer, weights_BHTT in enumerate(attention_weights(body, batch), 1):
            album.figures[f"attention.layer{layer}.png"] = plots.draw_attention(
                weights_BHTT[0].float().cpu().numpy(),
                notes=notes,
                bars=bars,
                title=f"{_name(run)}: attention of layer {layer} over {title}",
                unit=_unit(run),
            )
        return
    layers: list[dict[str, Tensor]] = body.gates(batch)
    if not layers:
        album.left_out.append(f"gates.png: a model of the family {run.model.settings.family} has no gates")
        return
    album.figures["gates.png"] = plots.draw_gates(
        [{name: gate_BTC[0].float().cpu().numpy() for name, gate_BTC in gates.items()} for gates in layers],
        notes=notes,
        bars=bars,
        title=f"{_name(run)}: gates over {title}",
        unit=_unit(run),
    )


def _tensor(run: Run, ids: np.ndarray) -> Tensor:
    device: Any = next(run.model.parameters()).device
    return torch.from_numpy(ids.astype(np.int64)).to(device)


def _unit(run: Run) -> str:
    """What the body of the model takes at a time."""
    return "frame" if run.model.reads_frames else "step"


def _name(run: Run) -> str:
    return f"{run.name} ({run.model.settings.family}, {run.tokenizer.name})"

"""alignment.png: which notes of a melody a translator looks at for each chord, or for each step of the voices.

Shapes: M target steps, N notes of the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.chords import spelled
from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.pictures import canvas
from musicgen.pictures.subject import Absent, Subject
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.translate.alignment import Alignment, align
from musicgen.tasks.translate.decoding import Search, translate
from musicgen.tasks.translate.harmony import fifths_of, symbol_of
from musicgen.tasks.translate.pairs import REST, Pair, line_of, pair_of, source_pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from musicgen.models.tasks.translator import Translator

__all__ = ["NAME", "TABLE", "draw_alignment", "drawn", "written"]

NAME, TABLE = "alignment.png", "alignment.csv"
BARS = 8  # more can't be read


def drawn(subject: Subject) -> tuple[dict[str, Figure], dict[str, str]]:
    """The picture and its table by name, of the opening of a piece that was held out, or of the subject's piece, which
    the model translates first. Raises Absent."""
    model: Any = subject.run.model
    if not model.task.attention:
        raise Absent("the model looks at one vector: it was trained without attention")
    pair, title = _opening(subject, model)
    found = align(model, pair)
    if found is None:
        raise Absent("the piece has no melody")
    name = f"{subject.name}: what it looks at over {title}"
    figure = draw_alignment(found, pair, kind=model.task.pair, title=name)
    return {NAME: figure}, {TABLE: written(found, pair, kind=model.task.pair)}


def _opening(subject: Subject, model: Translator) -> tuple[Pair, str]:
    """(the pair of the first bars, what it is the opening of)."""
    bars = min(BARS, model.task.bars)
    if subject.piece is not None:
        source = source_pair(subject.piece, line_of(subject.piece), voices=len(model.step_head.fields) - 1)
        return translate(model, source.excerpt(0, bars), search=Search())[0], "the opening of the piece"
    for record, piece in pieces_of(subject.needed_corpus(), "valid"):
        pair = pair_of(piece, model.task.pair)
        if pair is not None and len(pair.excerpt(0, bars).notes_N3):
            return pair.excerpt(0, bars), f"the opening of {record.source}"
    raise Absent("no validation piece is such a pair; name a piece with `piece`")


def written(found: Alignment, pair: Pair, *, kind: str) -> str:
    """The weights as CSV: a row for each target step and note, times in grid steps from the first bar."""
    rows = ["begin,end,target,onset,pitch,weight_before,weight_behind"]
    for n, ((begin, end), name) in enumerate(zip(pair.steps_M2.tolist(), _names(pair, kind), strict=True)):
        for m, (onset, _, pitch) in enumerate(pair.notes_N3.tolist(), 1):
            weights = f"{found.before_MS[n, m]:.4f},{found.behind_MS[n, m]:.4f}"
            rows.append(f"{begin},{end},{name},{onset},{pitch},{weights}")
    return "\n".join(rows) + "\n"


def draw_alignment(found: Alignment, pair: Pair, *, kind: str, title: str) -> Figure:
    """The weights of both looks at the source: a row a target step, a column a note, lines where bars begin. The notes
    that sound within a step are framed."""
    notes, steps = len(pair.notes_N3), len(pair.steps_M2)
    figure = canvas.figure_of(max(7.0, 2.0 + 0.2 * notes), max(6.0, 2.6 + 0.36 * steps))
    above, below = figure.subplots(2, 1)
    for axes, weights_MS, inside, name in (
        (above, found.before_MS, found.inside_before, "before the decoder's body, asked by the step before"),
        (below, found.behind_MS, found.inside, "behind it, asked by all that was written"),
    ):
        image = axes.imshow(weights_MS[:, 1:], cmap="magma_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        share = f"{inside:.0%} of the weight on notes under their step; {found.even:.0%} if all weighed the same"
        axes.set_title(f"{name}\n{share}", fontsize=9)
        _label(axes, pair, kind)
    figure.colorbar(image, ax=[above, below], label="attention weight", aspect=40)
    canvas.entitle(figure, title)
    return figure


def _label(axes: Axes, pair: Pair, kind: str) -> None:
    """Names of notes and steps, bar lines, and frames around what sounds together."""
    from matplotlib.patches import Rectangle

    pitches = pair.notes_N3[:, 2].tolist()
    fifths = fifths_of(pair.notes_N3)
    axes.set_xticks(range(len(pitches)), [spelled(pitch, fifths=fifths) for pitch in pitches], fontsize=7)
    axes.set_yticks(range(len(pair.steps_M2)), _names(pair, kind), fontsize=7)
    axes.set_xlabel("notes of the melody")
    axes.set_ylabel("chord" if kind == CHORDS else "bass, tenor, alto")
    columns = np.searchsorted(pair.notes_N3[:, 0], pair.edges_B1[1:-1])
    rows = np.searchsorted(pair.steps_M2[:, 0], pair.edges_B1[1:-1])
    axes.vlines(columns - 0.5, -0.5, len(pair.steps_M2) - 0.5, color="0.3", linewidth=0.6, linestyle=":")
    axes.hlines(rows - 0.5, -0.5, len(pitches) - 0.5, color="0.3", linewidth=0.6, linestyle=":")
    for row, (begin, end) in enumerate(pair.steps_M2.tolist()):
        under = np.flatnonzero((pair.notes_N3[:, 0] < end) & (pair.notes_N3[:, 1] > begin))
        if len(under):
            box = Rectangle((under[0] - 0.5, row - 0.5), len(under), 1, fill=False, edgecolor="tab:blue", linewidth=0.8)
            axes.add_patch(box)


def _names(pair: Pair, kind: str) -> list[str]:
    """What sounds in each target step, spelled in the melody's key; · is a note that goes on, – a rest."""
    fifths = fifths_of(pair.notes_N3)
    if kind == CHORDS:
        return [symbol_of(chord, fifths=fifths) for chord in pair.values_MK[:, 0].tolist()]
    voices = zip(pair.values_MK[:, ::-1].tolist(), pair.struck_MK[:, ::-1].tolist(), strict=True)
    return [
        " ".join("–" if p == REST else spelled(p, fifths=fifths) if s else "·" for p, s in zip(*row, strict=True))
        for row in voices
    ]

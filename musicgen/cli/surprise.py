"""`musicgen inspect PIECE --surprise`: which notes of a piece surprise a model, as lines, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from musicgen.cli.options import print_json, say, warn
from musicgen.cli.outputs import check_folder
from musicgen.errors import UsageError
from musicgen.resources import piece_path
from musicgen.words import counted, sentence

__all__ = ["show_surprise"]

SHOWN = 10  # notes


def show_surprise(piece: str, *, model: str, output: str | None, limits: Any, as_json: bool, overwrite: bool) -> None:
    """Print the mean and the notes with the most surprising pitches, and draw all into `output`, a PNG."""
    from musicgen.io.atomic import keep_inputs

    picture = None if output is None else Path(output)
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise UsageError("a picture is written as PNG", where=output, hint="end the name in .png")
        check_folder(picture.parent)
        keep_inputs([picture], [piece_path(piece)])
        if picture.exists() and not overwrite:
            raise UsageError("already exists", where=output, hint="pass `overwrite` to replace it")

    import numpy as np

    from musicgen.checkpoint import load_run
    from musicgen.evaluation.surprise import KINDS, surprise
    from musicgen.gm import pitch_name, program_name
    from musicgen.io import read

    music = read(piece, limits=limits)
    for line in music.warnings:
        warn(f"{piece}: {sentence(line)}")
    run = load_run(model)
    found = surprise(run.model, music, tokenizer=run.tokenizer)
    starts, rows = music.bar_starts(max(0, music.end - 1))
    bar = np.searchsorted(starts, found.tick, side="right") - 1
    beat = (found.tick - starts[bar]) * music.meter_segments()[2][rows[bar]] / (4 * music.ticks_per_quarter)
    is_drum = np.array([track.is_drum for track in music.tracks])[found.track]
    names = [t.name or program_name(t.program, is_drum=t.is_drum) for t in music.tracks]

    def facts(n: int) -> dict[str, Any]:
        pitch = int(found.pitch[n])
        return {
            "bar": int(bar[n]) + 1,
            "beat": round(float(beat[n]) + 1, 3),
            "tick": int(found.tick[n]),
            "part": int(found.track[n]) + 1,
            "part_name": names[found.track[n]],
            "pitch": pitch,
            "name": f"drum {pitch}" if is_drum[n] else pitch_name(pitch),
            "nats": round(float(found.nats[n]), 4),
            **{f"{kind}_nats": round(float(nats), 4) for kind, nats in zip(KINDS, found.nats_NK[n], strict=True)},
        }

    most = found.ranked[:SHOWN]
    if picture is not None:
        from musicgen.io.atomic import together
        from musicgen.pictures.canvas import write_png
        from musicgen.pictures.surprise import draw_surprise

        figure = draw_surprise(
            np.stack([found.tick, found.duration, found.track, found.pitch], axis=1),
            found.nats,
            marked=most,
            is_drum=is_drum,
            bars=np.append(starts, max(music.end, starts[-1] + 1)),
            title=f"{Path(piece).name}: surprise of each note to {run.name}",
        )
        with together([picture], overwrite=overwrite) as (drawn,):
            write_png(figure, drawn)
    mean = float(found.nats.mean())
    if as_json:
        print_json(
            {
                "file": piece,
                "model": run.name,
                "sha256": run.sha256,
                "nats_per_note": round(mean, 4),
                "other_nats": round(found.other, 4),
                "merged_notes": found.merged,
                "most_surprising": most.tolist(),
                "notes": [facts(n) for n in range(len(found.tick))],
                **({} if picture is None else {"picture": str(picture)}),
            }
        )
        return
    say(f"{piece}: {mean:.2f} nats a note in the mean, {counted(len(found.tick), 'note')}, model {run.name}")
    if found.merged:
        say(f"  {counted(found.merged, 'note')} read as one with another of the same onset, pitch and player")
    say("  the most surprising pitches:")
    say("    bar   beat  pitch     nats, of them for the pitch  part")
    for n in most.tolist():
        one = facts(n)
        place = f"{one['bar']:>3}  {one['beat']:>5.2f}  {one['name']:<8}"
        say(f"    {place} {one['nats']:>5.2f}  {one['pitch_nats']:>23.2f}  {one['part']}: {one['part_name']}")
    if picture is not None:
        say(f"  wrote {picture}")

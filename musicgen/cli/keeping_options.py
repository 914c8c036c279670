"""The options that say what new music keeps to, the same for all commands that write music."""

from __future__ import annotations

import click

from musicgen.cli.options import Number, Whole, all_options

__all__ = ["keeping_options"]

keeping_options = all_options(
    click.option(
        "--key", default=None, metavar="KEY", help="Keep melodic parts in a key: G, Bb, F#m; auto: that of the piece."
    ),
    click.option(
        "--key-strength",
        type=Number(0, 1),
        default=1.0,
        show_default=True,
        help="1: no note outside the key or scale; X: such notes are 1-X times as likely.",
    ),
    click.option("--scale", default=None, metavar="SCALE", help="The same with a scale: 'D dorian', 'A blues'."),
    click.option(
        "--chords",
        default=None,
        metavar="CHORDS",
        help="Keep to chords, one a bar, repeated: 'Am F,G C'; file: those of the piece; none.",
    ),
    click.option(
        "--pitch-range",
        default=None,
        metavar="LO-HI",
        help="Keep melodic parts between two notes, as in C3-C6 or 48-84; C4 is middle C, 60.",
    ),
    click.option(
        "--range", "ranges", multiple=True, metavar="PART=LO-HI", help="The same for one part: Bass=E1-G2; repeatable."
    ),
    click.option("--max-polyphony", type=Whole(min=0), default=0, help="How many notes may sound at once; 0: any."),
    click.option(
        "--polyphony", multiple=True, metavar="PART=N", help="The same for one part, as in Piano=3; repeatable."
    ),
    click.option(
        "--density", default=None, metavar="LO-HI", help="Notes in a bar: 4-12, -12, or 0.5x-1.5x of those before."
    ),
    click.option("--velocity", default=None, metavar="LO-HI", help="How loud: 60-90, or a mean: 75."),
    click.option("--no-drums", is_flag=True, help="No new notes for drums."),
    click.option("--kit", default=None, metavar="DRUMS", help="Which drums, by commas: kick,snare,hi-hat or 36,38."),
    click.option(
        "--rhythm-from",
        "rhythm",
        default=None,
        metavar="[PART=]BAR",
        help="Borrow the onsets and lengths of a bar of the piece.",
    ),
    click.option(
        "--motif",
        default=None,
        metavar="[PART=]BAR[@BAR]",
        help="Bring the melody of a bar back once, at a new bar; it is moved to fit key and chords.",
    ),
)

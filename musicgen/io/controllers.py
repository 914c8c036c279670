"""The meaning of MIDI controllers, shared by the reader, the player, the tokenizers and continuations (`seam`).

Conventions
-----------
`controls` (CONTROL) and `bends` (BEND) are those of one channel in time order, as a `Track` holds them. On one tick
notes end first, then controllers act in their order, then pitch bends, and then notes begin. A pedal is down at values
of 64 or more. "Reset all controllers" (121) releases the pedals, sets expression to 127 and modulation to 0, centres
the pitch bend and deselects parameters; volume, pan, program and the values of parameters stay.

Sources: MIDI 1.0 Detailed Specification 4.2; RP-015 (reset all controllers), RP-018 (data increment and decrement).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "ALL_NOTES_OFF",
    "ALL_SOUND_OFF",
    "BANK",
    "DATA",
    "DATA_FINE",
    "EXPRESSION",
    "INCREMENT",
    "MODES",
    "PAN",
    "PEDALS",
    "RESET",
    "RESET_TO",
    "RPN",
    "RPN_FINE",
    "SOFT",
    "SOSTENUTO",
    "SUSTAIN",
    "VOLUME",
    "changes",
    "silences",
    "transposition",
    "tuning",
    "wheel",
]

BANK, DATA, VOLUME, PAN, EXPRESSION, DATA_FINE = 0, 6, 7, 10, 11, 38
MODULATION, SUSTAIN, SOSTENUTO, SOFT = 1, 64, 66, 67
PEDALS = (SUSTAIN, SOSTENUTO, SOFT)
INCREMENT, DECREMENT, NRPN_FINE, NRPN, RPN_FINE, RPN = 96, 97, 98, 99, 100, 101
ALL_SOUND_OFF, RESET, ALL_NOTES_OFF = 120, 121, 123
MODES = (124, 125, 126, 127)  # omni off, omni on, mono, poly; each also ends all notes
RESET_TO = {MODULATION: 0, EXPRESSION: 127, SUSTAIN: 0, SOSTENUTO: 0, SOFT: 0}
_BEND_RANGE, _FINE, _COARSE = (0, 0), (0, 1), (0, 2)  # registered parameters: (controller 101, controller 100)
_NONE = (127, 127)


def changes(controls: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, values) of one controller, with the values that "reset all controllers" sets; int64.

    >>> from musicgen.piece import CONTROL
    >>> changes(np.array([(0, 64, 127), (5, 7, 90), (9, 121, 0)], CONTROL), SUSTAIN)[1].tolist()
    [127, 0]
    """
    mine = controls["number"] == number
    if number in RESET_TO:
        rows = controls[mine | (controls["number"] == RESET)]
        return rows["tick"], np.where(rows["number"] == number, rows["value"], RESET_TO[number]).astype(np.int64)
    rows = controls[mine]
    return rows["tick"], rows["value"].astype(np.int64)


def silences(controls: np.ndarray) -> np.ndarray:
    """The ticks of "all sound off" (120), which silences notes even if a pedal holds them."""
    ticks: np.ndarray = controls["tick"][controls["number"] == ALL_SOUND_OFF]
    return ticks


def wheel(controls: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, values -8192..8191) of the pitch bend, int64; "reset all controllers" sets it to 0."""
    reset = controls["tick"][controls["number"] == RESET]
    if not len(reset):
        return bends["tick"], bends["value"].astype(np.int64)
    ticks = np.concatenate([reset, bends["tick"]])
    values = np.concatenate([np.zeros(len(reset), np.int64), bends["value"].astype(np.int64)])
    order = np.argsort(ticks, kind="stable")
    return ticks[order], values[order]


def tuning(controls: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(ticks, bend range, fine tuning, coarse tuning), in semitones as float64, each valid from its tick on.

    The first tick is -1, with the defaults 2, 0 and 0. Data entry, increment and decrement change the registered
    parameter selected last: 0 is the pitch bend range (semitones, then cents), 1 the fine and 2 the coarse tuning.
    They have no effect while a non-registered parameter, or none, is selected.
    """
    table = [(-1.0, 2.0, 0.0, 0.0)]
    number = controls["number"]
    asked = (number == DATA) | (number == DATA_FINE) | ((number >= INCREMENT) & (number <= RPN)) | (number == RESET)
    selected, registered = [127, 127], True
    cents, fine, coarse = 200, 8192, 0
    for tick, controller, value in controls[asked].tolist():
        if controller in (RPN, RPN_FINE):
            selected[RPN - controller] = value
            registered = True
            continue
        if controller in (NRPN, NRPN_FINE, RESET):
            selected = list(_NONE) if controller == RESET else selected
            registered = controller == RESET
            continue
        parameter = tuple(selected) if registered else _NONE
        step = {INCREMENT: 1, DECREMENT: -1}.get(controller, 0)
        if parameter == _BEND_RANGE:
            if controller == DATA:
                cents = 100 * value
            elif controller == DATA_FINE:
                cents = cents - cents % 100 + min(value, 99)
            cents = min(max(cents + step, 0), 12_799)
        elif parameter == _FINE:
            if controller == DATA:
                fine = value << 7
            elif controller == DATA_FINE:
                fine = (fine & ~127) | value
            fine = min(max(fine + step, 0), 16_383)
        elif parameter == _COARSE:
            if controller == DATA:
                coarse = value - 64
            coarse = min(max(coarse + step, -64), 63)
        else:
            continue
        table.append((tick, cents / 100, (fine - 8192) / 8192, coarse))
    ticks, ranges, finely, coarsely = np.array(table, np.float64).T
    return ticks.astype(np.int64), ranges, finely, coarsely


def transposition(controls: np.ndarray, bends: np.ndarray, *, drums: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, transposition in semitones, float64) by pitch bend and tuning together, each valid from its tick on.

    The first tick is -1. Of several changes on one tick the last is taken. Coarse tuning doesn't apply to `drums`.
    """
    at_wheel, value = wheel(controls, bends)
    at_tuning, ranges, fine, coarse = tuning(controls)
    ticks = np.unique(np.concatenate([at_wheel, at_tuning]))
    turned = np.concatenate([[0], value])[np.searchsorted(at_wheel, ticks, side="right")] / 8192
    k = np.searchsorted(at_tuning, ticks, side="right") - 1
    return ticks, turned * ranges[k] + fine[k] + (0.0 if drums else coarse[k])

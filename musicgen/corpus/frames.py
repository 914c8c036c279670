"""Read piano rolls: the Boulanger-Lewandowski `.mat` files, and chorales by voice in `.json`.

A `.mat` file holds `traindata`, `validdata`, `testdata` (or `train`, ...), any of them: arrays of T x 88 binary
matrices, a row a frame, a column a pitch from 21 to 108. A `.json` file holds `train`, `valid`, `test`: lists of
pieces, a piece a list of frames, a frame a list of MIDI pitches by voice; a rest is -1, NaN, null or absent.

The files don't say how long a frame is: a row becomes one frame of the tokenizer, so that ids represent the rows
exactly. A pitch in consecutive rows is one held note. A file is read completely or refused, as results on these data
sets are compared by their published counts.

Sources: Boulanger-Lewandowski et al. 2012 (the `.mat` files); Allan and Williams 2005 and Huang et al. 2017,
"Counterpoint by Convolution" (the chorales).
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musicgen.corpus.split import SPLITS
from musicgen.errors import ResourceError, UnreadableError
from musicgen.io.midi import Limits, read_bytes
from musicgen.piece import NOTE, Piece, Track

__all__ = ["FRAME_SUFFIXES", "FramePiece", "check_reader", "frame_pieces"]

FRAME_SUFFIXES = (".mat", ".json")
LOWEST, COLUMNS = 21, 88  # the pitches of a piano
TICKS_PER_FRAME = 120
VELOCITY = 80
KEYS = {key: split for split in SPLITS for key in (split, f"{split}data")}
HINT = "see musicgen corpus build --help for the files that can be read"


class FramePiece(NamedTuple):
    """A piece and its split. The piece includes silence up to tick `end`, the end of its last frame."""

    split: str
    name: str
    piece: Piece
    end: int


def check_reader(paths: Iterable[Path]) -> None:
    """Raise ResourceError if one of the files needs a package that isn't installed."""
    mats = [path for path in paths if path.suffix.lower() == ".mat"]
    if mats and importlib.util.find_spec("scipy") is None:
        hint = "pip install 'musicgen-symbolic[frames]'"
        raise ResourceError("reading .mat files needs scipy", where=mats[0], hint=hint)


def frame_pieces(path: str | Path, *, frames_per_quarter: int, limits: Limits | None = None) -> Iterator[FramePiece]:
    """The pieces of a file, sorted by split; each row becomes a frame, `frames_per_quarter` to a quarter note.

    Raises UnreadableError, with what was found, for a file of another form.
    """
    path = Path(path)
    data = read_bytes(path, max_megabytes=(limits or Limits()).megabytes)
    is_mat = path.suffix.lower() == ".mat"
    table = _mat_table(data, path) if is_mat else _json_table(data, path)
    found = [(key, split) for split in SPLITS for key in table if KEYS.get(key) == split]
    if not found:
        names = ", ".join(map(repr, list(table)[:5])) or "nothing"
        raise UnreadableError(f"has none of train, valid and test; found {names}", where=path, hint=HINT)
    if len({split for _, split in found}) < len(found):
        raise UnreadableError(f"has a split twice: {', '.join(key for key, _ in found)}", where=path, hint=HINT)
    read, piece_of = (_mat_pieces, _roll_piece) if is_mat else (_json_pieces, _voices_piece)
    splits = [(split, read(table[key], key, path)) for key, split in found]  # read all before yielding the first
    for split, frames in splits:
        for number, rows in enumerate(frames):
            end = len(rows) * TICKS_PER_FRAME
            yield FramePiece(split, f"{split} {number}", piece_of(rows, frames_per_quarter), end)


# ---- .mat ----------------------------------------------------------------------------------------------


def _mat_table(data: bytes, path: Path) -> dict[str, Any]:
    check_reader([path])
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(data))
    except MemoryError:
        raise
    except NotImplementedError:
        hint = "save it in an older one: in MATLAB with save -v7"
        raise UnreadableError("is a MATLAB file of version 7.3", where=path, hint=hint) from None
    except Exception as error:  # scipy has no exception of its own for damaged files
        reason = f"{type(error).__name__}: {error}"[:100]
        raise UnreadableError(f"is not a MATLAB file, or damaged ({reason})", where=path, hint=HINT) from None
    return {key: value for key, value in table.items() if not key.startswith("__")}


def _mat_pieces(value: Any, key: str, path: Path) -> list[np.ndarray]:
    """The boolean (T, 88) matrices of one split."""
    if not isinstance(value, np.ndarray) or value.dtype != object:
        raise UnreadableError(f"{key}: {_shape(value)}, not an array of matrices", where=path, hint=HINT)
    rolls = []
    for number, roll in enumerate(value.ravel()):
        where = f"{key}, piece {number}"
        if not isinstance(roll, np.ndarray) or roll.ndim != 2 or roll.shape[1] != COLUMNS or not len(roll):
            raise UnreadableError(f"{where}: {_shape(roll)}, not a matrix of T x 88", where=path, hint=HINT)
        if roll.dtype.kind not in "biuf" or not np.isin(roll, (0, 1)).all():
            raise UnreadableError(f"{where}: holds other values than 0 and 1", where=path, hint=HINT)
        rolls.append(roll.astype(bool))
    return rolls


def _roll_piece(roll_TP: np.ndarray, frames_per_quarter: int) -> Piece:
    """A piece of one part, in which each run of ones in a column is a note."""
    edges = np.diff(roll_TP.astype(np.int8), axis=0, prepend=0, append=0).T
    pitch, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    return Piece(frames_per_quarter * TICKS_PER_FRAME, (_track(start, stop, pitch + LOWEST),))


# ---- .json ---------------------------------------------------------------------------------------------


def _json_table(data: bytes, path: Path) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"is not JSON ({str(error)[:100]})", where=path, hint=HINT) from None
    if not isinstance(table, dict):
        raise UnreadableError(f"holds a JSON {type(table).__name__}, not an object", where=path, hint=HINT)
    return table


def _json_pieces(value: Any, key: str, path: Path) -> list[np.ndarray]:
    """One array (T, N) of pitches by frame and voice, -1 for a rest, for each piece of a split."""
    if not isinstance(value, list) or not all(isinstance(piece, list) and piece for piece in value):
        raise UnreadableError(f"{key}: is not a list of lists of frames", where=path, hint=HINT)
    pieces = []
    for number, frames in enumerate(value):
        where = f"{key}, piece {number}"
        if not all(isinstance(frame, list) for frame in frames):
            raise UnreadableError(f"{where}: has a frame that is no list of pitches", where=path, hint=HINT)
        voices_TN = np.full((len(frames), max(1, *map(len, frames))), -1, np.int64)
        for t, frame in enumerate(frames):
            for n, pitch in enumerate(frame):
                voices_TN[t, n] = _pitch(pitch, where, path)
        pieces.append(voices_TN)
    return pieces


def _pitch(value: Any, where: str, path: Path) -> int:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value == -1:
        return -1
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 127 or value % 1:
        raise UnreadableError(f"{where}: holds {str(value)[:20]!r}, not a MIDI pitch", where=path, hint=HINT)
    return int(value)


def _voices_piece(voices_TN: np.ndarray, frames_per_quarter: int) -> Piece:
    """A piece with one part for each voice, in their order; a pitch in consecutive frames is held."""
    tracks = []
    for voice_T in voices_TN.T:
        turns = np.flatnonzero(np.diff(voice_T, prepend=-2))
        start, stop, pitch = turns, np.append(turns[1:], len(voice_T)), voice_T[turns]
        sounds = pitch >= 0
        tracks.append(_track(start[sounds], stop[sounds], pitch[sounds]))
    return Piece(frames_per_quarter * TICKS_PER_FRAME, tuple(tracks))


# ---- both ----------------------------------------------------------------------------------------------


def _track(start: np.ndarray, stop: np.ndarray, pitch: np.ndarray) -> Track:
    """A piano track of notes given in frames."""
    notes = np.zeros(len(start), NOTE)
    notes["start"], notes["duration"] = start * TICKS_PER_FRAME, (stop - start) * TICKS_PER_FRAME
    notes["pitch"], notes["velocity"] = pitch, VELOCITY
    return Track("", 0, False, notes[np.lexsort((pitch, start))])


def _shape(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {' x '.join(map(str, value.shape))} {value.dtype}"
    return f"a {type(value).__name__}"

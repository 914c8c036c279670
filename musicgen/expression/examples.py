"""What performers did, for a network to learn from: features and targets of each player of a recorded performance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.expression import drums, pitched
from musicgen.expression.bins import Bins
from musicgen.expression.players import TOGETHER_S, Player, players_of
from musicgen.io.controllers import SUSTAIN
from musicgen.piece import Piece

__all__ = ["OUTPUTS", "Example", "classes_of", "example_of", "examples_of"]

OUTPUTS: dict[str, dict[str, Bins]] = {"drums": drums.OUTPUTS, "pitched": pitched.OUTPUTS}


@dataclass(frozen=True)
class Example:
    """One player: `features` (N, F) float32, `targets` (N, O) float64, NaN where there is none; the performance's
    spreads, in which these are counted: "velocity", and "timing" in seconds; and the player."""

    features: np.ndarray
    targets: np.ndarray
    spreads: dict[str, float]
    player: Player

    @property
    def kind(self) -> str:
        """The network that learns from it: "drums" or "pitched"."""
        return "drums" if self.player.is_drummer else "pitched"


def examples_of(piece: Piece) -> list[Example]:
    """An example for each player of a performance."""
    return [example_of(piece, player) for player in players_of(piece, together_s=TOGETHER_S)]


def example_of(piece: Piece, player: Player) -> Example:
    """The example of one player of a performance."""
    velocity = player.notes["velocity"]
    if player.pitched is None:
        offset = player.onset_s - player.chord_s[player.chord]
        targets, spreads = drums.drum_targets(offset_s=offset, velocity=velocity)
    else:
        targets, spreads = pitched.pitched_targets(
            player.pitched,
            onset_s=player.onset_s,
            velocity=velocity,
            pedal_s=_pedal(piece, player.parts),
        )
    return Example(player.features, targets, spreads, player)


def _pedal(piece: Piece, parts: tuple[int, ...]) -> np.ndarray | None:
    """Rows (seconds, 1 for down or 0 for up) of the sustain pedal of a player's parts; None if it is never pressed."""
    found = np.concatenate([piece.tracks[part].controls for part in parts])
    found = np.unique(found[found["number"] == SUSTAIN])
    found = found[np.argsort(found["tick"], kind="stable")]
    if not (found["value"] >= 64).any():
        return None
    return np.stack([piece.to_seconds(found["tick"]), found["value"] >= 64], axis=1)


def classes_of(kind: str, targets: np.ndarray) -> np.ndarray:
    """(N, O) int64: the class of each target, -1 where there is none."""
    columns = [
        np.where(np.isnan(column), -1, bins.classes(np.nan_to_num(column)))
        for bins, column in zip(OUTPUTS[kind].values(), targets.T, strict=True)
    ]
    return np.stack(columns, axis=1)

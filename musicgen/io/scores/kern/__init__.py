"""Humdrum kern, a piece at a time: `piece.score_of`."""

"""Bars, and positions within them: `notes`, `remi` and `parts`."""

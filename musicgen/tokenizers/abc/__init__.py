"""The text of tunes in ABC notation: `abc`."""

"""The `frames` tokenizer: music as a sequence of frames of equal length (a piano roll)."""

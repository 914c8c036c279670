"""Time cut into frames of one length: `frames`."""

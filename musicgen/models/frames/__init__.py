"""Models that read frame by frame, and what they see of frames."""

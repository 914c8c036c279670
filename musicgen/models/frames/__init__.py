"""Models that read frame by frame, and the features that they compute of frames."""

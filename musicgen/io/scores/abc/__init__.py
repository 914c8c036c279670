"""ABC text, a tune at a time: `tune.score_of`."""

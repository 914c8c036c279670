"""What a step is made of: heads turn hidden states into likelihoods and into scores to draw from."""

"""Heads: they turn hidden states into likelihoods of steps and into scores to sample from."""

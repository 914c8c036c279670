"""The ladder of sequence models, a rung a file: each reads steps and says hidden states."""

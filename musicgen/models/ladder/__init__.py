"""The ladder of sequence models, one family per file: each reads steps and returns hidden states."""

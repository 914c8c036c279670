"""The `performance` tokenizer: note-ons, note-offs and time shifts."""

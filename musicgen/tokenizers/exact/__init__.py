"""The `exact` tokenizer: notes as they were played, to the millisecond, for models of performances."""

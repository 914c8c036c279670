"""Translating one part of a piece into others: a melody into its chords, a soprano into alto, tenor and bass.

`pairs` finds source and target in a piece; `lines` and `harmony` what they are made of; `alphabet` writes them as ids.
"""

"""A reader of MusicXML in one pass over the elements: `walk.score_of`."""

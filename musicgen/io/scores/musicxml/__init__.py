"""MusicXML, in one walk over its elements: `walk.score_of`."""

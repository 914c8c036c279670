"""Pictures of runs, a file a picture: the numbers behind it, the drawing, and which runs have it."""

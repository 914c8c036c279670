"""Pictures of runs: what they are drawn from, the drawings, the files."""

"""Pictures of runs, one module per picture: it computes the data, draws it, and knows which runs have the picture."""

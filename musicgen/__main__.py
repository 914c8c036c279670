"""`python -m musicgen` is the `musicgen` command."""

from musicgen.cli.main import main

main()

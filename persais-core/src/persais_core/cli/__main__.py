"""`python -m persais_core.cli` is `persais`."""

from persais_core.cli import main

main()

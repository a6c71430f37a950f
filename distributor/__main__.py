"""`python -m distributor`."""

from distributor.cli import main

main()

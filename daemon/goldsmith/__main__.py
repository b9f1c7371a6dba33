"""Runs the command line for ``python -m goldsmith``."""

from goldsmith.cli import main

main()

"""How fast the line is, each figure beside a peer or a limit of the same run: ``make bench``. docs/speed.md says what they mean."""

"""``library/``: what briefs may refer to by name."""

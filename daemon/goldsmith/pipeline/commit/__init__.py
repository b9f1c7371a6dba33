"""From an outcome to files in their places: plans, names, renames, recovery."""

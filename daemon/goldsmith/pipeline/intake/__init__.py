"""The contents of the stage folders and how far each file has arrived: hints, sweeps, completeness and bundles."""

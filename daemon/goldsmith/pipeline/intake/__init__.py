"""What lies in the folders and how far it has arrived: hints, sweeps, completeness and bundles."""

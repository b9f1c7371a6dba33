"""The replay of a delivery from its manifest and the archive, and the comparison with the delivered files."""

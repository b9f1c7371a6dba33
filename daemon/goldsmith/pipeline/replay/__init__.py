"""Doing a delivery again from its record and the archive, and laying the two side by side."""

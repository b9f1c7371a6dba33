"""Faults that generators, enlargers and sharpeners leave in pictures: where they are, how large, and how they are taken out."""

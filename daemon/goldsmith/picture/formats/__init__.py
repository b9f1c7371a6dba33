"""One file format each: reading and writing, and what all of them share."""

"""One module for reading and one for writing each file format, and what they share."""

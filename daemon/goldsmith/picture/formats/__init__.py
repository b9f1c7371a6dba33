"""One module for reading and one for writing each file format, and the code that they share."""

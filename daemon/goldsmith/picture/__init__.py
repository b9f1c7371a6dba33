"""Pictures: the ``Picture`` class, reading and writing files, colour, regions, and pixel work that several operations share."""

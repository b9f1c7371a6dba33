"""Pictures: what a picture is, how files become pictures and back, colour, regions, and pixel work that several operations share."""

"""The page: a program of its own that shows what waits, and does only what a person could do with hands in the folders."""

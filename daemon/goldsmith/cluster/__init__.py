"""The jobs of a queue on other computers: what a node is and sees, and whether it may work."""

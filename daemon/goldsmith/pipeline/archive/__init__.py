"""The archive as a store: what it keeps for how long, whether it is complete, and what of it can be had again."""

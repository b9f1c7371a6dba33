"""The composition root: builds every part of the daemon from the settings, and runs it."""

"""Goldsmith watches shared folders and finishes AI-made pictures, stage by stage."""

__version__ = "0.1.0"

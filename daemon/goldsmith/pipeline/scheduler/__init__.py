"""Decide what runs next, and what becomes of it."""

"""The record of everything done: the only place with SQL."""

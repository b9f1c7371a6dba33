"""The ``geometry`` operation and what only it uses."""

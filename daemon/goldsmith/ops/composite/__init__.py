"""The ``composite`` operation: ``operation.py``, and what only it uses."""

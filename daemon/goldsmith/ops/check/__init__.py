"""The ``check`` operation: ``operation.py``, and what only it uses."""

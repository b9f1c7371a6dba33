"""The ``select`` operation: ``operation.py``, and what only it uses."""

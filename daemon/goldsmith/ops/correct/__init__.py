"""The ``correct`` operation: ``operation.py``, and what only it uses."""

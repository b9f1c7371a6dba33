"""The ``cutout`` operation: ``operation.py``, and what only it uses."""

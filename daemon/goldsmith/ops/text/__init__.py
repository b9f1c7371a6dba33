"""The ``text`` operation: ``operation.py``, and what only it uses."""

"""The ``grade`` operation: ``operation.py``, and what only it uses."""

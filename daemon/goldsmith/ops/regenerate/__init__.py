"""The ``regenerate`` operation: ``operation.py``, and what only it uses."""

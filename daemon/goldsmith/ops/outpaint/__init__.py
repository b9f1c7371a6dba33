"""The ``outpaint`` operation: ``operation.py``, and what only it uses."""

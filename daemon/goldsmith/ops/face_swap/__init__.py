"""The ``face_swap`` operation: ``operation.py``, and what only it uses."""

"""The ``face_swap`` operation: ``operation.py``, and the modules that only it uses."""

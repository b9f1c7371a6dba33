"""The ``erase`` operation: ``operation.py``, and the modules that only it uses."""

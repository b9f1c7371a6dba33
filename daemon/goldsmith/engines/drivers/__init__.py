"""The drivers that run models: one module for each kind of weights, found by its file name, which is the ``driver`` in models.toml."""

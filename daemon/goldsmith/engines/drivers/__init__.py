"""The code that runs models: one module a kind of weights, found by its file; ``driver`` in models.toml is its name."""

"""Models, the sources of their weights, and the verification of weights; nothing here imports a runtime."""

"""The ``upscale`` operation."""

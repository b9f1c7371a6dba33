"""The pipeline: moves assets from folder to folder and names no stage and no operation."""

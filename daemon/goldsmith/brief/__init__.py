"""The TOML files that people write: briefs, recipes, the pipeline, the settings."""

"""What people write in TOML: briefs, recipes, the line, the house."""

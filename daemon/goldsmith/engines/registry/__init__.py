"""What is known of models without running one: what models.toml says, which weights lie here, whether they are what they should be."""

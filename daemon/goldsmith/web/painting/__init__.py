"""The page that paints masks."""

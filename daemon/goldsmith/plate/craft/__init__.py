"""What several operations do to pixels, below the operations."""

"""What the daemon does and why a file waits: the one source of these sentences."""

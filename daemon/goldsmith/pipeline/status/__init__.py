"""Say what the daemon does and why a file waits: one source for every sentence."""

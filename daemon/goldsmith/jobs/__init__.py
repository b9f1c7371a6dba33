"""What crosses the border between the daemon and its workers: jobs, outcomes, and the protocol between them."""

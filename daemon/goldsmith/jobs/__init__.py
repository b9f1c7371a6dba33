"""The data that the daemon and its workers exchange: jobs, outcomes, and the protocol."""

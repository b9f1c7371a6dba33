"""Worker processes as the daemon sees them: jobs go in, and each job has exactly one outcome, whatever happens to its process."""

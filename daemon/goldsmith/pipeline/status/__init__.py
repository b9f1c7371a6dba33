"""The sentences about the daemon's work and about waiting files. They are written nowhere else."""

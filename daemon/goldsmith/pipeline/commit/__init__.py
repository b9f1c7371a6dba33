"""The commit: moves a job's inputs and results to their places, either all of them or none."""

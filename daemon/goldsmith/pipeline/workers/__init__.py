"""The parent's side of the worker processes: each job gets exactly one outcome, whatever happens to its process."""

"""Benchmarks of the pipeline: ``make bench``. Each figure stands beside a peer or a limit of the same run; docs/speed.md explains them."""

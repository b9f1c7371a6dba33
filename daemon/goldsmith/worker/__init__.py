"""Run inside a worker process: read the inputs, run the steps, prove what must not change, write the results."""

"""The code of a worker process: it reads inputs, runs steps, proves that protected pixels are unchanged, and writes results."""

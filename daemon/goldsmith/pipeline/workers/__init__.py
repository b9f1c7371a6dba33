"""Lane processes: jobs go in, exactly one outcome comes out of each, whatever becomes of the process."""
